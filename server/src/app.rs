//! The process: binds first, starts in order, stops in reverse; every step is timed and logged.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::random::{Random, SystemRandom};
use base::shutdown::Shutdown;
use base::task::{self, JoinHandle};
use base::time::{Clock, SystemClock};
use rpc::http::stack::Phase;
use rpc::http::{Budget, Edge, Readiness, TenantPolicy};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::listen::{self, Routes};
use crate::operational::{self, Operational};
use crate::services::Services;
use crate::telemetry;
use crate::telemetry::metrics::Exporter;
use crate::telemetry::process::memory_ceiling_bytes;

/// A process whose port is bound and whose services run.
pub struct App {
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    services: Services,
    /// Stops the port.
    listening: Shutdown,
    listener: JoinHandle<()>,
    /// Stops what runs beside the port.
    background: Shutdown,
}

/// What every part of the process shares.
#[derive(Clone)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The HTTP layers.
    pub edge: Edge,
}

impl App {
    /// Binds the port, answers operational routes at once, then starts the services in order.
    /// Returns when everything is served.
    pub async fn build(config: Config) -> Result<App> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log_level = telemetry::start(&config.raw.server.log_level, clock.clone())?;
        let exporter = Exporter::install()?;
        tracing::info!(version = crate::version::VERSION, "starting");
        tell(&config);
        let listener = listen::bind(&config.raw.server).await?;
        let address = listener.local_addr().context("the address of the listener")?;
        announce(&how_to(address, config.raw.auth_enabled));
        announce(&format!("listening http={address}"));

        let shared = shared(config, clock.clone());
        let config = shared.config.clone();
        let readiness = shared.edge.readiness.clone();
        let operational = operational::router(Operational {
            config: config.clone(),
            readiness: readiness.clone(),
            exporter: exporter.clone(),
            log_level,
        });
        let routes = Routes::new(shared.edge.starting(operational.clone()));
        let listening = Shutdown::new();
        let serve = serve(listener, &routes, &config, &listening);
        let background = Shutdown::new();
        task::spawn("metrics upkeep", exporter.upkeep(background.clone()));

        let services = Services::start(&shared).await?;
        let api = shared.edge.api(services.router());
        routes.open(shared.edge.wrap(operational.merge(api).merge(services.operational())));
        readiness.set(Phase::Running);
        tracing::info!(%address, "ready");
        Ok(App { clock, readiness, services, listening, listener: serve, background })
    }

    /// [`App::build`], then [`App::run`]. A signal during the start ends the process at once:
    /// nothing is acknowledged yet, and what was begun is repeated by the next start.
    pub async fn start_and_run(config: Config) -> Result<()> {
        let app = tokio::select! {
            app = App::build(config) => app?,
            signal = signal() => {
                tracing::info!(why = signal?, "stopped during the start");
                return Ok(());
            }
        };
        app.run().await
    }

    /// Waits for SIGTERM, SIGINT or a route that ends the process; then drains in reverse order.
    pub async fn run(self) -> Result<()> {
        let asked = self.services.terminate_requested();
        let why = tokio::select! {
            signal = signal() => signal?,
            () = asked.cancelled() => "shutdown route",
        };
        tracing::info!(why, "stopping");
        let stop = self.stop();
        tokio::select! {
            stopped = stop => stopped,
            // Who asks twice does not want to wait.
            signal = signal() => anyhow::bail!("{} again: ended before the drain", signal?),
        }
    }

    async fn stop(self) -> Result<()> {
        let clock = &*self.clock;
        self.readiness.set(Phase::Stopping);
        step(clock, "drain connections", async {
            self.listening.cancel();
            self.listener.await.context("the listener's task")
        })
        .await?;
        self.services.stop(clock).await?;
        self.background.cancel();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Runs one step of start or stop and logs how long it took.
pub async fn step<T>(
    clock: &dyn Clock,
    name: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let started_ns = clock.monotonic_ns();
    let result = work.await.with_context(|| name.to_owned());
    let took = Duration::from_nanos(clock.monotonic_ns().saturating_sub(started_ns));
    match &result {
        Ok(_) => tracing::info!(step = name, ?took, "done"),
        Err(error) => tracing::error!(step = name, ?took, "failed: {error:#}"),
    }
    result
}

fn shared(config: Config, clock: Arc<dyn Clock>) -> Shared {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let raw = &config.raw;
    let tenants = TenantPolicy {
        auth_enabled: raw.auth_enabled,
        no_auth_tenant: config.no_auth_tenant.clone(),
        multi_tenant_queries: raw.querier.multi_tenant_queries_enabled,
    };
    let edge = Edge {
        clock: clock.clone(),
        random: random.clone(),
        tenants: Arc::new(tenants),
        bodies: Budget::new(body_budget_bytes(raw.server.http_body_budget.0)),
        readiness: Readiness::default(),
        timeout: raw.server.http_server_write_timeout,
    };
    Shared { config: Arc::new(config), clock, random, edge }
}

/// An eighth of the memory, at most 256 MiB: several of the largest bodies that senders are known to
/// cut, and small beside the heads and the caches.
fn body_budget_bytes(configured: u64) -> usize {
    let bytes = match configured {
        0 => (memory_ceiling_bytes() / 8).min(256 << 20),
        bytes => bytes,
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn serve(
    listener: TcpListener,
    routes: &Routes,
    config: &Config,
    shutdown: &Shutdown,
) -> JoinHandle<()> {
    let server = config.raw.server.clone();
    task::spawn("http", listen::serve(listener, routes.clone(), server, shutdown.clone()))
}

/// Keys without effect: once each, so that nobody relies on what is not there.
fn tell(config: &Config) {
    for notice in &config.notices {
        if notice.error {
            tracing::error!(key = notice.key, "{}", notice.text);
        } else {
            tracing::warn!(key = notice.key, "{}", notice.text);
        }
    }
}

async fn signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("watching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Standard output is an interface (`listening http=ADDR`); that nobody reads it is no error.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn how_to(address: SocketAddr, auth_enabled: bool) -> String {
    let tenant = if auth_enabled { " -H 'X-Scope-OrgID: TENANT'" } else { "" };
    format!(
        "push:  curl -H 'Content-Type: application/json'{tenant} http://{address}/loki/api/v1/push \
         -d '{{\"streams\":[{{\"stream\":{{\"app\":\"demo\"}},\"values\":[[\"'$(date +%s%N)'\",\"hello runelog\"]]}}]}}'\n\
         query: curl -G{tenant} http://{address}/loki/api/v1/query_range \
         --data-urlencode 'query={{app=\"demo\"}} |= \"hello\"'"
    )
}
