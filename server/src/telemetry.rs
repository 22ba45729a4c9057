//! What the process says about itself: log lines on stderr, traces by OTLP, and the recorder of the
//! `metrics` facade.

pub mod logs;
pub mod metrics;
pub mod process;
pub mod traces;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, anyhow};
use base::task;
use base::time::Clock;
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::Config;
use logs::{AtLevel, Format, Logs};
use traces::Traces;

/// The level that is logged, changeable while running. Clones share it.
#[derive(Clone, Debug)]
pub struct LogLevel(Arc<AtomicU8>);

const LEVELS: [(&str, Level); 4] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
];

impl LogLevel {
    /// `debug`, `info`, `warn` or `error`.
    pub fn parse(name: &str) -> Option<LogLevel> {
        let index = LEVELS.iter().position(|(level, _)| *level == name)?;
        Some(LogLevel(Arc::new(AtomicU8::new(index as u8))))
    }

    /// Changes it to the level called `name`; whether there is one.
    pub fn set(&self, name: &str) -> bool {
        let Some(index) = LEVELS.iter().position(|(level, _)| *level == name) else {
            return false;
        };
        self.0.store(index as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        true
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        LEVELS[usize::from(self.0.load(Ordering::Relaxed))].0
    }

    /// The least severe level that is logged.
    pub fn level(&self) -> Level {
        LEVELS[usize::from(self.0.load(Ordering::Relaxed))].1
    }
}

/// Logs and traces of this process.
pub struct Telemetry {
    /// `/log_level`
    pub level: LogLevel,
    traces: Option<Traces>,
}

/// Starts logging and, where an endpoint is configured, tracing; possible once per process.
pub fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Telemetry> {
    let name = &config.raw.server.log_level;
    let level = LogLevel::parse(name)
        .ok_or_else(|| anyhow!("server.log_level: {name:?} is not debug, info, warn or error"))?;
    let name = &config.raw.server.log_format;
    let format = Format::parse(name)
        .ok_or_else(|| anyhow!("server.log_format: {name:?} is not logfmt or json"))?;
    let traces = match &config.otlp_endpoint {
        Some(endpoint) => Some(Traces::start(endpoint, config.targets)?),
        None => None,
    };
    let spans = traces.as_ref().map(|traces| {
        let own = filter_fn(|metadata| {
            metadata.is_span() && *metadata.level() <= Level::INFO && logs::is_ours(metadata)
        });
        tracing_opentelemetry::layer().with_tracer(traces.tracer()).with_filter(own)
    });
    let lines = Logs::new(format, clock).with_filter(AtLevel(level.clone()));
    let subscriber = tracing_subscriber::registry().with(spans).with(lines);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(Telemetry { level, traces })
}

impl Telemetry {
    /// Sends the spans that are not sent yet.
    pub async fn flush(self) {
        if let Some(traces) = self.traces
            && task::blocking("flush traces", move || traces.shutdown()).await.is_err()
        {
            tracing::error!("sending the last spans panicked");
        }
    }
}
