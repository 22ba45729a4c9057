//! The few file operations that durable state needs, so that a simulation can break each of them (W6).

mod os;
pub mod sim;

use std::io;
use std::path::Path;

pub use os::OsDisk;
pub use sim::SimDisk;

/// An append of many bytes costs less if its bytes lie in memory as they will in the file, modulo
/// this: then whole blocks go to the disk as they are.
pub const ALIGNMENT: usize = 4096;

/// A local disk. Implementations: the operating system's and the simulated one of tests.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and its parents; fsyncs the parents so that the entries survive.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Names of the entries of `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a new file for appending; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes free for this process on the file system of `dir`, and its size in bytes.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Takes an exclusive lock on `path` (made if missing) until the guard is dropped or the
    /// process ends. Held by another process: `WouldBlock`.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes this process may still write.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// Ends a lock when it is dropped.
pub trait DiskLock: Send + Sync {}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Appends all of `bytes`. After an error the end of the file is unknown.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Reads into `buffer` from `offset`; returns the number of bytes, 0 at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes appended bytes durable (fdatasync). After an error the file is dead: never retry (W1).
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
