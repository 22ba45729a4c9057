//! The newest state that this process knows, for everybody in it.
//!
//! Not `tokio::sync::watch`: it wakes those who wait in an order that is drawn anew in every run,
//! and a simulation could not be repeated.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ring::State;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::metrics::VERSION;

/// Where a newer state is offered. Clones offer to the same.
#[derive(Clone)]
pub(crate) struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    newest: Mutex<Arc<State>>,
    changed: Notify,
    /// The newest state that somebody asked for as bytes: all who wait are told the same.
    encoded: Mutex<(u64, Bytes)>,
}

/// Follows the newest state. Versions only rise. Clones follow on their own.
#[derive(Clone)]
pub struct States {
    shared: Arc<Shared>,
    /// The version that [`States::changed`] waits to be passed.
    seen: u64,
}

impl Shared {
    fn newest(&self) -> Arc<State> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Publisher {
    pub(crate) fn new(cluster: Ulid) -> Publisher {
        let newest = Mutex::new(Arc::new(State::new(cluster)));
        let (changed, encoded) = (Notify::new(), Mutex::default());
        Publisher { shared: Arc::new(Shared { newest, changed, encoded }) }
    }

    /// Shows `state` unless one at least as new is shown: versions never go back.
    pub(crate) fn offer(&self, state: &Arc<State>) {
        {
            let mut newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if state.version <= newest.version {
                return;
            }
            *newest = Arc::clone(state);
        }
        metrics::gauge!(VERSION).set(state.version as f64);
        self.shared.changed.notify_waiters();
    }

    /// The newest state as bytes, if it is newer than `known`. Written once per version.
    pub(crate) fn newer(&self, known: u64) -> Option<Bytes> {
        let newest = self.newest();
        if newest.version <= known {
            return None;
        }
        let mut encoded = self.shared.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if encoded.0 < newest.version {
            *encoded = (newest.version, newest.encode().into());
        }
        Some(encoded.1.clone())
    }

    pub(crate) fn states(&self) -> States {
        States { shared: Arc::clone(&self.shared), seen: 0 }
    }

    pub(crate) fn newest(&self) -> Arc<State> {
        self.shared.newest()
    }
}

impl States {
    /// The newest state. [`States::changed`] waits for a newer one from now on.
    pub fn newest(&mut self) -> Arc<State> {
        let newest = self.shared.newest();
        self.seen = newest.version;
        newest
    }

    /// Waits for a state that is newer than what [`States::newest`] gave last.
    pub async fn changed(&mut self) {
        let seen = self.seen;
        self.wait_for(|state| state.version > seen).await;
    }

    /// Waits for a state of which something is true, and gives it.
    pub async fn wait_for(&mut self, is_so: impl Fn(&State) -> bool) -> Arc<State> {
        let shared = Arc::clone(&self.shared);
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let newest = self.newest();
            if is_so(&newest) {
                return newest;
            }
            changed.await;
        }
    }
}
