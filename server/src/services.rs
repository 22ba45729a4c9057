//! The services of `-target=all`, one step per service: dependencies are constructor arguments, so
//! the compiler checks the order.

use anyhow::Result;
use axum::Router;
use base::Clock;
use base::shutdown::Shutdown;

use crate::app::Shared;

/// Running services.
pub struct Services {
    terminate: Shutdown,
}

impl Services {
    /// Starts them; returns when acknowledged rows can be queried again.
    pub async fn start(shared: &Shared) -> Result<Services> {
        let _ = shared;
        Ok(Services { terminate: Shutdown::new() })
    }

    /// Routes that need a running process.
    pub fn router(&self) -> Router {
        Router::new()
    }

    /// Routes of services that are operational: no tenant, no time limit.
    pub fn operational(&self) -> Router {
        Router::new()
    }

    /// Cancelled when a route asked the process to end.
    pub fn terminate_requested(&self) -> Shutdown {
        self.terminate.clone()
    }

    /// Stops them in reverse.
    pub async fn stop(self, clock: &dyn Clock) -> Result<()> {
        let _ = clock;
        Ok(())
    }
}
