//! A disk in memory that loses what was not made durable and fails when told to (W6).
//!
//! Every operation that changes something has an index, counted from 0. A test scripts faults by
//! index, runs, and then asks with [`SimDisk::crash`] for the disk that a restart would see.
//!
//! What is modelled: appended bytes that were not synced are lost by a power cut, or a prefix of
//! the last append stays (torn write); a new or removed name is lost unless its directory was
//! synced; after a failed sync the bytes stay readable but **no later sync makes them durable**,
//! as on Linux, where the pages are marked clean. `kill -9` alone loses nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, DiskFile, DiskLock, Space};

/// What goes wrong at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the operation: it and all later ones fail.
    Crash,
    /// An append writes this many of its bytes, then the process dies. Other operations: as
    /// [`Fault::Crash`].
    TornCrash {
        /// Bytes of the append that reach the file.
        keep_bytes: usize,
    },
    /// The operation fails with EIO; an append may have written half, a sync made nothing durable.
    Eio,
    /// The operation fails with ENOSPC; an append has written half.
    NoSpace,
}

/// What survives [`SimDisk::crash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Power cut: only what was synced.
    Synced,
    /// Power cut after the system happened to write everything out.
    Written,
    /// `kill -9`: everything, still not durable.
    PageCache,
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<Content>,
    /// Names as a running process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Names that survive a power cut.
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: Vec<PathBuf>,
    faults: BTreeMap<u64, Fault>,
    operations: u64,
    syncs: u64,
    dead: bool,
    locks: Vec<PathBuf>,
    free_bytes: Option<u64>,
}

#[derive(Clone, Default)]
struct Content {
    data: Vec<u8>,
    /// Bytes that survive a power cut; zeros where a failed sync lost them.
    durable: Vec<u8>,
    /// Ranges of `data` that a failed sync has lost for ever.
    lost: Vec<(usize, usize)>,
    /// End of the range covered by the last sync, failed or not.
    clean_to: usize,
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Makes operation `index` fail.
    pub fn fail_at(&self, index: u64, fault: Fault) {
        self.state().faults.insert(index, fault);
    }

    /// Number of changing operations so far: the boundaries a sweep can break.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Number of file syncs that succeeded so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// From now on appends take at most this many bytes together, then fail with ENOSPC.
    /// `None`: no limit.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.state().free_bytes = free_bytes;
    }

    /// Flips the bits of `mask` in byte `offset` of a file, also in its durable form.
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) {
        let mut state = self.state();
        let file = state.names[path];
        let content = &mut state.files[file];
        content.data[offset] ^= mask;
        if offset < content.durable.len() {
            content.durable[offset] ^= mask;
        }
    }

    /// From now on nothing fails that has not failed, and there is room.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.free_bytes = None;
    }

    /// The process that uses it is dead: every later operation fails and changes nothing.
    pub fn kill(&self) {
        self.state().dead = true;
    }

    /// Whether its process died, by [`SimDisk::kill`] or by a fault.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Bytes of all files that have a name.
    pub fn used_bytes(&self) -> u64 {
        let state = self.state();
        state.names.values().map(|&file| state.files[file].data.len() as u64).sum()
    }

    /// The disk a restarted process finds: no faults, no locks, operations counted from 0.
    pub fn crash(&self, keep: Keep) -> SimDisk {
        let mut after = self.state().clone();
        after.faults.clear();
        after.locks.clear();
        after.operations = 0;
        after.syncs = 0;
        after.dead = false;
        match keep {
            Keep::PageCache => {}
            Keep::Synced => {
                after.names = after.durable_names.clone();
                for content in &mut after.files {
                    content.data = content.durable.clone();
                    content.settle();
                }
            }
            Keep::Written => {
                after.durable_names = after.names.clone();
                for content in &mut after.files {
                    content.sync();
                    content.data = content.durable.clone();
                    content.settle();
                }
            }
        }
        SimDisk(Arc::new(Mutex::new(after)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the lock panics")
    }

    /// Counts an operation and says what is wrong with it.
    fn step(&self) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        let index = state.operations;
        state.operations += 1;
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        let fault = state.faults.get(&index).copied();
        if matches!(fault, Some(Fault::Crash | Fault::TornCrash { .. })) {
            state.dead = true;
        }
        Ok((state, fault))
    }

    /// For operations that happen or do not happen.
    fn whole_step(&self) -> io::Result<MutexGuard<'_, State>> {
        match self.step()? {
            (state, None) => Ok(state),
            (_, Some(fault)) => Err(fault.error()),
        }
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Fault::Crash | Fault::TornCrash { .. } => io::Error::other("the process is dead"),
            Fault::Eio => io::Error::from_raw_os_error(libc::EIO),
            Fault::NoSpace => io::Error::from_raw_os_error(libc::ENOSPC),
        }
    }
}

impl Content {
    fn sync(&mut self) {
        self.durable = self.data.clone();
        for &(from, to) in &self.lost {
            self.durable[from..to].fill(0);
        }
        self.clean_to = self.data.len();
    }

    fn fail_sync(&mut self) {
        if self.clean_to < self.data.len() {
            self.lost.push((self.clean_to, self.data.len()));
            self.clean_to = self.data.len();
        }
    }

    fn settle(&mut self) {
        self.lost.clear();
        self.clean_to = self.data.len();
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.retain(|held| *held != self.path);
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        // Directories are durable at once: what is tested is the files in them.
        let mut state = self.state();
        if !state.dirs.iter().any(|known| known == dir) {
            state.dirs.push(dir.to_owned());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.whole_step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.whole_step()?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.whole_step()?;
        let State { names, durable_names, .. } = &mut *state;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(inside.map(|(path, &file)| (path.clone(), file)));
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let free_bytes = self.state().free_bytes.unwrap_or(1 << 40);
        Ok(Space { free_bytes, total_bytes: 1 << 40 })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        if state.locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(path.to_owned());
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, fault) = self.disk.step()?;
        let mut written = match fault {
            None => bytes.len(),
            Some(Fault::Crash) => 0,
            Some(Fault::TornCrash { keep_bytes }) => keep_bytes.min(bytes.len()),
            Some(Fault::Eio | Fault::NoSpace) => bytes.len() / 2,
        };
        let mut error = fault.map(Fault::error);
        if let Some(free) = &mut state.free_bytes {
            if (*free as usize) < written {
                written = *free as usize;
                error = Some(Fault::NoSpace.error());
            }
            *free -= written as u64;
        }
        let content = &mut state.files[self.file];
        content.data.extend_from_slice(&bytes[..written]);
        if matches!(fault, Some(Fault::TornCrash { .. })) {
            // The torn prefix is what the power cut finds on the platter.
            content.sync();
        }
        error.map_or(Ok(()), Err)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let data = &state.files[self.file].data;
        let from = (offset as usize).min(data.len());
        let count = buffer.len().min(data.len() - from);
        buffer[..count].copy_from_slice(&data[from..from + count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.step()?;
        match fault {
            None => {
                state.files[self.file].sync();
                state.syncs += 1;
                Ok(())
            }
            Some(fault) => {
                if !state.dead {
                    state.files[self.file].fail_sync();
                }
                Err(fault.error())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].data.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(Path::new(path)).ok()?;
        let mut buffer = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut buffer).unwrap();
        Some(buffer)
    }

    #[test]
    fn a_power_cut_keeps_synced_bytes_under_synced_names_only() {
        let disk = SimDisk::new();
        let mut one = disk.create(Path::new("d/one")).unwrap();
        one.append(b"kept").unwrap();
        one.sync_data().unwrap();
        assert_eq!(read(&disk.crash(Keep::Synced), "d/one"), None);
        disk.sync_dir(Path::new("d")).unwrap();
        one.append(b"lost").unwrap();
        assert_eq!(read(&disk.crash(Keep::Synced), "d/one").unwrap(), b"kept");
        assert_eq!(read(&disk.crash(Keep::PageCache), "d/one").unwrap(), b"keptlost");
        let twice = disk.crash(Keep::PageCache).crash(Keep::Synced);
        assert_eq!(read(&twice, "d/one").unwrap(), b"kept");
        let twice = disk.crash(Keep::Written).crash(Keep::Synced);
        assert_eq!(read(&twice, "d/one").unwrap(), b"keptlost");
    }

    #[test]
    fn a_retried_sync_does_not_bring_back_what_the_failed_one_lost() {
        let disk = SimDisk::new();
        let mut one = disk.create(Path::new("d/one")).unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        one.append(b"abc").unwrap();
        disk.fail_at(disk.operations(), Fault::Eio);
        assert!(one.sync_data().is_err());
        one.sync_data().unwrap();
        assert_eq!(read(&disk, "d/one").unwrap(), b"abc");
        assert_eq!(read(&disk.crash(Keep::Synced), "d/one").unwrap(), [0, 0, 0]);
    }

    #[test]
    fn faults_come_at_their_operation_and_a_torn_append_leaves_a_prefix() {
        let disk = SimDisk::new();
        let mut one = disk.create(Path::new("d/one")).unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        disk.fail_at(2, Fault::TornCrash { keep_bytes: 2 });
        assert!(one.append(b"abcdef").is_err());
        assert!(one.append(b"more").is_err(), "the process is dead");
        assert_eq!(read(&disk.crash(Keep::Synced), "d/one").unwrap(), b"ab");
        let full = SimDisk::new();
        full.set_free_bytes(Some(3));
        let mut file = full.create(Path::new("d/two")).unwrap();
        assert!(file.append(b"abcdef").is_err());
        full.set_free_bytes(None);
        file.append(b"x").unwrap();
        assert_eq!(read(&full, "d/two").unwrap(), b"abcx");
    }
}
