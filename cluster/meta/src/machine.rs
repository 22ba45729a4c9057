//! Applies what Raft has decided, and keeps it: a snapshot is on the disk before the log that led to
//! it may go.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::disk::Disk;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use ring::codec::{Reader, Writer};
use ring::{Outcome, State};
use ulid::Ulid;

use crate::codec::{self, MAX_SNAPSHOT_BYTES};
use crate::error::Error;
use crate::frame::{self, Appender};
use crate::log::{Owner, sequences};
use crate::publish::Publisher;
use crate::types::{Entry, LogId, NodeId, SnapshotMeta, StorageError, StoredMembership, Types};

const SUFFIX: &str = ".snap";

/// The state that Raft agrees on. Clones are the same state.
#[derive(Clone)]
pub(crate) struct Machine {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    owner: Owner,
    publisher: Publisher,
    applied: Mutex<Applied>,
    /// One file at a time: a snapshot that was built while a newer one was received must not take
    /// its place.
    saving: tokio::sync::Mutex<()>,
}

struct Applied {
    state: Arc<State>,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<Kept>,
    /// Of the newest file.
    sequence: u64,
}

/// A snapshot that is on the disk.
#[derive(Clone)]
pub(crate) struct Kept {
    pub meta: SnapshotMeta,
    pub state: Arc<Vec<u8>>,
}

impl Kept {
    pub(crate) fn encode(&self, owner: &Owner) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(codec::VERSION);
        out.ulid(owner.cluster);
        codec::put_meta(&mut out, &self.meta);
        out.bytes(&self.state);
        out.finish()
    }

    /// The snapshot of a file, with the cluster it is of.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Ulid, Kept), ring::Error> {
        let mut input = Reader::new("snapshot", bytes);
        input.version(codec::VERSION)?;
        let cluster = input.ulid("cluster")?;
        let meta = codec::meta(&mut input)?;
        let state = Arc::new(input.bytes("state", MAX_SNAPSHOT_BYTES)?.to_vec());
        input.end()?;
        Ok((cluster, Kept { meta, state }))
    }

    fn snapshot(&self) -> Snapshot<Types> {
        let snapshot = Box::new(Cursor::new(self.state.to_vec()));
        Snapshot { meta: self.meta.clone(), snapshot }
    }
}

/// The newest whole snapshot of a directory, and the newest sequence. A file that is not whole was
/// never said to be there.
pub(crate) fn load(
    disk: &dyn Disk,
    dir: &Path,
    owner: &Owner,
) -> Result<(Option<Kept>, u64), Error> {
    let files = sequences(disk, dir, SUFFIX)?;
    let newest = files.last().copied().unwrap_or(0);
    for &sequence in files.iter().rev() {
        let path = dir.join(name(sequence));
        let bytes = frame::load(disk, &path).map_err(|error| Error::io(&path, error))?;
        let Ok(payloads) = frame::read(&bytes) else { continue };
        let Some(payload) = payloads.first() else { continue };
        let corrupt = |problem: String| Error::Corrupt { path: path.clone(), problem };
        let (cluster, kept) = Kept::decode(payload).map_err(|error| corrupt(error.to_string()))?;
        if cluster != owner.cluster {
            return Err(corrupt(format!("it is of cluster {cluster}")));
        }
        return Ok((Some(kept), newest));
    }
    Ok((None, newest))
}

fn name(sequence: u64) -> String {
    format!("{sequence:016}{SUFFIX}")
}

/// Writes a snapshot and removes the older ones when it is durable.
pub(crate) fn save(
    disk: &dyn Disk,
    dir: &Path,
    owner: &Owner,
    sequence: u64,
    kept: &Kept,
) -> std::io::Result<()> {
    let mut file = Appender::create(disk, &dir.join(name(sequence)))?;
    file.put(&kept.encode(owner));
    file.sync()?;
    disk.sync_dir(dir)?;
    for old in disk.list(dir)? {
        let number = old.strip_suffix(SUFFIX).and_then(|digits| digits.parse::<u64>().ok());
        if number.is_some_and(|number| number < sequence) {
            disk.remove(&dir.join(old))?;
        }
    }
    Ok(())
}

impl Machine {
    /// The state of a directory. `purged` is what its log no longer has.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        owner: Owner,
        purged: Option<LogId>,
        publisher: Publisher,
    ) -> Result<Machine, Error> {
        let (snapshot, sequence) = load(&*disk, &dir, &owner)?;
        let last = snapshot.as_ref().and_then(|kept| kept.meta.last_log_id);
        if purged > last {
            let problem = "the snapshot of what the log no longer has is missing".to_owned();
            return Err(Error::Corrupt { path: dir, problem });
        }
        let state = match &snapshot {
            None => State::new(owner.cluster),
            Some(kept) => State::decode(&kept.state)?,
        };
        let state = Arc::new(state);
        publisher.offer(&state);
        let membership =
            snapshot.as_ref().map(|kept| kept.meta.last_membership.clone()).unwrap_or_default();
        let applied = Mutex::new(Applied { state, last, membership, snapshot, sequence });
        let saving = tokio::sync::Mutex::new(());
        Ok(Machine { inner: Arc::new(Inner { disk, dir, owner, publisher, applied, saving }) })
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.inner.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the state that Raft has brought here.
    pub(crate) fn version(&self) -> u64 {
        self.applied().state.version
    }

    /// Makes `kept` durable, away from Raft's tasks, and then the current snapshot.
    async fn keep(&self, kept: Kept) -> std::io::Result<()> {
        let _saving = self.inner.saving.lock().await;
        let sequence = {
            let mut applied = self.applied();
            let is_newer = |old: &Kept| old.meta.last_log_id > kept.meta.last_log_id;
            if applied.snapshot.as_ref().is_some_and(is_newer) {
                return Ok(());
            }
            applied.sequence += 1;
            applied.sequence
        };
        let (inner, saved) = (Arc::clone(&self.inner), kept.clone());
        let work = move || save(&*inner.disk, &inner.dir, &inner.owner, sequence, &saved);
        let written = base::task::blocking("raft-snapshot", work).await;
        written.map_err(std::io::Error::other)??;
        self.applied().snapshot = Some(kept);
        Ok(())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Machine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let applied = self.applied();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = self.applied();
        let mut outcomes = Vec::new();
        for entry in entries {
            applied.last = Some(entry.log_id);
            let version = applied.state.version;
            outcomes.push(match entry.payload {
                EntryPayload::Blank => Outcome::Unchanged { version },
                EntryPayload::Normal(command) => {
                    ring::apply(Arc::make_mut(&mut applied.state), &command)
                }
                EntryPayload::Membership(membership) => {
                    applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Outcome::Unchanged { version }
                }
            });
        }
        self.inner.publisher.offer(&applied.state);
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let bytes = snapshot.into_inner();
        let failed = |error: &dyn std::error::Error| {
            let error = std::io::Error::other(error.to_string());
            StorageIOError::<NodeId>::write_snapshot(Some(meta.signature()), &error)
        };
        let state = State::decode(&bytes).map_err(|error| failed(&error))?;
        if state.cluster != self.inner.owner.cluster {
            return Err(failed(&std::io::Error::other("it is of another cluster")).into());
        }
        let kept = Kept { meta: meta.clone(), state: Arc::new(bytes) };
        self.keep(kept).await.map_err(|error| failed(&error))?;
        let mut applied = self.applied();
        applied.state = Arc::new(state);
        applied.last = meta.last_log_id;
        applied.membership = meta.last_membership.clone();
        self.inner.publisher.offer(&applied.state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        Ok(self.applied().snapshot.as_ref().map(Kept::snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let (state, last, membership) = {
            let applied = self.applied();
            (Arc::clone(&applied.state), applied.last, applied.membership.clone())
        };
        let snapshot_id = match &last {
            Some(id) => format!("{}-{}", id.leader_id.term, id.index),
            None => "0".to_owned(),
        };
        let meta = SnapshotMeta { last_log_id: last, last_membership: membership, snapshot_id };
        let kept = Kept { meta, state: Arc::new(state.encode()) };
        let snapshot = kept.snapshot();
        let failed = |error: std::io::Error| StorageIOError::<NodeId>::write_snapshot(None, &error);
        self.keep(kept).await.map_err(failed)?;
        Ok(snapshot)
    }
}
