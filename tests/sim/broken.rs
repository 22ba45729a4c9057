//! The sweep notices a rule that is not kept: a disk that answers a sync without doing it stands for
//! code that acknowledges before the fsync, or forgets the one of the directory.

use std::io;
use std::path::Path;

use base::disk::{Disk, DiskFile, DiskLock, SimDisk, Space};

/// Which syncs are only pretended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skip {
    pub data: bool,
    pub directory: bool,
}

/// A [`SimDisk`] that skips syncs.
pub struct LyingDisk {
    pub disk: SimDisk,
    pub skip: Skip,
}

struct LyingFile {
    file: Box<dyn DiskFile>,
    skip: bool,
}

impl Disk for LyingDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        // The store's identity is synced all the same: a lost one is another store, not lost rows.
        let is_segment = !path.to_string_lossy().contains("store");
        Ok(Box::new(LyingFile { file, skip: self.skip.data && is_segment }))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.skip.directory { Ok(()) } else { self.disk.sync_dir(dir) }
    }
    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

impl DiskFile for LyingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.skip { Ok(()) } else { self.file.sync_data() }
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
