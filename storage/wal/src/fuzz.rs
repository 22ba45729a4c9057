//! Entry points of the fuzzer: plain functions that panic when a promise is broken.

use std::path::Path;

use base::disk::{Disk, SimDisk};

use crate::reader::{Item, SegmentReader};
use crate::record::{Decoder, encode, encoded_bytes};
use crate::segment::HEADER_BYTES;

/// Any bytes as a record's payload: an error, or a batch that encodes to the same bytes.
pub fn fuzz_record(data: &[u8]) {
    if let Ok(batch) = Decoder::default().decode(data) {
        batch.rows.assert_consistent();
        let mut again = Vec::new();
        encode(&batch, &mut again);
        assert_eq!(again.len(), encoded_bytes(&batch));
        assert!(again == data, "a decoded batch encodes to other bytes");
    }
}

/// Any bytes as segment 1: reading ends, and offsets only grow.
pub fn fuzz_segment(data: &[u8]) {
    let path = Path::new("segment");
    let disk = SimDisk::new();
    let mut file = disk.create(path).expect("a simulated disk without faults");
    file.append(data).expect("a simulated disk without faults");
    let certified = data.first().is_some_and(|byte| byte & 1 == 1);
    let end = certified.then_some(data.len() as u64 + 5);
    let mut reader = SegmentReader::new(file, path, 1, end).expect("no disk error");
    let mut last = HEADER_BYTES as u64;
    loop {
        match reader.next().expect("no disk error") {
            Item::Record { offset } | Item::Damage { offset, .. } => {
                assert!(offset >= last, "reading goes back from {last} to {offset}");
                last = offset + 1;
            }
            Item::End { .. } => return,
        }
    }
}

/// Any bytes as a segment that somebody looks into: records and damage come in order.
pub fn fuzz_inspect(data: &[u8]) {
    let mut last = 0;
    let _ = crate::inspect(data, Some(1), &mut |found| {
        let (crate::Found::Record { offset, .. }
        | crate::Found::Damage { offset, .. }
        | crate::Found::Torn { offset, .. }) = found;
        assert!(offset >= last, "reading goes back from {last} to {offset}");
        last = offset;
    });
}

#[cfg(test)]
mod tests;
