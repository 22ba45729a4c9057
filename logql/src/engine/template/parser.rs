//! Trees of templates, as `text/template/parse` reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions;
use super::lexer::{Item, Kind, lex};
use super::literals::{number, unquote};
use crate::engine::names::NameId;
use crate::engine::pipeline::NameList;

/// A template and those it defines.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub root: Vec<Node>,
    pub defined: BTreeMap<String, Vec<Node>>,
    /// Labels that fields name.
    pub labels: Vec<NameId>,
    pub reads_everything: bool,
    pub reads_line: bool,
    /// The text, to say where something went wrong.
    pub text: String,
}

/// What is executed one after the other.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(Vec<u8>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
    Template { name: String, pipe: Option<Pipe>, at: usize, context: String },
}

/// A pipeline and what depends on it.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub then: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// Commands, each with the result of the one before as last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Variables that take the result, and whether they are new.
    pub variables: Vec<String>,
    pub assigns: bool,
    pub commands: Vec<Command>,
    pub at: usize,
    pub context: String,
}

/// An operand and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub operands: Vec<Operand>,
    pub at: usize,
    pub context: String,
}

/// A value in a command.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub what: What,
    pub at: usize,
    /// As Go prints the node.
    pub context: String,
}

/// Kinds of operands.
#[derive(Clone, Debug)]
pub(super) enum What {
    Bool(bool),
    Dot,
    Nil,
    /// `.a.b`, with the label of the first.
    Field(Vec<String>, NameId),
    /// `$x.a.b`.
    Variable(String, Vec<String>, NameId),
    /// `(..).a`.
    Chain(Box<Operand>, Vec<String>),
    Function(String),
    /// A number: as an integer if it is one, and as a float.
    Number(Option<i64>, f64),
    Str(Arc<[u8]>),
    Pipe(Box<Pipe>),
}

struct Parser<'n> {
    name: &'static str,
    items: Vec<Item>,
    at: usize,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
    range_depth: usize,
    /// Levels of actions and parentheses.
    depth: usize,
    names: &'n mut NameList,
    labels: Vec<NameId>,
    reads_everything: bool,
    reads_line: bool,
}

/// Deepest nesting: execution recurses.
const DEPTH_MAX: usize = 200;

/// How a list of nodes ended.
#[derive(PartialEq)]
enum End {
    End,
    Else,
}

type Parsed<T> = Result<T, String>;

/// Reads a template. The error is Go's.
pub(super) fn parse(name: &'static str, text: &str, names: &mut NameList) -> Parsed<Tree> {
    let mut parser = Parser {
        name,
        items: lex(text),
        at: 0,
        variables: vec!["$".to_owned()],
        defined: BTreeMap::new(),
        range_depth: 0,
        depth: 0,
        names,
        labels: Vec::new(),
        reads_everything: false,
        reads_line: false,
    };
    let mut root = Vec::new();
    while parser.peek().kind != Kind::Eof {
        match parser.text_or_action(true)? {
            Ok(node) => root.extend(node),
            Err(end) => {
                let word = if end == End::End { "{{end}}" } else { "{{else}}" };
                return Err(parser.fail(&format!("unexpected {word}")));
            }
        }
    }
    let Parser { defined, labels, reads_everything, reads_line, .. } = parser;
    Ok(Tree { root, defined, labels, reads_everything, reads_line, text: text.to_owned() })
}

impl Parser<'_> {
    fn peek(&self) -> &Item {
        &self.items[self.at.min(self.items.len() - 1)]
    }

    fn next(&mut self) -> Item {
        let item = self.peek().clone();
        self.at += 1;
        item
    }

    fn peek_non_space(&mut self) -> Item {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek().clone()
    }

    fn next_non_space(&mut self) -> Item {
        let item = self.peek_non_space();
        self.at += 1;
        item
    }

    fn fail(&self, what: &str) -> String {
        // The line of the item read last.
        let item = &self.items[self.at.saturating_sub(1).min(self.items.len() - 1)];
        format!("template: {}:{}: {what}", self.name, item.line)
    }

    fn unexpected<T>(&self, item: &Item, context: &str) -> Parsed<T> {
        if item.kind == Kind::Error {
            return Err(format!("template: {}:{}: {}", self.name, item.line, item.text));
        }
        Err(self.fail(&format!("unexpected {} in {context}", item.show())))
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fail("max expression depth exceeded"));
        }
        Ok(())
    }

    /// The next node, if it makes one, or the end of the list it stands in.
    fn text_or_action(&mut self, top: bool) -> Parsed<Result<Option<Node>, End>> {
        let item = self.next();
        match item.kind {
            Kind::Text => Ok(Ok(Some(Node::Text(item.text.into_bytes())))),
            Kind::LeftDelimiter => self.action(top),
            _ => self.unexpected(&item, "input"),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            match self.text_or_action(false)? {
                Ok(node) => nodes.extend(node),
                Err(end) => return Ok((nodes, end)),
            }
        }
        self.at += 1;
        Err(self.fail("unexpected EOF"))
    }

    fn action(&mut self, top: bool) -> Parsed<Result<Option<Node>, End>> {
        let item = self.next_non_space();
        if item.kind == Kind::Keyword {
            self.deeper()?;
            let node = match item.text.as_str() {
                "if" => Node::If(self.branch("if")?),
                "with" => Node::With(self.branch("with")?),
                "range" => Node::Range(self.branch("range")?),
                "end" => {
                    self.expect(Kind::RightDelimiter, "end")?;
                    self.depth -= 1;
                    return Ok(Err(End::End));
                }
                "else" => {
                    let next = self.peek_non_space();
                    let chained = matches!(next.text.as_str(), "if" | "with");
                    if next.kind != Kind::Keyword || !chained {
                        self.expect(Kind::RightDelimiter, "else")?;
                    }
                    self.depth -= 1;
                    return Ok(Err(End::Else));
                }
                "break" | "continue" => self.jump(&item)?,
                "template" => self.template(&item)?,
                "block" => self.block(&item)?,
                "define" if top => {
                    self.define()?;
                    self.depth -= 1;
                    return Ok(Ok(None));
                }
                "define" => return self.unexpected(&item, "command"),
                _ => {
                    self.at -= 1;
                    return self.plain_action();
                }
            };
            self.depth -= 1;
            return Ok(Ok(Some(node)));
        }
        self.at -= 1;
        self.plain_action()
    }

    fn plain_action(&mut self) -> Parsed<Result<Option<Node>, End>> {
        let pipe = self.pipeline("command", Kind::RightDelimiter)?;
        Ok(Ok(Some(Node::Action(pipe))))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Item> {
        let item = self.next_non_space();
        if item.kind == kind { Ok(item) } else { self.unexpected(&item, context) }
    }

    fn branch(&mut self, word: &str) -> Parsed<Branch> {
        let variables = self.variables.len();
        let pipe = self.pipeline(word, Kind::RightDelimiter)?;
        let ranges = word == "range";
        self.range_depth += usize::from(ranges);
        let (then, end) = self.list()?;
        self.range_depth -= usize::from(ranges);
        let mut otherwise = Vec::new();
        if end == End::Else {
            // `else if` is an `if` of its own that shares the end.
            let next = self.peek_non_space();
            let chained = next.kind == Kind::Keyword && next.text == word && word != "range";
            if chained {
                self.at += 1;
                self.deeper()?;
                let inner = self.branch(word)?;
                self.depth -= 1;
                otherwise.push(if word == "if" { Node::If(inner) } else { Node::With(inner) });
            } else if next.kind == Kind::Keyword && matches!(next.text.as_str(), "if" | "with") {
                self.at += 1;
                return self.unexpected(&next, "else");
            } else {
                let (nodes, end) = self.list()?;
                otherwise = nodes;
                if end == End::Else {
                    return Err(self.fail("expected end; found {{else}}"));
                }
            }
        }
        self.variables.truncate(variables);
        Ok(Branch { pipe, then, otherwise })
    }

    fn jump(&mut self, item: &Item) -> Parsed<Node> {
        let word = &item.text;
        let next = self.next_non_space();
        if next.kind != Kind::RightDelimiter {
            return self.unexpected(&next, &format!("{{{{{word}}}}}"));
        }
        if self.range_depth == 0 {
            return Err(self.fail(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let item = self.next_non_space();
        match item.kind {
            Kind::String | Kind::RawString => {
                let text = unquote(&item.text).ok_or_else(|| self.fail("invalid syntax"))?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            _ => self.unexpected(&item, context),
        }
    }

    fn template(&mut self, item: &Item) -> Parsed<Node> {
        let name = self.template_name("template clause")?;
        let mut pipe = None;
        let mut context = format!("{{{{template {}", base::quote::quote(&name));
        if self.next_non_space().kind != Kind::RightDelimiter {
            self.at -= 1;
            let read = self.pipeline("template clause", Kind::RightDelimiter)?;
            context = format!("{context} {}", read.context);
            pipe = Some(read);
        }
        Ok(Node::Template { name, pipe, at: item.at, context: format!("{context}}}}}") })
    }

    fn body(&mut self, context: &str) -> Parsed<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let depth = std::mem::take(&mut self.range_depth);
        let (nodes, end) = self.list()?;
        (self.variables, self.range_depth) = (variables, depth);
        if end != End::End {
            return Err(self.fail(&format!("unexpected {{{{else}}}} in {context}")));
        }
        Ok(nodes)
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.template_name("define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        let nodes = self.body("define clause")?;
        self.defined.insert(name, nodes);
        Ok(())
    }

    fn block(&mut self, item: &Item) -> Parsed<Node> {
        let name = self.template_name("block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelimiter)?;
        let nodes = self.body("block clause")?;
        self.defined.insert(name.clone(), nodes);
        let context = format!("{{{{template {} {}}}}}", base::quote::quote(&name), pipe.context);
        Ok(Node::Template { name, pipe: Some(pipe), at: item.at, context })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_non_space().at;
        let mut pipe = Pipe {
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
            at,
            context: String::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let item = self.next_non_space();
            match item.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Keyword
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen
                    if item.kind != Kind::Keyword || item.text == "nil" =>
                {
                    self.at -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&item, context),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.fail(&format!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let constant = matches!(
                command.operands[0].what,
                What::Bool(_) | What::Dot | What::Nil | What::Number(..) | What::Str(_)
            );
            if constant {
                let stage = index + 1;
                return Err(self.fail(&format!("non executable command in pipeline stage {stage}")));
            }
        }
        let commands: Vec<&str> =
            pipe.commands.iter().map(|command| command.context.as_str()).collect();
        pipe.context = commands.join(" | ");
        if !pipe.variables.is_empty() {
            let sign = if pipe.assigns { "=" } else { ":=" };
            pipe.context = format!("{} {sign} {}", pipe.variables.join(", "), pipe.context);
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let first = self.peek_non_space();
            if first.kind != Kind::Variable {
                return Ok(());
            }
            let back = self.at;
            self.at += 1;
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.at += 1;
                    if pipe.assigns {
                        self.known(&first.text)?;
                    } else {
                        self.variables.push(first.text.clone());
                    }
                    pipe.variables.push(first.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.at += 1;
                    self.variables.push(first.text.clone());
                    pipe.variables.push(first.text);
                    if context == "range" && pipe.variables.len() < 2 {
                        let third = self.peek_non_space();
                        if third.kind == Kind::Variable {
                            continue;
                        }
                        self.at += 1;
                        return Err(self.fail("range can only initialize variables"));
                    }
                    return Err(self.fail(&format!("too many declarations in {context}")));
                }
                _ => {
                    self.at = back;
                    return Ok(());
                }
            }
        }
    }

    fn known(&self, variable: &str) -> Parsed<()> {
        if self.variables.iter().any(|known| known == variable) {
            return Ok(());
        }
        Err(self.fail(&format!("undefined variable {}", base::quote::quote(variable))))
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command =
            Command { operands: Vec::new(), at: self.peek_non_space().at, context: String::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let item = self.next();
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if command.operands.is_empty() {
            return Err(self.fail("empty command"));
        }
        let operands: Vec<String> = command
            .operands
            .iter()
            .map(|operand| match &operand.what {
                What::Pipe(_) => format!("({})", operand.context),
                _ => operand.context.clone(),
            })
            .collect();
        command.context = operands.join(" ");
        Ok(command)
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        let first_at = self.peek().at;
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(operand));
        }
        let context = |inner: &str| format!("{inner}.{}", fields.join("."));
        match &mut operand.what {
            What::Field(path, _) | What::Variable(_, path, _) => {
                operand.context = context(&operand.context);
                operand.at = first_at; // as Go has it
                if path.is_empty()
                    && let What::Variable(_, _, label) = &mut operand.what
                {
                    *label = self.names.number(&fields[0]);
                    self.labels.push(*label);
                }
                if let What::Field(path, _) | What::Variable(_, path, _) = &mut operand.what {
                    path.extend(fields);
                }
                Ok(Some(operand))
            }
            What::Bool(_) | What::Str(_) | What::Number(..) | What::Nil | What::Dot => {
                let what = &operand.context;
                Err(self.fail(&format!("unexpected . after term {}", base::quote::quote(what))))
            }
            _ => {
                let inner = match &operand.what {
                    What::Pipe(_) => format!("({})", operand.context),
                    _ => operand.context.clone(),
                };
                let context = context(&inner);
                let what = What::Chain(Box::new(operand), fields);
                Ok(Some(Operand { what, at: first_at, context }))
            }
        }
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let item = self.next_non_space();
        let what = match item.kind {
            Kind::Identifier => {
                if !functions::exists(&item.text) {
                    let name = base::quote::quote(&item.text);
                    return Err(self.fail(&format!("function {name} not defined")));
                }
                self.reads_line |= item.text == "__line__";
                What::Function(item.text.clone())
            }
            Kind::Dot => {
                self.reads_everything = true;
                What::Dot
            }
            Kind::Keyword if item.text == "nil" => What::Nil,
            Kind::Variable => {
                self.known(&item.text)?;
                let field = self.peek().kind == Kind::Field;
                self.reads_everything |= item.text == "$" && !field;
                What::Variable(item.text.clone(), Vec::new(), 0)
            }
            Kind::Field => {
                let label = self.names.number(&item.text[1..]);
                self.labels.push(label);
                What::Field(vec![item.text[1..].to_owned()], label)
            }
            Kind::Bool => What::Bool(item.text == "true"),
            Kind::CharConstant | Kind::Number => {
                let (int, float) = number(&item).ok_or_else(|| {
                    self.fail(&format!("bad number syntax: {}", base::quote::quote(&item.text)))
                })?;
                What::Number(int, float)
            }
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                let (at, context) = (pipe.at, pipe.context.clone());
                return Ok(Some(Operand { what: What::Pipe(Box::new(pipe)), at, context }));
            }
            Kind::String | Kind::RawString => {
                let text = unquote(&item.text).ok_or_else(|| self.fail("invalid syntax"))?;
                What::Str(text.into())
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { what, at: item.at, context: item.text }))
    }
}
