//! Real programs that tiers need, installed when this runs as root.

use std::path::Path;

use anyhow::Result;

use crate::clients;
use crate::process::{run, succeeds, words};

/// A program, the Debian packages that have it, and what is skipped without it.
const TOOLS: &[(&str, &str, &str)] = &[
    ("promtool --version", "prometheus", "metrics lint (promtool)"),
    ("python3 --version", "python3", "conformance (python3)"),
    ("curl --version", "curl", "push and query with curl"),
    ("node --version", "nodejs", "clients of npm (node)"),
    ("npm --version", "npm", "clients of npm (npm)"),
    ("python3 -m pip --version", "python3-pip", "clients of PyPI (pip)"),
    ("syslog-ng --version", "syslog-ng-core syslog-ng-mod-http", "client syslog-ng"),
    ("chromium --version", "chromium", "tail in a browser (chromium)"),
    ("ip -V", "iproute2", "a zone cut off (ip)"),
    ("iptables --version", "iptables", "a zone cut off (iptables)"),
];

fn is_root() -> bool {
    // The owner of this process's /proc entry is its effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Installs what is missing; without root it only says what will be skipped.
pub fn install() -> Result<()> {
    programs()?;
    clients::install()
}

fn programs() -> Result<()> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|tool| !succeeds(tool.0)).map(|tool| tool.1).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("not root: cannot install {}", missing.join(", "));
        return Ok(());
    }
    let _stopped = Stopped::new()?;
    // A download may fail for a moment.
    let attempt = || {
        run(&mut words("apt-get -qq update"))?;
        // Two loggers of a system exclude each other: what is there stays.
        let mut install = words("apt-get install -y -qq --no-install-recommends --no-remove");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        run(install.args(missing.iter().flat_map(|packages| packages.split(' '))))
    };
    attempt().or_else(|error| {
        eprintln!("once more: {error:#}");
        attempt()
    })
}

/// Debian starts what it installs unless this file says no. It is there while this lives.
struct Stopped {
    is_own: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Stopped {
    fn new() -> Result<Stopped> {
        use std::os::unix::fs::PermissionsExt;
        let is_own = !Path::new(POLICY).exists();
        if is_own {
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
            std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Stopped { is_own })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if self.is_own {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// What could not run on this machine.
pub fn skipped() -> Vec<&'static str> {
    let mut skipped: Vec<&str> =
        TOOLS.iter().filter(|tool| !succeeds(tool.0)).map(|tool| tool.2).collect();
    skipped.extend(clients::skipped());
    if !is_root() {
        skipped.push("disk full (needs root to mount a small tmpfs)");
        skipped.push("a zone cut off (needs root to make networks)");
    }
    skipped
}
