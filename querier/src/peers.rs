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
    /// Who it was when it last answered; asked anew after every failed call, because another
    /// process, with another store, may have come up at its address.
    identity: Mutex<Option<Identity>>,
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
        let known = |peer| Known { peer, identity: Mutex::default() };
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
            let stores = gone.stores();
            let asked: Vec<usize> = (0..self.list.len()).filter(|&peer| !gone.has(peer)).collect();
            let calls = asked.iter().map(|&peer| {
                let known = &self.list[peer];
                let (call, stores) = (&call, stores.clone());
                async move {
                    known.identify().await?;
                    call(&known.peer, stores).await
                }
            });
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
            if complete {
                return Ok(answers);
            }
            self.check(gone)?;
        }
    }

    /// What a failed call says about its peer.
    fn silence(&self, peer: usize, error: IngesterError, gone: &mut Gone) -> Result<(), Error> {
        let misplaced = error.kind() == ErrorKind::Conflict;
        if !misplaced && !is_silence(&error) {
            return Err(error.into());
        }
        let identity = self.list[peer].forget();
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
        let nameless = gone.silent.iter().any(|silent| silent.identity.is_none());
        let copies = gone.zones();
        if !nameless && copies <= self.replication_factor / 2 {
            return Ok(());
        }
        let silent = gone.silent.iter();
        let address = |silent: &Silent| self.list[silent.peer].peer.address.clone();
        let addresses: Vec<String> = silent.clone().map(address).collect();
        let reasons: Vec<String> = silent
            .map(|silent| match &silent.identity {
                Some(identity) => {
                    format!("{} (store {}): {}", address(silent), identity.store, silent.why)
                }
                None => format!("{}: {}", address(silent), silent.why),
            })
            .collect();
        Err(Error::TooFewReplicas {
            required: self.replication_factor / 2 + 1,
            found: self.replication_factor.saturating_sub(copies.max(1)),
            unhealthy: addresses.join(","),
            reasons: reasons.join("; "),
        })
    }
}

impl Known {
    async fn identify(&self) -> Result<(), IngesterError> {
        if self.lock().is_none() {
            let identity = self.peer.api.identify().await?;
            *self.lock() = Some(identity);
        }
        Ok(())
    }

    fn forget(&self) -> Option<Identity> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Identity>> {
        // Whoever panicked while holding it had only a value to write.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Copies of a row that may be out of reach: silent zones, or silent stores without a zone.
    fn zones(&self) -> usize {
        let mut zones = std::collections::BTreeSet::new();
        let mut single = 0;
        for silent in &self.silent {
            match &silent.identity {
                Some(identity) if !identity.zone.is_empty() => {
                    zones.insert(identity.zone.as_str());
                }
                _ => single += 1,
            }
        }
        zones.len() + single
    }
}

/// Whether the call may have failed for no reason of the query's: the ingester stops, is out of
/// reach, or did not answer in its time.
fn is_silence(error: &IngesterError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

#[cfg(test)]
mod tests;
