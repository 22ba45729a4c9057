//! How an ingester follows the ring and does what it owes it, late as everybody.

use std::sync::{Arc, Mutex};

use base::disk::sim::Keep;
use base::task::sim::Process;
use ingester::Ingester;
use ring::{Command, Duty, Phase, Registration, Roles, State, to_be_seen, tokens};
use rpc::members::Ring;
use store::{CatalogHandle, RingVersion};

use super::{Truth, lock};
use crate::cluster::breaks::Break;
use crate::cluster::nodes::Node;
use crate::cluster::world::{Chance, event};

/// The zones of the ingesters, in their order; three, if there are no more copies.
const ZONES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What an ingester knows of it.
pub struct Followed {
    truth: Arc<Truth>,
    node: String,
    broken: Break,
    state: Mutex<Arc<State>>,
}

impl Followed {
    /// What it said that it follows it knows also after a restart.
    pub fn new(truth: &Arc<Truth>, node: &str, broken: Break) -> Arc<Followed> {
        let (state, node) = (Mutex::new(truth.state()), node.to_owned());
        Arc::new(Followed { truth: truth.clone(), node, broken, state })
    }

    /// Does what the ingester owes the ring, as long as its process lives.
    pub fn serve(self: &Arc<Followed>, process: &Process, serves: Serves) {
        let node = &serves.node.name;
        let registration = Registration {
            store: serves.ingester.store(),
            id: node.clone(),
            grpc_address: node.clone(),
            http_address: String::new(),
            zone: ZONES[serves.number % self.truth.world.profile.factor as usize].to_owned(),
            roles: Roles::INGESTER,
            tokens: tokens::generate(base::hash::hash64(node.as_bytes()), tokens::TOKENS),
        };
        let (this, who) = (self.clone(), process.name().to_owned());
        drop(process.spawn(async move {
            loop {
                tokio::time::sleep(serves.chance.seconds(0, 4)).await;
                if this.truth.is_cut_from(&this.node) {
                    continue;
                }
                let state = this.truth.state();
                *lock(&this.state) = state.clone();
                if state.retired.contains_key(&registration.store) {
                    return this.replace(&serves, false).await;
                }
                this.duties(&who, &state, &registration, &serves).await;
                if this.is_departing(&registration) {
                    return this.replace(&serves, true).await;
                }
            }
        }));
    }

    /// Others have begun to clear the store: it cannot come back as itself.
    fn is_departing(&self, registration: &Registration) -> bool {
        let state = self.truth.state();
        let departure = state.instance(registration.store).and_then(|i| i.departure.as_ref());
        departure.is_some_and(|d| d.is_forgotten || (!d.is_leaving && !d.cleared.is_empty()))
    }

    /// The directory becomes another store. What a removed store has acknowledged others have flushed;
    /// one that is on its way out flushes what it can.
    async fn replace(&self, serves: &Serves, is_flushed: bool) {
        if is_flushed && !(serves.ingester.drain(true).await && serves.ingester.is_emptied()) {
            // It is started again as what it was, and tries again.
            event!(self.truth.world, &serves.node.name, "cannot be emptied");
        }
        let store = serves.ingester.store();
        let departure = self.truth.state().instance(store).and_then(|own| own.departure.clone());
        if let Some(departure) = departure.filter(|_| is_flushed && serves.ingester.is_emptied()) {
            let cleared = Command::Cleared { by: store, of: store, since: departure.since };
            self.truth.apply(&serves.node.name, &cleared);
        }
        event!(self.truth.world, &serves.node.name, "its store is replaced");
        self.truth.world.fault(std::time::Duration::ZERO);
        let (node, is_empty) = (serves.node.clone(), !is_flushed || serves.ingester.is_emptied());
        // From outside: with the process this task ends.
        base::task::sim::outside(async move {
            node.kill(Keep::Synced);
            if is_empty {
                node.lose_disk();
            }
        });
        std::future::pending().await
    }

    /// Has the log name a version of the ring, unless that is broken with another rule.
    async fn name(&self, serves: &Serves, state: &State, version: u64) -> Option<()> {
        match self.broken.leaves_ring_unnamed() {
            true => Some(()),
            false => serves.name(state, version).await,
        }
    }

    async fn duties(&self, who: &str, state: &State, registration: &Registration, serves: &Serves) {
        let (store, ingester) = (registration.store, &serves.ingester);
        for duty in ring::duties(state, store) {
            let command = match duty {
                Duty::Register => Command::Register(registration.clone()),
                Duty::See { version } => {
                    let named = to_be_seen(state, store);
                    let Some(()) = self.name(serves, state, named).await else {
                        continue;
                    };
                    Command::Seen { by: store, version }
                }
                Duty::Activate => {
                    if self.broken == Break::JoinUnseen {
                        self.truth.see_all();
                    }
                    let registered = state.instance(store).map_or(0, |own| own.registered);
                    let Some(()) = self.name(serves, state, registered).await else { continue };
                    Command::Activate { store }
                }
                Duty::Clear { of, since } if self.broken == Break::ClearUnseen => {
                    Command::Cleared { by: store, of, since }
                }
                Duty::Clear { of, since } => match ingester.clear(of, since).await {
                    Ok(true) => Command::Cleared { by: store, of, since },
                    _ => continue,
                },
            };
            self.truth.apply(who, &command);
        }
        let (factor, since) = (state.asked_factor(), state.version);
        let own = state.instance(store);
        let is_due = own.is_some_and(|own| own.factor < factor && own.phase == Phase::Active);
        let is_kept = self.broken == Break::FactorAtOnce
            || (is_due && matches!(ingester.require(factor, since).await, Ok(true)));
        if is_due && is_kept {
            self.truth.apply(who, &Command::Factor { by: store, factor, since });
        }
    }
}

/// What a process does its duties with.
pub struct Serves {
    pub node: Arc<Node>,
    /// Among the ingesters.
    pub number: usize,
    pub ingester: Arc<Ingester>,
    /// Where it names the ring.
    pub catalog: CatalogHandle,
    pub chance: Chance,
}

impl Serves {
    /// Has the log name a version of the ring; [`None`] if that has to be tried again.
    async fn name(&self, state: &State, version: u64) -> Option<()> {
        let founder = state.founder?;
        self.catalog.name_ring(RingVersion { founder, version }).await.ok()
    }
}

impl Ring for Followed {
    fn state(&self) -> Arc<State> {
        self.broken.list_state(lock(&self.state).clone())
    }
}
