//! What members of the ring do for each other and for watchers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::StoreId;
use bytes::Bytes;
use ring::{Command, Outcome};
use ulid::Ulid;

use crate::error::Error;

/// Calls to one member of the ring. Whoever implements it over a network maps a failed connection
/// to [`Error::Unreachable`] and a lost answer to [`Error::Unanswered`].
#[async_trait]
pub trait MetaApi: Send + Sync + 'static {
    /// A message of Raft and its answer. The bytes are versioned, and opaque to the transport: what
    /// Raft says is nobody else's business, and changes with it.
    async fn raft(&self, envelope: Envelope) -> Result<Bytes, Error>;

    /// Commits a command, if this is the leader; [`Error::NotLeader`] otherwise.
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, Error>;

    /// Waits for a newer state than the caller's, or until its time has passed. The leader takes
    /// the call as a sign of life.
    async fn watch(&self, request: WatchRequest) -> Result<Update, Error>;
}

/// The way to others.
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// The member at `host:port`. Connects when it is used; asking again is cheap.
    fn dial(&self, address: &str) -> Arc<dyn MetaApi>;

    /// The addresses that an entry of `ring.join` stands for.
    async fn resolve(&self, entry: &str) -> Vec<String> {
        vec![entry.to_owned()]
    }
}

/// Who somebody is and where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its store.
    pub store: StoreId,
    /// `host:port`.
    pub address: String,
}

/// A message of Raft.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The cluster of both.
    pub cluster: Ulid,
    /// Who sends it.
    pub from: Contact,
    /// For whom it is: an address may belong to another store by now.
    pub to: StoreId,
    /// The message.
    pub payload: Bytes,
}

/// A command to be committed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The cluster of both.
    pub cluster: Ulid,
    /// What to do.
    pub command: Command,
}

/// A question for what is new.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The cluster of both.
    pub cluster: Ulid,
    /// Who asks.
    pub from: Contact,
    /// The version of the state that it knows.
    pub known: u64,
    /// How long the answer may wait for something newer; at most [`MAX_WAIT`] counts.
    pub wait: Duration,
}

/// Longest that an answer waits for a newer state.
pub const MAX_WAIT: Duration = Duration::from_secs(2);

/// The answer to a [`WatchRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Who answers.
    pub from: Contact,
    /// Who leads, as far as it knows.
    pub leader: Option<Contact>,
    /// Who has a voice, as far as it knows; empty before the cluster is founded.
    pub voters: Vec<StoreId>,
    /// A newer state, as [`ring::State::encode`] writes it.
    pub state: Option<Bytes>,
}
