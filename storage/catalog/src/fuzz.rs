//! One plain function per decoder of stored bytes: it must neither panic nor allocate without
//! bound, and what it accepts must survive writing and reading again.

use crate::checkpoint::{DayCheckpoint, Manifest};
use crate::codec;
use crate::commit::Commit;
use crate::floor::Floor;
use crate::table::IdTable;

/// The number most objects carry first, so that mutations get past the identity check.
fn number(data: &[u8]) -> u64 {
    let at = data.get(12..20).and_then(|bytes| bytes.try_into().ok());
    at.map_or(0, u64::from_le_bytes)
}

/// A commit object.
pub fn fuzz_commit(data: &[u8]) {
    let data = &codec::with_checksum(data);
    if let Ok(commit) = Commit::decode(number(data), data) {
        let mut catalog = crate::Catalog::new();
        let unique = {
            let mut ids: Vec<_> = commit.added.iter().map(|part| part.id).collect();
            ids.sort();
            ids.windows(2).all(|pair| pair[0] != pair[1])
        };
        if unique {
            let again = commit.encode();
            let back = Commit::decode(commit.number, &again).expect("written by this program");
            assert_eq!(back.encode(), again);
            assert_eq!(back.claims, commit.claims);
            assert_eq!(back.added.len(), commit.added.len());
        }
        if commit.number == 1 {
            catalog.apply(&commit);
        }
    }
}

/// A day checkpoint object.
pub fn fuzz_day_checkpoint(data: &[u8]) {
    let data = &codec::with_checksum(data);
    if let Ok(day) = DayCheckpoint::decode_any(data) {
        let again = DayCheckpoint::decode_any(&day.encode());
        assert_eq!(again.as_ref(), Ok(&day));
    }
}

/// An id table object.
pub fn fuzz_id_table(data: &[u8]) {
    let data = &codec::with_checksum(data);
    if let Ok(table) = IdTable::decode(number(data), data) {
        assert_eq!(IdTable::decode(7, &table.encode(7)), Ok(table));
    }
}

/// A manifest object.
pub fn fuzz_manifest(data: &[u8]) {
    let data = &codec::with_checksum(data);
    if let Ok(manifest) = Manifest::decode(number(data), data) {
        let again = manifest.encode();
        let back = Manifest::decode(manifest.version, &again).expect("written by this program");
        assert_eq!(back.encode(), again);
    }
}

/// The floor object.
pub fn fuzz_floor(data: &[u8]) {
    let data = &codec::with_checksum(data);
    if let Ok(floor) = Floor::decode(data) {
        assert_eq!(Floor::decode(&floor.encode()), Ok(floor));
    }
}
