//! This process's part in the ring: an ingester is a member, everything else watches.
//!
//! Owns: who this process is to others ([`who`]), what it owes the ring ([`attend`], [`chores`]),
//! whom its services call ([`members`]), how it leaves ([`leave`]), the page `/ring` ([`page`]). Does
//! not own: what the ring decides (`ring`) and how it agrees (`meta`).
//!
//! Life of a member: its ring's log is opened and calls are answered before anything else starts
//! ([`Membership::member`]); it registers; when its services answer it is activated; it does its
//! duties until the end. SIGTERM alone is a restart and leaves nothing: the store comes back. An end
//! that flushes leaves the ring, and the directory becomes a new store.
//!
//! **Invariant:** the services never wait for the ring once it is known: without a leader everybody
//! goes on with the last state (P5).

pub mod attend;
pub mod chores;
pub mod leave;
pub mod members;
pub mod page;
pub mod tokens;
pub mod who;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::StoreId;
use base::disk::Disk;
use meta::{Contact, Error, Meta, States, Watcher};
use ring::{Command, Instance, Outcome, Registration, State};
use tokio::time::timeout;
use ulid::Ulid;

/// The part of this process. Clones are the same part.
#[derive(Clone)]
pub struct Membership {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: Ulid,
    own: Registration,
    part: Part,
}

enum Part {
    Member(Meta),
    Watcher(Watcher),
}

/// States for whoever does something about each, and again while it stays the same.
pub struct Rounds {
    states: States,
    pause: Duration,
    has_begun: bool,
}

impl Rounds {
    /// The newest state: at once the first time, then when there is a newer one or after the pause.
    pub async fn next(&mut self) -> Arc<State> {
        if std::mem::replace(&mut self.has_begun, true) {
            let _in_time = timeout(self.pause, self.states.changed()).await;
        }
        self.states.newest()
    }
}

/// Where the ring's log of `store` is: within the directory of its write-ahead log, so that both are
/// lost together. A directory that becomes another store, or comes to another bucket, does not find
/// the old one's.
pub fn raft_dir(disk: &dyn Disk, wal_dir: &Path, cluster: Ulid, store: StoreId) -> PathBuf {
    meta::dir_of(disk, &wal_dir.join("raft").join(store.to_string()), cluster, store)
}

impl Membership {
    /// The part of an ingester.
    pub fn member(cluster: Ulid, own: Registration, meta: Meta) -> Membership {
        Membership { inner: Arc::new(Inner { cluster, own, part: Part::Member(meta) }) }
    }

    /// The part of everything else.
    pub fn watcher(cluster: Ulid, own: Registration, watcher: Watcher) -> Membership {
        Membership { inner: Arc::new(Inner { cluster, own, part: Part::Watcher(watcher) }) }
    }

    /// Which cluster it is a part of.
    pub fn cluster(&self) -> Ulid {
        self.inner.cluster
    }

    /// As it presents itself.
    pub fn own(&self) -> &Registration {
        &self.inner.own
    }

    /// Whether it is a member.
    pub fn is_member(&self) -> bool {
        matches!(self.inner.part, Part::Member(_))
    }

    /// The states that this process learns of.
    pub fn watch(&self) -> States {
        match &self.inner.part {
            Part::Member(meta) => meta.watch(),
            Part::Watcher(watcher) => watcher.watch(),
        }
    }

    /// The same, for a loop that tries again after `pause` what could not be done.
    pub fn rounds(&self, pause: Duration) -> Rounds {
        Rounds { states: self.watch(), pause, has_begun: false }
    }

    /// The newest of them.
    pub fn newest(&self) -> Arc<State> {
        self.watch().newest()
    }

    /// What `state` says of this process.
    pub fn of<'a>(&self, state: &'a State) -> Option<&'a Instance> {
        state.instance(self.inner.own.store)
    }

    /// Who leads, as far as this process knows.
    pub fn leader(&self) -> Option<Contact> {
        match &self.inner.part {
            Part::Member(meta) => meta.leader(),
            Part::Watcher(watcher) => watcher.leader(),
        }
    }

    /// Who has a voice, as far as this process knows.
    pub fn voters(&self) -> Vec<StoreId> {
        match &self.inner.part {
            Part::Member(meta) => meta.voters(),
            Part::Watcher(watcher) => watcher.voters(),
        }
    }

    /// Whether the store of this process has one: see [`Meta::has_voice`].
    pub fn has_voice(&self) -> bool {
        match &self.inner.part {
            Part::Member(meta) => meta.has_voice(),
            Part::Watcher(_) => false,
        }
    }

    /// Commits a command. [`Error::Unanswered`]: it may have been.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        match &self.inner.part {
            Part::Member(meta) => meta.propose(command).await,
            Part::Watcher(watcher) => watcher.propose(command).await,
        }
    }

    /// See [`Meta::keep`]; a watcher promises nothing.
    pub async fn keep(&self, version: u64) -> Result<(), Error> {
        match &self.inner.part {
            Part::Member(meta) => meta.keep(version).await,
            Part::Watcher(_) => Ok(()),
        }
    }

    /// Why the ring's log does not work any more, if so.
    pub fn failure(&self) -> Option<String> {
        match &self.inner.part {
            Part::Member(meta) => meta.failure(),
            Part::Watcher(_) => None,
        }
    }

    /// Ends it. What the ring said last stays known.
    pub async fn stop(&self) {
        match &self.inner.part {
            Part::Member(meta) => meta.stop().await,
            Part::Watcher(watcher) => watcher.stop(),
        }
    }
}
