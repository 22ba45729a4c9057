//! What stands in a file of the log: `docs/formats/raft.md`.

use std::path::{Path, PathBuf};

use base::StoreId;
use base::disk::Disk;
use openraft::EntryPayload;
use ring::codec::{Reader, Writer};
use ulid::Ulid;

use super::Entries;
use crate::codec;
use crate::error::Error;
use crate::frame;
use crate::types::{Entry, LogId, Vote};

const SUFFIX: &str = ".log";

/// Whose directory it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub cluster: Ulid,
    pub store: Ulid,
}

impl Owner {
    pub(crate) fn new(cluster: Ulid, store: StoreId) -> Owner {
        Owner { cluster, store: store.0 }
    }
}

/// All that Raft's log is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Image {
    pub vote: Option<Vote>,
    pub purged: Option<LogId>,
    pub committed: Option<LogId>,
    pub entries: Entries,
    owner: Owner,
}

impl Image {
    /// An empty log that begins after `purged`.
    pub(crate) fn recovered(owner: Owner, vote: Vote, purged: LogId) -> Image {
        let (vote, purged) = (Some(vote), Some(purged));
        Image { vote, purged, committed: purged, owner, ..Image::default() }
    }

    /// Whether nothing was ever promised.
    pub(crate) fn is_fresh(&self) -> bool {
        self.vote.is_none() && self.purged.is_none() && self.entries.is_empty()
    }

    /// An entry where others are replaces them and all after them.
    pub(crate) fn append(&mut self, entry: Entry) {
        let index = entry.log_id.index;
        // A log with a hole would be lost entries that nobody misses.
        assert!(self.has_place(index), "entry {index} would leave a hole");
        self.truncate(index);
        self.entries.insert(index, entry);
    }

    fn has_place(&self, index: u64) -> bool {
        let last = self.entries.last_key_value().map(|(&last, _)| last);
        let last = last.or(self.purged.map(|id| id.index));
        last.is_none_or(|last| index <= last.saturating_add(1))
    }

    pub(crate) fn truncate(&mut self, since: u64) {
        self.entries.split_off(&since);
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
        }
        self.entries = self.entries.split_off(&(upto.index + 1));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(0);
        out.uvarint(codec::VERSION);
        out.ulid(self.owner.cluster);
        out.ulid(self.owner.store);
        out.flag(self.vote.is_some());
        if let Some(vote) = &self.vote {
            codec::put_vote(&mut out, vote);
        }
        codec::put_option(&mut out, self.purged.as_ref());
        codec::put_option(&mut out, self.committed.as_ref());
        out.count(self.entries.len());
        self.entries.values().for_each(|entry| codec::put_entry(&mut out, entry));
        out.finish()
    }

    fn decode(input: &mut Reader<'_>) -> Result<Image, ring::Error> {
        if input.u8("kind")? != 0 {
            return Err(input.bad("kind", "not a beginning"));
        }
        input.version(codec::VERSION)?;
        let owner = Owner { cluster: input.ulid("cluster")?, store: input.ulid("store")? };
        let mut image = Image { owner, ..Image::default() };
        if input.flag("vote")? {
            image.vote = Some(codec::vote(input)?);
        }
        image.purged = codec::option(input)?;
        image.committed = codec::option(input)?;
        let count = input.count("entries", 19, usize::MAX)?;
        image.read_entries(input, count)?;
        Ok(image)
    }

    fn read_entries(&mut self, input: &mut Reader<'_>, count: usize) -> Result<(), ring::Error> {
        for _ in 0..count {
            let entry = codec::entry(input)?;
            if !self.has_place(entry.log_id.index) {
                return Err(input.bad("entries", "not in a row"));
            }
            self.append(entry);
        }
        Ok(())
    }

    /// Applies a record of the file after its beginning.
    fn replay(&mut self, payload: &[u8]) -> Result<(), ring::Error> {
        let mut input = Reader::new("log record", payload);
        match input.u8("kind")? {
            1 => self.vote = Some(codec::vote(&mut input)?),
            2 => {
                let count = input.count("entries", 19, usize::MAX)?;
                self.read_entries(&mut input, count)?;
            }
            3 => self.truncate(input.uvarint("index")?),
            4 => {
                let upto = codec::log_id(&mut input)?;
                if upto.index == u64::MAX {
                    return Err(input.bad("index", "out of range"));
                }
                self.purge(upto);
            }
            5 => self.committed = codec::option(&mut input)?,
            6 => {}
            _ => return Err(input.bad("kind", "unknown")),
        }
        input.end()
    }

    /// The image of a file's records; `None` if not even its beginning is whole.
    pub(crate) fn of(payloads: &[&[u8]]) -> Result<Option<Image>, ring::Error> {
        let Some((first, rest)) = payloads.split_first() else { return Ok(None) };
        let mut input = Reader::new("log beginning", first);
        let mut image = Image::decode(&mut input)?;
        input.end()?;
        for payload in rest {
            image.replay(payload)?;
        }
        Ok(Some(image))
    }
}

fn record(kind: u8, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(kind);
    fields(&mut out);
    out.finish()
}

pub(crate) fn vote_record(vote: &Vote) -> Vec<u8> {
    record(1, |out| codec::put_vote(out, vote))
}

pub(crate) fn entries_record(entries: &[Entry]) -> Vec<u8> {
    record(2, |out| {
        out.count(entries.len());
        entries.iter().for_each(|entry| codec::put_entry(out, entry));
    })
}

pub(crate) fn truncate_record(since: u64) -> Vec<u8> {
    record(3, |out| out.uvarint(since))
}

pub(crate) fn purge_record(upto: &LogId) -> Vec<u8> {
    record(4, |out| codec::put_log_id(out, upto))
}

pub(crate) fn committed_record(committed: Option<&LogId>) -> Vec<u8> {
    record(5, |out| codec::put_option(out, committed))
}

/// A record that only says that what stands before it was synced.
pub(crate) fn mark_record() -> Vec<u8> {
    record(6, |_| {})
}

/// About how many bytes an entry takes in a message.
pub(crate) fn weight(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(ring::Command::PutOverride { bytes, .. }) => 300 + bytes.len(),
        EntryPayload::Normal(_) => 3000,
        EntryPayload::Membership(membership) => 100 + 100 * membership.nodes().count(),
        EntryPayload::Blank => 50,
    }
}

/// The file name of a sequence.
pub(crate) fn name(sequence: u64) -> String {
    format!("{sequence:016}{SUFFIX}")
}

/// The sequences of the files with `suffix` in `dir`, ascending.
pub(crate) fn sequences(disk: &dyn Disk, dir: &Path, suffix: &str) -> Result<Vec<u64>, Error> {
    let names = disk.list(dir).map_err(|error| Error::io(dir, error))?;
    let number = |name: &String| name.strip_suffix(suffix)?.parse().ok();
    let mut sequences: Vec<u64> = names.iter().filter_map(number).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// The image of the newest file with a whole beginning, and all files that are there.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, owner: &Owner) -> Result<(Image, Vec<u64>), Error> {
    let files = sequences(disk, dir, SUFFIX)?;
    let fresh = Image { owner: *owner, ..Image::default() };
    for &sequence in files.iter().rev() {
        let path = dir.join(name(sequence));
        let bytes = frame::load(disk, &path).map_err(|error| Error::io(&path, error))?;
        let corrupt = |problem: String| Error::Corrupt { path: path.clone(), problem };
        let payloads = frame::read(&bytes).map_err(|at| {
            corrupt(format!("damaged at byte {at}, before records that are whole"))
        })?;
        let image = Image::of(&payloads).map_err(|error| corrupt(error.to_string()))?;
        let Some(image) = image else { continue };
        if image.owner != *owner {
            let problem = format!(
                "it belongs to store {} of cluster {}, this is store {} of cluster {}",
                image.owner.store, image.owner.cluster, owner.store, owner.cluster
            );
            return Err(Error::Foreign { path: PathBuf::from(dir), problem });
        }
        return Ok((image, files));
    }
    Ok((fresh, files))
}

/// Where a store's log of its ring is: `dir`, or beside it if what is in `dir` is of another
/// cluster. A store whose bucket was replaced is the same directory in another cluster: it has
/// promised nothing there, and if the old bucket comes back, what it promised in the old one still
/// counts.
pub fn dir_of(disk: &dyn Disk, dir: &Path, cluster: Ulid, store: StoreId) -> PathBuf {
    match load(disk, dir, &Owner::new(cluster, store)) {
        Err(Error::Foreign { .. }) => dir.with_file_name(format!("{store}-{cluster}")),
        // What is wrong with it otherwise is said when it is opened.
        Ok(_) | Err(_) => dir.to_owned(),
    }
}
