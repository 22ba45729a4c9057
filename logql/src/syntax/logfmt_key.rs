//! Keys of `| logfmt a="b"`.

/// Reads a key, quoted or not. The error is Loki's: `cannot parse expression []: ...`.
pub fn parse(_expression: &str) -> Result<String, String> {
    unimplemented!()
}
