//! Real programs that tiers need, installed when this runs as root.

use std::path::Path;

use anyhow::Result;

use crate::process::{run, succeeds, words};

/// A program, the Debian package that has it, and what is skipped without it.
const TOOLS: &[(&str, &str, &str)] = &[
    ("promtool --version", "prometheus", "metrics lint (promtool)"),
    ("python3 --version", "python3", "conformance (python3)"),
    ("curl --version", "curl", "push and query with curl"),
];

fn is_root() -> bool {
    // The owner of this process's /proc entry is its effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Installs what is missing; without root it only says what will be skipped.
pub fn install() -> Result<()> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|tool| !succeeds(tool.0)).map(|tool| tool.1).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("not root: cannot install {}", missing.join(", "));
        return Ok(());
    }
    keep_daemons_stopped()?;
    run(&mut words("apt-get -qq update"))?;
    let mut install = words("apt-get install -y -qq --no-install-recommends");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(&missing);
    run(&mut install)
}

/// Debian starts what it installs unless this file says no.
fn keep_daemons_stopped() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let policy = Path::new("/usr/sbin/policy-rc.d");
    if !policy.exists() {
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What could not run on this machine.
pub fn skipped() -> Vec<&'static str> {
    let mut skipped: Vec<&str> =
        TOOLS.iter().filter(|tool| !succeeds(tool.0)).map(|tool| tool.2).collect();
    if !is_root() {
        skipped.push("disk full (needs root to mount a small tmpfs)");
    }
    skipped
}
