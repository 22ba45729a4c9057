//! What an ingester owes the ring and cannot do at once: clearing stores that are on their way out
//! (R1b), and going over to a higher replication factor. Each takes as long as flushes take, here and
//! elsewhere, and is asked for again until it is done.

use std::sync::Arc;
use std::time::Duration;

use base::StoreId;
use base::shutdown::Shutdown;
use ingester::Ingester;
use ring::{Command, Duty, Phase, State, duties};

use super::Membership;

/// How often what is not done yet is taken up again while the ring's state stays the same.
const PAUSE: Duration = Duration::from_secs(1);

/// Does them for one ingester.
pub struct Chores {
    /// The part of this process.
    pub ring: Membership,
    /// Its ingester.
    pub ingester: Arc<Ingester>,
}

impl Chores {
    /// Works until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let work = async {
            let mut rounds = self.ring.rounds(PAUSE);
            loop {
                let state = rounds.next().await;
                if !self.ingester.is_stopping() {
                    self.round(&state).await;
                }
            }
        };
        let _ended: Option<()> = shutdown.run_until_cancelled(work).await;
    }

    async fn round(&self, state: &State) {
        let own = self.ring.own().store;
        for duty in duties(state, own) {
            // Of itself it is said by whoever ends it.
            if let Duty::Clear { of, since } = duty
                && of != own
            {
                self.clear(own, of, since).await;
            }
        }
        let behind = self.ring.of(state).filter(|known| known.factor < state.asked_factor());
        if behind.is_some_and(|known| known.phase == Phase::Active) {
            self.require(own, state.asked_factor(), state.version).await;
        }
    }

    async fn clear(&self, own: StoreId, of: StoreId, since: u64) {
        match self.ingester.clear(of, since).await {
            Ok(true) => self.say(Command::Cleared { by: own, of, since }).await,
            Ok(false) => tracing::debug!(store = %of, "not cleared yet"),
            Err(error) => tracing::warn!(store = %of, %error, "could not clear a store"),
        }
    }

    async fn require(&self, own: StoreId, factor: u8, since: u64) {
        match self.ingester.require(factor, since).await {
            Ok(true) => self.say(Command::Factor { by: own, factor, since }).await,
            Ok(false) => tracing::debug!(factor, "rows of a lower replication factor are held yet"),
            Err(error) => tracing::warn!(factor, %error, "could not take up a replication factor"),
        }
    }

    /// What does not come through follows from the state again.
    async fn say(&self, command: Command) {
        if let Err(error) = self.ring.propose(command).await {
            tracing::debug!(%error, "the ring could not be told");
        }
    }
}
