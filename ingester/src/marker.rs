//! The mark of `/ingester/prepare_shutdown`: the next shutdown flushes, also after a restart.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::gauge;

use crate::Error;
use crate::metrics::SHUTDOWN_MARKER;

/// The file's name; its content does not matter.
const NAME: &str = "shutdown-requested.txt";

/// Whether a shutdown was prepared.
pub(crate) struct Marker {
    /// `None`: no directory is configured.
    file: Option<PathBuf>,
    is_set: AtomicBool,
}

impl Marker {
    /// Looks whether the mark is in `dir`.
    pub(crate) fn open(dir: Option<PathBuf>) -> Marker {
        let file = dir.map(|dir| dir.join(NAME));
        let is_set = file.as_ref().is_some_and(|file| file.exists());
        gauge!(SHUTDOWN_MARKER).set(f64::from(u8::from(is_set)));
        Marker { file, is_set: AtomicBool::new(is_set) }
    }

    /// Whether there is a place for the mark.
    pub(crate) fn is_configured(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the next shutdown flushes.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Puts the mark; fsynced.
    pub(crate) fn set(&self) -> Result<(), Error> {
        if let Some(path) = &self.file {
            let failed = |source| Error::Marker { path: path.clone(), source };
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).map_err(failed)?;
            }
            File::create(path).and_then(|file| file.sync_all()).map_err(failed)?;
            self.store(true);
        }
        Ok(())
    }

    /// Takes the mark away.
    pub(crate) fn unset(&self) -> Result<(), Error> {
        if let Some(path) = &self.file {
            match fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Marker { path: path.clone(), source });
                }
                _ => self.store(false),
            }
        }
        Ok(())
    }

    fn store(&self, is_set: bool) {
        self.is_set.store(is_set, Ordering::SeqCst);
        gauge!(SHUTDOWN_MARKER).set(f64::from(u8::from(is_set)));
    }
}
