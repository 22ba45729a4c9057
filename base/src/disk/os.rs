//! The operating system's disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Disk, DiskFile, DiskLock, Space};

/// Most bytes of one `write`. Measured on ext4, Linux 6.18: up to 64 KiB cost 0.4 CPU-s per GB,
/// from 128 KiB on 3, because the page cache then looks for huge pages; elsewhere it is alike.
const WRITE_BYTES: usize = 64 << 10;

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

struct OsFile(File);

/// The lock lives as long as the open file.
struct OsLock {
    _file: File,
}

impl DiskLock for OsLock {}

impl Disk for OsDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            _ => self.sync_dir(Path::new(".")),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(File::open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(WRITE_BYTES) {
            self.0.write_all(piece)?;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_once_appended_read_listed_locked_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        OsDisk.create_dir_all(&inner).unwrap();
        OsDisk.create_dir_all(&inner).unwrap();
        let path = inner.join("one");
        let mut file = OsDisk.create(&path).unwrap();
        assert!(OsDisk.create(&path).is_err());
        assert!(file.is_empty().unwrap());
        file.append(b"hello").unwrap();
        file.append(b" there").unwrap();
        file.sync_data().unwrap();
        OsDisk.sync_dir(&inner).unwrap();
        let mut buffer = [0; 16];
        let read = OsDisk.open(&path).unwrap().read_at(6, &mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"there");
        assert_eq!(OsDisk.list(&inner).unwrap(), ["one"]);

        let lock = OsDisk.lock(&inner.join("lock")).unwrap();
        let again = OsDisk.lock(&inner.join("lock")).err().map(|e| e.kind());
        assert_eq!(again, Some(io::ErrorKind::WouldBlock));
        drop(lock);
        OsDisk.lock(&inner.join("lock")).unwrap();

        OsDisk.remove(&path).unwrap();
        assert_eq!(OsDisk.list(&inner).unwrap(), ["lock"]);
        let space = OsDisk.space(&inner).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
    }
}
