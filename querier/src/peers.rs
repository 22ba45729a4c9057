//! The ingesters of a handshake: who is asked, who is gone (R1).
//!
//! All are asked with the same V and G. One that does not answer joins G, and all others are asked
//! again, because they may have rows to answer for in its place. With more than half of the copies
//! of a row gone there may be rows that nobody answers: then the query fails and names them.

use std::sync::{Mutex, PoisonError};

use base::{ErrorKind, StoreId};
use futures::future::{BoxFuture, join_all};
use metrics::counter;
use rpc::ingester::{Identity, IngesterError, Peer};

use crate::error::Error;
use crate::metrics::SILENT;

/// Times one job may find a store misplaced before it counts as gone.
const MAX_MISPLACED: u32 = 2;

/// All ingesters that may hold rows in no commit.
pub struct Peers {
    list: Vec<Known>,
    replication_factor: usize,
}

struct Known {
    peer: Peer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who it was when it last said so.
    identity: Option<Identity>,
    /// Whether every call since then was answered. After one that was not, another process with
    /// another store may have come up at the address.
    is_current: bool,
    /// Who it was before: gone, and not cleared as far as anybody here knows (R1b).
    lost: Vec<Identity>,
}

/// G of one job, and how its stores got there. Only grows.
#[derive(Default)]
pub struct Gone {
    silent: Vec<Silent>,
    misplaced: u32,
}

/// An ingester that does not answer.
struct Silent {
    /// Index into [`Peers::list`].
    peer: usize,
    /// `None` = it never said who it is: nobody can be told to answer in its place.
    identity: Option<Identity>,
    why: String,
}

impl Peers {
    /// Each row is held by `replication_factor` of them.
    pub fn new(list: Vec<Peer>, replication_factor: usize) -> Peers {
        assert!(replication_factor > 0, "a row is held by at least one store");
        let known = |peer| Known { peer, state: Mutex::default() };
        Peers { list: list.into_iter().map(known).collect(), replication_factor }
    }

    /// Number of ingesters.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Calls all that are not gone with the same G, until all of them answer.
    pub async fn ask<'a, T>(
        &'a self,
        gone: &mut Gone,
        call: impl Fn(&'a Peer, Vec<StoreId>) -> BoxFuture<'a, Result<T, IngesterError>>,
    ) -> Result<Vec<T>, Error> {
        loop {
            self.identify(gone).await?;
            let mut stores = gone.stores();
            stores.extend(self.lost().iter().map(|(_, identity)| identity.store));
            let asked: Vec<usize> = (0..self.list.len()).filter(|&peer| !gone.has(peer)).collect();
            let calls = asked.iter().map(|&peer| call(&self.list[peer].peer, stores.clone()));
            let mut answers = Vec::with_capacity(asked.len());
            let mut complete = true;
            for (peer, answer) in asked.iter().zip(join_all(calls).await) {
                match answer {
                    Ok(answer) => answers.push(answer),
                    Err(error) => {
                        complete = false;
                        self.silence(*peer, error, gone)?;
                    }
                }
            }
            self.check(gone)?;
            // Another job may have found meanwhile that one of them is another store.
            let lost = self.lost();
            if complete && lost.iter().all(|(_, identity)| stores.contains(&identity.store)) {
                return Ok(answers);
            }
        }
    }

    /// Makes sure who everybody is, before anybody is told who is gone.
    async fn identify(&self, gone: &mut Gone) -> Result<(), Error> {
        let unsure = |peer: &usize| !gone.has(*peer) && !self.list[*peer].lock().is_current;
        let unsure: Vec<usize> = (0..self.list.len()).filter(unsure).collect();
        if unsure.is_empty() {
            return Ok(());
        }
        let calls = unsure.iter().map(|&peer| self.list[peer].identify());
        for (peer, identified) in unsure.iter().zip(join_all(calls).await) {
            if let Err(error) = identified {
                self.silence(*peer, error, gone)?;
            }
        }
        self.check(gone)
    }

    /// What a failed call says about its peer.
    fn silence(&self, peer: usize, error: IngesterError, gone: &mut Gone) -> Result<(), Error> {
        let misplaced = error.kind() == ErrorKind::Conflict;
        if !misplaced && !is_silence(&error) {
            return Err(error.into());
        }
        let identity = self.list[peer].doubt();
        if misplaced && gone.misplaced < MAX_MISPLACED {
            gone.misplaced += 1;
            return Ok(());
        }
        counter!(SILENT, "ingester" => self.list[peer].peer.address.clone()).increment(1);
        gone.silent.push(Silent { peer, identity, why: error.to_string() });
        Ok(())
    }

    /// Fails if rows may be missing.
    fn check(&self, gone: &Gone) -> Result<(), Error> {
        let lost = self.lost();
        let nameless = gone.silent.iter().any(|silent| silent.identity.is_none());
        let copies = copies(
            gone.silent
                .iter()
                .map(|silent| silent.identity.as_ref())
                .chain(lost.iter().map(|(_, identity)| Some(identity))),
        );
        if !nameless && copies <= self.replication_factor / 2 {
            return Ok(());
        }
        let (mut addresses, mut reasons) = (Vec::new(), Vec::new());
        for Silent { peer, identity, why } in &gone.silent {
            let address = self.list[*peer].peer.address.clone();
            reasons.push(match identity {
                Some(identity) => format!("{address} (store {}): {why}", identity.store),
                None => format!("{address}: {why}"),
            });
            addresses.push(address);
        }
        for (address, identity) in lost {
            reasons.push(format!("{address}: store {} is not there any more", identity.store));
            addresses.push(address.to_owned());
        }
        Err(Error::TooFewReplicas {
            required: self.replication_factor / 2 + 1,
            found: self.replication_factor.saturating_sub(copies),
            unhealthy: addresses.join(","),
            reasons: reasons.join("; "),
        })
    }
}

impl Peers {
    /// Stores that were at an address and are not any more, for others to answer in their place.
    /// With one copy of a row nobody can: what was only there is lost, and waiting for it would
    /// refuse every query for ever.
    fn lost(&self) -> Vec<(&str, Identity)> {
        if self.replication_factor == 1 {
            return Vec::new();
        }
        let of = |known: &'_ Known| known.lock().lost.clone();
        let lost = self.list.iter().flat_map(|known| {
            of(known).into_iter().map(|identity| (known.peer.address.as_str(), identity))
        });
        lost.collect()
    }
}

impl Known {
    async fn identify(&self) -> Result<(), IngesterError> {
        let identity = self.peer.api.identify().await?;
        let mut state = self.lock();
        if let Some(before) = state.identity.replace(identity.clone())
            && before.store != identity.store
        {
            let (address, store) = (&self.peer.address, before.store);
            tracing::error!(address, %store, now = %identity.store, "an ingester lost its store");
            state.lost.push(before);
        }
        // A store that moved between addresses, or came back, is not lost.
        state.lost.retain(|lost| lost.store != identity.store);
        state.is_current = true;
        Ok(())
    }

    /// A call failed: who was it?
    fn doubt(&self) -> Option<Identity> {
        let mut state = self.lock();
        state.is_current = false;
        state.identity.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Whoever panicked while holding it had only values to write.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gone {
    fn has(&self, peer: usize) -> bool {
        self.silent.iter().any(|silent| silent.peer == peer)
    }

    fn stores(&self) -> Vec<StoreId> {
        let identities = self.silent.iter().filter_map(|silent| silent.identity.as_ref());
        identities.map(|identity| identity.store).collect()
    }
}

/// Copies of a row that may be out of reach: zones of the gone, or stores without a zone.
fn copies<'a>(gone: impl Iterator<Item = Option<&'a Identity>>) -> usize {
    let mut zones = std::collections::BTreeSet::new();
    let mut single = 0;
    for identity in gone {
        match identity {
            Some(identity) if !identity.zone.is_empty() => {
                zones.insert(identity.zone.as_str());
            }
            _ => single += 1,
        }
    }
    zones.len() + single
}

/// Whether the call may have failed for no reason of the query's: the ingester stops, is out of
/// reach, or did not answer in its time.
fn is_silence(error: &IngesterError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

#[cfg(test)]
mod tests;
