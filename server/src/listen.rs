//! The port: accepts connections, speaks HTTP/1.1 and cleartext HTTP/2, drains.
//!
//! A client that goes away takes its handler with it: hyper drops the handler's future, and what
//! the handler started must end with it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use base::shutdown::Shutdown;
use base::task;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use metrics::gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::config::root::ServerConfig;

/// Gauge {protocol}: open connections.
pub const TCP_CONNECTIONS: &str = "loki_tcp_connections";
/// Gauge {protocol}: the most that may be open.
pub const TCP_CONNECTIONS_LIMIT: &str = "loki_tcp_connections_limit";

/// The ceiling where none is configured: below the usual 65,536 descriptors of a service.
const DEFAULT_CONNECTION_LIMIT: usize = 32_768;
/// How long the accept loop rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers. Until the services are there it is `starting`; then, once, `running`.
#[derive(Clone)]
pub struct Routes {
    starting: Router,
    running: Arc<OnceLock<Router>>,
}

impl Routes {
    /// `starting` answers until [`Routes::open`].
    pub fn new(starting: Router) -> Routes {
        Routes { starting, running: Arc::default() }
    }

    /// From now on `running` answers.
    pub fn open(&self, running: Router) {
        assert!(self.running.set(running).is_ok(), "services start once");
    }

    fn current(&self) -> Router {
        self.running.get().unwrap_or(&self.starting).clone()
    }
}

/// Binds the HTTP port.
pub async fn bind(config: &ServerConfig) -> io::Result<TcpListener> {
    let host = match config.http_listen_address.as_str() {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED).to_string(),
        host => host.to_owned(),
    };
    let address = (host.trim_matches(['[', ']']), config.http_listen_port);
    TcpListener::bind(address).await.map_err(|error| {
        let port = config.http_listen_port;
        io::Error::new(error.kind(), format!("cannot listen on http://{host}:{port}: {error}"))
    })
}

/// Accepts until `shutdown`, then waits for open requests, at most `grace`.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    config: ServerConfig,
    shutdown: Shutdown,
) {
    let limit = match usize::try_from(config.http_listen_conn_limit) {
        Ok(limit @ 1..) => limit,
        _ => DEFAULT_CONNECTION_LIMIT,
    };
    gauge!(TCP_CONNECTIONS_LIMIT, "protocol" => "http").set(limit as f64);
    let slots = Arc::new(Semaphore::new(limit));
    let protocol = protocol(&config);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone();
        let service =
            service_fn(move |request: Request<Incoming>| answer(routes.current(), request));
        let connection = protocol.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        task::spawn("http connection", async move {
            let open = gauge!(TCP_CONNECTIONS, "protocol" => "http");
            open.increment(1.0);
            if let Err(error) = connection.await {
                tracing::debug!(error = error.to_string(), "connection ended");
            }
            open.decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    let open = graceful.count();
    if tokio::time::timeout(config.graceful_shutdown_timeout, graceful.shutdown()).await.is_err() {
        let grace = config.graceful_shutdown_timeout;
        tracing::warn!(?grace, open, "connections did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _): (TcpStream, SocketAddr) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

fn protocol(config: &ServerConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The timer runs between requests too: it is the idle limit. A client that sends its head
    // slowly is cut by the same.
    let idle = config.http_server_idle_timeout.max(config.http_server_read_timeout);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle).keep_alive(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(idle));
    builder
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    router.oneshot(request.map(Body::new)).await
}

#[cfg(test)]
mod tests;
