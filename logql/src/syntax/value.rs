//! What the symbols of the grammar stand for while a query is being read.

use super::ast::*;
use super::tokens::Token;

/// A part of the tree, how deep it is, and the first thing wrong with it. Loki reports such errors
/// only when the whole text was read, and those of an outer expression before those of its parts.
#[derive(Clone, Debug)]
pub(super) struct Node<T> {
    pub tree: T,
    pub depth: u32,
    pub error: Option<String>,
}

/// A selector, its pipeline and the range it is read over.
#[derive(Clone, Debug)]
pub(super) struct LogRange {
    pub log: LogExpr,
    pub unwrap: Option<Unwrap>,
    pub range_ns: i64,
    pub offset_ns: i64,
}

/// What stands between an operator and its right side.
#[derive(Clone, Debug, Default)]
pub(super) struct Modifier {
    pub return_bool: bool,
    pub matching: Option<VectorMatching>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    #[default]
    Nothing,
    Token(Token),
    Word(String),
    Words(Vec<String>),
    Text(Vec<u8>),
    Nanos(i64),
    Bytes(u64),
    Literal(Node<f64>),
    Matcher(Matcher),
    Matchers(Vec<Matcher>),
    LineOperand(LineOperand),
    LineFilter(LineFilter),
    Stages(Node<Vec<Stage>>),
    Flags {
        strict: bool,
        keep_empty: bool,
    },
    Extractions(Vec<Extraction>),
    Formats(Vec<LabelFormat>),
    Names(Vec<NamedMatcher>),
    Filter(Node<LabelFilter>),
    Log(Node<LogExpr>),
    Unwrap(Node<Unwrap>),
    LogRange(Box<Node<LogRange>>),
    Grouping(Grouping),
    Modifier(Modifier),
    Metric(Box<Node<MetricExpr>>),
}

/// The values of a production's right side.
pub(super) struct Args<'a>(pub &'a mut [Value]);

macro_rules! takes {
    ($($name:ident $variant:ident $type:ty;)*) => {
        $(pub fn $name(&mut self, at: usize) -> $type {
            match std::mem::take(&mut self.0[at]) {
                Value::$variant(value) => value,
                other => unreachable!("a production gives its action {other:?}"),
            }
        })*
    };
}

impl Args<'_> {
    takes! {
        token Token Token;
        word Word String;
        words Words Vec<String>;
        bytes Text Vec<u8>;
        nanos Nanos i64;
        size Bytes u64;
        literal Literal Node<f64>;
        matcher Matcher Matcher;
        matchers Matchers Vec<Matcher>;
        operand LineOperand LineOperand;
        line_filter LineFilter LineFilter;
        stages Stages Node<Vec<Stage>>;
        extractions Extractions Vec<Extraction>;
        formats Formats Vec<LabelFormat>;
        names Names Vec<NamedMatcher>;
        filter Filter Node<LabelFilter>;
        unwrap Unwrap Node<Unwrap>;
        log_range LogRange Box<Node<LogRange>>;
        grouping Grouping Grouping;
        modifier Modifier Modifier;
        metric Metric Box<Node<MetricExpr>>;
    }

    /// A string that Rust can hold: what is not UTF-8 becomes U+FFFD.
    pub fn text(&mut self, at: usize) -> String {
        let bytes = self.bytes(at);
        String::from_utf8(bytes)
            .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
    }

    pub fn value(&mut self, at: usize) -> Value {
        std::mem::take(&mut self.0[at])
    }
}
