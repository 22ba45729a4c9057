//! YAML as a tree in which every node knows where it stands.
//!
//! Scalars keep the text that was written: what it means is decided by the key's type, so that
//! `012`, `no` or `1e3` never change on the way. Aliases are copied in place and `<<` is merged; both
//! are counted, so that a small file cannot become a large tree.

use std::fmt;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// Nodes of a tree, copies by aliases included. The largest configurations have a few thousand.
const MAX_NODES: usize = 200_000;
/// Levels of lists and maps within each other; Loki's keys go eight deep.
const MAX_DEPTH: usize = 64;

/// A place in a file; both count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: At,
    /// The key, `block.key`; empty is the file as a whole.
    pub path: String,
    /// What.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.at, self.text),
            path => write!(f, "{}: {path}: {}", self.at, self.text),
        }
    }
}

/// A node and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// A text, number, switch, duration...; as written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file; no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it stands.
    pub at: At,
    /// Its text.
    pub name: String,
}

impl Node {
    /// Reads one document. An empty one is null.
    pub fn parse(text: &str) -> Result<Node, Fault> {
        let mut builder = Builder { anchors: Vec::new(), nodes: 0 };
        let options = granit_parser::options! { emit_comments: false };
        let mut events = Parser::new_from_str_with_options(text, options);
        let mut root = None;
        while let Some((event, at)) = next(&mut events)? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                event if root.is_none() => root = Some(builder.node(event, at, &mut events, 0)?),
                _ => return Err(fault(at, "a second document in one file")),
            }
        }
        Ok(root.unwrap_or(Node { at: At { line: 1, column: 1 }, kind: Kind::Null }))
    }

    /// What it is, for an error.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a block of keys",
        }
    }

    /// Nodes in it, with itself.
    fn count(&self) -> usize {
        match &self.kind {
            Kind::Null | Kind::Scalar(_) => 1,
            Kind::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Kind::Map(pairs) => 1 + pairs.iter().map(|(_, node)| node.count()).sum::<usize>(),
        }
    }
}

fn fault(at: At, text: impl Into<String>) -> Fault {
    Fault { at, path: String::new(), text: text.into() }
}

fn place(span: Span) -> At {
    At { line: span.start.line(), column: span.start.col() + 1 }
}

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

fn next<'a>(events: &mut Events<'a>) -> Result<Option<(Event<'a>, At)>, Fault> {
    match events.next_event() {
        None => Ok(None),
        Some(Ok((event, span))) => Ok(Some((event, place(span)))),
        Some(Err(error)) => {
            let at = At { line: error.marker().line(), column: error.marker().col() + 1 };
            Err(fault(at, error.info()))
        }
    }
}

struct Builder {
    /// Nodes that an alias may name; a node is known once it is complete, so none contains itself.
    anchors: Vec<(usize, Node)>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, count: usize, at: At) -> Result<(), Fault> {
        self.nodes += count;
        if self.nodes > MAX_NODES {
            return Err(fault(at, format!("more than {MAX_NODES} values, aliases expanded")));
        }
        Ok(())
    }

    fn node<'a>(
        &mut self,
        event: Event<'a>,
        at: At,
        events: &mut Events<'a>,
        depth: usize,
    ) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(at, format!("more than {MAX_DEPTH} levels deep")));
        }
        self.take(1, at)?;
        let anchor = event.anchor_id();
        let kind = match event {
            Event::Scalar(text, style, _, _) => scalar(text.into_owned(), style),
            Event::SequenceStart(..) => self.list(events, depth)?,
            Event::MappingStart(..) => self.map(events, depth)?,
            Event::Alias(id) => {
                let known = self.anchors.iter().rev().find(|(known, _)| *known == id);
                let Some(node) = known.map(|(_, node)| node.clone()) else {
                    return Err(fault(at, "an alias within the value it names"));
                };
                self.take(node.count(), at)?;
                node.kind
            }
            _ => return Err(fault(at, "not a value")),
        };
        let node = Node { at, kind };
        if let Some(id) = anchor {
            self.take(node.count(), at)?;
            self.anchors.push((id, node.clone()));
        }
        Ok(node)
    }

    fn list<'a>(&mut self, events: &mut Events<'a>, depth: usize) -> Result<Kind, Fault> {
        let mut items = Vec::new();
        while let Some((event, at)) = next(events)? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, at, events, depth + 1)?);
        }
        Ok(Kind::List(items))
    }

    fn map<'a>(&mut self, events: &mut Events<'a>, depth: usize) -> Result<Kind, Fault> {
        let mut pairs = Pairs::default();
        let mut merged = Vec::new();
        while let Some((event, at)) = next(events)? {
            if event == Event::MappingEnd {
                break;
            }
            let name = match self.node(event, at, events, depth + 1)?.kind {
                Kind::Scalar(name) => name,
                Kind::Null => "null".to_owned(),
                _ => return Err(fault(at, "a key must be a single value")),
            };
            let Some((event, value_at)) = next(events)? else { break };
            let value = self.node(event, value_at, events, depth + 1)?;
            if name == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(first) = pairs.lines.insert(name.clone(), at.line) {
                return Err(fault(at, format!("key {name} is already set, on line {first}")));
            }
            pairs.list.push((Key { at, name }, value));
        }
        for node in merged {
            pairs.merge(node)?;
        }
        Ok(Kind::Map(pairs.list))
    }
}

/// The keys of a map so far, and their lines.
#[derive(Default)]
struct Pairs {
    list: Vec<(Key, Node)>,
    lines: base::HashMap<String, usize>,
}

impl Pairs {
    /// Keys that are set beside the `<<` win over those it brings.
    fn merge(&mut self, node: Node) -> Result<(), Fault> {
        match node.kind {
            Kind::Null => {}
            Kind::Map(more) => {
                for (key, value) in more {
                    if !self.lines.contains_key(&key.name) {
                        self.lines.insert(key.name.clone(), key.at.line);
                        self.list.push((key, value));
                    }
                }
            }
            Kind::List(items) => {
                for item in items {
                    self.merge(item)?;
                }
            }
            Kind::Scalar(_) => return Err(fault(node.at, "<< needs a block of keys")),
        }
        Ok(())
    }
}

fn scalar(text: String, style: ScalarStyle) -> Kind {
    let is_null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
    if style == ScalarStyle::Plain && is_null { Kind::Null } else { Kind::Scalar(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "-".to_owned(),
            Kind::Scalar(text) => text.clone(),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
            }
            Kind::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, node)| format!("{}={}", key.name, shown(node)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn read(text: &str) -> String {
        match Node::parse(text) {
            Ok(node) => shown(&node),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_null_is_only_what_is_not_quoted() {
        let text = "a: 012\nb: no\nc: 1e3\nd: ''\ne:\nf: ~\ng: 'null'\nh: \"x\\ty\"\ni: |\n  two\n  lines\n";
        let expected = "{a=012 b=no c=1e3 d= e=- f=- g=null h=x\ty i=two\nlines\n}";
        assert_eq!(read(text), expected);
        for text in ["", "# nothing\n", "---\n", "---\n...\n"] {
            assert_eq!(read(text), "-", "{text:?}");
        }
    }

    #[test]
    fn anchors_and_merges_are_resolved_and_what_is_written_wins() {
        let text = "base: &b {x: 1, y: 2}\none: *b\ntwo: {<<: *b, y: 3}\n\
                    three:\n  y: 4\n  <<: [*b, {z: 5, x: 9}]\n";
        let expected = "{base={x=1 y=2} one={x=1 y=2} two={y=3 x=1} three={y=4 x=1 z=5}}";
        assert_eq!(read(text), expected);
        assert!(read("a: *nowhere\n").contains("line 1, column 4"));
        assert!(read("a: {<<: 7}\n").contains("<< needs"));
    }

    #[test]
    fn mistakes_have_a_line_and_a_column() {
        assert!(read("a: 1\nb: [1\n").contains("line "), "{}", read("a: 1\nb: [1\n"));
        assert!(read("a: 1\n  b: 2\n").starts_with("line 2"), "{}", read("a: 1\n  b: 2\n"));
        assert_eq!(read("a: 1\nb: 2\na: 3\n"), "line 3, column 1: key a is already set, on line 1");
        assert_eq!(read("a: 1\n---\nb: 2\n"), "line 3, column 1: a second document in one file");
        assert_eq!(read("{[a]: 1}\n"), "line 1, column 2: a key must be a single value");
    }

    #[test]
    fn a_small_file_cannot_become_a_large_tree() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = level - 1;
            let items = vec![format!("*a{below}"); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&bomb).contains("more than 200000 values"), "{}", read(&bomb));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep).contains("levels deep"), "{}", read(&deep));
    }
}
