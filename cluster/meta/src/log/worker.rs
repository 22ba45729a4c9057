//! Writes what waits, syncs once, tells everybody.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::disk::Disk;
use base::task::Step;

use super::{Record, Shared, Then, Write, file};
use crate::frame::Appender;
use crate::metrics::LOG_SYNCS;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Files that may be there, ascending; the last is the one that is written.
    files: Vec<u64>,
    /// `None` after an error: nothing is written any more.
    file: Option<Appender>,
}

impl Writer {
    /// Begins the first file of this process.
    pub(crate) fn start(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        files: Vec<u64>,
        begin: &[u8],
    ) -> io::Result<Writer> {
        let mut writer = Writer { shared, disk, dir, files, file: None };
        writer.begin(begin)?;
        Ok(writer)
    }

    /// Begins a new file; when it is durable, the old ones go.
    fn begin(&mut self, begin: &[u8]) -> io::Result<()> {
        let sequence = self.files.last().map_or(1, |last| last + 1);
        let mut file = Appender::create(&*self.disk, &self.dir.join(file::name(sequence)))?;
        self.files.push(sequence);
        file.put(begin);
        file.sync()?;
        self.disk.sync_dir(&self.dir)?;
        file.put(&file::mark_record());
        file.write()?;
        self.file = Some(file);
        for old in self.files.drain(..self.files.len() - 1) {
            let path = self.dir.join(file::name(old));
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!("{}: an old log was not removed: {error}", path.display());
            }
        }
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Step {
        let (writes, is_closed) = {
            let mut state = self.shared.lock();
            (std::mem::take(&mut state.queue), state.is_closed)
        };
        if writes.is_empty() {
            return if is_closed { Step::End } else { Step::Idle };
        }
        let mut result = self.write(&writes);
        if let Err(error) = &mut result {
            self.file = None;
            tracing::error!("{}: the log is dead: {error}", self.dir.display());
        }
        for write in writes {
            // An error of the system has no clone.
            let result = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match write.then {
                Then::Nothing => {}
                Then::Flushed(callback) => callback.log_io_completed(result),
                // Whoever waited may be gone.
                Then::Tell(tell) => drop(tell.send(result)),
            }
        }
        Step::More
    }

    fn write(&mut self, writes: &[Write]) -> io::Result<()> {
        let mut waits = false;
        for write in writes {
            let Some(file) = &mut self.file else {
                return Err(io::Error::other("the log has failed before"));
            };
            waits |= !matches!(write.then, Then::Nothing);
            match &write.record {
                Record::Next(payload) => file.put(payload),
                Record::Begin(begin) => self.begin(begin)?,
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if !waits {
            return file.write();
        }
        metrics::counter!(LOG_SYNCS).increment(1);
        file.sync()
    }
}
