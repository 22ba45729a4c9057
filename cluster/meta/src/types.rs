//! What Raft is made of here, and the runtime it runs on.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use base::StoreId;
use base::random::{Random, SystemRandom};
use openraft::impls::OneshotResponder;
use openraft::{AsyncRuntime, BasicNode, RaftTypeConfig, TokioRuntime};
use ulid::Ulid;

/// openraft's parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl RaftTypeConfig for Types {
    type D = ring::Command;
    type R = ring::Outcome;
    type NodeId = NodeId;
    type Node = BasicNode;
    type Entry = openraft::Entry<Types>;
    type SnapshotData = std::io::Cursor<Vec<u8>>;
    type AsyncRuntime = Runtime;
    type Responder = OneshotResponder<Types>;
}

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type Membership = openraft::Membership<NodeId, BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, BasicNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, BasicNode>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type Raft = openraft::Raft<Types>;

/// A node of Raft is a store: what a node has promised is on the disk that the store is, and one
/// with a new directory is a new node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub StoreId);

impl Default for NodeId {
    fn default() -> NodeId {
        NodeId(StoreId(Ulid(0)))
    }
}

/// For openraft's suite, which numbers its nodes.
impl From<u64> for NodeId {
    fn from(number: u64) -> NodeId {
        NodeId(StoreId(Ulid(u128::from(number))))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// tokio, but tasks are spawned by `base::task`, so that a simulation can stall and kill them, and
/// randomness is `base`'s, so that a seed is a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runtime;

impl AsyncRuntime for Runtime {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: Send + 'static> = base::task::JoinHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = tokio::time::Instant;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = tokio::time::Timeout<T>;
    type ThreadLocalRng = Draws;
    type OneshotSender<T: Send> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: Send> = tokio::sync::oneshot::Receiver<T>;
    type OneshotReceiverError = tokio::sync::oneshot::error::RecvError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        base::task::spawn("raft", future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + Send>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    fn thread_rng() -> Draws {
        Draws
    }

    fn oneshot<T: Send>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        TokioRuntime::oneshot()
    }
}

/// Draws of openraft: election timeouts. It asks for them without saying which node it is, so a
/// simulation has one source per thread, seeded by [`seed`].
#[derive(Clone, Copy, Debug)]
pub struct Draws;

thread_local! {
    static SEEDED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Makes the draws of this thread's simulation depend on `number`.
pub(crate) fn seed(number: u64) {
    SEEDED.set(SEEDED.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
}

/// Begins the draws of this thread anew.
#[cfg(test)]
pub(crate) fn reset(number: u64) {
    SEEDED.set(number);
}

impl rand_core::RngCore for Draws {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        if !base::task::sim::is_entered() {
            return SystemRandom.next_u64();
        }
        let source = base::random::SeededRandom::new(SEEDED.get());
        let drawn = source.next_u64();
        SEEDED.set(drawn);
        drawn
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let drawn = self.next_u64().to_le_bytes();
            piece.copy_from_slice(&drawn[..piece.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
