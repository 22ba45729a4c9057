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

/// Any object that somebody looks into: what its own reader takes is shown without complaint.
pub fn fuzz_inspect(data: &[u8]) {
    let Some(found) = crate::inspect(data) else { return };
    if found.frame.is_none() && found.kind == "log floor" {
        assert_eq!(found.object.is_ok(), Floor::decode(data).is_ok());
    }
    let mended = codec::with_checksum(data);
    let mended = crate::inspect(&mended).map(|found| found.object);
    // A version that is not known is an error of the frame, which mending does not change.
    assert_eq!(mended, Some(found.object));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base::random::{Random, SeededRandom};

    /// Replays the corpus of `target` and the golden files, then seeded mutations of them all.
    fn replay(target: &str, fuzz: fn(&[u8])) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut inputs = vec![Vec::new()];
        for dir in [root.join("fuzz/corpus").join(target), root.join("golden")] {
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            inputs.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
        }
        assert!(inputs.len() > 5, "the golden files are there");
        inputs.iter().for_each(|input| fuzz(input));
        let random = SeededRandom::new(7);
        for _ in 0..4000 {
            let mut input = inputs[random.next_u64() as usize % inputs.len()].clone();
            for _ in 0..=random.next_u64() % 4 {
                mutate(&mut input, &random);
            }
            fuzz(&input);
        }
    }

    fn mutate(input: &mut Vec<u8>, random: &SeededRandom) {
        let at = random.next_u64() as usize % (input.len() + 1);
        match random.next_u64() % 5 {
            0 => input.truncate(at),
            1 => input.insert(at, random.next_u64() as u8),
            2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff][at % 4],
            3 if at < input.len() => input[at] ^= 1 << (random.next_u64() % 8),
            _ => {
                let end = (at + 8).min(input.len());
                let copied = input[at..end].to_vec();
                input.extend(copied);
            }
        }
    }

    #[test]
    fn no_commit_object_breaks_the_reader() {
        replay("fuzz_commit", super::fuzz_commit);
    }

    #[test]
    fn no_day_checkpoint_object_breaks_the_reader() {
        replay("fuzz_day_checkpoint", super::fuzz_day_checkpoint);
    }

    #[test]
    fn no_id_table_object_breaks_the_reader() {
        replay("fuzz_id_table", super::fuzz_id_table);
    }

    #[test]
    fn no_manifest_object_breaks_the_reader() {
        replay("fuzz_manifest", super::fuzz_manifest);
    }

    #[test]
    fn no_object_breaks_who_looks_into_it() {
        replay("fuzz_inspect", super::fuzz_inspect);
    }

    #[test]
    fn no_floor_object_breaks_the_reader() {
        replay("fuzz_floor", super::fuzz_floor);
    }
}
