//! The thread that finds, writes and drops segments.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::disk::{Disk, DiskFile, DiskLock};
use base::task::Step;
use bytes::Bytes;

use super::index::{Place, Segment};
use super::record::{self, Key, record_bytes};
use super::{DiskCacheConfig, Shared, skipped};
use crate::metrics::DISK_CACHE_FAILURES;

/// Segments that a cache is cut into, about: what is dropped at once.
const SEGMENTS: u64 = 64;
/// Most bytes of a segment; offsets in it are 32 bits.
const MOST_SEGMENT_BYTES: u64 = 1 << 30;
const LEAST_SEGMENT_BYTES: u64 = 64 << 10;
/// A segment ends after so many records that pieces of fewer bytes than this would have filled it:
/// so the index is bounded, 64 bytes an entry at the most.
const BYTES_PER_RECORD: u64 = 16 << 10;
/// One of so many bytes of the disk is left to others.
const LEFT_FREE: u64 = 20;

/// A buffer above this is not kept.
const MOST_BUFFER_BYTES: usize = 1 << 20;

const LOCK: &str = "disk-cache.lock";
const SUFFIX: &str = ".pieces";

/// What the thread has.
pub(super) struct Keeper {
    config: DiskCacheConfig,
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    segment_bytes: u64,
    state: State,
    buffer: Vec<u8>,
}

enum State {
    /// The directory was not opened, or could not be.
    Closed,
    /// Segments that were not looked at yet; the newest last.
    Loading {
        lock: Box<dyn DiskLock>,
        left: Vec<u32>,
        next: u32,
    },
    Open {
        _lock: Box<dyn DiskLock>,
        current: Option<Current>,
        next: u32,
    },
}

/// The segment that is written.
struct Current {
    number: u32,
    file: Box<dyn DiskFile>,
    len: u64,
    records: u64,
}

impl Keeper {
    pub(super) fn new(config: DiskCacheConfig, disk: Arc<dyn Disk>, shared: Arc<Shared>) -> Keeper {
        let segment_bytes =
            (config.limit_bytes / SEGMENTS).clamp(LEAST_SEGMENT_BYTES, MOST_SEGMENT_BYTES);
        Keeper { config, disk, shared, segment_bytes, state: State::Closed, buffer: Vec::new() }
    }

    /// One segment found or one piece written.
    pub(super) fn step(&mut self) -> Step {
        if self.shared.is_ended() {
            return Step::End;
        }
        self.advance().unwrap_or_else(|error| {
            self.shared.no_writes.begin(&*self.shared.clock);
            self.shared.give_up();
            metrics::counter!(DISK_CACHE_FAILURES, "operation" => "write").increment(1);
            let dir = self.config.dir.display();
            tracing::warn!(%dir, %error, "the disk cache cannot be written: not for a minute");
            Step::More
        })
    }

    fn advance(&mut self) -> io::Result<Step> {
        match &mut self.state {
            State::Closed => match self.shared.no_writes.is_on(&*self.shared.clock) {
                true => {
                    self.shared.give_up();
                    self.shared.take();
                    Ok(Step::Idle)
                }
                false => self.open(),
            },
            State::Loading { left, .. } => match left.pop() {
                Some(number) => self.load(number),
                None => self.loaded(),
            },
            State::Open { .. } => {
                let Some((key, bytes)) = self.shared.take() else { return Ok(Step::Idle) };
                self.keep(&key, &bytes)?;
                Ok(Step::More)
            }
        }
    }

    /// Takes the directory and lists what is in it.
    fn open(&mut self) -> io::Result<Step> {
        let dir = &self.config.dir;
        self.disk.create_dir_all(dir)?;
        let lock = self.disk.lock(&dir.join(LOCK)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::other("another process has the directory"),
            _ => error,
        })?;
        let names = self.disk.list(dir)?;
        let mut left: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
        left.sort_unstable();
        let next = left.last().map_or(0, |last| last.saturating_add(1));
        self.state = State::Loading { lock, left, next };
        Ok(Step::More)
    }

    /// Finds what is in a segment of an earlier process.
    fn load(&mut self, number: u32) -> io::Result<Step> {
        let loaded = self.try_load(number);
        if !matches!(loaded, Ok(true)) {
            self.shared.index().drop_segment(number);
            self.remove(number)?;
        }
        loaded?;
        self.shared.tell_size();
        Ok(Step::More)
    }

    /// False: there is no room for it.
    fn try_load(&mut self, number: u32) -> io::Result<bool> {
        let file: Arc<dyn DiskFile> = Arc::from(self.disk.open(&self.path(number))?);
        let len = file.len()?;
        {
            let mut index = self.shared.index();
            if index.bytes() + len > self.room() || index.segments() >= self.most_segments() {
                return Ok(false);
            }
            index.add_segment(number, Segment { file: Arc::clone(&file), len });
        }
        let mut at = 0;
        while let Ok(offset) = u32::try_from(at)
            && !self.shared.is_ended()
            && let Some(key) = record::key_at(&*file, at, len)?
        {
            let mut index = self.shared.index();
            if index.entries() >= self.most_records() {
                break;
            }
            // The newest segment was looked at first.
            if !index.holds(&key) {
                index.insert(&key, Place { segment: number, offset });
            }
            at += record_bytes(&key);
        }
        Ok(true)
    }

    fn loaded(&mut self) -> io::Result<Step> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        if let State::Loading { lock, next, .. } = state {
            let index = self.shared.index();
            let (pieces, bytes) = (index.entries(), index.bytes());
            drop(index);
            tracing::info!(dir = %self.config.dir.display(), pieces, bytes, "disk cache");
            self.state = State::Open { _lock: lock, current: None, next };
        }
        Ok(Step::More)
    }

    fn keep(&mut self, key: &Key, bytes: &Bytes) -> io::Result<()> {
        if record_bytes(key) > self.segment_bytes / 2 {
            skipped("large", 1);
            return Ok(());
        }
        if self.shared.index().holds(key) {
            return Ok(());
        }
        let State::Open { current, .. } = &self.state else { return Ok(()) };
        let has_room = current.as_ref().is_some_and(|current| {
            current.len + record_bytes(key) <= self.segment_bytes
                && current.records < self.records_per_segment()
        });
        if !has_room {
            self.begin_segment()?;
        }
        self.append(key, bytes)?;
        self.shared.tell_size();
        Ok(())
    }

    /// Begins a segment, and drops old ones to make room for it.
    fn begin_segment(&mut self) -> io::Result<()> {
        let State::Open { current, next, .. } = &mut self.state else { return Ok(()) };
        let number = *next;
        (*current, *next) = (None, next.saturating_add(1));
        let path = self.path(number);
        let file = self.disk.create(&path)?;
        let readable = Arc::from(self.disk.open(&path)?);
        self.shared.index().add_segment(number, Segment { file: readable, len: 0 });
        if let State::Open { current, .. } = &mut self.state {
            *current = Some(Current { number, file, len: 0, records: 0 });
        }
        let made = self.make_room(number);
        if made.is_err() {
            self.end_segment();
            let is_empty = self.shared.index().segment_mut(number).is_some_and(|s| s.len == 0);
            if is_empty {
                self.remove(number)?;
                self.shared.index().drop_segment(number);
            }
        }
        made
    }

    fn make_room(&mut self, number: u32) -> io::Result<()> {
        while self.is_full(number)? {
            let oldest = self.shared.index().oldest();
            match oldest {
                Some((oldest, file, len)) if oldest != number => {
                    self.copy_used(oldest, &*file, len)?;
                    self.remove(oldest)?;
                    self.shared.index().drop_segment(oldest);
                }
                _ => return Err(io::ErrorKind::StorageFull.into()),
            }
        }
        Ok(())
    }

    /// Whether the segments before `number` leave too little room for it.
    fn is_full(&self, number: u32) -> io::Result<bool> {
        let (others, segments, entries) = {
            let mut index = self.shared.index();
            let own = index.segment_mut(number).map_or(0, |segment| segment.len);
            (index.bytes() - own, index.segments(), index.entries())
        };
        let space = self.disk.space(&self.config.dir)?;
        Ok(others > self.room()
            || segments > self.most_segments()
            || entries + self.records_per_segment() as usize > self.most_records()
            || space.free_bytes < self.segment_bytes * 3 / 2 + space.total_bytes / LEFT_FREE)
    }

    /// Appends what was used of an old segment to the new one, as far as half of that goes.
    fn copy_used(&mut self, oldest: u32, file: &dyn DiskFile, len: u64) -> io::Result<()> {
        let used = self.shared.index().used(oldest);
        for offset in used {
            let offset = u64::from(offset);
            let Ok(Some(key)) = record::key_at(file, offset, len) else { continue };
            let State::Open { current: Some(current), .. } = &self.state else { break };
            if current.len + record_bytes(&key) > self.segment_bytes / 2
                || current.records >= self.records_per_segment() / 2
                || self.shared.is_ended()
            {
                break;
            }
            if let Ok(Some(bytes)) = record::read(file, offset, &key) {
                self.append(&key, &bytes)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        let State::Open { current: Some(current), .. } = &mut self.state else { return Ok(()) };
        let offset = u32::try_from(current.len).map_err(io::Error::other)?;
        self.buffer.clear();
        record::encode(key, bytes, &mut self.buffer);
        current.len += self.buffer.len() as u64;
        current.records += 1;
        let place = Place { segment: current.number, offset };
        {
            let mut index = self.shared.index();
            // Before it is written: after a failed append nobody knows how much of it was.
            index.segment_mut(place.segment).into_iter().for_each(|s| s.len = current.len);
        }
        let appended = current.file.append(&self.buffer);
        match appended {
            Ok(()) => self.shared.index().insert(key, place),
            Err(_) => self.end_segment(),
        }
        if self.buffer.capacity() > MOST_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        appended
    }

    /// The next piece begins another segment.
    fn end_segment(&mut self) {
        if let State::Open { current, .. } = &mut self.state {
            *current = None;
        }
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        match self.disk.remove(&self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.config.dir.join(format!("{number:010}{SUFFIX}"))
    }

    /// Bytes that segments may have when another one begins: it, and half of it again while used
    /// pieces are in two of them.
    fn room(&self) -> u64 {
        self.config.limit_bytes.saturating_sub(self.segment_bytes * 3 / 2)
    }

    fn most_segments(&self) -> usize {
        (self.config.limit_bytes / self.segment_bytes) as usize
    }

    fn most_records(&self) -> usize {
        (self.config.limit_bytes / BYTES_PER_RECORD) as usize
    }

    fn records_per_segment(&self) -> u64 {
        self.segment_bytes / BYTES_PER_RECORD
    }
}

/// The number of a segment's file; other files are not touched.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}
