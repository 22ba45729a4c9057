//! The process: binds every port first, starts its modules in order, stops them in reverse.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use base::random::{Random, SystemRandom};
use base::shutdown::Shutdown;
use base::task;
use base::time::{Clock, SystemClock};
use rpc::grpc::RingDoor;
use rpc::http::stack::Phase;
use rpc::http::{Budget, Edge, Readiness, TenantPolicy};

use crate::config::Config;
use crate::config::targets::Target;
use crate::grpc::Grpc;
use crate::limits::ConfigLimits;
use crate::listen::{Door, Routes};
use crate::membership::who::Ports;
use crate::membership::{Membership, page};
use crate::modules::{Board, Modules, Stop};
use crate::operational::{self, Operational};
use crate::overrides::api;
use crate::overrides::layers::Layers;
use crate::services::{self, Api, Life};
use crate::telemetry::metrics::Exporter;
use crate::telemetry::process::memory_ceiling_bytes;
use crate::telemetry::{self, Telemetry};
use crate::tenant_limits;
use crate::tls::Tls;

/// A process whose ports are bound and whose modules run.
pub struct App {
    readiness: Readiness,
    grpc: Grpc,
    modules: Modules,
    /// Cancelled when a route asks the process to end.
    asked: Shutdown,
    start: Start,
    /// This process's place in the ring.
    life: Option<Arc<Life>>,
    shutdown_delay: Duration,
    /// Stops what runs beside the modules.
    background: Shutdown,
    telemetry: Telemetry,
}

/// Why a process stops whose store others have cleared.
const REMOVED: &str = "removed from the ring";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was told to.
    Stopped,
    /// Its store was removed from the ring, and what was in it is flushed: the next start in the
    /// same directory is a new store.
    Removed,
}

/// How far a start is, for whoever ends it.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Cancelled when everything is served: from here on rows may be acknowledged.
    pub is_open: Shutdown,
    /// Cancelled by whoever wants what is open to be drained: nothing is waited for any more.
    pub is_ended: Shutdown,
}

/// What every part of the process shares.
#[derive(Clone)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Limits of tenants.
    pub limits: Arc<ConfigLimits>,
    /// Where they come from.
    pub layers: Arc<Layers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The HTTP layers; its readiness says what a start waits for.
    pub edge: Edge,
    /// How far the start is.
    pub start: Start,
    /// TLS of its ports and of its calls.
    pub tls: Tls,
}

impl App {
    /// Binds the ports, answers operational routes at once, then starts the modules of the targets
    /// in order. Returns when everything is served, or at once when what is served is to be drained.
    pub async fn build(config: Config, start: Start) -> Result<App> {
        let tls = Tls::open(&config)?;
        let shared = shared(config, start.clone(), tls);
        let config = shared.config.clone();
        let telemetry = telemetry::start(&config, shared.clock.clone())?;
        let exporter = Exporter::install()?;
        tracing::info!(version = crate::version::VERSION, targets = ?config.targets, "starting");
        tell(&config);
        let http = Door::http(&config.raw.server, shared.tls.http.clone()).await?;
        let grpc = Door::grpc(&config.raw.server, shared.tls.grpc.clone()).await?;
        let (http_address, grpc_address) = (http.address()?, grpc.address()?);
        if config.targets == crate::config::targets::Targets::ALL {
            let scheme = if shared.tls.http.is_some() { "https" } else { "http" };
            announce(&how_to(scheme, http_address, config.raw.auth_enabled));
        }
        announce(&format!("listening http={http_address} grpc={grpc_address}"));

        let board = Board::default();
        let readiness = shared.edge.readiness.clone();
        let operational = operational::router(Operational {
            config: config.clone(),
            readiness: readiness.clone(),
            board: board.clone(),
            exporter: exporter.clone(),
            log_level: telemetry.level.clone(),
        });
        let http_routes = Routes::new(shared.edge.starting(operational.clone()));
        let health = Grpc::new(readiness.clone());
        health.follow_readiness().await;
        let door = RingDoor::default();
        let grpc_routes = Routes::new(health.starting(door.clone()));
        let http = serve(http, &http_routes);
        let grpc = serve(grpc, &grpc_routes);
        let background = Shutdown::new();
        task::spawn("metrics upkeep", exporter.upkeep(background.clone()));

        let wants = |target| config.targets.contains(target);
        let reads = wants(Target::Ingester) || wants(Target::Querier) || wants(Target::Compactor);
        let calls = wants(Target::Distributor) || wants(Target::Querier);
        let mut modules = Modules::new(shared.clock.clone(), board);
        let s = &shared;
        let m = &mut modules;
        let has_overrides = !config.runtime_files.is_empty();
        m.start("runtime-config", has_overrides, services::overrides(s)).await?;
        let store = m.start("store", reads, services::store(s)).await?;
        let ports = Ports { http: http_address, grpc: grpc_address };
        let in_ring = services::wants_ring(&config, &store);
        let ring = m.start("ring", in_ring, services::ring(s, &store, ports, &door)).await?;
        let ingester = m
            .start("ingester", wants(Target::Ingester), services::ingester(s, &store, &ring))
            .await?;
        m.start("grpc", true, listening(grpc)).await?;
        let members =
            m.start("ingester-client", calls, services::members(s, &ingester, &ring)).await?;
        let distributor = m
            .start("distributor", wants(Target::Distributor), services::distributor(s, &members))
            .await?;
        let querier = m
            .start("querier", wants(Target::Querier), services::querier(s, &store, &members))
            .await?;
        // A querier answers queries by itself too: a frontend in front of it in this process.
        let answers = wants(Target::QueryFrontend) || wants(Target::Querier);
        let frontend = m.start("query-frontend", answers, services::frontend(s, &querier)).await?;
        let works = wants(Target::Querier) && !config.frontend_addresses.is_empty();
        m.start("frontend-worker", works, services::remote_frontends(s, &querier)).await?;
        // A process that has a frontend of its own works for that one.
        let alone = wants(Target::Querier) && !wants(Target::QueryFrontend);
        let seeks = alone && !works && !config.ring_join.is_empty();
        m.start("frontend-seeker", seeks, services::ring_frontends(s, &querier, &ring)).await?;
        m.start("compactor", wants(Target::Compactor), services::compactor(s, &store)).await?;
        m.start("http", true, listening(http)).await?;

        let asked = ingester.as_ref().map(|i| i.terminate_requested()).unwrap_or_default();
        let api = Api { ingester, distributor, frontend, ring: door };
        let patterns = config.raw.pattern_ingester.enabled;
        let limits = tenant_limits::router(shared.limits.clone(), patterns);
        let service = shared.edge.api(api.http().merge(limits));
        grpc_routes.open(health.running(api.grpc(&shared), api.grpc_clients(&shared)));
        start.is_open.cancel();
        // Others may place streams here from now on: everything that they call answers.
        let life = m.start("ring-life", in_ring, services::life(s, &ring, &store, &api.ingester));
        let life = life.await?.map(Arc::new);
        let operator = shared.ring_routes(ring).merge(api.operational(&life));
        http_routes.open(shared.edge.wrap(operational.merge(service).merge(operator)));
        readiness.set(Phase::Running);
        health.follow_readiness().await;
        tracing::info!(http = %http_address, grpc = %grpc_address, "ready");
        let shutdown_delay = config.raw.shutdown_delay;
        Ok(App {
            readiness,
            grpc: health,
            modules,
            asked,
            start,
            life,
            shutdown_delay,
            background,
            telemetry,
        })
    }

    /// [`App::build`], then [`App::run`]. A signal before anything is served ends the process at
    /// once: nothing is acknowledged yet, and what was begun is repeated by the next start. Later,
    /// while the process waits for its place in the ring, it is drained as ever.
    pub async fn start_and_run(config: Config) -> Result<Ended> {
        let start = Start::default();
        let build = App::build(config, start.clone());
        tokio::pin!(build);
        let why = tokio::select! {
            app = &mut build => return app?.run().await,
            signal = signal() => signal?,
        };
        if !start.is_open.is_cancelled() {
            tracing::info!(why, "stopped during the start");
            return Ok(Ended::Stopped);
        }
        start.is_ended.cancel();
        let app = tokio::select! {
            app = build => app?,
            signal = signal() => anyhow::bail!("{} again: ended before the drain", signal?),
        };
        app.run().await
    }

    /// Waits for SIGTERM, SIGINT or a route that ends the process; then drains in reverse order.
    pub async fn run(self) -> Result<Ended> {
        let life = self.life.clone();
        let removed = life.as_ref().map(|life| life.removed.clone()).unwrap_or_default();
        let why = tokio::select! {
            signal = signal() => signal?,
            () = self.asked.cancelled() => "shutdown route",
            () = self.start.is_ended.cancelled() => "a signal during the start",
            () = removed.cancelled() => REMOVED,
        };
        tracing::info!(why, "stopping");
        tokio::select! {
            stopped = self.stop() => stopped?,
            // Who asks twice does not want to wait.
            signal = signal() => anyhow::bail!("{} again: ended before the drain", signal?),
        }
        let is_another = life.is_some_and(|life| life.leaving.is_another());
        match why {
            REMOVED if is_another => Ok(Ended::Removed),
            REMOVED => anyhow::bail!("removed from the ring, and not everything could be flushed"),
            _ => Ok(Ended::Stopped),
        }
    }

    async fn stop(self) -> Result<()> {
        self.readiness.set(Phase::Stopping);
        self.grpc.follow_readiness().await;
        if !self.shutdown_delay.is_zero() {
            // Whoever sends requests here by `/ready` turns away before connections are refused.
            tokio::time::sleep(self.shutdown_delay).await;
        }
        self.modules.stop().await?;
        self.background.cancel();
        tracing::info!("stopped");
        self.telemetry.flush().await;
        Ok(())
    }
}

/// Serves a port from now on; the answer drains it.
fn serve(door: Door, routes: &Routes) -> Stop {
    let shutdown = Shutdown::new();
    let task = task::spawn("listener", door.serve(routes.clone(), shutdown.clone()));
    Box::pin(async move {
        shutdown.cancel();
        if task.await.is_err() {
            tracing::error!("a listener had panicked");
        }
    })
}

/// A port as a module: it listens since the ports were bound, and stops when its turn comes.
async fn listening(stop: Stop) -> Result<((), Stop)> {
    Ok(((), stop))
}

fn shared(config: Config, start: Start, tls: Tls) -> Shared {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
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
    let limits = Arc::new(ConfigLimits::new(&config));
    let layers = Arc::new(Layers::new(limits.clone()));
    Shared { config: Arc::new(config), limits, layers, clock, random, edge, start, tls }
}

impl Shared {
    /// Routes that show and change what the ring holds.
    fn ring_routes(&self, ring: Option<Membership>) -> Router {
        let page = page::router(page::Page { ring: ring.clone(), clock: self.clock.clone() });
        page.merge(api::router(api::Api { ring, layers: self.layers.clone() }))
    }
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

/// Keys without effect: once each, so that nobody relies on what is not there.
fn tell(config: &Config) {
    for notice in &config.notices {
        if notice.error {
            tracing::error!(key = notice.key, "{}", notice.text);
        } else {
            tracing::warn!(key = notice.key, "{}", notice.text);
        }
    }
    if config.log_reversed {
        for line in config.dump().lines().rev() {
            tracing::info!("{line}");
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

/// Standard output is an interface (`listening http=ADDR grpc=ADDR`); that nobody reads it is no
/// error.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn how_to(scheme: &str, address: SocketAddr, auth_enabled: bool) -> String {
    let tenant = if auth_enabled { " -H 'X-Scope-OrgID: TENANT'" } else { "" };
    format!(
        "push:  curl -H 'Content-Type: application/json'{tenant} {scheme}://{address}/loki/api/v1/push \
         -d '{{\"streams\":[{{\"stream\":{{\"app\":\"demo\"}},\"values\":[[\"'$(date +%s%N)'\",\"hello runelog\"]]}}]}}'\n\
         query: curl -G{tenant} {scheme}://{address}/loki/api/v1/query_range \
         --data-urlencode 'query={{app=\"demo\"}} |= \"hello\"'"
    )
}
