//! What this binary was built from.

/// Version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit, when the build was told: `RUNELOG_REVISION` in the environment of the compiler.
pub const REVISION: &str = match option_env!("RUNELOG_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
/// Branch, when the build was told: `RUNELOG_BRANCH`.
pub const BRANCH: &str = match option_env!("RUNELOG_BRANCH") {
    Some(branch) => branch,
    None => "unknown",
};

/// The line of `-version`.
pub fn line() -> String {
    format!("runelog, version {VERSION} (branch: {BRANCH}, revision: {REVISION})")
}
