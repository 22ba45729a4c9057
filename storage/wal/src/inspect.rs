//! What is in a segment or store file, for people: a damaged one too. Replay never reads this way.

use std::io;
use std::path::Path;

use base::disk::DiskFile;
use base::{Batch, StoreId};

use crate::Error;
use crate::reader::{Item, SegmentReader};
use crate::record::{Decoder, u64_at};
use crate::segment::{FRAME_BYTES, FRAME_MAGIC, HEADER_BYTES, Header};

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The store it belongs to.
    pub store: StoreId,
    /// Its number, counting up from 1.
    pub sequence: u64,
    /// The segment written before it; 0 = none known.
    pub previous: u64,
    /// Up to where `previous` holds acked records.
    pub previous_end: u64,
}

/// What lies at a place of a segment.
#[derive(Debug)]
pub enum Found {
    /// A record.
    Record {
        /// Where its frame begins.
        offset: u64,
        /// Bytes of frame and payload.
        bytes: u64,
        /// What it holds, or why its payload is none.
        batch: Result<Box<Batch>, String>,
    },
    /// Something that should be a record and is not; reading goes on behind it.
    Damage {
        /// Where.
        offset: u64,
        /// What.
        what: &'static str,
    },
    /// The bytes from here on are of a write that did not end, or damage that no successor's header
    /// tells from one.
    Torn {
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// Reads `segment` and gives `found` what is in it, one record in memory at a time. `named` is
/// what its name says, for when the header cannot be read. The header, or what is wrong with it.
pub fn inspect(
    segment: &[u8],
    named: Option<u64>,
    found: &mut dyn FnMut(Found),
) -> Result<Segment, &'static str> {
    let header = Header::decode(segment);
    let sequence = header.map(|header| header.sequence).ok();
    let sequence = sequence.or(sequence_of_first_frame(segment)).or(named);
    if let Some(sequence) = sequence {
        let file = Box::new(Bytes(segment));
        // Memory gives no disk error.
        let read = SegmentReader::new(file, Path::new("segment"), sequence, None)
            .and_then(|mut reader| records(&mut reader, segment.len() as u64, found));
        debug_assert!(read.is_ok());
    }
    header.map(|Header { store, sequence, previous, previous_end, .. }| Segment {
        store,
        sequence,
        previous,
        previous_end,
    })
}

fn records(
    reader: &mut SegmentReader<'_>,
    end: u64,
    found: &mut dyn FnMut(Found),
) -> Result<(), Error> {
    let mut decoder = Decoder::default();
    loop {
        match reader.next()? {
            Item::Record { offset } => {
                let payload = reader.payload();
                let batch = decoder.decode(payload).map(Box::new).map_err(|e| e.to_string());
                let bytes = (FRAME_BYTES + payload.len()) as u64;
                found(Found::Record { offset, bytes, batch });
            }
            Item::Damage { offset, what } => found(Found::Damage { offset, what }),
            Item::End { torn_bytes: 0, .. } => return Ok(()),
            Item::End { torn_bytes, .. } => {
                found(Found::Torn { offset: end - torn_bytes, bytes: torn_bytes });
                return Ok(());
            }
        }
    }
}

/// The segment that the first frame says it is of.
fn sequence_of_first_frame(segment: &[u8]) -> Option<u64> {
    let frame = segment.get(HEADER_BYTES..HEADER_BYTES + FRAME_BYTES)?;
    frame.starts_with(&FRAME_MAGIC).then(|| u64_at(&frame[8..]))
}

/// The store of the bytes of a store file; [`None`] if they are damaged.
pub fn store_of(bytes: &[u8]) -> Option<StoreId> {
    crate::store_file::decode(bytes)
}

/// A file in memory that is only read.
struct Bytes<'a>(&'a [u8]);

impl DiskFile for Bytes<'_> {
    fn append(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let read = buffer.len().min(self.0.len() - from);
        buffer[..read].copy_from_slice(&self.0[from..from + read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1.wal");
        std::fs::read(path).unwrap()
    }

    fn of(segment: &[u8]) -> (Result<Segment, &'static str>, Vec<Found>) {
        let mut all = Vec::new();
        let header = inspect(segment, None, &mut |found| all.push(found));
        (header, all)
    }

    fn records(found: &[Found]) -> usize {
        found.iter().filter(|found| matches!(found, Found::Record { batch: Ok(_), .. })).count()
    }

    #[test]
    fn a_segment_shows_its_records_and_where_it_is_torn() {
        let whole = golden();
        let (header, all) = of(&whole);
        assert_eq!(header.unwrap().sequence, 7);
        let count = records(&all);
        assert!(count > 0 && count == all.len(), "{all:?}");
        let (_, torn) = of(&whole[..whole.len() - 3]);
        assert_eq!(records(&torn), count - 1);
        assert!(matches!(torn.last(), Some(Found::Torn { .. })), "{torn:?}");
    }

    #[test]
    fn records_behind_a_damaged_header_or_record_are_found() {
        let whole = golden();
        let count = records(&of(&whole).1);
        let mut bad = whole.clone();
        bad[20] ^= 1;
        let (header, all) = of(&bad);
        assert!(header.is_err());
        assert_eq!(records(&all), count);
        assert!(count > 1, "the golden file has several records");
        let mut bad = whole;
        bad[HEADER_BYTES + FRAME_BYTES + 50] ^= 1;
        let (header, all) = of(&bad);
        assert!(header.is_ok());
        assert!(matches!(all[0], Found::Damage { offset: 64, .. }), "{all:?}");
        assert_eq!(records(&all), count - 1);
    }
}
