//! Reads the records of one segment, one in memory at a time, past whatever is damaged.

use std::path::{Path, PathBuf};

use base::disk::DiskFile;

use crate::Error;
use crate::segment::{FRAME_BYTES, FRAME_MAGIC, Frame, HEADER_BYTES};

/// Bytes read at once when the next frame is searched.
const SEARCH_BYTES: usize = 64 << 10;

/// What comes next in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A record whose checksum is right; its payload is in [`SegmentReader::payload`].
    Record {
        /// Where its frame begins.
        offset: u64,
    },
    /// Something that should be a record and is not. Reading goes on behind it.
    Damage {
        /// Where.
        offset: u64,
        /// What.
        what: &'static str,
    },
    /// No more records.
    End {
        /// One past the last good record.
        valid_end: u64,
        /// Bytes after it that were never acked.
        torn_bytes: u64,
    },
}

/// What should be a record and is not.
struct Bad {
    /// Where another one may begin.
    from: u64,
    what: &'static str,
}

/// A position in a segment.
pub(crate) struct SegmentReader<'a> {
    file: Box<dyn DiskFile + 'a>,
    path: PathBuf,
    sequence: u64,
    at: u64,
    /// One past the last good record.
    valid_end: u64,
    /// Where reading stops.
    end: u64,
    /// Everything before `end` was acked: what cannot be read there is damage, not a torn write.
    certified: bool,
    payload: Vec<u8>,
}

impl<'a> SegmentReader<'a> {
    /// Reads `file` from behind its header. `acked_end` is what its successor says about it.
    pub(crate) fn new(
        file: Box<dyn DiskFile + 'a>,
        path: &Path,
        sequence: u64,
        acked_end: Option<u64>,
    ) -> Result<SegmentReader<'a>, Error> {
        let len = file.len().map_err(|error| Error::disk("measure", path, error))?;
        Ok(SegmentReader {
            file,
            path: path.to_owned(),
            sequence,
            at: HEADER_BYTES as u64,
            valid_end: (HEADER_BYTES as u64).min(len),
            end: acked_end.unwrap_or(len),
            certified: acked_end.is_some(),
            payload: Vec::new(),
        })
    }

    /// The payload of the record that was given last.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The next record, damage or the end. Errors are those of the disk.
    pub(crate) fn next(&mut self) -> Result<Item, Error> {
        if self.at >= self.end {
            return Ok(Item::End { valid_end: self.valid_end, torn_bytes: 0 });
        }
        let offset = self.at;
        match self.read(offset)? {
            Ok(next) => {
                self.at = next;
                self.valid_end = next;
                Ok(Item::Record { offset })
            }
            Err(Bad { from, what }) => self.skip(offset, from, what),
        }
    }

    /// Reads the record that begins at `offset`. `false`: it is damaged.
    pub(crate) fn record_at(&mut self, offset: u64) -> Result<bool, Error> {
        Ok(self.read(offset)?.is_ok())
    }

    /// Puts the payload of the record at `offset` in its place; gives where the record ends.
    fn read(&mut self, offset: u64) -> Result<Result<u64, Bad>, Error> {
        let bad = |from, what| Ok(Err(Bad { from, what }));
        let Some(frame) = self.frame_at(offset)? else {
            return bad(offset + 1, "no record begins here");
        };
        let next = offset + (FRAME_BYTES + frame.payload_bytes) as u64;
        if next > self.end {
            return bad(offset + 1, "the record is longer than the segment");
        }
        self.payload.resize(frame.payload_bytes, 0);
        let read = read_full(&*self.file, offset + FRAME_BYTES as u64, &mut self.payload)
            .map_err(|error| Error::disk("read", &self.path, error))?;
        if read < self.payload.len() {
            return bad(offset + 1, "the segment ends within the record");
        }
        if crc32c::crc32c(&self.payload) != frame.payload_crc {
            return bad(next, "the checksum of the record is wrong");
        }
        Ok(Ok(next))
    }

    /// Goes on at the first frame at or behind `from`. If there is none and nothing says that these
    /// bytes were acked, this is where a write was torn.
    fn skip(&mut self, offset: u64, from: u64, what: &'static str) -> Result<Item, Error> {
        match self.search(from)? {
            Some(found) => self.at = found,
            None if self.certified => self.at = self.end,
            None => {
                let torn_bytes = self.end - offset;
                self.at = self.end;
                return Ok(Item::End { valid_end: self.valid_end, torn_bytes });
            }
        }
        Ok(Item::Damage { offset, what })
    }

    fn frame_at(&self, offset: u64) -> Result<Option<Frame>, Error> {
        let mut bytes = [0; FRAME_BYTES];
        let read = read_full(&*self.file, offset, &mut bytes)
            .map_err(|error| Error::disk("read", &self.path, error))?;
        Ok(Frame::decode(&bytes[..read], self.sequence, offset))
    }

    fn search(&self, from: u64) -> Result<Option<u64>, Error> {
        let mut chunk = vec![0; SEARCH_BYTES];
        let mut at = from;
        while at < self.end {
            let read = read_full(&*self.file, at, &mut chunk)
                .map_err(|error| Error::disk("read", &self.path, error))?;
            if read < FRAME_BYTES {
                return Ok(None);
            }
            for start in 0..=read - FRAME_BYTES {
                let offset = at + start as u64;
                if chunk[start..start + 4] == FRAME_MAGIC
                    && offset < self.end
                    && Frame::decode(&chunk[start..read], self.sequence, offset).is_some()
                {
                    return Ok(Some(offset));
                }
            }
            // A frame may lie across the border of two chunks.
            at += (read - FRAME_BYTES + 1) as u64;
        }
        Ok(None)
    }
}

/// Fills `buffer` as far as the file goes.
pub(crate) fn read_full(
    file: &dyn DiskFile,
    offset: u64,
    buffer: &mut [u8],
) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
