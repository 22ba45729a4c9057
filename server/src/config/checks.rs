//! What no key says on its own: combinations that make no sense, each with Loki's text where it
//! has one.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::{ByteSize, UnixNanos};

use super::limits::LimitsConfig;
use super::root::RawConfig;
use super::storage::SchemaPeriodConfig;
use super::value::Value;

/// Indexes that Loki has or had.
const INDEXES: [&str; 14] = [
    "",
    "tsdb",
    "boltdb-shipper",
    "boltdb",
    "aws",
    "aws-dynamo",
    "gcp",
    "gcp-columnkey",
    "bigtable",
    "bigtable-hashed",
    "cassandra",
    "grpc-store",
    "inmemory",
    "gcs",
];
/// Schemas that Loki has or had.
const SCHEMAS: [&str; 7] = ["", "v9", "v10", "v11", "v12", "v13", "v14"];
/// Below it the segments of the disk cache are shorter than large pages.
const LEAST_DISK_CACHE: ByteSize = ByteSize(64 << 20);
/// The shortest time that rows can be kept.
const DAY: Duration = Duration::from_secs(86_400);

/// Every check; all that fail are told of.
pub fn all(raw: &RawConfig) -> Result<()> {
    let checks = [
        server(raw),
        common(raw),
        schema(raw),
        retention(raw),
        limits(&raw.limits_config),
        numbers(raw),
        super::ring::check(&raw.ring),
        super::tls::check(raw),
    ];
    let failed: Vec<String> =
        checks.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!(
            "MULTIPLE CONFIG ERRORS FOUND, PLEASE READ CAREFULLY\n{}",
            several
                .iter()
                .map(|error| format!("CONFIG ERROR: {error}"))
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

fn server(raw: &RawConfig) -> Result<()> {
    let one_of = |key: &str, value: &str, known: &[&str]| {
        if known.contains(&value) {
            return Ok(());
        }
        bail!("{key}: {value:?} is not one of {}", known.join(", "))
    };
    one_of("server.log_format", &raw.server.log_format, &["logfmt", "json"])?;
    one_of("server.log_level", &raw.server.log_level, &["debug", "info", "warn", "error"])
}

fn common(raw: &RawConfig) -> Result<()> {
    let storage = &raw.common.storage;
    let filled = [
        !storage.filesystem.is_default(""),
        !storage.s3.is_default(""),
        !storage.gcs.is_default(""),
        !storage.azure.is_default(""),
        !storage.swift.is_default(""),
        !storage.alibabacloud.is_default(""),
        !storage.bos.is_default(""),
        !storage.cos.is_default(""),
    ];
    if filled.into_iter().filter(|filled| *filled).count() > 1 {
        bail!(
            "too many storage configs provided in the common config, please only define one \
             storage backend"
        );
    }
    let asked = raw.common.replication_factor.max(raw.ingester.lifecycler.ring.replication_factor);
    if asked as usize > ::ring::MAX_REPLICAS {
        bail!("common.replication_factor: {asked} is more than {}", ::ring::MAX_REPLICAS);
    }
    if raw.common.persist_tokens && raw.common.path_prefix.is_empty() {
        bail!("if persist_tokens is true, path_prefix MUST be defined");
    }
    Ok(())
}

fn schema(raw: &RawConfig) -> Result<()> {
    let mut before = None;
    for (index, period) in raw.schema_config.configs.iter().enumerate() {
        let at = format!("schema_config.configs[{index}]");
        let day = day(period).with_context(|| format!("{at}.from"))?;
        if before.is_some_and(|before| day <= before) {
            bail!("{at}.from: {day} does not come after the period before it");
        }
        before = Some(day);
        if !INDEXES.contains(&period.store.as_str()) {
            bail!("{at}.store: {:?} is not an index of Loki's", period.store);
        }
        if !SCHEMAS.contains(&period.schema.as_str()) {
            bail!("{at}.schema: {:?} is not a schema of Loki's (v9 to v14)", period.schema);
        }
    }
    Ok(())
}

fn day(period: &SchemaPeriodConfig) -> Result<chrono::NaiveDate> {
    chrono::NaiveDate::parse_from_str(&period.from, "%Y-%m-%d")
        .with_context(|| format!("{:?} is not a day (2024-01-31)", period.from))
}

/// Midnight of the first period's first day.
pub fn schema_from(raw: &RawConfig) -> Result<Option<UnixNanos>> {
    let Some(first) = raw.schema_config.configs.first() else { return Ok(None) };
    let midnight = day(first)?.and_time(chrono::NaiveTime::MIN).and_utc();
    Ok(Some(UnixNanos(midnight.timestamp_nanos_opt().unwrap_or(i64::MIN))))
}

fn retention(raw: &RawConfig) -> Result<()> {
    let compactor = &raw.compactor;
    // Older files say it by the key that `delete_request_store` took the place of.
    let named = [&compactor.delete_request_store, &compactor.shared_store];
    if compactor.retention_enabled && named.iter().all(|store| store.is_empty()) {
        bail!("compactor.delete-request-store should be configured when retention is enabled");
    }
    Ok(())
}

/// The limits of a tenant, wherever they are from.
pub fn limits(limits: &LimitsConfig) -> Result<()> {
    crate::limits::otlp::rules(&limits.otlp_config, &[])
        .map_err(|error| anyhow::anyhow!("limits_config.otlp_config.{error}"))?;
    for rule in &limits.retention_stream {
        let named = || format!("retention_stream: selector {:?}", rule.selector);
        if rule.period < DAY {
            let shown = base::units::format_prometheus_duration(rule.period);
            bail!("retention period must be >= 24h was {shown}");
        }
        logql::syntax::parse_matchers(&rule.selector).with_context(named)?;
    }
    let modes = ["disabled", "filter-only", "filter-and-delete"];
    if !modes.contains(&limits.deletion_mode.as_str()) {
        bail!("deletion_mode: {:?} is not one of {}", limits.deletion_mode, modes.join(", "));
    }
    let strategies = ["global", "local"];
    if !strategies.contains(&limits.ingestion_rate_strategy.as_str()) {
        let own = &limits.ingestion_rate_strategy;
        bail!("ingestion_rate_strategy: {own:?} is not one of {}", strategies.join(", "));
    }
    Ok(())
}

fn numbers(raw: &RawConfig) -> Result<()> {
    let threshold = raw.ingester.wal.disk_full_threshold;
    if !(0.0..=1.0).contains(&threshold) {
        bail!("ingester.wal.disk_full_threshold: {threshold} is not a share between 0 and 1");
    }
    let disk_cache = &raw.storage_config.disk_cache;
    if !disk_cache.directory.is_empty() && disk_cache.size < LEAST_DISK_CACHE {
        bail!("storage_config.disk_cache.size: {} is below {LEAST_DISK_CACHE}", disk_cache.size);
    }
    if raw.runtime_config.period.is_zero() {
        bail!("runtime_config.period: must be longer than 0");
    }
    Ok(())
}
