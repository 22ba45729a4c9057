//! The log itself, without a thread: one group of appends in, one fdatasync, acks out.

use std::path::PathBuf;
use std::sync::Arc;

use base::disk::{ALIGNMENT, Disk, DiskFile};
use base::{Batch, BatchId, Clock, StoreId};

use crate::index::{Index, Location};
use crate::metrics::Metrics;
use crate::record;
use crate::segment::{self, FRAME_BYTES, Frame, HEADER_BYTES, Header};
use crate::{Config, Done, Error};

/// Encoded records are handed to the disk when they are about this long: they are still in the
/// cache then.
const WRITE_BYTES: usize = 1 << 20;
/// A buffer that one huge batch has blown up is given back.
const KEEP_BUFFER_BYTES: usize = 4 << 20;

/// One call of [`crate::Wal::append`].
pub(crate) struct Append {
    pub batches: Arc<Vec<Batch>>,
    /// Bytes its records take.
    pub bytes: u64,
    pub done: Done,
}

/// Steps that a test can leave out to see that it notices.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Knobs {
    pub skip_fsync: bool,
    pub skip_dir_sync: bool,
    pub ack_before_sync: bool,
    pub retry_failed_fsync: bool,
}

/// Segments, the open one, and what is in them. Used by one thread at a time.
pub(crate) struct Log {
    pub config: Config,
    pub disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    pub store: StoreId,
    pub index: Index,
    pub next_sequence: u64,
    pub knobs: Knobs,
    pub metrics: Metrics,
    active: Option<Active>,
    /// Bytes for the segment, behind `skipped` others that let them lie as in the file.
    buffer: Vec<u8>,
    skipped: usize,
    /// Where the records of the group that is written begin.
    offsets: Vec<u64>,
    /// Segments that the index has forgotten and the disk would not delete.
    undeleted: Vec<PathBuf>,
}

struct Active {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
    /// Bytes handed to the system.
    written: u64,
    /// Bytes that are durable, under a durable name.
    acked: u64,
}

impl Log {
    /// `opened`: what is in the directory, and the number of the next segment.
    pub(crate) fn new(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        store: StoreId,
        opened: (Index, u64),
    ) -> Log {
        let (index, next_sequence) = opened;
        let (active, buffer) = (None, Vec::new());
        let (knobs, metrics, undeleted) = (Knobs::default(), Metrics::new(), Vec::new());
        let (skipped, offsets) = (0, Vec::new());
        Log {
            config,
            disk,
            clock,
            store,
            index,
            next_sequence,
            knobs,
            metrics,
            active,
            buffer,
            skipped,
            offsets,
            undeleted,
        }
    }

    /// Writes all appends, syncs once, then acks them; or acks none and ends the segment (W1).
    pub(crate) fn commit(&mut self, group: Vec<Append>) {
        let group = self.refuse_over_limit(group);
        if group.is_empty() {
            return;
        }
        let is_new = self.active.is_none();
        let mut outcome = self.write_group(&group);
        if outcome.is_ok() && !self.knobs.ack_before_sync {
            outcome = self.sync(is_new);
        }
        if let Err(error) = outcome {
            self.end_dead_segment(&error);
            for append in group {
                finish(append, Err(error.clone()));
            }
            return;
        }
        self.ack(group);
        if self.knobs.ack_before_sync && self.sync(is_new).is_err() {
            self.active = None;
        }
        if self.active.as_ref().is_some_and(|a| a.written >= self.config.segment_size.0) {
            self.active = None;
        }
        self.report_size();
    }

    /// Everything written is durable now.
    fn ack(&mut self, group: Vec<Append>) {
        let active = self.active.as_mut().expect("a segment is open");
        active.acked = active.written;
        self.index.set_segment(active.sequence, active.acked, active.written);
        let sequence = active.sequence;
        let batches = group.iter().flat_map(|append| append.batches.iter());
        for (batch, &offset) in batches.zip(&self.offsets) {
            self.index.insert(batch.id, Location { sequence, offset });
        }
        self.metrics.records.increment(self.offsets.len() as u64);
        self.metrics.logged_bytes.increment(group.iter().map(|append| append.bytes).sum());
        for append in group {
            finish(append, Ok(()));
        }
    }

    fn refuse_over_limit(&mut self, group: Vec<Append>) -> Vec<Append> {
        let mut size_bytes = self.index.bytes();
        let limit = self.config.hard_limit;
        let mut kept = Vec::with_capacity(group.len());
        for append in group {
            size_bytes += append.bytes;
            if size_bytes <= limit.0 {
                kept.push(append);
            } else {
                size_bytes -= append.bytes;
                finish(append, Err(Error::LimitReached { size_bytes, limit }));
            }
        }
        kept
    }

    fn write_group(&mut self, group: &[Append]) -> Result<(), Error> {
        let batches = group.iter().flat_map(|append| append.batches.iter());
        let largest = batches.map(record::encoded_bytes).max().unwrap_or(0);
        let room = ALIGNMENT + HEADER_BYTES + WRITE_BYTES + FRAME_BYTES + largest;
        self.buffer.clear();
        self.offsets.clear();
        self.buffer.reserve(room);
        if self.active.is_none() {
            self.open_segment()?;
        } else {
            self.begin_buffer();
        }
        for append in group {
            for batch in append.batches.iter() {
                self.put_record(batch);
                if self.buffer.len() - self.skipped >= WRITE_BYTES {
                    self.write_buffer()?;
                }
            }
        }
        self.write_buffer()?;
        self.metrics.bytes_in_use.set(self.buffer.capacity() as f64);
        if self.buffer.capacity() > KEEP_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    fn open_segment(&mut self) -> Result<(), Error> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let path = self.config.dir.join(segment::name(sequence));
        let (previous, previous_end) = self.index.newest().unwrap_or((0, 0));
        assert!(previous < sequence, "segment numbers ascend");
        let file = self.disk.create(&path).map_err(|error| Error::disk("create", &path, error))?;
        self.active = Some(Active { file, path, sequence, written: 0, acked: 0 });
        self.begin_buffer();
        let (store, begun) = (self.store, self.clock.now());
        Header { store, sequence, previous, previous_end, begun }.encode(&mut self.buffer);
        Ok(())
    }

    /// Empties the buffer and sees to it that what comes lies as in the file, modulo
    /// [`ALIGNMENT`]. There is room for a group's largest record, so it stays where it is.
    fn begin_buffer(&mut self) {
        self.buffer.clear();
        let written = self.active.as_ref().map_or(0, |active| active.written) as usize;
        self.skipped = written.wrapping_sub(self.buffer.as_ptr().addr()) % ALIGNMENT;
        self.buffer.resize(self.skipped, 0);
    }

    fn put_record(&mut self, batch: &Batch) {
        let active = self.active.as_ref().expect("a segment is open");
        let at = self.buffer.len();
        let offset = active.written + (at - self.skipped) as u64;
        self.offsets.push(offset);
        self.buffer.resize(at + FRAME_BYTES, 0);
        record::encode(batch, &mut self.buffer);
        let (frame, payload) = self.buffer[at..].split_at_mut(FRAME_BYTES);
        Frame::encode(payload, active.sequence, offset, frame);
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let active = self.active.as_mut().expect("a segment is open");
        let bytes = &self.buffer[self.skipped..];
        if !bytes.is_empty() {
            let appended = active.file.append(bytes);
            active.written += bytes.len() as u64;
            appended.map_err(|error| Error::disk("write", &active.path, error))?;
            self.begin_buffer();
        }
        Ok(())
    }

    fn sync(&mut self, is_new: bool) -> Result<(), Error> {
        let active = self.active.as_mut().expect("a segment is open");
        if !self.knobs.skip_fsync {
            let mut synced = active.file.sync_data();
            if synced.is_err() && self.knobs.retry_failed_fsync {
                synced = active.file.sync_data();
            }
            synced.map_err(|error| Error::disk("fdatasync", &active.path, error))?;
            self.metrics.fsyncs.increment(1);
        }
        if is_new && !self.knobs.skip_dir_sync {
            let dir = &self.config.dir;
            self.disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))?;
        }
        Ok(())
    }

    /// After a failed write or fsync: nothing more is acked in this segment, its end is unknown.
    fn end_dead_segment(&mut self, error: &Error) {
        if matches!(error, Error::DiskFull { .. }) {
            self.metrics.disk_full.increment(1);
        }
        let Some(active) = self.active.take() else {
            return;
        };
        tracing::error!(segment = %active.path.display(), %error, "the segment is given up");
        self.metrics.dead_segments.increment(1);
        drop(active.file);
        if active.acked > 0 && self.index.is_live(active.sequence) {
            let bytes = active.written;
            self.index.set_segment(active.sequence, active.acked, bytes);
        } else {
            // Nothing in it was acked, or all of it was released: its space is worth more.
            self.index.remove_segment(active.sequence);
            self.delete(&active.path);
        }
        self.report_size();
    }

    /// Lets go of batches that a commit claims and deletes segments that hold no others (W2).
    pub(crate) fn release(&mut self, ids: &[BatchId]) {
        for id in ids {
            self.index.release(id);
        }
        self.delete_free();
    }

    /// Deletes segments without unreleased batches.
    pub(crate) fn delete_free(&mut self) {
        let free = self.index.free();
        if free.is_empty() && self.undeleted.is_empty() {
            return;
        }
        for path in std::mem::take(&mut self.undeleted) {
            self.delete(&path);
        }
        for sequence in free {
            if self.active.as_ref().is_some_and(|active| active.sequence == sequence) {
                self.active = None;
            }
            self.index.remove_segment(sequence);
            self.delete(&self.config.dir.join(segment::name(sequence)));
        }
        if let Err(error) = self.disk.sync_dir(&self.config.dir) {
            tracing::warn!(%error, "deleted segments may come back after a power cut");
        }
        self.report_size();
    }

    /// A segment that cannot be deleted is tried again with the next release; if there is none, the
    /// next replay finds it and releases it again.
    fn delete(&mut self, path: &std::path::Path) {
        match self.disk.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(segment = %path.display(), %error, "a segment could not be deleted");
                self.undeleted.push(path.to_owned());
            }
            _ => {}
        }
    }

    fn report_size(&self) {
        self.metrics.size_bytes.set(self.index.bytes() as f64);
        if let Ok(space) = self.disk.space(&self.config.dir) {
            let used = space.total_bytes.saturating_sub(space.free_bytes);
            self.metrics.disk_usage.set(used as f64 / space.total_bytes.max(1) as f64);
        }
    }
}

/// Bytes that `batches` take in a segment.
pub(crate) fn append_bytes(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| (FRAME_BYTES + record::encoded_bytes(batch)) as u64).sum()
}

/// The batches are let go first, so that whoever waits can own them again.
fn finish(append: Append, result: Result<(), Error>) {
    drop(append.batches);
    (append.done)(result);
}
