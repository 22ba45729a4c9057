//! Entry points of the fuzzer: plain functions that panic when a promise is broken.

/// Any bytes as a file that somebody looks into: what is shown can be printed both ways.
pub fn fuzz_inspect(data: &[u8]) {
    crate::terminal::fuzz_inspect(data);
}
