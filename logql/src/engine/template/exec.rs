//! Execution of templates, as `text/template` does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::{self, Function, Kind};
use super::parser::{Branch, Command, Node, Operand, Pipe, Tree, What};
use super::value::Value;
use super::{Data, OUTPUT_MAX, printf, time};
use base::quote::quote;

/// Most templates that call each other, and most turns of one execution's loops.
const CALLS_MAX: usize = 64;
const TURNS_MAX: usize = 100_000;

/// Why execution stops: Go's text, or a jump out of a loop.
enum Stop {
    Failed(String),
    Break,
    Continue,
}

type Done<T> = Result<T, Stop>;

pub(super) struct State<'s> {
    name: &'static str,
    tree: &'s Tree,
    /// Name of the template that is executed: the main one's or a defined one's.
    executing: String,
    pub data: &'s dyn Data,
    out: &'s mut Vec<u8>,
    from: usize,
    variables: Vec<(String, Value)>,
    calls: usize,
    turns: usize,
}

pub(super) fn execute(
    name: &'static str,
    tree: &Tree,
    data: &dyn Data,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let from = out.len();
    let mut state = State {
        name,
        tree,
        executing: name.to_owned(),
        data,
        out,
        from,
        variables: vec![("$".to_owned(), Value::Labels)],
        calls: 0,
        turns: 0,
    };
    match state.nodes(&Value::Labels, &tree.root) {
        Ok(()) => Ok(()),
        Err(Stop::Failed(text)) => Err(text),
        Err(Stop::Break | Stop::Continue) => unreachable!("the parser allows jumps in loops only"),
    }
}

impl State<'_> {
    /// An error at a place of the template.
    fn fail<T>(&self, at: usize, context: &str, what: &str) -> Done<T> {
        let before = &self.tree.text[..at.min(self.tree.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let (name, executing) = (self.name, quote(&self.executing));
        Err(Stop::Failed(format!(
            "template: {name}:{line}:{column}: executing {executing} at <{context}>: {what}"
        )))
    }

    fn write(&mut self, at: usize, context: &str, text: &[u8]) -> Done<()> {
        if self.out.len() - self.from + text.len() > OUTPUT_MAX {
            return self.fail(at, context, "the output is too long");
        }
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn nodes(&mut self, dot: &Value, nodes: &[Node]) -> Done<()> {
        for node in nodes {
            self.node(dot, node)?;
        }
        Ok(())
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Done<()> {
        match node {
            Node::Text(text) => self.write(0, "text", text),
            Node::Action(pipe) => {
                if let Some(label) = plain_label(dot, pipe) {
                    let text = self.data.label(label).unwrap_or_default();
                    if self.out.len() - self.from + text.len() <= OUTPUT_MAX {
                        self.out.extend_from_slice(text);
                        return Ok(());
                    }
                }
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    let text = printf::print_value(&value, self.data);
                    self.write(pipe.at, &pipe.context, &text)?;
                }
                Ok(())
            }
            Node::If(branch) => self.if_with(dot, branch, false),
            Node::With(branch) => self.if_with(dot, branch, true),
            Node::Range(branch) => self.range(dot, branch),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
            Node::Template { name, pipe, at, context } => {
                let Some(nodes) = self.tree.defined.get(name) else {
                    return self.fail(
                        *at,
                        context,
                        &format!("template {} not defined", quote(name)),
                    );
                };
                self.calls += 1;
                if self.calls > CALLS_MAX {
                    let most = "exceeded maximum template depth (100000)";
                    return self.fail(*at, context, most);
                }
                let dot = match pipe {
                    Some(pipe) => self.pipe(dot, pipe)?,
                    None => Value::None,
                };
                let variables =
                    std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
                let executing = std::mem::replace(&mut self.executing, name.clone());
                let done = self.nodes(&dot, nodes);
                (self.variables, self.executing) = (variables, executing);
                self.calls -= 1;
                done
            }
        }
    }

    fn if_with(&mut self, dot: &Value, branch: &Branch, with: bool) -> Done<()> {
        let variables = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let done = if value.is_true() {
            self.nodes(if with { &value } else { dot }, &branch.then)
        } else {
            self.nodes(dot, &branch.otherwise)
        };
        self.variables.truncate(variables);
        done
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Done<()> {
        let variables = self.variables.len();
        let value = self.pipe_value(dot, &branch.pipe)?;
        let items: Vec<(Value, Value)> = match &value {
            Value::List(list) => (0..).map(Value::Int).zip(list.iter().cloned()).collect(),
            Value::Map(map) => {
                map.iter().map(|(key, item)| (Value::text(key.as_bytes()), item.clone())).collect()
            }
            Value::Labels => {
                let text = |text: &[u8]| Value::text(text);
                let labels = self.data.labels().into_iter();
                labels.map(|(name, value)| (text(name.as_bytes()), text(&value))).collect()
            }
            Value::Int(count) | Value::Long(count) => {
                if branch.pipe.variables.len() > 1 {
                    let Pipe { at, context, .. } = &branch.pipe;
                    let what = format!("can't use {count} to iterate over more than one variable");
                    return self.fail(*at, context, &what);
                }
                let most = (*count).clamp(0, TURNS_MAX as i64 + 1);
                (0..most).map(|turn| (Value::Int(turn), Value::Int(turn))).collect()
            }
            Value::None => Vec::new(),
            // What `fromJson` gives for what it cannot read.
            Value::Str(text) if text.is_empty() => Vec::new(),
            other => {
                let Pipe { at, context, .. } = &branch.pipe;
                let shown =
                    String::from_utf8_lossy(&printf::print_value(other, self.data)).into_owned();
                return self.fail(*at, context, &format!("range can't iterate over {shown}"));
            }
        };
        if items.is_empty() {
            let done = self.nodes(dot, &branch.otherwise);
            self.variables.truncate(variables);
            return done;
        }
        for (key, item) in items {
            self.turns += 1;
            if self.turns > TURNS_MAX {
                let Pipe { at, context, .. } = &branch.pipe;
                return self.fail(*at, context, "the loop takes too many turns");
            }
            let bound = match branch.pipe.variables.as_slice() {
                [value] => vec![(value, item.clone())],
                [index, value] => vec![(index, key), (value, item.clone())],
                _ => Vec::new(),
            };
            for (name, value) in bound {
                self.assign(name, value, branch.pipe.assigns);
            }
            let done = self.nodes(&item, &branch.then);
            self.variables.truncate(variables);
            match done {
                Err(Stop::Break) => break,
                Ok(()) | Err(Stop::Continue) => {}
                failed => return failed,
            }
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value, known: bool) {
        if known
            && let Some(variable) = self.variables.iter_mut().rev().find(|known| known.0 == name)
        {
            variable.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    /// The value of a pipeline, and its variables set.
    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Done<Value> {
        let value = self.pipe_value(dot, pipe)?;
        for name in &pipe.variables {
            self.assign(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn pipe_value(&mut self, dot: &Value, pipe: &Pipe) -> Done<Value> {
        let mut last: Option<Value> = None;
        for command in &pipe.commands {
            last = Some(self.command(dot, command, last)?);
        }
        Ok(last.unwrap_or(Value::None))
    }

    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Done<Value> {
        let first = &command.operands[0];
        if let What::Function(name) = &first.what {
            return self.call(dot, name, command, last);
        }
        let arguments = command.operands.len() > 1 || last.is_some();
        match &first.what {
            What::Pipe(pipe) if !arguments => self.pipe(dot, pipe),
            What::Nil => self.fail(first.at, &first.context, "nil is not a command"),
            _ if arguments => {
                if let Some(text) = self.formatted(dot, command, last)? {
                    return Ok(text);
                }
                let (at, context) = (first.at, &first.context);
                match &first.what {
                    What::Field(path, _) => {
                        self.operand(dot, first)?;
                        let field = &path[path.len() - 1];
                        let what = format!("{field} is not a method but has arguments");
                        self.fail(at, context, &what)
                    }
                    _ => {
                        let what = format!("can't give argument to non-function {context}");
                        self.fail(at, context, &what)
                    }
                }
            }
            _ => self.operand(dot, first),
        }
    }

    /// The text of a time, if the command calls its `Format`: of the methods of a time the only one
    /// here that takes an argument.
    fn formatted(
        &mut self,
        dot: &Value,
        command: &Command,
        last: Option<Value>,
    ) -> Done<Option<Value>> {
        let first = &command.operands[0];
        let path = match &first.what {
            What::Field(path, _) | What::Variable(_, path, _) | What::Chain(_, path) => path,
            _ => return Ok(None),
        };
        let Some(("Format", path)) = path.split_last().map(|(last, path)| (last.as_str(), path))
        else {
            return Ok(None);
        };
        let start = match &first.what {
            What::Variable(name, ..) => self.variable(name),
            What::Chain(inner, _) => self.argument_value(dot, inner)?,
            _ => dot.clone(),
        };
        let Value::Time(moment) = self.fields(start, path, first)? else { return Ok(None) };
        let given = command.operands.len() - 1 + usize::from(last.is_some());
        if given != 1 {
            let what = format!("wrong number of args for Format: want 1 got {given}");
            return self.fail(first.at, &first.context, &what);
        }
        let layout = match last {
            Some(last) => self.check(first, last, Kind::Text)?,
            None => self.argument(dot, &command.operands[1], Kind::Text)?,
        };
        let Value::Str(layout) = layout else { return Ok(None) };
        let text = time::format(&String::from_utf8_lossy(&layout), &moment);
        Ok(Some(Value::text(text.as_bytes())))
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|known| known.0 == name);
        found.map_or(Value::None, |known| known.1.clone())
    }

    /// The value of an operand that takes no arguments.
    fn operand(&mut self, dot: &Value, operand: &Operand) -> Done<Value> {
        match &operand.what {
            What::Bool(value) => Ok(Value::Bool(*value)),
            What::Dot => Ok(dot.clone()),
            What::Nil => self.fail(operand.at, &operand.context, "nil is not a command"),
            What::Number(Some(int), _) if !looks_like_float(&operand.context) => {
                Ok(Value::Int(*int))
            }
            What::Number(_, float) => Ok(Value::Float(*float)),
            What::Str(text) => Ok(Value::Str(Arc::clone(text))),
            What::Field(path, label) => {
                if let (Value::Labels, [_]) = (dot, path.as_slice()) {
                    return Ok(Value::text(self.data.label(*label).unwrap_or_default()));
                }
                self.fields(dot.clone(), path, operand)
            }
            What::Variable(name, path, label) => {
                let value = self.variable(name);
                if let (Value::Labels, [_]) = (&value, path.as_slice()) {
                    return Ok(Value::text(self.data.label(*label).unwrap_or_default()));
                }
                self.fields(value, path, operand)
            }
            What::Chain(inner, path) => {
                let value = self.argument_value(dot, inner)?;
                self.fields(value, path, operand)
            }
            What::Function(name) => {
                let command = Command {
                    operands: vec![operand.clone()],
                    at: operand.at,
                    context: operand.context.clone(),
                };
                self.call(dot, name, &command, None)
            }
            What::Pipe(pipe) => self.pipe(dot, pipe),
        }
    }

    fn fields(&mut self, mut value: Value, path: &[String], operand: &Operand) -> Done<Value> {
        for field in path {
            value = match &value {
                Value::Labels => {
                    let labels = self.data.labels();
                    let found = labels.into_iter().find(|(name, _)| name == field);
                    Value::text(&found.map_or(Vec::new(), |(_, value)| value))
                }
                Value::Map(map) => map.get(field).cloned().unwrap_or(Value::None),
                Value::None => {
                    let what = format!("nil data; no entry for key {}", quote(field));
                    return self.fail(operand.at, &operand.context, &what);
                }
                other => {
                    if let Value::Time(moment) = other
                        && let Some(part) = time::part(moment, field)
                    {
                        value = part;
                        continue;
                    }
                    let kind = other.type_name();
                    let what = match (other, field.as_str()) {
                        (Value::Time(_), "Format") => {
                            "wrong number of args for Format: want 1 got 0".to_owned()
                        }
                        _ => format!("can't evaluate field {field} in type {kind}"),
                    };
                    return self.fail(operand.at, &operand.context, &what);
                }
            };
        }
        Ok(value)
    }

    fn argument_value(&mut self, dot: &Value, operand: &Operand) -> Done<Value> {
        match &operand.what {
            What::Nil => Ok(Value::None),
            _ => self.operand(dot, operand),
        }
    }

    fn call(
        &mut self,
        dot: &Value,
        name: &str,
        command: &Command,
        last: Option<Value>,
    ) -> Done<Value> {
        let operand = &command.operands[0];
        let Some(function) = functions::find(name) else {
            return self.fail(
                operand.at,
                name,
                &format!("{} is not a defined function", quote(name)),
            );
        };
        let given = command.operands.len() - 1 + usize::from(last.is_some());
        let fixed = function.parameters.len();
        if function.rest.is_some() {
            if given < fixed {
                let what =
                    format!("wrong number of args for {name}: want at least {fixed} got {given}");
                return self.fail(operand.at, name, &what);
            }
        } else if given != fixed {
            let what = format!("wrong number of args for {name}: want {fixed} got {given}");
            return self.fail(operand.at, name, &what);
        }
        if matches!(name, "and" | "or") {
            return self.and_or(dot, name == "or", command, last);
        }
        let mut arguments = Vec::with_capacity(given);
        for (index, operand) in command.operands[1..].iter().enumerate() {
            let kind = parameter(function, index);
            arguments.push(self.argument(dot, operand, kind)?);
        }
        if let Some(last) = last {
            let kind = parameter(function, arguments.len());
            let checked = self.check(operand, last, kind)?;
            arguments.push(checked);
        }
        match (function.call)(self.data, &arguments) {
            Ok(value) => Ok(value),
            Err(why) => {
                self.fail(command.at, &command.context, &format!("error calling {name}: {why}"))
            }
        }
    }

    /// The last value that decides; what comes after it is not evaluated.
    fn and_or(
        &mut self,
        dot: &Value,
        or: bool,
        command: &Command,
        last: Option<Value>,
    ) -> Done<Value> {
        let mut value = Value::None;
        for operand in &command.operands[1..] {
            value = self.argument_value(dot, operand)?;
            if value.is_true() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Value, operand: &Operand, kind: Kind) -> Done<Value> {
        let expected = |what: &str| format!("expected {what}; found {}", operand.context);
        let (at, context) = (operand.at, &operand.context);
        match (&operand.what, kind) {
            (What::Nil, Kind::Any) => Ok(Value::None),
            (What::Nil, _) => {
                let what = format!("cannot assign nil to {}", kind.name());
                self.fail(at, context, &what)
            }
            (What::Str(_), Kind::Any | Kind::Text) | (What::Bool(_), Kind::Any) => {
                self.operand(dot, operand)
            }
            (What::Number(Some(int), _), Kind::Int) => Ok(Value::Int(*int)),
            (What::Number(_, float), Kind::Float) => Ok(Value::Float(*float)),
            (What::Number(..), Kind::Any) => self.operand(dot, operand),
            (What::Str(_) | What::Bool(_) | What::Number(..), kind) => {
                let what = match kind {
                    Kind::Text => "string",
                    Kind::Int => "integer",
                    Kind::Float => "float",
                    other => {
                        let what =
                            format!("can't handle {context} for arg of type {}", other.name());
                        return self.fail(at, context, &what);
                    }
                };
                self.fail(at, context, &expected(what))
            }
            _ => {
                let value = self.argument_value(dot, operand)?;
                self.check(operand, value, kind)
            }
        }
    }

    /// A value as an argument of this kind.
    fn check(&mut self, operand: &Operand, value: Value, kind: Kind) -> Done<Value> {
        let fits = match kind {
            Kind::Any => true,
            Kind::Text => matches!(value, Value::Str(_)),
            Kind::Int => matches!(value, Value::Int(_)),
            Kind::Float => matches!(value, Value::Float(_)),
            Kind::Time => matches!(value, Value::Time(_)),
        };
        if fits {
            return Ok(value);
        }
        let want = kind.name();
        let what = match &value {
            Value::None => format!("invalid value; expected {want}"),
            value => format!("wrong type for value; expected {want}; got {}", value.type_name()),
        };
        self.fail(operand.at, &operand.context, &what)
    }
}

fn parameter(function: &Function, index: usize) -> Kind {
    function.parameters.get(index).copied().or(function.rest).unwrap_or(Kind::Any)
}

/// An action that only prints a label.
fn plain_label(dot: &Value, pipe: &Pipe) -> Option<crate::engine::names::NameId> {
    let [command] = pipe.commands.as_slice() else { return None };
    let [operand] = command.operands.as_slice() else { return None };
    match &operand.what {
        What::Field(path, label) if path.len() == 1 && pipe.variables.is_empty() => {
            matches!(dot, Value::Labels).then_some(*label)
        }
        _ => None,
    }
}

/// Whether a number was written as a float, which it then is where any type is welcome.
fn looks_like_float(text: &str) -> bool {
    let hex = text.contains("0x") || text.contains("0X");
    !text.starts_with('\'') && !hex && text.contains(['.', 'e', 'E', 'p', 'P'])
}

/// A map of parsed JSON.
pub(super) fn map(entries: BTreeMap<String, Value>) -> Value {
    Value::Map(Arc::new(entries))
}
