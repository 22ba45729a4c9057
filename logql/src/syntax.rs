//! The language: tree, lexer, parser, canonical text.
//!
//! [`parse`] reads a query or fails with Loki's text. Loki's parser is a yacc automaton, and where
//! it notices an error and what it says it expected follow from that automaton; so ours is one
//! too: the grammar is a table of productions, and the automaton is built from it once, with
//! yacc's rules for conflicts and default reductions.
//!
//! Stage-build errors (a bad line filter expression, a bad template) are not parse errors: Loki
//! reports them only when a stream matches. [`json_path`], [`logfmt_key`], [`pattern`] and
//! [`goregex`] are the checkers the engine calls then.

pub mod ast;
mod build;
mod check;
pub mod display;
pub mod goregex;
mod grammar;
pub mod json_path;
mod lalr;
mod lexer;
pub mod logfmt_key;
pub mod number;
pub mod pattern;
mod pretty;
mod scanner;
mod tokens;
mod value;

pub use ast::*;
pub use pretty::pretty;

use grammar::{LANGUAGE, Language};
use lalr::{Driver, Refusal};
use lexer::{Carried, Lexer};
use scanner::{Position, ScanError};
use value::{Args, Value};

/// Longest query, bytes, plus one: Loki refuses a text of this length.
pub const MAX_QUERY_BYTES: usize = 131_072;

/// The same for [`parse_exact`]: escapes, spaces and parentheses make a text a few times longer.
const EXACT_BYTES_MAX: usize = 16 * MAX_QUERY_BYTES;

/// Deepest syntax tree. Bounds the stack of everything that walks a tree; a written query has less
/// than 50 levels, a generated chain of `or` a few hundred.
pub const MAX_DEPTH: u32 = 1_000;

/// Why a text is no query. `text` is what the user of Loki sees, HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ParseError {
    /// `parse error at line 1, col 5: syntax error: ...` or `parse error : ...`.
    pub text: String,
}

impl ParseError {
    fn at(position: Position, text: &str) -> ParseError {
        let Position { line, column } = position;
        let text = if (line, column) == (0, 0) {
            format!("parse error : {text}")
        } else {
            format!("parse error at line {line}, col {column}: {text}")
        };
        ParseError { text }
    }

    fn unplaced(text: &str) -> ParseError {
        ParseError::at(Position::default(), text)
    }
}

/// Parses a query and checks all that Loki checks without data.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let expr = read(text, MAX_QUERY_BYTES)?;
    if let Expr::Log(log) = &expr {
        require_matcher(&log.matchers)?;
    }
    Ok(expr)
}

/// The text of a tree that [`parse_exact`] reads back as an equal tree. Loki's canonical text
/// (`Display`) rounds sizes and knows no text for some numbers.
pub fn exact(expr: &Expr) -> String {
    format!("{expr:#}")
}

/// As [`parse`], for what [`exact`] gives of a query: that may be longer than the query was.
pub fn parse_exact(text: &str) -> Result<Expr, ParseError> {
    let expr = read(text, EXACT_BYTES_MAX)?;
    if let Expr::Log(log) = &expr {
        require_matcher(&log.matchers)?;
    }
    Ok(expr)
}

/// As [`parse_exact`], of a metric query whose selectors may match every stream (volume endpoints).
pub fn parse_exact_of_any(text: &str) -> Result<Expr, ParseError> {
    let (expr, error) = read_tree(text, EXACT_BYTES_MAX)?;
    match error {
        Some(text) if text != check::EMPTY_COMPATIBLE => Err(ParseError::unplaced(&text)),
        _ => Ok(expr),
    }
}

/// Parses a log query: a metric query fails with Loki's `only log selector is supported`.
pub fn parse_log(text: &str) -> Result<LogExpr, ParseError> {
    match parse(text)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(ParseError { text: "only log selector is supported".to_owned() }),
    }
}

/// Parses a selector without pipeline. Every matcher may match the empty value and `{}` is
/// allowed (volume endpoints); [`require_matcher`] is the check the other endpoints add.
/// Anything but a selector fails with Loki's `only label matchers are supported`.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    match read(text, MAX_QUERY_BYTES)? {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(ParseError { text: "only label matchers are supported".to_owned() }),
    }
}

/// Fails unless one matcher does not match the empty value (Loki's text).
pub fn require_matcher(matchers: &[Matcher]) -> Result<(), ParseError> {
    check::empty_compatible(matchers).map_or(Ok(()), |text| Err(ParseError::unplaced(&text)))
}

/// Why reading stopped.
enum Stop {
    Scan(ScanError),
    Check(String),
}

struct Reader<'a> {
    language: &'static Language,
    lexer: Lexer<'a>,
}

impl Driver for Reader<'_> {
    type Value = Value;
    type Error = Stop;

    fn next(&mut self) -> Result<(u8, Value), Stop> {
        let (token, carried) = self.lexer.next().map_err(Stop::Scan)?;
        let value = match carried {
            Carried::Nothing => Value::Token(token),
            Carried::Word(word) => Value::Word(word),
            Carried::Text(text) => Value::Text(text),
            Carried::Nanos(ns) => Value::Nanos(ns),
            Carried::Bytes(bytes) => Value::Bytes(bytes),
        };
        Ok((token as u8, value))
    }

    fn reduce(&mut self, rule: usize, values: &mut Vec<Value>, from: usize) -> Result<Value, Stop> {
        self.language.actions[rule](&mut Args(&mut values[from..])).map_err(Stop::Check)
    }
}

/// Everything but the check that a log query selects something.
fn read(text: &str, most: usize) -> Result<Expr, ParseError> {
    let (expr, error) = read_tree(text, most)?;
    error.map_or(Ok(expr), |text| Err(ParseError::unplaced(&text)))
}

/// A tree that is built, and the first thing wrong with it.
fn read_tree(text: &str, most: usize) -> Result<(Expr, Option<String>), ParseError> {
    if text.len() >= most {
        let length = text.len();
        return Err(ParseError::unplaced(&format!("input size too long ({length} > {most})")));
    }
    let language = &*LANGUAGE;
    let mut reader = Reader { language, lexer: Lexer::new(text) };
    let value = language.table.run(&mut reader).map_err(|refusal| match refusal {
        Refusal::Syntax(text) => ParseError::at(reader.lexer.position(), &text),
        Refusal::Action(Stop::Scan(error)) => ParseError::at(error.at, &error.text),
        Refusal::Action(Stop::Check(text)) => ParseError::unplaced(&text),
    })?;
    Ok(match value {
        Value::Log(log) => (Expr::Log(log.tree), log.error),
        Value::Metric(metric) => (Expr::Metric(metric.tree), metric.error),
        other => unreachable!("a query is an expression, not {other:?}"),
    })
}

#[cfg(test)]
mod tests;
