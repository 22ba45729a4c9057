//! One function per module: dependencies are arguments, so the compiler checks the order of start;
//! each says how its module ends.

mod derive;
mod local;
mod peers;
mod query;
mod ring;
mod store;

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use base::shutdown::Shutdown;
use base::task;
use compactor::Compactor;
use distributor::Distributor;
use http::{Method, StatusCode};
use ingester::Ingester;
use query_frontend::Frontend;
use rpc::Members;
use rpc::grpc::{RingDoor, serve_frontend, serve_ingester, serve_ring};
use rpc::http::Form;
use rpc::members::{NoRing, Ring};
use tonic::service::{Routes, RoutesBuilder};

use crate::app::Shared;
use crate::config::targets::Target;
use crate::membership::Membership;
use crate::membership::leave::Leaving;
use crate::modules::{Stop, nothing_to_stop};
use crate::overrides::Overrides;

pub use peers::members;
pub use query::{frontend, querier, remote_frontends, ring_frontends};
pub use ring::{Life, is_wanted as wants_ring, life, recover as recover_ring, ring};
pub use store::{Store, store};

/// Watches the files with limits of single tenants.
pub async fn overrides(shared: &Shared) -> Result<((), Stop)> {
    let overrides = Overrides::start(&shared.config, shared.layers.clone())?;
    let shutdown = Shutdown::new();
    let stopping = shutdown.clone();
    let task = task::spawn("runtime config", overrides.run(shutdown));
    let stop: Stop = Box::pin(async move {
        stopping.cancel();
        if !matches!(task.await, Ok(Ok(()))) {
            tracing::error!("the runtime config was not looked at any more: a look had panicked");
        }
    });
    Ok(((), stop))
}

/// Takes rows; returns when acknowledged ones can be queried again. Its end drains it: appends
/// under way finish, the log is closed.
pub async fn ingester(
    shared: &Shared,
    store: &Option<Store>,
    ring: &Option<Membership>,
) -> Result<(Arc<Ingester>, Stop)> {
    let store = store.as_ref().context("an ingester needs the store")?;
    let (disk, wal) = store.wal.clone().context("an ingester needs a log")?;
    let ring: Arc<dyn Ring> = match ring.clone() {
        Some(ring) => Arc::new(ring),
        None => Arc::new(NoRing::default()),
    };
    let deps = ingester::Deps {
        disk,
        clock: shared.clock.clone(),
        random: shared.random.clone(),
        limits: shared.limits.clone(),
        catalog: store.catalog.clone(),
        ring,
    };
    let ingester = Ingester::start(derive::ingester(&shared.config, wal), deps).await?;
    let ends = ingester.clone();
    let stop: Stop = Box::pin(async move {
        // `false` says that a route began the drain; it has ended by then too.
        let _began_here = ends.drain(false).await;
    });
    Ok((ingester, stop))
}

/// Takes pushes. Requests under way were finished by the listener.
pub async fn distributor(
    shared: &Shared,
    members: &Option<Arc<dyn Members>>,
) -> Result<(Arc<Distributor>, Stop)> {
    let members = members.clone().context("a distributor needs ingesters")?;
    // With an ingester of its own it must not wait: the others may be waiting for that one.
    if !shared.config.targets.contains(Target::Ingester) {
        peers::one_answers(shared, &*members).await;
    }
    let distributor = Distributor::new(
        derive::distributor(&shared.config),
        shared.limits.clone(),
        members,
        shared.clock.clone(),
        shared.random.clone(),
    );
    Ok((Arc::new(distributor), nothing_to_stop()))
}

/// Merges, expires, cleans up. Its end waits for the step that is under way.
pub async fn compactor(shared: &Shared, store: &Option<Store>) -> Result<((), Stop)> {
    let store = store.as_ref().context("a compactor needs the store")?;
    let deps = compactor::Deps {
        catalog: store.catalog.clone(),
        clock: shared.clock.clone(),
        random: shared.random.clone(),
        limits: shared.limits.clone(),
    };
    let compactor = Compactor::new(derive::compactor(&shared.config), deps);
    let shutdown = Shutdown::new();
    let stopping = shutdown.clone();
    let task = task::spawn("compactor", async move { compactor.run(shutdown).await });
    let stop: Stop = Box::pin(async move {
        stopping.cancel();
        if task.await.is_err() {
            tracing::error!("the compactor had panicked");
        }
    });
    Ok(((), stop))
}

/// Around the routes of an ingester.
async fn leave(State(leaving): State<Arc<Leaving>>, request: Request, next: Next) -> Response {
    if !ends_ingester(&request) {
        return next.run(request).await;
    }
    let form = Form::parse(request.uri().query().unwrap_or_default(), b"");
    let flushes = form.is_ok_and(|form| form.get("flush") != Some("false"));
    // Whoever asked may go away: what was begun is done to its end.
    let work = async move {
        if flushes {
            leaving.begin().await;
        }
        let answer = next.run(request).await;
        leaving.say().await;
        answer
    };
    match task::spawn("ingester-shutdown", work).await {
        Ok(answer) => answer,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether a request is one that the route takes: no other may begin anything.
fn ends_ingester(request: &Request) -> bool {
    let takes = [Method::GET, Method::HEAD, Method::POST].contains(request.method());
    takes && request.uri().path() == "/ingester/shutdown"
}

/// What this process answers, by service.
pub struct Api {
    /// Flush, shutdown.
    pub ingester: Option<Arc<Ingester>>,
    /// Pushes.
    pub distributor: Option<Arc<Distributor>>,
    /// Queries.
    pub frontend: Option<Arc<Frontend>>,
    /// The ring's calls.
    pub ring: RingDoor,
}

impl Api {
    /// HTTP routes that need a running process.
    pub fn http(&self) -> Router {
        let routers = [
            self.distributor.clone().map(distributor::router),
            self.frontend.clone().map(query_frontend::router),
        ];
        routers.into_iter().flatten().fold(Router::new(), Router::merge)
    }

    /// HTTP routes of services that are operational: no tenant, no time limit. An ingester that is
    /// told to end leaves the ring first, so that nobody finds it ending.
    pub fn operational(&self, life: &Option<Arc<Life>>) -> Router {
        let router = self.ingester.clone().map(ingester::http::router).unwrap_or_default();
        match life {
            None => router,
            Some(life) => router.layer(middleware::from_fn_with_state(life.leaving.clone(), leave)),
        }
    }

    /// gRPC services that clients call, not processes of the cluster.
    pub fn grpc_clients(&self, shared: &Shared) -> Router {
        let router = self.distributor.clone().map(distributor::grpc_router).unwrap_or_default();
        router
            .layer(Extension(shared.edge.tenants.clone()))
            .layer(Extension(shared.edge.bodies.clone()))
    }

    /// gRPC services.
    pub fn grpc(&self, shared: &Shared) -> RoutesBuilder {
        let serving = derive::serving(shared);
        let mut services = Routes::builder();
        services.add_service(serve_ring(self.ring.clone()));
        if let Some(ingester) = &self.ingester {
            services.add_service(serve_ingester(ingester.clone(), &serving));
        }
        if let Some(frontend) = &self.frontend {
            services.add_service(serve_frontend(frontend.clone(), &serving));
        }
        services
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_what_the_shutdown_route_takes_begins_to_leave() {
        let ends = |method: &str, uri: &str| {
            let request = Request::builder().method(method).uri(uri).body(Body::empty());
            ends_ingester(&request.unwrap())
        };
        for method in ["GET", "HEAD", "POST"] {
            assert!(ends(method, "/ingester/shutdown?flush=true"), "{method}");
            assert!(!ends(method, "/ingester/prepare_shutdown"), "{method}");
        }
        for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
            assert!(!ends(method, "/ingester/shutdown"), "{method}");
        }
    }
}
