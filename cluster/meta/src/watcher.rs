//! A process that follows the ring without being a member: everything that is not an ingester.

use std::sync::Arc;

use base::StoreId;
use base::random::Random;
use base::shutdown::Shutdown;
use ring::{Command, Outcome};

use crate::api::{Contact, Dialer};
use crate::config::Config;
use crate::error::Error;
use crate::follow;
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::publish::States;

/// Follows the ring. Clones are the same watcher.
#[derive(Clone)]
pub struct Watcher {
    peers: Arc<Peers>,
    proposer: Arc<Proposer>,
    shutdown: Shutdown,
}

impl Watcher {
    /// Begins to follow. It does not wait until somebody is found.
    pub fn start(config: Config, dialer: Arc<dyn Dialer>, random: Arc<dyn Random>) -> Watcher {
        let own = Contact { store: config.store, address: config.address };
        let peers = Arc::new(Peers::new(config.cluster, own, config.join, dialer));
        let shutdown = Shutdown::new();
        let follow = follow::run(Arc::clone(&peers), random, shutdown.clone());
        base::task::spawn("ring-follow", follow);
        let proposer = Arc::new(Proposer::new(Arc::clone(&peers), None));
        Watcher { peers, proposer, shutdown }
    }

    /// The states that this process learns of.
    pub fn watch(&self) -> States {
        self.peers.publisher.states()
    }

    /// Who leads, as far as this process knows.
    pub fn leader(&self) -> Option<Contact> {
        self.peers.leader()
    }

    /// Who has a voice, as the member said that was asked last.
    pub fn voters(&self) -> Vec<StoreId> {
        self.peers.voters()
    }

    /// Commits a command at the leader. [`Error::Unanswered`]: it may have been.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        self.proposer.propose(command).await
    }

    /// Ends it.
    pub fn stop(&self) {
        self.shutdown.cancel();
    }
}
