//! Templates of `| pattern` and of the line filters `|>` and `!>`.

/// One node of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Text that must be there.
    Literal(Vec<u8>),
    /// `<name>`.
    Capture(String),
    /// `<_>`.
    Skip,
}

/// Reads the template of a `pattern` stage: at least one name, none twice, no two captures side
/// by side. The error is Loki's, without `invalid pattern parser: `.
pub fn parse(_template: &str) -> Result<Vec<Node>, String> {
    unimplemented!()
}

/// Reads the template of a line filter: no names, no two captures side by side; may be empty.
pub fn parse_filter(_template: &[u8]) -> Result<Vec<Node>, String> {
    unimplemented!()
}
