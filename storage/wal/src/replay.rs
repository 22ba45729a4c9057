//! Reads a directory back: every batch once, damage named and passed over (W5, P8).

use std::path::{Path, PathBuf};

use base::disk::Disk;
use base::{StoreId, UnixNanos};
use metrics::counter;

use crate::index::{Index, Location};
use crate::metrics::{CORRUPTIONS, DUPLICATE_ENTRIES, RECOVERED_BYTES};
use crate::reader::{Item, SegmentReader, read_full};
use crate::record::Decoder;
use crate::segment::{self, FRAME_BYTES, HEADER_BYTES, Header};
use crate::{Corruption, Env, Error, Recovered, Replayed, Verdict, store_file};

/// Corruptions kept as text; all are counted and logged.
const MAX_CORRUPTIONS: usize = 100;

/// What an open log starts from.
pub(crate) struct Opened {
    pub store: StoreId,
    pub index: Index,
    pub next_sequence: u64,
    pub replayed: Replayed,
}

/// A segment file found in the directory.
struct Found {
    sequence: u64,
    path: PathBuf,
    bytes: u64,
    header: Result<Header, &'static str>,
}

/// Reads everything in `dir` and gives each batch to `on_batch`.
#[cfg(test)]
pub(crate) fn replay(
    dir: &Path,
    env: &Env,
    skip_sync: bool,
    on_batch: &mut dyn FnMut(Recovered) -> Verdict,
) -> Result<Opened, Error> {
    let mut replay = Replay::begin(dir, env, skip_sync)?;
    while replay.run(on_batch)? == Progress::Paused {}
    Ok(replay.finish())
}

/// The store of `dir`; see [`crate::store_id`].
pub(crate) fn store_id(dir: &Path, env: &Env) -> Result<StoreId, Error> {
    let segments = find_segments(&*env.disk, dir)?;
    let of_segments = segments.iter().find_map(|found| Some(found.header.ok()?.store));
    store_file::open(dir, env, of_segments)
}

/// The segment files of `dir`, in order.
pub(crate) fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    Ok(find_segments(disk, dir)?.into_iter().map(|found| found.path).collect())
}

fn find_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Found>, Error> {
    let names = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
    let mut segments = Vec::new();
    for name in names {
        let Some(sequence) = segment::parse_name(&name) else {
            continue;
        };
        let path = dir.join(name);
        let file = disk.open(&path).map_err(|error| Error::disk("open", &path, error))?;
        let bytes = file.len().map_err(|error| Error::disk("measure", &path, error))?;
        let mut header = [0; HEADER_BYTES];
        let read = read_full(&*file, 0, &mut header);
        let read = read.map_err(|error| Error::disk("read", &path, error))?;
        let header = Header::decode(&header[..read]).and_then(|header| {
            let right = header.sequence == sequence;
            right.then_some(header).ok_or("the header is of another segment")
        });
        segments.push(Found { sequence, path, bytes, header });
    }
    segments.sort_by_key(|found| found.sequence);
    Ok(segments)
}

fn check_stores(segments: &[Found], expected: StoreId) -> Result<(), Error> {
    for found in segments {
        if let Ok(header) = found.header
            && header.store != expected
        {
            let path = found.path.clone();
            return Err(Error::ForeignSegment { path, found: header.store, expected });
        }
    }
    Ok(())
}

/// A segment that ends within its header was never acked in.
fn drop_stillborn(disk: &dyn Disk, segments: &mut Vec<Found>) {
    segments.retain(|found| {
        if found.bytes >= HEADER_BYTES as u64 {
            return true;
        }
        if let Err(error) = disk.remove(&found.path) {
            tracing::warn!(segment = %found.path.display(), %error, "could not be deleted");
        }
        false
    });
}

/// A killed process may have left records that are readable and not durable. The next segment's
/// header vouches for them, so they must be. (No ack may rest on this sync: had one failed before
/// the kill, this one would succeed and prove nothing. See [`crate::Wal::open`].)
fn sync_newest(disk: &dyn Disk, dir: &Path, newest: Option<&Found>) -> Result<(), Error> {
    if let Some(Found { path, .. }) = newest {
        let file = disk.open(path).map_err(|error| Error::disk("open", path, error))?;
        file.sync_data().map_err(|error| Error::disk("fdatasync", path, error))?;
        disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))?;
    }
    Ok(())
}

/// A replay under way: segment after segment, record after record.
pub(crate) struct Replay {
    env: Env,
    store: StoreId,
    segments: Vec<Found>,
    next_sequence: u64,
    /// The segment that is read; those before it are done.
    at: usize,
    reading: Option<Reading>,
    index: Index,
    decoder: Decoder,
    replayed: Replayed,
}

/// Position in the segment that is read.
struct Reading {
    reader: SegmentReader<'static>,
    acked_end: Option<u64>,
    /// Without a record or a successor nothing says that the header was ever durable.
    bad_header: Option<&'static str>,
}

/// How far a replay came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Somebody said [`Verdict::KeepAndPause`]: run it again.
    Paused,
    /// Everything is read.
    Done,
}

impl Replay {
    pub(crate) fn begin(dir: &Path, env: &Env, skip_sync: bool) -> Result<Replay, Error> {
        let disk = &*env.disk;
        let mut segments = find_segments(disk, dir)?;
        let of_segments = segments.iter().find_map(|found| Some(found.header.ok()?.store));
        let store = store_file::open(dir, env, of_segments)?;
        check_stores(&segments, store)?;
        let next_sequence = segments.last().map_or(1, |found| found.sequence + 1);
        drop_stillborn(disk, &mut segments);
        if !skip_sync {
            sync_newest(disk, dir, segments.last())?;
        }
        Ok(Replay {
            env: env.clone(),
            store,
            segments,
            next_sequence,
            at: 0,
            reading: None,
            index: Index::default(),
            decoder: Decoder::default(),
            replayed: Replayed::default(),
        })
    }

    /// Reads on until the end or a pause.
    pub(crate) fn run(
        &mut self,
        on_batch: &mut dyn FnMut(Recovered) -> Verdict,
    ) -> Result<Progress, Error> {
        while self.at < self.segments.len() {
            let mut reading = match self.reading.take() {
                Some(reading) => reading,
                None => self.open_segment()?,
            };
            if self.read_segment(&mut reading, on_batch)? == Progress::Paused {
                self.reading = Some(reading);
                return Ok(Progress::Paused);
            }
            self.at += 1;
        }
        Ok(Progress::Done)
    }

    pub(crate) fn finish(self) -> Opened {
        assert!(self.at == self.segments.len(), "everything was read");
        counter!(RECOVERED_BYTES).increment(self.replayed.bytes);
        let Replay { store, index, next_sequence, replayed, .. } = self;
        Opened { store, index, next_sequence, replayed }
    }

    fn open_segment(&mut self) -> Result<Reading, Error> {
        let found = &self.segments[self.at];
        let successor = self.segments.get(self.at + 1).and_then(|next| next.header.ok());
        let acked_end = successor
            .filter(|header| header.previous == found.sequence)
            .map(|header| header.previous_end);
        let (path, sequence, bytes) = (found.path.clone(), found.sequence, found.bytes);
        let bad_header = found.header.err();
        self.replayed.segments += 1;
        if acked_end.is_some_and(|end| end > bytes) {
            self.corruption(&path, bytes, "the segment lost acknowledged bytes", "record");
        }
        self.index.set_segment(sequence, bytes, bytes);
        let file = self.env.disk.open(&path).map_err(|error| Error::disk("open", &path, error))?;
        let reader = SegmentReader::new(file, &path, sequence, acked_end)?;
        Ok(Reading { reader, acked_end, bad_header })
    }

    fn read_segment(
        &mut self,
        reading: &mut Reading,
        on_batch: &mut dyn FnMut(Recovered) -> Verdict,
    ) -> Result<Progress, Error> {
        let found = &self.segments[self.at];
        let (path, sequence, bytes) = (found.path.clone(), found.sequence, found.bytes);
        let Reading { reader, acked_end, bad_header } = reading;
        loop {
            let item = reader.next()?;
            if (!matches!(item, Item::End { .. }) || acked_end.is_some())
                && let Some(what) = bad_header.take()
            {
                self.corruption(&path, 0, what, "segment_header");
            }
            match item {
                Item::Record { offset } => {
                    let payload = reader.payload();
                    match self.record(&path, sequence, offset, payload, on_batch)? {
                        Progress::Paused => return Ok(Progress::Paused),
                        Progress::Done => {}
                    }
                }
                Item::Damage { offset, what } => self.corruption(&path, offset, what, "record"),
                Item::End { valid_end, torn_bytes } => {
                    self.index.set_segment(sequence, acked_end.unwrap_or(valid_end), bytes);
                    if torn_bytes > 0 {
                        tracing::warn!(segment = %path.display(), offset = valid_end, torn_bytes,
                            "the last write was torn; nothing in it was acknowledged");
                        counter!(CORRUPTIONS, "type" => "torn_tail").increment(1);
                    }
                    return Ok(Progress::Done);
                }
            }
        }
    }

    /// [`Progress::Done`]: with this record.
    fn record(
        &mut self,
        path: &Path,
        sequence: u64,
        offset: u64,
        payload: &[u8],
        on_batch: &mut dyn FnMut(Recovered) -> Verdict,
    ) -> Result<Progress, Error> {
        let batch = match self.decoder.decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                self.corruption(path, offset, &error.to_string(), "record");
                return Ok(Progress::Done);
            }
        };
        let begun = self.segments[self.at].header.map_or(UnixNanos(0), |header| header.begun);
        let id = batch.id;
        let is_new = !self.index.contains(&id);
        self.index.insert(id, Location { sequence, offset });
        let recovered = if is_new {
            self.replayed.batches += 1;
            self.replayed.bytes += (FRAME_BYTES + payload.len()) as u64;
            Recovered::Batch(batch, begun)
        } else {
            counter!(DUPLICATE_ENTRIES).increment(1);
            Recovered::Attempt(batch)
        };
        match on_batch(recovered) {
            Verdict::Keep => Ok(Progress::Done),
            Verdict::KeepAndPause => Ok(Progress::Paused),
            Verdict::Release => {
                self.index.release(&id);
                Ok(Progress::Done)
            }
            Verdict::Stop => Err(Error::Stopped),
        }
    }

    fn corruption(&mut self, path: &Path, offset: u64, what: &str, kind: &'static str) {
        tracing::error!(segment = %path.display(), offset, what, "the log is damaged here");
        counter!(CORRUPTIONS, "type" => kind).increment(1);
        if self.replayed.corruptions.len() < MAX_CORRUPTIONS {
            let (path, what) = (path.to_owned(), what.to_owned());
            self.replayed.corruptions.push(Corruption { path, offset, what });
        }
    }
}
