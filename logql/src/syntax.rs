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
pub mod goregex;
pub mod json_path;
pub mod logfmt_key;
pub mod pattern;

pub use ast::*;

/// Longest query, bytes, plus one: Loki refuses a text of this length.
pub const MAX_QUERY_BYTES: usize = 131_072;

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

/// Parses a query and checks all that Loki checks without data.
pub fn parse(_text: &str) -> Result<Expr, ParseError> {
    unimplemented!()
}

/// Parses a log query: a metric query fails with Loki's `only log selector is supported`.
pub fn parse_log(_text: &str) -> Result<LogExpr, ParseError> {
    unimplemented!()
}

/// Parses a selector without pipeline. Every matcher may match the empty value and `{}` is
/// allowed (volume endpoints); [`require_matcher`] is the check the other endpoints add.
/// Anything but a selector fails with Loki's `only label matchers are supported`.
pub fn parse_matchers(_text: &str) -> Result<Vec<Matcher>, ParseError> {
    unimplemented!()
}

/// Fails unless one matcher does not match the empty value (Loki's text).
pub fn require_matcher(_matchers: &[Matcher]) -> Result<(), ParseError> {
    unimplemented!()
}

/// `expr` as `format_query` prints it: one line where that has at most 100 characters.
pub fn pretty(_expr: &Expr) -> String {
    unimplemented!()
}
