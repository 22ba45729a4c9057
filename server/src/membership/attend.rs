//! What this process owes the ring, done whenever the ring's state changes. Everything follows from
//! the state: nothing is remembered between restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::shutdown::Shutdown;
use ring::{
    Command, Duty, Instance, Outcome, Phase, Refusal, Registration, State, duties, to_be_seen,
};
use rpc::http::Readiness;
use rpc::http::stack::Phase as Ready;
use store::{CatalogHandle, RingVersion};
use tokio::time::timeout;

use super::Membership;

/// How often what could not be done is tried again while the state stays the same.
const PAUSE: Duration = Duration::from_millis(300);
/// How long other duties wait for the bucket.
const NAME: Duration = Duration::from_secs(5);
/// How often `/ready` learns why the ring is not there yet.
const TELL_PERIOD: Duration = Duration::from_millis(250);

/// Does the duties of one process, whose services answer.
pub struct Attendant {
    /// The part of this process.
    pub ring: Membership,
    /// The replication factor that the configuration asks for. It is proposed once: where
    /// configurations differ, the last start counts.
    pub replication: Option<u8>,
    /// Where the ring is named before a store takes rows; of a member only.
    pub catalog: Option<CatalogHandle>,
    /// The ring's log has failed, and it was told of.
    pub has_failed: bool,
    /// This process is about to leave and wants no share any more.
    pub is_leaving: Arc<AtomicBool>,
    /// Cancelled when the ring has no place for this store any more: others have cleared it.
    pub removed: Shutdown,
}

impl Attendant {
    /// Attends until `shutdown`.
    pub async fn run(mut self, shutdown: Shutdown) {
        let work = async {
            let mut rounds = self.ring.rounds(PAUSE);
            loop {
                let state = rounds.next().await;
                self.round(&state).await;
            }
        };
        let _ended: Option<()> = shutdown.run_until_cancelled(work).await;
    }

    async fn round(&mut self, state: &State) {
        if let Some(failure) = self.ring.failure() {
            if !std::mem::replace(&mut self.has_failed, true) {
                tracing::error!(
                    failure,
                    "the ring's log has stopped: this process must start anew"
                );
            }
            return;
        }
        if self.is_leaving.load(Ordering::SeqCst) && self.ring.of(state).is_none() {
            // It has left.
            return;
        }
        let own = self.ring.own().clone();
        if !self.ring.is_member() {
            if self.ring.of(state).is_none_or(|known| has_moved(state, known, &own)) {
                self.say(Command::Register(own)).await;
            }
            return;
        }
        if state.retired.contains_key(&own.store) {
            return self.remove(&Refusal::Retired(own.store));
        }
        for duty in duties(state, own.store) {
            if let Some(command) = self.command(state, duty).await {
                self.say(command).await;
            }
        }
        let Some(known) = self.ring.of(state) else { return };
        if known.phase != Phase::Gone && has_moved(state, known, &own) {
            self.say(Command::Register(own)).await;
        }
        self.stay(known).await;
        self.replicate(state).await;
    }

    /// How a duty is said, after it was done.
    async fn command(&self, state: &State, duty: Duty) -> Option<Command> {
        let own = self.ring.own();
        Some(match duty {
            Duty::Register => Command::Register(own.clone()),
            Duty::See { version } => {
                self.name(state, to_be_seen(state, own.store)).await?;
                if let Err(error) = self.ring.keep(version).await {
                    tracing::warn!(%error, "the state of the ring could not be kept");
                    return None;
                }
                Command::Seen { by: own.store, version }
            }
            // These take longer: see `chores`.
            Duty::Clear { .. } => return None,
            Duty::Activate => {
                self.name(state, self.ring.of(state)?.registered).await?;
                Command::Activate { store: own.store }
            }
        })
    }

    /// Has the log of commits name the ring's `version`, so that a reader learns of it whom nobody
    /// tells. It is tried again as long as the duty stays.
    async fn name(&self, state: &State, version: u64) -> Option<()> {
        let (Some(catalog), Some(founder)) = (&self.catalog, state.founder) else {
            return Some(());
        };
        match timeout(NAME, catalog.name_ring(RingVersion { founder, version })).await {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => tracing::warn!(%error, "the log could not be told of the ring"),
            Err(_) => tracing::warn!("telling the log of the ring takes long"),
        }
        None
    }

    /// A store that was on its way out when its process ended, and that nobody has cleared, stays.
    async fn stay(&self, known: &Instance) {
        let leaves = self.is_leaving.load(Ordering::SeqCst);
        if known.phase == Phase::Leaving && !leaves {
            self.say(Command::Activate { store: known.store }).await;
        }
    }

    async fn replicate(&mut self, state: &State) {
        let Some(factor) = self.replication else { return };
        let is_so = state.replication == factor;
        if is_so || self.say(Command::Replicate { factor }).await {
            self.replication = None;
        }
    }

    /// Whether it was committed. What was not follows from the state again.
    async fn say(&self, command: Command) -> bool {
        match self.ring.propose(command.clone()).await {
            Ok(Outcome::Done { .. } | Outcome::Unchanged { .. }) => true,
            Ok(Outcome::Refused(refusal @ (Refusal::Retired(_) | Refusal::Departing(_)))) => {
                self.remove(&refusal);
                false
            }
            Ok(Outcome::Refused(refusal)) => {
                tracing::debug!(?command, %refusal, "the ring says no");
                false
            }
            Err(error) => {
                tracing::debug!(?command, %error, "the ring could not be told");
                false
            }
        }
    }

    fn remove(&self, refusal: &Refusal) {
        if self.ring.is_member() && !self.is_leaving.load(Ordering::SeqCst) {
            if !self.removed.is_cancelled() {
                tracing::error!(%refusal, "this store has no place in the ring any more");
            }
            self.removed.cancel();
        }
    }
}

/// Whether `known` is not what `own` presents itself as.
fn has_moved(state: &State, known: &Instance, own: &Registration) -> bool {
    known.id != own.id
        || known.grpc_address != own.grpc_address
        || known.http_address != own.http_address
        || state.next_zone(known) != own.zone
        || known.roles != own.roles
        || known.tokens != own.tokens
}

/// Waits until this process can do its part: a member has a share (or had one before its restart), a
/// watcher knows members that have.
pub async fn joined(ring: &Membership, readiness: &Readiness) {
    let mut rounds = ring.rounds(TELL_PERIOD);
    loop {
        let state = rounds.next().await;
        let Some(text) = missing(ring, &state) else { return };
        readiness.set(Ready::Starting(text.to_owned()));
    }
}

/// What is missing until then.
fn missing(ring: &Membership, state: &State) -> Option<&'static str> {
    let known = ring.of(state);
    if ring.is_member() {
        return match known.map(|known| known.phase) {
            Some(Phase::Active | Phase::Leaving) => None,
            Some(Phase::Joining) => Some("joining the ring: not every ingester knows of this one"),
            Some(Phase::Gone) => Some("coming back to the ring"),
            None if ring.leader().is_none() => Some(
                "joining the ring: no leader of it is known (ring.join); if the store that \
                     founded the cluster is lost: runelog ring recover",
            ),
            None => Some("joining the ring"),
        };
    }
    match state.placed().next() {
        Some(_) => None,
        None if state.version == 0 => Some("no member of the ring answers (ring.join)"),
        None => Some("the ring has no active ingester"),
    }
}
