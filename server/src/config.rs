//! YAML and flags -> [`RawConfig`] -> [`Config`]: validated, derived, immutable.
//!
//! Without a file the defaults are those of a single node that is easy to start; with one they are
//! Loki's. Only this crate sees the raw form.

pub mod limits;
pub mod root;
pub mod storage;
pub mod store;
pub mod targets;
pub mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base::{TenantId, UnixNanos};

use limits::LimitsConfig;
use root::RawConfig;
use store::StoreConfig;
use targets::Targets;
use value::{Scalar, Status, Value};

/// Everything the process does differently from another one.
#[derive(Clone, Debug)]
pub struct Config {
    /// As read; what `/config` prints.
    pub raw: RawConfig,
    /// The services of this process.
    pub targets: Targets,
    /// `host:port` or `dns+host:port` of ingesters; empty is the one in this process.
    pub ingester_addresses: Vec<String>,
    /// The same of the query frontends a querier works for.
    pub frontend_addresses: Vec<String>,
    /// Where traces are sent by OTLP over gRPC; `None` is nowhere.
    pub otlp_endpoint: Option<String>,
    /// Pieces of queries of one tenant that may wait for a querier.
    pub max_outstanding_per_tenant: usize,
    /// Queries that take longer are told of in the log; `None` is none, zero is every one.
    pub log_queries_longer_than: Option<Duration>,
    /// The object store.
    pub store: StoreConfig,
    /// Directory of the log.
    pub wal_dir: PathBuf,
    /// Start of the first schema period; rows before it are refused.
    pub schema_from: Option<UnixNanos>,
    /// See `limits_config.out_of_order_window`; zero is without end.
    pub out_of_order_window: Duration,
    /// See `limits_config.block_ingestion_until`.
    pub block_ingestion_until: Option<UnixNanos>,
    /// See `no_auth_tenant`.
    pub no_auth_tenant: TenantId,
    /// What the user should hear: keys that do nothing.
    pub notices: Vec<Notice>,
}

/// A key that is set and does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `block.key`.
    pub key: String,
    /// What happens instead, or what is missing.
    pub text: String,
    /// Missing: the user may rely on something that is not there.
    pub error: bool,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `-config.file`.
    pub file: Option<PathBuf>,
    /// `-config.expand-env`: `${VAR}`, `${VAR:-default}` and `$VAR` in the file are replaced.
    pub expand_env: bool,
    /// Keys that flags set, applied last.
    pub overrides: Vec<(String, String)>,
}

impl Config {
    /// Reads, overrides, validates.
    pub fn load(source: &Source) -> Result<Config> {
        let mut raw = match &source.file {
            None => standalone(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("reading the configuration {}", path.display()))?;
                let text = if source.expand_env { expand_env(&text)? } else { text };
                parse(&text).with_context(|| format!("in {}", path.display()))?
            }
        };
        for (key, text) in &source.overrides {
            let path: Vec<&str> = key.split('.').collect();
            raw.set(&path, text).map_err(|error| anyhow!("{key}: {error}"))?;
        }
        Config::derive(raw)
    }

    fn derive(raw: RawConfig) -> Result<Config> {
        let prefix = PathBuf::from(&raw.common.path_prefix);
        let wal_dir = match raw.ingester.wal.dir.as_str() {
            "" => prefix.join("wal"),
            own => PathBuf::from(own),
        };
        let window = match raw.limits_config.out_of_order_window.as_str() {
            "" => raw.ingester.max_chunk_age / 2,
            text => <Duration as Scalar>::parse(text)
                .map_err(|error| anyhow!("limits_config.out_of_order_window: {error}"))?,
        };
        if !["logfmt", "json"].contains(&raw.server.log_format.as_str()) {
            bail!("server.log_format: {:?} is not one of logfmt, json", raw.server.log_format);
        }
        let (targets, mut told) = Targets::parse(&raw.target)?;
        told.extend(notices(&raw));
        Ok(Config {
            targets,
            ingester_addresses: addresses(&raw.ingester_client.addresses.join(",")),
            frontend_addresses: frontend_addresses(&raw, &mut told),
            otlp_endpoint: otlp_endpoint(&raw),
            max_outstanding_per_tenant: max_outstanding(&raw),
            log_queries_longer_than: match raw.frontend.log_queries_longer_than.ns {
                0 => None,
                ns => Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))),
            },
            store: StoreConfig::derive(&raw)?,
            wal_dir,
            schema_from: schema_from(&raw)?,
            out_of_order_window: window,
            block_ingestion_until: blocked_until(&raw)?,
            no_auth_tenant: TenantId::new(&raw.no_auth_tenant).context("no_auth_tenant")?,
            notices: told,
            raw,
        })
    }

    /// The limits of every tenant.
    pub fn limits(&self) -> &LimitsConfig {
        &self.raw.limits_config
    }

    /// `/config?mode=defaults`: every key as Loki has it.
    pub fn dump_defaults() -> String {
        let mut out = String::new();
        RawConfig::default().dump(&mut out, 0);
        out.trim_start().to_owned()
    }

    /// `/config?mode=diff`: keys that are not as Loki has them, `block.key: value` a line.
    pub fn dump_difference(&self) -> String {
        let (own, defaults) = (flat(&self.dump()), flat(&Config::dump_defaults()));
        own.into_iter().filter(|line| !defaults.contains(line)).map(|line| line + "\n").collect()
    }

    /// `/config`: every key with its value, secrets masked.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        self.raw.dump(&mut out, 0);
        out.trim_start().to_owned()
    }
}

/// Lines of a dump with the whole path of their key.
fn flat(dump: &str) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for line in dump.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let (key, value) = line.trim_start().split_once(':').unwrap_or((line, ""));
        path.truncate(depth);
        path.push(key);
        if !value.is_empty() {
            lines.push(format!("{}:{value}", path.join(".")));
        }
    }
    lines
}

/// What a start without a file means: reachable from this machine only, everything it needs below
/// `./data`, nothing refused that Loki would refuse to protect a cluster.
fn standalone() -> RawConfig {
    let mut raw = RawConfig { auth_enabled: false, ..RawConfig::default() };
    raw.server.http_listen_address = "127.0.0.1".to_owned();
    raw.server.grpc_listen_address = "127.0.0.1".to_owned();
    raw.common.path_prefix = "data".to_owned();
    raw.common.replication_factor = 1;
    raw.common.storage.filesystem.chunks_directory = "data/store".to_owned();
    raw.limits_config.ingestion_rate_mb = f64::INFINITY;
    raw.limits_config.ingestion_burst_size_mb = f64::INFINITY;
    raw.limits_config.per_stream_rate_limit = base::ByteSize(u64::MAX);
    raw.limits_config.per_stream_rate_limit_burst = base::ByteSize(u64::MAX);
    raw.limits_config.reject_old_samples = false;
    raw.limits_config.out_of_order_window = "0s".to_owned();
    raw
}

fn parse(text: &str) -> Result<RawConfig> {
    // An empty file is a file: Loki's defaults.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(RawConfig::default());
    }
    serde_saphyr::from_str(text).map_err(|error| anyhow!("{error}"))
}

fn notices(raw: &RawConfig) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    raw.idle("", &mut |key, status| {
        let (text, error) = match status {
            Status::Used => return,
            Status::Ignored(text) => (text.to_owned(), false),
            Status::Later(text) => (text.to_owned(), true),
        };
        let notice = Notice { key: key.to_owned(), text, error };
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    });
    if raw.common.replication_factor > 1 {
        let key = "common.replication_factor".to_owned();
        let text = "every row is held once".to_owned();
        notices.push(Notice { key, text, error: true });
    }
    notices
}

fn addresses(list: &str) -> Vec<String> {
    let list = list.split(',').map(str::trim).filter(|address| !address.is_empty());
    list.map(str::to_owned).collect()
}

fn frontend_addresses(raw: &RawConfig, told: &mut Vec<Notice>) -> Vec<String> {
    let own = addresses(&raw.frontend_worker.frontend_address);
    if raw.frontend_worker.scheduler_address.is_empty() {
        return own;
    }
    let key = "frontend_worker.scheduler_address".to_owned();
    let (used, text) = if own.is_empty() {
        let text = "queues are in the query-frontends: taken as frontend_worker.frontend_address";
        (addresses(&raw.frontend_worker.scheduler_address), text)
    } else {
        (own, "queues are in the query-frontends: frontend_worker.frontend_address counts")
    };
    told.push(Notice { key, text: text.to_owned(), error: false });
    used
}

fn otlp_endpoint(raw: &RawConfig) -> Option<String> {
    if !raw.tracing.enabled {
        return None;
    }
    let own = Some(raw.tracing.otlp_endpoint.clone()).filter(|own| !own.is_empty());
    own.or_else(|| std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|v| !v.is_empty()))
}

/// The scheduler's key counts where it was changed and the frontend's was not.
fn max_outstanding(raw: &RawConfig) -> usize {
    let (own, scheduler) = (
        raw.frontend.max_outstanding_per_tenant,
        raw.query_scheduler.max_outstanding_requests_per_tenant,
    );
    let used = if own == 2048 && scheduler != 32_000 { scheduler } else { own };
    usize::try_from(used).unwrap_or(usize::MAX)
}

fn schema_from(raw: &RawConfig) -> Result<Option<UnixNanos>> {
    let mut before = None;
    for period in &raw.schema_config.configs {
        let day = chrono::NaiveDate::parse_from_str(&period.from, "%Y-%m-%d")
            .with_context(|| format!("schema_config.configs: from {:?}", period.from))?;
        if before.is_some_and(|before| day <= before) {
            bail!("schema_config.configs: from {day} does not come after the period before it");
        }
        before = Some(day);
    }
    let Some(first) = raw.schema_config.configs.first() else { return Ok(None) };
    let day = chrono::NaiveDate::parse_from_str(&first.from, "%Y-%m-%d")?;
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
    Ok(Some(UnixNanos(midnight.timestamp_nanos_opt().unwrap_or(i64::MIN))))
}

fn blocked_until(raw: &RawConfig) -> Result<Option<UnixNanos>> {
    let text = &raw.limits_config.block_ingestion_until;
    if text.is_empty() {
        return Ok(None);
    }
    let until = chrono::DateTime::parse_from_rfc3339(text)
        .with_context(|| format!("limits_config.block_ingestion_until: {text:?}"))?;
    Ok(until.timestamp_nanos_opt().map(UnixNanos))
}

/// Replaces `${VAR}`, `${VAR:-default}` and `$VAR` as Loki does; an unset one is empty.
fn expand_env(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, default) = if let Some(braced) = rest.strip_prefix('{') {
            let Some(end) = braced.find('}') else {
                bail!("a ${{ without its }} in the configuration");
            };
            rest = &braced[end + 1..];
            let inside = &braced[..end];
            inside.split_once(":-").unwrap_or((inside, ""))
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
            if end == 0 {
                out.push('$');
                continue;
            }
            let name = &rest[..end];
            rest = &rest[end..];
            (name, "")
        };
        match std::env::var(name) {
            Ok(value) if !value.is_empty() => out.push_str(&value),
            _ => out.push_str(default),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads the file at `path`, for tests and tools.
pub fn load_file(path: &Path) -> Result<Config> {
    Config::load(&Source { file: Some(path.to_owned()), ..Source::default() })
}

#[cfg(test)]
mod tests;
