//! The blocks beside pushes and queries.

use std::time::Duration;

use super::accepted::Accepted;
use super::blocks::blocks;

blocks! {
    /// `compactor`
    pub struct CompactorConfig {
        /// How often the whole bucket is looked over for what can be merged and cleaned up. What is
        /// flushed meanwhile is merged as it comes.
        compaction_interval: Duration = "10m";
        /// Objects that nothing names any more are removed after so long, so that queries which
        /// began before can end; empty is `retention_delete_delay`.
        delete_delay: Option<Duration> = "";
        /// See `delete_delay`.
        retention_delete_delay: Duration = "2h";
        /// Whether parts are removed whose newest row is older than `limits_config.retention_period`.
        retention_enabled: bool = "false";
        /// Where Loki keeps requests for deletes; required when retention is enabled.
        delete_request_store: String = "";
        /// What its keys begin with.
        delete_request_store_key_prefix: String = "index/",
            flag "compactor.delete-request-store.key-prefix",
            ignored "deletes are in the catalog";
        /// Its database.
        delete_request_store_db_type: String = "boltdb",
            flag "compactor.delete-request-store.db-type", ignored "deletes are in the catalog";
        /// Its copy.
        backup_delete_request_store_db_type: String = "",
            flag "compactor.delete-request-store.backup-db-type",
            ignored "deletes are in the catalog";
        /// Loki's scratch directory.
        working_directory: String = "", ignored "compaction needs no scratch directory";
        /// How often expired parts are looked for; 0 is `compaction_interval`, and less than that is
        /// as often as that.
        apply_retention_interval: Duration = "0s";
        /// Deletes of objects at the same time.
        retention_delete_worker_count: u32 = "150",
            ignored "objects are removed many at a time";
        /// The longest retention may take.
        retention_table_timeout: Duration = "0s", ignored "there are no tables";
        /// Pauses between attempts.
        retention_backoff_config: Accepted = "backoff", flag "compactor.retention-backoff-config",
            ignored "what failed is tried again in the next round";
        /// Requests for deletes that are worked on at once.
        delete_batch_size: u32 = "70", later "deletes are not built";
        /// How long a request for a delete can be taken back.
        delete_request_cancel_period: Duration = "24h", later "deletes are not built";
        /// Longest time range of a delete with filters.
        delete_max_interval: Duration = "24h", later "deletes are not built";
        /// Merges at the same time.
        max_compaction_parallelism: u32 = "1";
        /// Uploads at the same time.
        upload_parallelism: u32 = "10", ignored "a part is one object";
        /// Loki's members.
        compactor_ring: Accepted = "ring", flag "compactor.ring",
            ignored "the catalog decides between compactors";
        /// Tables that are merged at once.
        tables_to_compact: u32 = "0", ignored "there are no tables";
        /// Tables that are left out.
        skip_latest_n_tables: u32 = "0", ignored "there are no tables";
        /// Whether several work together.
        horizontal_scaling_mode: String = "disabled",
            ignored "every compactor takes what it can: the catalog decides";
        /// How.
        worker_config: CompactorWorkerConfig, flag "compactor.worker";
        /// How.
        jobs_config: CompactorJobsConfig, flag "compactor.jobs";
        /// Another store.
        shared_store: String = "", ignored "parts and commits are in one store";
        /// What its keys begin with.
        shared_store_key_prefix: String = "index/", flag "compactor.shared-store.key-prefix",
            ignored "parts and commits are in one store";
        /// Loki's older place of `limits_config.deletion_mode`.
        deletion_mode: String = "", ignored "limits_config.deletion_mode counts",
            flag "compactor.older-deletion-mode";
        /// Loki's older place of `limits_config.allow_deletes`.
        allow_deletes: bool = "false", ignored "limits_config.deletion_mode counts",
            flag "compactor.older-allow-deletes";
    }

    /// `compactor.worker_config`
    pub struct CompactorWorkerConfig {
        /// Threads of a worker.
        num_sub_workers: u32 = "0",
            ignored "every compactor takes what it can: the catalog decides";
    }

    /// `compactor.jobs_config`
    pub struct CompactorJobsConfig {
        /// Jobs of deletes.
        deletion: CompactorDeletionConfig;
    }

    /// `compactor.jobs_config.deletion`
    pub struct CompactorDeletionConfig {
        /// Where they are kept.
        deletion_manifest_store_prefix: String = "__deletion_manifest__/",
            ignored "deletes are in the catalog";
        /// The longest one may take.
        timeout: Duration = "15m", ignored "what failed is tried again in the next round";
        /// Attempts.
        max_retries: u32 = "3", ignored "what failed is tried again in the next round";
        /// Chunks of one.
        chunk_processing_concurrency: u32 = "3", ignored "there are no chunks";
    }

    /// `runtime_config`
    pub struct RuntimeConfig {
        /// Files with limits of single tenants, a comma list; later files win. Empty: none.
        file: String = "";
        /// How often they are looked at. What changed counts at once; a file with a mistake is
        /// left out and told of.
        period: Duration = "10s", flag "runtime-config.reload-period";
    }

    /// `tracing`
    pub struct TracingConfig {
        /// Whether traces are sent, where `otlp_endpoint` says to.
        enabled: bool = "true";
        /// Where traces are sent by OTLP over gRPC, `http://host:4317`; empty is what
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` says, else nowhere.
        otlp_endpoint: String = "";
    }

    /// `pattern_ingester`
    pub struct PatternIngesterConfig {
        /// Whether patterns are told; without it there are none, as in Loki.
        enabled: bool = "false";
        /// Loki's place in the ring.
        lifecycler: Accepted = "lifecycler_with_factor",
            ignored "patterns are learned where rows are written into parts";
        /// How it is reached.
        client_config: Accepted = "pattern_client", ignored "patterns are learned where rows are written into parts";
        /// Copies of pushes.
        tee_config: Accepted = "pattern_tee", ignored "patterns are learned where rows are written into parts";
        /// How often patterns are dropped.
        flush_check_period: Duration = "1m", ignored "patterns are kept as long as rows";
        /// How many at once.
        concurrent_flushes: u32 = "32", ignored "patterns are learned where rows are written into parts";
        /// Patterns of a stream.
        max_clusters: u32 = "300", ignored "a part has 1024 patterns at most";
        /// When a stream has too many.
        max_eviction_ratio: f64 = "0.25", ignored "a part has 1024 patterns at most";
        /// How long they are kept.
        retain_for: Duration = "3h", ignored "patterns are kept as long as rows";
        /// How long one is open.
        max_chunk_age: Duration = "1h", ignored "patterns are kept as long as rows";
        /// How exactly they are counted.
        chunk_sample_interval: Duration = "10s", ignored "lines are counted when somebody asks, each";
        /// Which streams are looked at.
        volume_threshold: f64 = "0.99", ignored "all streams are looked at";
        /// How long a connection may take.
        connection_timeout: Duration = "2s", ignored "patterns are learned where rows are written into parts";
        /// Longest line.
        max_allowed_line_length: u32 = "3000", ignored "the first KiB of a line is looked at";
        /// Counts as streams.
        metric_aggregation: Accepted = "pattern_push", ignored "counts are not stored as streams";
        /// Patterns as streams.
        pattern_persistence: Accepted = "pattern_push", ignored "patterns are in parts, not in streams";
    }

    /// `analytics`
    pub struct AnalyticsConfig {
        /// Whether Loki reports usage.
        reporting_enabled: bool = "true", ignored "nothing is ever reported",
            flag "reporting.enabled";
        /// Where to.
        usage_stats_url: String = "", ignored "nothing is ever reported",
            flag "reporting.usage-stats-url";
        /// Through what.
        proxy_url: String = "", ignored "nothing is ever reported", flag "reporting.proxy-url";
    }
}
