//! The operating system's disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{ALIGNMENT, Disk, DiskFile, DiskLock, Space};

/// Most bytes of one `write`. Measured on ext4, Linux 6.18: up to 64 KiB cost 0.4 CPU-s per GB,
/// from 128 KiB on 3, because the page cache then looks for huge pages; elsewhere it is alike.
const WRITE_BYTES: usize = 64 << 10;
/// Shorter appends go through the page cache: a direct write waits for the disk by itself.
const MIN_DIRECT_BYTES: usize = 128 << 10;

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

struct OsFile {
    file: File,
    /// The same file past the page cache, where its file system can do that. Bytes that nobody will
    /// read soon then cost a quarter: they are neither copied nor looked after.
    direct: Option<File>,
    /// Where the next append begins.
    end: u64,
}

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
        Ok(Box::new(OsFile { file, direct: open_direct(path), end: 0 }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile { file: File::open(path)?, direct: None, end: 0 }))
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

fn open_direct(path: &Path) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

impl OsFile {
    fn append_buffered(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(WRITE_BYTES) {
            self.file.write_all(piece)?;
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Writes whole blocks of `bytes` past the page cache and says how many bytes that were. The
    /// rest, after a short write or where the file system will not do this, is the caller's.
    fn append_direct(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let blocks = &bytes[..bytes.len() / ALIGNMENT * ALIGNMENT];
        let mut written = 0;
        while let Some(direct) = &self.direct
            && written < blocks.len()
        {
            match direct.write_at(&blocks[written..], self.end) {
                Ok(count) => {
                    written += count;
                    self.end += count as u64;
                    if count == 0 || !count.is_multiple_of(ALIGNMENT) {
                        self.direct = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

impl DiskFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Up to the next block of the file; what follows must begin a block of memory too.
        let head = self.end.next_multiple_of(ALIGNMENT as u64) - self.end;
        let head = bytes.len().min(head as usize);
        let is_aligned = (bytes.as_ptr().addr() + head).is_multiple_of(ALIGNMENT);
        if self.direct.is_none() || !is_aligned || bytes.len() < MIN_DIRECT_BYTES {
            return self.append_buffered(bytes);
        }
        self.append_buffered(&bytes[..head])?;
        let written = self.append_direct(&bytes[head..])?;
        self.append_buffered(&bytes[head + written..])
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
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

    #[test]
    fn appends_follow_each_other_wherever_their_bytes_lie() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = OsDisk.create(&path).unwrap();
        let bytes: Vec<u8> = (0..1_200_000u32).map(|at| (at * 7 + at / 251) as u8).collect();
        let mut want = Vec::new();
        let sizes = [5, 400_000, 4096, 200_000, 1, 131_072, 300_001, 4095, 140_000];
        for (round, size) in sizes.into_iter().cycle().take(40).enumerate() {
            // Every other append lies in memory as in the file.
            let fit = (want.len() as u64).wrapping_sub(bytes.as_ptr().addr() as u64);
            let from = fit as usize % ALIGNMENT + round % 2;
            file.append(&bytes[from..from + size]).unwrap();
            want.extend_from_slice(&bytes[from..from + size]);
        }
        file.sync_data().unwrap();
        assert_eq!(file.len().unwrap(), want.len() as u64);
        let mut back = vec![0; want.len()];
        assert_eq!(file.read_at(0, &mut back).unwrap(), want.len());
        assert!(back == want);
    }
}
