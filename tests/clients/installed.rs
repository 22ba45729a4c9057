//! Which clients this machine has, and where.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Packages of npm.
    Node,
    /// Packages of PyPI.
    Python,
    SyslogNg,
    Chromium,
}

impl Client {
    /// Without it a test is skipped, and says so. Under `CI` nothing is.
    pub fn is_installed(self) -> bool {
        let is_installed = match self {
            Client::Node | Client::Python => self.packages().join("installed").exists(),
            Client::SyslogNg => starts("syslog-ng"),
            Client::Chromium => starts("chromium"),
        };
        if !is_installed {
            assert!(std::env::var_os("CI").is_none(), "{self:?} is not installed");
            eprintln!("skipped: {self:?} is not installed (cargo xtask test installs it)");
        }
        is_installed
    }

    /// Where `cargo xtask` puts the packages.
    pub fn packages(self) -> PathBuf {
        let me = std::env::current_exe().expect("own path");
        let target = me.ancestors().nth(3).expect("target/PROFILE/deps/clients");
        target.join("clients").join(if self == Client::Node { "node" } else { "python" })
    }

    /// A command for one of the programs in this folder.
    pub fn command(self, program: &str) -> Command {
        let mut command = match self {
            Client::Node => {
                let mut node = Command::new("node");
                node.env("NODE_PATH", self.packages().join("node_modules"));
                node
            }
            Client::Python => {
                let mut python = Command::new("python3");
                python.env("PYTHONPATH", self.packages()).env("PYTHONDONTWRITEBYTECODE", "1");
                python
            }
            Client::SyslogNg | Client::Chromium => panic!("{self:?} runs no programs of ours"),
        };
        command.arg(program_path(program));
        command
    }
}

/// A file of `programs/`.
pub fn program_path(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/programs").join(program)
}

fn starts(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
