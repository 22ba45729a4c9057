//! A command on its way to the leader.

use std::sync::Arc;
use std::time::Duration;

use base::StoreId;
use openraft::error::{ClientWriteError, RaftError};
use ring::{Command, Outcome};
use tokio::sync::Semaphore;

use crate::api::{Contact, Proposal};
use crate::error::Error;
use crate::metrics::PROPOSALS;
use crate::peers::Peers;
use crate::types::Raft;

/// How long a command looks for a leader that takes it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader may take to commit it.
const COMMIT: Duration = Duration::from_secs(5);
/// Pause before the leader is looked for again.
const PAUSE: Duration = Duration::from_millis(100);
/// Most commands of this process that are under way: each is at most 64 KiB.
const MOST: usize = 256;

/// Takes commands to the leader.
pub(crate) struct Proposer {
    peers: Arc<Peers>,
    /// Of a member; a watcher has none.
    raft: Option<Raft>,
    places: Semaphore,
}

impl Proposer {
    pub(crate) fn new(peers: Arc<Peers>, raft: Option<Raft>) -> Proposer {
        Proposer { peers, raft, places: Semaphore::new(MOST) }
    }

    /// Commits `command`, here or at the leader. It waits for a leader; a call that got lost on
    /// its way back is not repeated.
    pub(crate) async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::Busy { limit: MOST })?;
        let mut last = Error::NoLeader;
        let attempts = async {
            loop {
                match self.attempt(&command).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(error @ (Error::NoLeader | Error::Unreachable { .. })) => last = error,
                    Err(Error::NotLeader { leader, address }) => {
                        self.redirect(leader, address);
                        last = Error::NoLeader;
                    }
                    Err(error) => return Err(error),
                }
                // Whoever leads next is told to everybody; the pause is for who is not told.
                let told = self.peers.changed.notified();
                let _ = tokio::time::timeout(PAUSE, told).await;
            }
        };
        let result = tokio::time::timeout(PATIENCE, attempts).await;
        let result = result.unwrap_or(Err(last));
        let label = match &result {
            Ok(Outcome::Done { .. }) => "done",
            Ok(Outcome::Unchanged { .. }) => "unchanged",
            Ok(Outcome::Refused(_)) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!(PROPOSALS, "outcome" => label).increment(1);
        result
    }

    fn redirect(&self, leader: StoreId, address: String) {
        self.peers.learn(&Contact { store: leader, address });
        self.peers.hear_leader(leader);
    }

    async fn attempt(&self, command: &Command) -> Result<Outcome, Error> {
        if let Some(raft) = self.raft.as_ref().filter(|raft| is_running(raft)) {
            match commit(raft, command.clone(), &self.peers).await {
                // Raft here does not know; another may.
                Err(Error::NoLeader) => {}
                // A node that was removed hears nothing newer of its Raft: others may know better.
                Err(Error::NotLeader { leader, address }) if self.peers.leader().is_none() => {
                    self.redirect(leader, address);
                }
                Err(Error::NotLeader { leader, address }) => {
                    self.peers.learn(&Contact { store: leader, address });
                }
                result => return result,
            }
        }
        let leader = self.peers.leader().ok_or(Error::NoLeader)?;
        if leader.store == self.peers.own.store {
            return Err(Error::NoLeader);
        }
        let proposal = Proposal { cluster: self.peers.cluster, command: command.clone() };
        let call = self.peers.dial(&leader.address);
        let answer = tokio::time::timeout(COMMIT, call.propose(proposal)).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::Unanswered(leader.address.clone())));
        use Error::{NoLeader, NotLeader, Unreachable};
        if matches!(answer, Err(NoLeader | NotLeader { .. } | Unreachable { .. })) {
            self.peers.forget_leader(leader.store);
        }
        answer
    }
}

/// Whether Raft works here: it stops by order, and after a failed write.
pub(crate) fn is_running(raft: &Raft) -> bool {
    raft.metrics().borrow().running_state.is_ok()
}

/// Commits `command` if this node leads.
pub(crate) async fn commit(raft: &Raft, command: Command, peers: &Peers) -> Result<Outcome, Error> {
    let written = tokio::time::timeout(COMMIT, raft.client_write(command)).await;
    let Ok(written) = written else {
        return Err(Error::Unanswered("it was not committed in time".to_owned()));
    };
    let forward = match written {
        Ok(response) => return Ok(response.data),
        Err(RaftError::Fatal(fatal)) => return Err(Error::Stopped(fatal.to_string())),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => forward,
        Err(error) => return Err(Error::Stopped(error.to_string())),
    };
    let Some(leader) = forward.leader_id else { return Err(Error::NoLeader) };
    let known = peers.address(leader.0);
    let address = known.or(forward.leader_node.map(|node| node.addr)).unwrap_or_default();
    Err(Error::NotLeader { leader: leader.0, address })
}
