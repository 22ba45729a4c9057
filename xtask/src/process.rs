//! Running other programs and finding the workspace.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder of the root `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    // Of the checkout that asks, not of the one this binary was first built in.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    manifest.parent().unwrap_or(&manifest).to_owned()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => dir.into(),
        None => workspace_root().join("target"),
    }
}

/// A command line, split at spaces. For fixed texts without quoting.
pub fn words(line: &str) -> Command {
    let mut parts = line.split(' ');
    let mut command = Command::new(parts.next().unwrap_or_default());
    command.args(parts);
    // What cargo says about this package is nothing to another cargo, but makes it build again what
    // was built from a shell.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end; a failure names the command.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", show(command));
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// Runs to the end without output; true if it could be started and succeeded.
pub fn succeeds(line: &str) -> bool {
    let mut command = words(line);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.stderr(Stdio::inherit()).output();
    let out = out.with_context(|| format!("cannot start {}", show(command)))?;
    if !out.status.success() {
        bail!("{} failed: {}", show(command), out.status);
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// The command as one would type it.
pub fn show(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
