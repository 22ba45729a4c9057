//! YAML and flags -> [`RawConfig`] -> [`Config`]: validated, derived, immutable.
//!
//! Without a file the defaults are those of a single node that is easy to start; with one they are
//! Loki's. Only this crate sees the raw form. Every key of Loki's is declared once, in
//! [`blocks::blocks`]: it works, or it is accepted and a warning says what happens instead, or it is
//! not built yet and an error line says what is missing.

pub mod accepted;
pub mod backend;
pub mod blocks;
mod checks;
mod expand;
mod fuzz;
pub mod limits;
pub mod load;
pub mod node;
pub mod page;
mod print;
pub mod read;
pub mod reference;
pub mod ring;
pub mod root;
pub mod runtime;
pub mod scalar;
pub mod server;
pub mod storage;
pub mod store;
pub mod stores;
pub mod targets;
pub mod tls;
pub mod value;
pub mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use base::{TenantId, UnixNanos};

pub use fuzz::{fuzz_config, fuzz_runtime_config};
use limits::LimitsConfig;
use load::Loaded;
pub use load::Source;
use node::At;
pub use print::dump;
use root::RawConfig;
use store::StoreConfig;
use targets::Targets;
use value::{Status, Value};

/// Everything the process does differently from another one.
#[derive(Clone, Debug)]
pub struct Config {
    /// As read; what `/config` prints.
    pub raw: RawConfig,
    /// The file it was read from; `None` is a start without one.
    pub file: Option<PathBuf>,
    /// The services of this process.
    pub targets: Targets,
    /// `host:port` or `dns+host:port` of ingesters; empty is the one in this process.
    pub ingester_addresses: Vec<String>,
    /// `host:port` or `dns+host:port` of members of the ring; empty is a ring of this process.
    pub ring_join: Vec<String>,
    /// Members that hold each row, if somebody has said so; `None` is three, as soon as there are
    /// so many.
    pub replication_factor: Option<u8>,
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
    /// See `no_auth_tenant`.
    pub no_auth_tenant: TenantId,
    /// Files with limits of single tenants, later ones win.
    pub runtime_files: Vec<PathBuf>,
    /// How often they are looked at.
    pub runtime_period: Duration,
    /// What the user should hear: keys that do nothing.
    pub notices: Vec<Notice>,
    /// Whether the values are logged at start, the last first.
    pub log_reversed: bool,
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

impl Config {
    /// Reads, overrides, validates.
    pub fn load(source: &Source) -> Result<Config> {
        let config = Config::derive(load::load(source)?)?;
        Ok(Config { log_reversed: source.log_reversed, ..config })
    }

    /// Validates what was read.
    pub fn derive(loaded: Loaded) -> Result<Config> {
        let Loaded { raw, file, set } = loaded;
        checks::all(&raw)?;
        let prefix = PathBuf::from(&raw.common.path_prefix);
        let wal_dir = match raw.ingester.wal.dir.as_str() {
            "" => prefix.join("wal"),
            own => PathBuf::from(own),
        };
        let (targets, mut told) = Targets::parse(&raw.target)?;
        told.extend(notices(&raw, &set));
        let frontend_addresses = frontend_addresses(&raw, &mut told);
        let (runtime_files, runtime_period) = runtime_files(&raw, &mut told);
        Ok(Config {
            targets,
            ingester_addresses: split(&raw.ingester_client.addresses.join(",")),
            ring_join: split(&raw.ring.join.join(",")),
            replication_factor: replication_factor(&raw),
            frontend_addresses,
            otlp_endpoint: otlp_endpoint(&raw),
            max_outstanding_per_tenant: max_outstanding(&raw),
            log_queries_longer_than: match raw.frontend.log_queries_longer_than.ns {
                0 => None,
                ns => Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))),
            },
            store: StoreConfig::derive(&raw)?,
            wal_dir,
            schema_from: checks::schema_from(&raw)?,
            no_auth_tenant: TenantId::new(&raw.no_auth_tenant).context("no_auth_tenant")?,
            runtime_files,
            runtime_period,
            notices: told,
            log_reversed: false,
            file,
            raw,
        })
    }

    /// The limits of tenants without overrides.
    pub fn limits(&self) -> &LimitsConfig {
        &self.raw.limits_config
    }

    /// `/config?mode=defaults`: every key as Loki has it.
    pub fn dump_defaults() -> String {
        dump(&RawConfig::default())
    }

    /// `/config?mode=diff`: keys that are not as Loki has them.
    pub fn dump_difference(&self) -> String {
        print::difference(&self.dump(), &Config::dump_defaults())
    }

    /// `/config`: every key with its value, secrets masked.
    pub fn dump(&self) -> String {
        dump(&self.raw)
    }
}

/// Keys of `block`, which stands at `path`, that are set and do nothing; each once.
fn notices_of(block: &impl Value, path: &str, set: &BTreeMap<String, At>) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    block.idle(path, set, &mut |key, status| {
        let (text, error) = match status {
            Status::Used => return,
            Status::Ignored(text) => (text, false),
            Status::Later(text) => (text, true),
        };
        let notice = Notice { key: key.to_owned(), text: text.to_owned(), error };
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    });
    notices
}

fn notices(raw: &RawConfig, set: &BTreeMap<String, At>) -> Vec<Notice> {
    let mut notices = notices_of(raw, "", set);
    let has_others = !raw.ingester_client.addresses.is_empty() || !raw.ring.join.is_empty();
    if replication_factor(raw).is_some_and(|factor| factor > 1) && !has_others {
        let key = "common.replication_factor".to_owned();
        let text = "every row is held by the one ingester of this process until it is in the \
                    store: ring.join names no others";
        notices.push(Notice { key, text: text.to_owned(), error: true });
    }
    let serves_tls = tls::grpc(raw).is_ok_and(|settings| settings.is_some());
    let keys = [
        ("ingester_client.grpc_client_config", has_others, tls::ingesters(raw)),
        (
            "frontend_worker.grpc_client_config",
            !raw.frontend_worker.frontend_address.is_empty(),
            tls::frontends(raw),
        ),
    ];
    for (block, is_used, client) in keys {
        if serves_tls && is_used && client.is_ok_and(|settings| settings.is_none()) {
            let key = format!("{block}.tls_enabled");
            let text = "others are called in plain text, and server.grpc_tls_config is set: if \
                        theirs is set too, no call will succeed";
            notices.push(Notice { key, text: text.to_owned(), error: true });
        }
    }
    if !raw.ring.join.is_empty() && !raw.ingester_client.addresses.is_empty() {
        let key = "ingester_client.addresses".to_owned();
        let text = "the ingesters are those of the ring: ring.join counts".to_owned();
        notices.push(Notice { key, text, error: false });
    }
    notices
}

/// Both places of Loki's; checked to be small.
fn replication_factor(raw: &RawConfig) -> Option<u8> {
    let asked = raw.common.replication_factor.max(raw.ingester.lifecycler.ring.replication_factor);
    u8::try_from(asked).ok().filter(|&factor| factor > 0)
}

fn split(list: &str) -> Vec<String> {
    let list = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    list.map(str::to_owned).collect()
}

fn frontend_addresses(raw: &RawConfig, told: &mut Vec<Notice>) -> Vec<String> {
    let own = split(&raw.frontend_worker.frontend_address);
    if raw.frontend_worker.scheduler_address.is_empty() {
        return own;
    }
    let key = "frontend_worker.scheduler_address".to_owned();
    let (used, text) = if own.is_empty() {
        let text = "queues are in the query-frontends: taken as frontend_worker.frontend_address";
        (split(&raw.frontend_worker.scheduler_address), text)
    } else {
        (own, "queues are in the query-frontends: frontend_worker.frontend_address counts")
    };
    told.push(Notice { key, text: text.to_owned(), error: false });
    used
}

fn runtime_files(raw: &RawConfig, told: &mut Vec<Notice>) -> (Vec<PathBuf>, Duration) {
    let (own, older) = (&raw.runtime_config, &raw.limits_config);
    let paths = |list: &str| split(list).into_iter().map(PathBuf::from).collect();
    if older.per_tenant_override_config.is_empty() {
        return (paths(&own.file), own.period);
    }
    let key = "limits_config.per_tenant_override_config".to_owned();
    if own.file.is_empty() {
        let text = "an older name of runtime_config.file: taken as such".to_owned();
        told.push(Notice { key, text, error: false });
        return (paths(&older.per_tenant_override_config), older.per_tenant_override_period);
    }
    told.push(Notice { key, text: "runtime_config.file counts".to_owned(), error: false });
    (paths(&own.file), own.period)
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

/// Reads the file at `path`, for tests and tools.
pub fn load_file(path: &Path) -> Result<Config> {
    Config::load(&Source { file: Some(path.to_owned()), ..Source::default() })
}

#[cfg(test)]
mod files;
#[cfg(test)]
mod tests;
