//! The ports: accept connections, over TLS where it is configured, speak HTTP/1.1 and HTTP/2 (gRPC:
//! only that), drain.
//!
//! A client that goes away takes its handler with it: hyper drops the handler's future, and what
//! the handler started must end with it. A client that says nothing is cut: [`handshakes`] in a
//! handshake, here before its first request, hyper between two; one that does not read its answer,
//! by [`patient`].

mod handshakes;
mod patient;

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
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use metrics::gauge;
use rpc::tls::ServerTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::config::root::ServerConfig;
use handshakes::Handshakes;
use patient::Patient;

pub use handshakes::HANDSHAKES_FAILED;

/// Gauge {protocol}: open connections.
pub const TCP_CONNECTIONS: &str = "loki_tcp_connections";
/// Gauge {protocol}: the most that may be open.
pub const TCP_CONNECTIONS_LIMIT: &str = "loki_tcp_connections_limit";

/// The ceiling where none is configured: below the usual 65,536 descriptors of a service.
const DEFAULT_CONNECTION_LIMIT: usize = 32_768;
/// How long the accept loop rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Windows of HTTP/2 between processes of one cluster: a batch or an answer of a few MB does not
/// wait for round trips, and a connection buffers no more than this.
const GRPC_STREAM_WINDOW_BYTES: u32 = 4 << 20;
const GRPC_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

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

/// A port that is bound and not served yet.
pub struct Door {
    listener: TcpListener,
    /// Names the port in metrics and logs: `http` or `grpc`.
    name: &'static str,
    /// Connections that may be open.
    limit: usize,
    protocol: Builder<TokioExecutor>,
    /// Plain text without it.
    tls: Option<ServerTls>,
    /// A connection that brings no request within this, or does not read for as long, is closed.
    patience: Duration,
    /// How long open requests get after the shutdown.
    grace: Duration,
}

impl Door {
    /// Binds the HTTP port.
    pub async fn http(config: &ServerConfig, tls: Option<ServerTls>) -> io::Result<Door> {
        let (host, port) = (&config.http_listen_address, config.http_listen_port);
        Ok(Door {
            listener: bind("http", host, port).await?,
            name: "http",
            limit: limit(config.http_listen_conn_limit),
            protocol: http_protocol(config),
            tls,
            patience: patience(config),
            grace: config.graceful_shutdown_timeout,
        })
    }

    /// Binds the gRPC port.
    pub async fn grpc(config: &ServerConfig, tls: Option<ServerTls>) -> io::Result<Door> {
        let (host, port) = (&config.grpc_listen_address, config.grpc_listen_port);
        Ok(Door {
            listener: bind("grpc", host, port).await?,
            name: "grpc",
            limit: DEFAULT_CONNECTION_LIMIT,
            protocol: grpc_protocol(config),
            tls,
            patience: patience(config),
            grace: config.graceful_shutdown_timeout,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until `shutdown`, then waits for open requests, at most the configured grace.
    pub async fn serve(self, routes: Routes, shutdown: Shutdown) {
        let Door { listener, name, limit, protocol, tls, patience, grace } = self;
        gauge!(TCP_CONNECTIONS_LIMIT, "protocol" => name).set(limit as f64);
        let slots = Arc::new(Semaphore::new(limit));
        let handshakes = tls.map(|tls| Handshakes::new(name, tls, limit));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &slots) => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, port = name, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let routes = routes.clone();
            let protocol = protocol.clone();
            let visit = Visit { name, protocol, routes, patience, watcher: graceful.watcher() };
            let Some(handshakes) = &handshakes else {
                task::spawn("connection", async move {
                    visit.serve(stream).await;
                    drop(slot);
                });
                continue;
            };
            let handshake = handshakes.begin(stream, shutdown.clone());
            task::spawn("connection", async move {
                if let Some(stream) = handshake.await {
                    visit.serve(stream).await;
                }
                drop(slot);
            });
        }
        drop(listener);
        let open = graceful.count();
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(?grace, open, port = name, "connections did not end in time");
        }
    }
}

/// What one connection is served with.
struct Visit {
    name: &'static str,
    protocol: Builder<TokioExecutor>,
    routes: Routes,
    patience: Duration,
    watcher: Watcher,
}

impl Visit {
    /// Serves one connection to its end.
    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Visit { name, protocol, routes, patience, watcher } = self;
        let begun = Arc::new(Notify::new());
        let begins = begun.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            begins.notify_one();
            answer(routes.current(), request)
        });
        let stream = TokioIo::new(Patient::new(stream, patience));
        let connection = protocol.serve_connection_with_upgrades(stream, service);
        let connection = watcher.watch(connection.into_owned());
        tokio::pin!(connection);
        let open = gauge!(TCP_CONNECTIONS, "protocol" => name);
        open.increment(1.0);
        // The protocol is told by the first bytes, and nobody else bounds the wait for those.
        let ended = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            begins = tokio::time::timeout(patience, begun.notified()) => match begins {
                Ok(()) => Some(connection.await),
                Err(_) => None,
            },
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::debug!(error = error.to_string(), port = name, "connection ended");
            }
            None => tracing::debug!(port = name, "a connection brought no request"),
        }
        open.decrement(1.0);
    }
}

fn limit(configured: u64) -> usize {
    match usize::try_from(configured) {
        Ok(limit @ 1..) => limit,
        _ => DEFAULT_CONNECTION_LIMIT,
    }
}

async fn bind(name: &str, host: &str, port: u16) -> io::Result<TcpListener> {
    let host = match host {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED).to_string(),
        host => host.to_owned(),
    };
    TcpListener::bind((host.trim_matches(['[', ']']), port)).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {name}://{host}:{port}: {error}"))
    })
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

fn patience(config: &ServerConfig) -> Duration {
    config.http_server_idle_timeout.max(config.http_server_read_timeout)
}

fn http_protocol(config: &ServerConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The timer runs between requests too: it is the idle limit. A client that sends its head
    // slowly is cut by the same.
    let idle = patience(config);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle).keep_alive(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(idle));
    builder
}

fn grpc_protocol(config: &ServerConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    let streams = Some(config.grpc_server_max_concurrent_streams).filter(|&streams| streams > 0);
    let keepalive = Some(config.grpc_server_keepalive_time).filter(|every| !every.is_zero());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(keepalive)
        .keep_alive_timeout(config.grpc_server_keepalive_timeout)
        .max_concurrent_streams(streams)
        .initial_stream_window_size(GRPC_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(GRPC_CONNECTION_WINDOW_BYTES)
        .max_frame_size(rpc::grpc::MAX_FRAME_BYTES);
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
