//! Entry points of the fuzzer: plain functions that panic when a promise is broken.

/// Any bytes as a file that somebody looks into: what is shown can be printed both ways.
pub fn fuzz_inspect(data: &[u8]) {
    crate::terminal::fuzz_inspect(data);
}

/// Any bytes as a configuration: what is taken is printed so that it reads back as the same.
pub fn fuzz_config(data: &[u8]) {
    crate::config::fuzz_config(data);
}

/// Any bytes as a file of overrides.
pub fn fuzz_runtime_config(data: &[u8]) {
    crate::config::fuzz_runtime_config(data);
}
