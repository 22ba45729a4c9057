//! Packages of npm and PyPI that `tests/clients` sends with, at the versions that it names.
//!
//! They are installed below the target folder, once for each list of versions. That needs no root,
//! only `npm` and `pip`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{run, target_dir, words};

const PROGRAMS: &str = "tests/clients/programs";

/// Packages of one kind.
struct Packages {
    /// Their folder below `target/clients`.
    folder: &'static str,
    /// What names their versions, the last of them every single one.
    lists: &'static [&'static str],
    /// What is skipped without them.
    skipped: &'static str,
    install: fn(&Path) -> Result<()>,
}

const PACKAGES: [Packages; 2] = [
    Packages {
        folder: "node",
        lists: &["package.json", "package-lock.json"],
        skipped: "clients winston-loki, pino-loki (npm)",
        install: npm,
    },
    Packages {
        folder: "python",
        lists: &["requirements.txt"],
        skipped: "clients python-logging-loki, OpenTelemetry SDK (pip)",
        install: pip,
    },
];

/// A download may fail for a moment.
const ATTEMPTS: usize = 3;

impl Packages {
    fn dir(&self) -> PathBuf {
        target_dir().join("clients").join(self.folder)
    }

    /// Says which versions are installed; written last.
    fn stamp(&self) -> PathBuf {
        self.dir().join("installed")
    }

    fn versions(&self) -> Result<String> {
        let last = self.lists.last().context("a list")?;
        Ok(std::fs::read_to_string(Path::new(PROGRAMS).join(last))?)
    }

    fn is_installed(&self) -> Result<bool> {
        let installed = std::fs::read_to_string(self.stamp()).unwrap_or_default();
        Ok(installed == self.versions()?)
    }

    fn make_installed(&self) -> Result<()> {
        if self.is_installed()? {
            return Ok(());
        }
        for attempt in 1..=ATTEMPTS {
            match self.install_anew() {
                Ok(()) => return Ok(()),
                Err(error) => eprintln!("attempt {attempt} of {ATTEMPTS}: {error:#}"),
            }
        }
        bail!("{} could not be installed", self.skipped)
    }

    fn install_anew(&self) -> Result<()> {
        let dir = self.dir();
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        for list in self.lists {
            std::fs::copy(Path::new(PROGRAMS).join(list), dir.join(list))?;
        }
        (self.install)(&dir)?;
        std::fs::write(self.stamp(), self.versions()?)?;
        Ok(())
    }
}

/// Exactly what the lock file names; no package runs a script of its own while it is installed.
fn npm(dir: &Path) -> Result<()> {
    let mut npm = words("npm ci --ignore-scripts --no-audit --no-fund --loglevel=error");
    run(npm.current_dir(dir))
}

/// The list names every package, so none is looked for that a package asks for.
fn pip(dir: &Path) -> Result<()> {
    let mut pip = words("python3 -m pip install --quiet --no-deps --only-binary=:all:");
    pip.args(["--root-user-action=ignore", "--requirement", "requirements.txt", "--target", "."]);
    run(pip.current_dir(dir))
}

/// Installs what is missing. What cannot be installed is said, and named by [`skipped`] later.
pub fn install() -> Result<()> {
    for packages in &PACKAGES {
        if let Err(error) = packages.make_installed() {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

/// What cannot run for want of packages.
pub fn skipped() -> Vec<&'static str> {
    let missing = |packages: &&Packages| !packages.is_installed().unwrap_or(false);
    PACKAGES.iter().filter(missing).map(|packages| packages.skipped).collect()
}
