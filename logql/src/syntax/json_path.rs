//! Paths of `| json a="b.c[0]"`.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Member of an object: `.name` or `["name"]`.
    Field(String),
    /// Element of an array.
    Index(usize),
}

/// Reads a path. The error is Loki's: `cannot parse expression [a..b]: syntax error: ...`.
pub fn parse(_expression: &str) -> Result<Vec<Segment>, String> {
    unimplemented!()
}
