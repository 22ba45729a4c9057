//! The layers around every handler, as one vertical list.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use base::ErrorKind;
use base::random::Random;
use base::time::Clock;
use http::{HeaderValue, StatusCode, header};

use super::body::Budget;
use super::error::HttpError;
use super::observe;
use super::tenant::TenantPolicy;

/// What the shared layers need. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    /// Time of the request metrics.
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub random: Arc<dyn Random>,
    /// Header -> tenant.
    pub tenants: Arc<TenantPolicy>,
    /// Memory of all bodies in flight.
    pub bodies: Budget,
    /// Whether service routes may be served.
    pub readiness: Readiness,
    /// The longest a service route may take; the answer is 504. A query has its own, shorter limit.
    pub timeout: Duration,
}

impl Edge {
    /// Around the router of a service (push, query): routes that need a running process.
    pub fn api(&self, router: Router) -> Router {
        // Read from the bottom: a later `layer` is further out.
        router
            // Innermost, so that its 504 is measured and traced like any answer.
            .layer(middleware::from_fn_with_state(self.timeout, timeout))
            // Before the handler reads a body: nothing is decoded that cannot be taken.
            .layer(middleware::from_fn_with_state(self.readiness.clone(), ready))
    }

    /// Around everything that listens on the port.
    pub fn wrap(&self, router: Router) -> Router {
        self.outer(router.fallback(not_found))
    }

    /// Around the operational routes while the services start: anything else is answered as
    /// `/ready` is.
    pub fn starting(&self, router: Router) -> Router {
        let readiness = self.readiness.clone();
        self.outer(router.fallback(move || std::future::ready(readiness.answer())))
    }

    fn outer(&self, router: Router) -> Router {
        router
            // Tenant: the rule only; routes that need a tenant extract `Tenant` or `Tenants`.
            .layer(Extension(self.tenants.clone()))
            // Body cap: `body::collect` and `Form` draw on it.
            .layer(Extension(self.bodies.clone()))
            // Go's routers answer an unclean path with the clean one.
            .layer(middleware::from_fn(redirect_unclean_path))
            // A panic becomes a 500 before it is measured, so it is counted like any other answer.
            .layer(middleware::from_fn(observe::catch_panic))
            // Metrics by route: outside of everything that can answer on its own.
            .layer(middleware::from_fn_with_state(self.clock.clone(), observe::measure))
            // Outermost: every log line and every answer has the request's id.
            .layer(middleware::from_fn_with_state(self.random.clone(), observe::trace))
    }
}

/// Go's answer to an unknown path.
async fn not_found() -> HttpError {
    HttpError::push(ErrorKind::NotFound, "404 page not found")
}

async fn redirect_unclean_path(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let Some(mut location) = clean_path(uri.path()) else { return next.run(request).await };
    if let Some(query) = uri.query() {
        location.push('?');
        location.push_str(query);
    }
    match HeaderValue::from_str(&location) {
        Ok(location) => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
        }
        Err(_) => next.run(request).await,
    }
}

/// The path without empty, `.` and `..` steps; `None` if it has none. A slash at the end stays.
fn clean_path(path: &str) -> Option<String> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let unclean = |step: &str| ["", ".", ".."].contains(&step);
    let steps: Vec<&str> = inner.split('/').collect();
    let (last, before) = steps.split_last()?;
    if !before.iter().any(|step| unclean(step)) && ![".", ".."].contains(last) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for step in &steps {
        match *step {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            step => kept.push(step),
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if last.is_empty() && !kept.is_empty() {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

async fn timeout(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => HttpError::query_timeout().into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>, request: Request, next: Next) -> Response {
    match readiness.state() {
        // While draining, requests of open connections are still served.
        Phase::Running | Phase::Stopping => next.run(request).await,
        Phase::Starting(_) => readiness.answer(),
    }
}

/// Where the process stands between start and stop. Clones share the state.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<Phase>>);

/// See [`Readiness`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet; the text says what is waited for.
    Starting(String),
    /// Serving.
    Running,
    /// Draining.
    Stopping,
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness(Arc::new(Mutex::new(Phase::Starting("starting".to_owned()))))
    }
}

impl Readiness {
    /// Moves on to `phase`.
    pub fn set(&self, phase: Phase) {
        *self.lock() = phase;
    }

    /// The present phase.
    pub fn state(&self) -> Phase {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Phase> {
        // Whoever panicked while holding it had only a value to write.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The answer of `GET /ready`: 200 `ready`, else 503 and the reason.
    pub fn answer(&self) -> Response {
        let text = match self.state() {
            Phase::Running => {
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                return (StatusCode::OK, [(header::CONTENT_TYPE, plain)], "ready\n")
                    .into_response();
            }
            Phase::Starting(what) => format!("Ingester not ready: {what}"),
            Phase::Stopping => "Application is stopping".to_owned(),
        };
        HttpError::push(ErrorKind::Unavailable, text).into_response()
    }
}

#[cfg(test)]
mod tests;
