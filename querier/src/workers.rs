//! A querier's places at a query frontend: as many workers as it runs jobs at a time.

use std::sync::Arc;
use std::time::Duration;

use base::shutdown::Shutdown;
use futures::future::join_all;
use metrics::gauge;
use rpc::frontend::{FrontendApi, Worker};
use rpc::querier::QuerierApi;

use crate::metrics::CONCURRENCY;

/// How long a worker stays away from a frontend that stopped or broke the connection: short beside
/// the patience of a query, long enough that a frontend that is down is not hammered.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps `places` workers at `frontend`, until `shutdown`. A frontend that stops, or is not there
/// yet, is tried again. `name` is the querier's process.
pub async fn attend(
    frontend: Arc<dyn FrontendApi>,
    querier: Arc<dyn QuerierApi>,
    name: String,
    places: usize,
    shutdown: Shutdown,
) {
    gauge!(CONCURRENCY).increment(places as f64);
    let worker = Worker { querier: name };
    let stays = (0..places).map(|_| stay(&*frontend, &querier, &worker));
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        _ = join_all(stays) => {}
    }
    gauge!(CONCURRENCY).decrement(places as f64);
}

async fn stay(frontend: &dyn FrontendApi, querier: &Arc<dyn QuerierApi>, worker: &Worker) {
    loop {
        match frontend.work(worker.clone(), querier.clone()).await {
            Ok(()) => tracing::debug!(querier = worker.querier, "sent away by the query frontend"),
            Err(error) => tracing::warn!(querier = worker.querier, %error, "no query frontend"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
