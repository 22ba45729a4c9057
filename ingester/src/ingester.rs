//! The service: start, the calls of `rpc::IngesterApi`, drain.

use std::sync::Arc;

use base::Clock;
use base::disk::Disk;
use base::random::Random;
use base::shutdown::Shutdown;

use crate::{Config, Error, Limits};

/// What an ingester needs from others.
pub struct Deps {
    /// Where the WAL lies.
    pub disk: Arc<dyn Disk>,
    /// Ages, rates; never correctness.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub random: Arc<dyn Random>,
    /// Limits of tenants.
    pub limits: Arc<dyn Limits>,
    // The bucket and the catalog handle of crate `store` follow here.
}

/// One ingester. Implements [`rpc::IngesterApi`].
pub struct Ingester {
    _private: (),
}

impl Ingester {
    /// Opens the WAL, rebuilds the heads from it and starts the background work. Returns when all
    /// acknowledged rows can be queried again.
    pub async fn start(_config: Config, _deps: Deps) -> Result<Arc<Ingester>, Error> {
        unimplemented!()
    }

    /// Flushes everything that is held now; returns when it is committed.
    pub async fn flush_all(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Refuses new appends, lets those under way finish, flushes if `flush` or the configuration
    /// says so, syncs and closes the WAL.
    pub async fn drain(&self, _flush: bool) -> Result<(), Error> {
        unimplemented!()
    }

    /// Cancelled when `/ingester/shutdown` asked the process to end: the server waits for it as it
    /// does for SIGTERM.
    pub fn terminate_requested(&self) -> Shutdown {
        unimplemented!()
    }
}
