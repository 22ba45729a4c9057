//! From whom the leader hears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::StoreId;
use base::time::Clock;

/// When each instance was last heard. Only the leader's list means anything.
pub(crate) struct Beats {
    clock: Arc<dyn Clock>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    at: BTreeMap<StoreId, u64>,
    /// When this process began to listen: before that nobody was silent.
    since: Option<u64>,
}

impl Beats {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Beats {
        Beats { clock, heard: Mutex::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody called.
    pub(crate) fn beat(&self, store: StoreId) {
        let now = self.clock.monotonic_ns();
        self.heard().at.insert(store, now);
    }

    /// This process does not lead.
    pub(crate) fn rest(&self) {
        self.heard().since = None;
    }

    /// For how long `store` has been silent, while this process led.
    pub(crate) fn silence(&self, store: StoreId) -> Duration {
        let now = self.clock.monotonic_ns();
        let mut heard = self.heard();
        let since = *heard.since.get_or_insert(now);
        let last = heard.at.get(&store).copied().unwrap_or(0).max(since);
        Duration::from_nanos(now.saturating_sub(last))
    }

    /// Forgets all but these.
    pub(crate) fn keep(&self, known: impl Fn(StoreId) -> bool) {
        self.heard().at.retain(|&store, _| known(store));
    }
}
