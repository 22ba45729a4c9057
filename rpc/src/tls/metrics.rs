//! Names of the metrics of TLS.

/// Counter {block}: how often changed files were taken.
pub const RELOADS: &str = "runelog_tls_reloads_total";
/// Counter {block}: how often files had changed and could not be used; the last good ones stay.
pub const RELOAD_FAILURES: &str = "runelog_tls_reload_failures_total";
