//! The configuration of each service, out of the process's.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::ByteSize;
use base::disk::Disk;
use rpc::grpc::{ClientConfig, MessageLimits, Serving};
use store::{BucketConfig, CatalogConfig, DiskCacheConfig};

use crate::app::Shared;
use crate::config::Config;
use crate::config::root::ServerConfig;
use crate::config::store::StoreConfig;
use crate::config::stores::{AzureConfig, GcsConfig, S3Config};
use crate::config::targets::Target;
use crate::telemetry::process::memory_ceiling_bytes;

/// The object store.
pub fn bucket(config: &Config) -> Result<BucketConfig> {
    let prefix = some(&config.raw.storage_config.object_store.storage_prefix);
    Ok(match &config.store {
        StoreConfig::Filesystem { directory } => {
            BucketConfig::Filesystem { dir: directory.clone() }
        }
        StoreConfig::S3(s3) => BucketConfig::S3(bucket_s3(s3, prefix)),
        StoreConfig::Gcs(gcs) => BucketConfig::Gcs(bucket_gcs(gcs, prefix)),
        StoreConfig::Azure(azure) => BucketConfig::Azure(bucket_azure(azure, prefix)?),
    })
}

fn bucket_s3(s3: &S3Config, prefix: Option<String>) -> store::S3Config {
    store::S3Config {
        bucket: s3.bucketnames.clone(),
        region: some(&s3.region),
        endpoint: some(&s3.endpoint),
        access_key_id: some(&s3.access_key_id),
        secret_access_key: some(&s3.secret_access_key.0),
        session_token: some(&s3.session_token.0),
        insecure: s3.insecure,
        path_style: s3.s3forcepathstyle,
        prefix,
    }
}

fn bucket_gcs(gcs: &GcsConfig, prefix: Option<String>) -> store::GcsConfig {
    store::GcsConfig {
        bucket: gcs.bucket_name.clone(),
        service_account: some(&gcs.service_account.0),
        endpoint: None,
        prefix,
    }
}

fn bucket_azure(azure: &AzureConfig, prefix: Option<String>) -> Result<store::AzureConfig> {
    let mut account = azure.account_name.clone();
    let mut key = some(&azure.account_key.0);
    let mut suffix = some(&azure.endpoint_suffix);
    let mut insecure = false;
    for pair in azure.connection_string.0.split(';').filter(|pair| !pair.trim().is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("storage_config.azure.connection_string: a piece without `=`");
        };
        match name.trim() {
            "AccountName" => value.trim().clone_into(&mut account),
            "AccountKey" => key = some(value.trim()),
            "EndpointSuffix" => suffix = some(value.trim()),
            "DefaultEndpointsProtocol" => insecure = value.trim() == "http",
            _ => {}
        }
    }
    if account.is_empty() {
        bail!("storage_config.azure.account_name is required: object_store is azure");
    }
    let scheme = if insecure { "http" } else { "https" };
    let endpoint = suffix.map(|suffix| {
        let suffix = suffix.trim_start_matches("blob.");
        format!("{scheme}://{account}.blob.{suffix}")
    });
    let client_id = some(&azure.client_id).or_else(|| some(&azure.user_assigned_id));
    Ok(store::AzureConfig {
        account,
        account_key: key,
        container: azure.container_name.clone(),
        endpoint,
        insecure,
        emulator: false,
        tenant_id: some(&azure.tenant_id),
        client_id,
        client_secret: some(&azure.client_secret.0),
        prefix,
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The disk cache, if one is configured and parts are not files of this machine already. Of queriers
/// alone: another service with the same file would hold the directory and read nothing.
pub fn disk_cache(config: &Config) -> Option<DiskCacheConfig> {
    let raw = &config.raw.storage_config.disk_cache;
    if raw.directory.is_empty() || !config.targets.contains(Target::Querier) {
        return None;
    }
    if matches!(config.store, StoreConfig::Filesystem { .. }) {
        tracing::warn!("storage_config.disk_cache has no effect: parts are local files already");
        return None;
    }
    Some(DiskCacheConfig { dir: raw.directory.clone().into(), limit_bytes: raw.size.0 })
}

/// The catalog.
pub fn catalog(config: &Config) -> CatalogConfig {
    CatalogConfig { checkpoint_every: config.raw.ingester.checkpoint_commits.max(1) }
}

/// The log; makes its directory, to ask for the size of its disk.
pub fn wal(config: &Config, disk: &dyn Disk) -> Result<wal::Config> {
    let dir = config.wal_dir.clone();
    let named = || format!("the directory of the log, {}", dir.display());
    disk.create_dir_all(&dir).with_context(named)?;
    let soft = match config.raw.ingester.wal.max_bytes.0 {
        0 => (disk.space(&dir).with_context(named)?.total_bytes / 5).min(8 << 30),
        bytes => bytes,
    };
    // Between the two limits the oldest rows are flushed while pushes go on.
    let hard = soft.saturating_add(soft / 4);
    // Room for a few segments below the soft limit, so that flushing the oldest frees something.
    let segment = (soft / 8).clamp(1 << 20, 64 << 20);
    Ok(wal::Config {
        dir,
        segment_size: ByteSize(segment),
        soft_limit: ByteSize(soft),
        hard_limit: ByteSize(hard),
        ..wal::Config::default()
    })
}

/// The ingester.
pub fn ingester(config: &Config, wal: wal::Config) -> ingester::Config {
    let raw = &config.raw.ingester;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let flushes = usize::try_from(raw.concurrent_flushes).unwrap_or(usize::MAX);
    ingester::Config {
        wal,
        zone: config.raw.ring.instance_zone.clone(),
        flush_on_shutdown: raw.wal.flush_on_shutdown,
        chunk_idle_period: raw.chunk_idle_period,
        max_chunk_age: raw.max_chunk_age,
        flush_check_period: raw.flush_check_period,
        flush_bytes: raw.flush_bytes,
        concurrent_flushes: flushes.clamp(1, cores),
        memory_limit: ByteSize(share(raw.memory_limit.0, 512 << 20)),
        shutdown_marker_path: some(&raw.shutdown_marker_path).map(Into::into),
        ..ingester::Config::default()
    }
}

/// The distributor.
pub fn distributor(config: &Config) -> distributor::Config {
    distributor::Config {
        max_recv_msg_size: config.raw.distributor.max_recv_msg_size,
        max_decompressed_size: config.raw.distributor.max_decompressed_size,
        schema_from: config.schema_from,
        ..distributor::Config::default()
    }
}

/// Scanning threads per core whose parts are in an object store.
const SCANS_PER_CORE_FAR: usize = 4;

/// The querier.
pub fn querier(config: &Config) -> querier::Config {
    let raw = &config.raw.querier;
    let default = querier::Config::default();
    let is_far = !matches!(config.store, StoreConfig::Filesystem { .. });
    querier::Config {
        scan_threads: match raw.scan_threads {
            // Where reads cross a network most of the threads wait for one.
            0 if is_far => default.scan_threads * SCANS_PER_CORE_FAR,
            0 => default.scan_threads,
            threads => usize::try_from(threads).unwrap_or(usize::MAX),
        },
        max_concurrent: (raw.max_concurrent as usize).max(1),
    }
}

/// The query frontend.
pub fn query_frontend(config: &Config) -> query_frontend::Config {
    query_frontend::Config {
        max_outstanding_per_tenant: config.max_outstanding_per_tenant.max(1),
        max_retries: config.raw.query_range.max_retries,
        max_query_memory_bytes: share(config.raw.querier.max_query_memory.0, 1 << 30),
        compress_responses: config.raw.frontend.compress_responses,
        log_queries_longer_than: config.log_queries_longer_than,
        tail_max_duration: config.raw.querier.tail_max_duration,
        patterns: config.raw.pattern_ingester.enabled,
        ..query_frontend::Config::default()
    }
}

/// How large messages between processes may be. Loki's default of 4 MB would refuse what one push
/// may bring: with it a message may be 100 MiB, which is that bound.
fn messages(config: &Config) -> MessageLimits {
    let lokis = ServerConfig::default();
    let server = &config.raw.server;
    let limit = |own: ByteSize, default: ByteSize, ours: ByteSize| match own {
        own if own == default => ours,
        own => own,
    };
    let ours = MessageLimits::default();
    MessageLimits {
        max_recv: limit(
            server.grpc_server_max_recv_msg_size,
            lokis.grpc_server_max_recv_msg_size,
            ours.max_recv,
        ),
        max_send: limit(
            server.grpc_server_max_send_msg_size,
            lokis.grpc_server_max_send_msg_size,
            ours.max_send,
        ),
    }
}

/// Services on the gRPC port.
pub fn serving(shared: &Shared) -> Serving {
    Serving { limits: messages(&shared.config), clock: shared.clock.clone() }
}

/// Calls to ingesters and, for the ring, between its members.
pub fn ingester_client(shared: &Shared) -> ClientConfig {
    ClientConfig { tls: shared.tls.ingesters.clone(), ..client(&shared.config) }
}

/// Calls to query frontends.
pub fn frontend_client(shared: &Shared) -> ClientConfig {
    ClientConfig { tls: shared.tls.frontends.clone(), ..client(&shared.config) }
}

fn client(config: &Config) -> ClientConfig {
    let default = ClientConfig::default();
    ClientConfig {
        limits: messages(config),
        remote_timeout: config.raw.ingester_client.remote_timeout,
        query_timeout: match config.limits().query_timeout {
            Duration::ZERO => default.query_timeout,
            timeout => timeout,
        },
        ..default
    }
}

/// The compactor.
pub fn compactor(config: &Config) -> compactor::Config {
    let raw = &config.raw.compactor;
    compactor::Config {
        interval: raw.compaction_interval,
        delete_delay: raw.delete_delay.unwrap_or(raw.retention_delete_delay),
        merges: (raw.max_compaction_parallelism as usize).max(1),
        retention_every: raw.retention_enabled.then_some(match raw.apply_retention_interval {
            Duration::ZERO => raw.compaction_interval,
            interval => interval,
        }),
        ..compactor::Config::default()
    }
}

/// What is configured, or a quarter of the memory of this process, at most `at_most`.
fn share(configured: u64, at_most: u64) -> u64 {
    match configured {
        0 => (memory_ceiling_bytes() / 4).min(at_most),
        bytes => bytes,
    }
}
