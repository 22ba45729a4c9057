//! The log of commits is followed also when nobody asks: batches that another ingester flushed leave
//! this one's memory and write-ahead log (W3).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::core::Core;

/// Courtesy: a query follows the log by itself.
const PERIOD: Duration = Duration::from_secs(10);

impl Core {
    /// Runs until [`Core::stop`].
    pub(crate) async fn follow_log(self: Arc<Self>) {
        let mut tick = interval_at(Instant::now() + PERIOD, PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let followed = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                followed = self.deps.catalog.follow() => followed,
            };
            if let Err(error) = followed {
                tracing::warn!(%error, "the log of commits is not followed; later again");
            }
        }
    }
}
