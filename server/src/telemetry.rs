//! Logs as logfmt on stderr, and the recorder of the `metrics` facade.

pub mod logfmt;
pub mod metrics;
pub mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, anyhow};
use base::time::Clock;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;

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

/// Starts logging at the level called `name`; possible once per process.
pub fn start(name: &str, clock: Arc<dyn Clock>) -> Result<LogLevel> {
    let level = LogLevel::parse(name)
        .ok_or_else(|| anyhow!("server.log_level: {name:?} is not debug, info, warn or error"))?;
    let layer = logfmt::Logfmt::new(level.clone(), clock);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(level)
}
