//! Any object of the catalog by its magic, for people: a damaged one too, as far as it can be read.

use crate::checkpoint::{DAY, DayCheckpoint, MANIFEST, Manifest};
use crate::codec::{self, Kind};
use crate::commit::{self, Commit};
use crate::error::Error;
use crate::floor::{self, Floor};
use crate::table::{self, IdTable};

/// An object and what is wrong with it.
#[derive(Debug)]
pub struct Inspection {
    /// What the magic says it is.
    pub kind: &'static str,
    /// Version of the format.
    pub version: u16,
    /// Why the frame (length, checksum) is not right. What `object` says may be wrong then.
    pub frame: Option<Error>,
    /// What is in it; the frame's error counts for nothing here.
    pub object: Result<Object, Error>,
}

/// What an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `log/NUMBER`
    Commit(Box<Commit>),
    /// `log/floor`
    Floor(Floor),
    /// `checkpoints/days/...`
    Day(DayCheckpoint),
    /// `checkpoints/ids/VERSION`: the version and the table.
    Ids(u64, IdTable),
    /// `checkpoints/manifests/VERSION`
    Manifest(Manifest),
}

/// Reads `bytes`; [`None`] if they do not begin like an object of the catalog.
pub fn inspect(bytes: &[u8]) -> Option<Inspection> {
    let kinds = [&commit::KIND, &floor::KIND, &DAY, &table::KIND, &MANIFEST];
    let kind: &Kind = kinds.into_iter().find(|kind| bytes.starts_with(&kind.magic))?;
    let version = bytes.get(4..6).map_or(0, |v| u16::from_le_bytes([v[0], v[1]]));
    let frame = codec::open(kind, bytes).err();
    let mended;
    let bytes = match frame {
        Some(_) => {
            mended = codec::with_checksum(bytes);
            &mended
        }
        None => bytes,
    };
    // Most objects say their own number first.
    let number = bytes.get(12..20).and_then(|number| number.try_into().ok());
    let number = number.map_or(0, u64::from_le_bytes);
    let object = match kind.magic {
        magic if magic == commit::KIND.magic => {
            Commit::decode(number, bytes).map(|commit| Object::Commit(Box::new(commit)))
        }
        magic if magic == floor::KIND.magic => Floor::decode(bytes).map(Object::Floor),
        magic if magic == DAY.magic => DayCheckpoint::decode_any(bytes).map(Object::Day),
        magic if magic == table::KIND.magic => {
            IdTable::decode(number, bytes).map(|table| Object::Ids(number, table))
        }
        _ => Manifest::decode(number, bytes).map(Object::Manifest),
    };
    Some(Inspection { kind: kind.name, version, frame, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Vec<(String, Vec<u8>)> {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let read = |entry: std::fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        };
        std::fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect()
    }

    #[test]
    fn every_object_is_known_by_its_magic() {
        let mut kinds = Vec::new();
        for (name, bytes) in golden() {
            let found = inspect(&bytes).unwrap();
            assert_eq!((found.version, found.frame), (1, None), "{name}");
            assert!(found.object.is_ok(), "{name}");
            kinds.push(found.kind);
        }
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), 5);
        assert!(inspect(b"RL").is_none() && inspect(b"RLxx").is_none());
    }

    #[test]
    fn an_object_with_a_wrong_checksum_is_read_all_the_same() {
        for (name, mut bytes) in golden() {
            let sound = inspect(&bytes).unwrap().object;
            *bytes.last_mut().unwrap() ^= 1;
            let found = inspect(&bytes).unwrap();
            assert!(matches!(found.frame, Some(Error::Checksum { .. })), "{name}");
            assert_eq!(found.object, sound, "{name}");
        }
    }
}
