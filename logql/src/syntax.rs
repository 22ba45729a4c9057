//! The language: tree, lexer, parser, canonical text.

pub mod ast;

pub use ast::*;
