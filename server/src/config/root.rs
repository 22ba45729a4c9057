//! The top of the configuration file, and the small blocks.

use std::time::Duration;

use base::ByteSize;

use super::limits::LimitsConfig;
use super::storage::{CommonConfig, SchemaConfig, StorageConfig};
use super::value::{SignedDuration, blocks};

blocks! {
    /// The whole file.
    pub struct RawConfig {
        /// Services to run; `all` is every one.
        target: String = "all";
        /// Whether requests must name their tenant in `X-Scope-OrgID`. Off: the header is ignored.
        auth_enabled: bool = "true";
        /// The tenant of every request while `auth_enabled` is false.
        no_auth_tenant: String = "fake";
        /// Listeners and logging.
        server: ServerConfig;
        /// What several blocks share.
        common: CommonConfig;
        /// How pushes are taken.
        distributor: DistributorConfig;
        /// Recent rows: log, memory, flush.
        ingester: IngesterConfig;
        /// How queries run.
        querier: QuerierConfig;
        /// Since when which object store holds the rows.
        schema_config: SchemaConfig;
        /// The object store.
        storage_config: StorageConfig;
        /// Limits of every tenant.
        limits_config: LimitsConfig;
        /// How distributors and queriers reach ingesters.
        ingester_client: IngesterClientConfig;
        /// How queriers reach query frontends.
        frontend_worker: FrontendWorkerConfig;
        /// Loki's query queue.
        query_scheduler: QuerySchedulerConfig;
        /// Traces of this process.
        tracing: TracingConfig;
        /// How long `/ready` says 503 before connections are drained.
        shutdown_delay: Duration = "0s";
        /// Splitting and caching of queries.
        query_range: QueryRangeConfig;
        /// The query queue.
        frontend: FrontendConfig;
        /// Merging of parts.
        compactor: CompactorConfig;
        /// Rules.
        ruler: RulerConfig;
        /// Pattern detection.
        pattern_ingester: PatternIngesterConfig;
        /// Gossip.
        memberlist: MemberlistConfig;
        /// Usage reports.
        analytics: AnalyticsConfig;
    }

    /// `server`
    pub struct ServerConfig {
        /// Address of the HTTP listener; empty is every interface.
        http_listen_address: String = "";
        /// Port of the HTTP listener; 0 takes a free one, printed as `listening http=ADDR`.
        http_listen_port: u16 = "3100";
        /// Connections that are open at the same time; 0 is no limit. Further ones wait.
        http_listen_conn_limit: u64 = "0";
        /// How long a client may take to send the head of a request.
        http_server_read_timeout: Duration = "30s";
        /// The longest a request may take; then it is answered with 504.
        http_server_write_timeout: Duration = "30s";
        /// How long an idle connection stays open.
        http_server_idle_timeout: Duration = "2m";
        /// How long open requests may take to end after SIGTERM.
        graceful_shutdown_timeout: Duration = "30s";
        /// Memory that request bodies and what is decompressed from them may hold together; 0 is
        /// an eighth of the memory of this process, at most 256MB. Over it: 503 while others hold
        /// it, 413 for a body that could never fit.
        http_body_budget: ByteSize = "0";
        /// `debug`, `info`, `warn` or `error`.
        log_level: String = "info";
        /// `logfmt` or `json`.
        log_format: String = "logfmt";
        /// Address of the gRPC listener; empty is every interface.
        grpc_listen_address: String = "";
        /// Port of the gRPC listener; 0 takes a free one, printed as `grpc=ADDR`.
        grpc_listen_port: u16 = "9095";
        /// Largest gRPC message taken.
        grpc_server_max_recv_msg_size: ByteSize = "4MB";
        /// Largest gRPC message sent.
        grpc_server_max_send_msg_size: ByteSize = "4MB";
        /// Calls that one gRPC connection may have open; 0 is no limit.
        grpc_server_max_concurrent_streams: u32 = "100";
        /// An idle gRPC connection is closed after so long; 0 is never.
        grpc_server_max_connection_idle: Duration = "0s";
        /// A gRPC connection is closed at this age, so that clients spread anew; 0 is never.
        grpc_server_max_connection_age: Duration = "0s";
        /// What open calls get once their connection is too old; 0 is without end.
        grpc_server_max_connection_age_grace: Duration = "0s";
        /// A silent gRPC client is asked whether it lives after so long.
        grpc_server_keepalive_time: Duration = "2h";
        /// A client that does not answer that within so long is cut.
        grpc_server_keepalive_timeout: Duration = "20s";
    }

    /// `distributor`
    pub struct DistributorConfig {
        /// Largest body of a push as sent; over it: 413.
        max_recv_msg_size: ByteSize = "100MB";
        /// Largest body of a push after gzip or deflate is undone; over it: 413. What all pushes
        /// hold together is bounded by `server.http_body_budget`.
        max_decompressed_size: ByteSize = "5000MB";
    }

    /// `ingester`
    pub struct IngesterConfig {
        /// How often it is checked what must be flushed.
        flush_check_period: Duration = "30s";
        /// Rows of a tenant's day are flushed when nothing was added for so long.
        chunk_idle_period: Duration = "30m";
        /// Rows are flushed at this age; also twice Loki's out-of-order window.
        max_chunk_age: Duration = "2h";
        /// Unflushed bytes of a tenant's day that start a flush. More: fewer and larger parts,
        /// more memory, a longer log to replay.
        flush_bytes: ByteSize = "64MB";
        /// Memory of unflushed rows; 0 is a quarter of the memory of this process, at most 512MB.
        /// Over it pushes get 503.
        memory_limit: ByteSize = "0";
        /// A checkpoint of the catalog is written after so many commits. Fewer: faster starts,
        /// more objects written.
        checkpoint_commits: u64 = "64";
        /// Flushes at the same time.
        concurrent_flushes: u32 = "32";
        /// The log that makes an acknowledged line durable.
        wal: WalConfig;
        /// Directory of the mark that `/ingester/prepare_shutdown` sets, which makes the next stop
        /// flush everything; empty: that route answers 500.
        shutdown_marker_path: String = "";
        /// Codec of chunks in Loki.
        chunk_encoding: String = "gzip", ignored "parts choose lz4 or zstd by measurement";
        /// Size of chunks in Loki.
        chunk_target_size: ByteSize = "1572864",
            ignored "parts hold many streams; their size is the flush's";
        /// Size of blocks of chunks in Loki.
        chunk_block_size: ByteSize = "262144", ignored "pages have a fixed size";
        /// How long Loki keeps flushed chunks.
        chunk_retain_period: Duration = "0s",
            ignored "flushed rows stay for 60 s, as the read protocol wants";
        /// Loki's place in the ring.
        lifecycler: LifecyclerConfig;
    }

    /// `ingester.wal`
    pub struct WalConfig {
        /// Loki can switch its log off.
        enabled: bool = "true", ignored "the log stays on: an acknowledged line is always durable";
        /// Directory of the log; empty is `wal` below `common.path_prefix`.
        dir: String = "";
        /// Whether a stop flushes every row; otherwise the next start replays them.
        flush_on_shutdown: bool = "false";
        /// Share of the disk in use over which pushes get 503.
        disk_full_threshold: f64 = "0.9";
        /// Size of the log over which its oldest rows are flushed early; 0 is 8 GB or a fifth of
        /// the disk, whichever is less.
        max_bytes: ByteSize = "0";
        /// Loki's ceiling during replay.
        replay_memory_ceiling: ByteSize = "4GB", ignored "replay streams in bounded memory";
        /// Loki's checkpoints of its log.
        checkpoint_duration: Duration = "5m", ignored "segments go when commits claim them";
    }

    /// `ingester.lifecycler`
    pub struct LifecyclerConfig {
        /// How long Loki waits until it is ready.
        min_ready_duration: Duration = "15s", ignored "ready as soon as the log is replayed";
        /// How long Loki waits before it ends.
        final_sleep: Duration = "0s", ignored "nothing is waited for after the drain";
        /// Loki's tokens.
        num_tokens: u32 = "128", later "there is no ring";
    }

    /// `querier`
    pub struct QuerierConfig {
        /// Whether query routes take several tenants: `X-Scope-OrgID: a|b`.
        multi_tenant_queries_enabled: bool = "false";
        /// Threads that scan parts at the same time, over all queries; 0 is the number of cores.
        scan_threads: u32 = "0";
        /// Memory of the partial results of one query; 0 is a quarter of the memory of this
        /// process, at most 1GB. Over it the query fails.
        max_query_memory: ByteSize = "0";
        /// Pieces of queries this querier works on at the same time.
        max_concurrent: u32 = "4";
        /// How far back Loki asks ingesters.
        query_ingesters_within: Duration = "3h",
            ignored "ingesters answer exactly what is in no commit";
        /// The longest a tail may last.
        tail_max_duration: Duration = "1h", later "tail is not built";
    }

    /// `query_range`
    pub struct QueryRangeConfig {
        /// Whether queries are cut in shards.
        parallelise_shardable_queries: bool = "true",
            ignored "a query always uses its share of the cores";
        /// How often a failed piece of a query is tried in all.
        max_retries: u32 = "5";
        /// Whether results are kept.
        cache_results: bool = "false", later "there is no results cache";
        /// Whether index statistics are kept.
        cache_index_stats_results: bool = "true", later "there is no results cache";
        /// Whether volumes are kept.
        cache_volume_results: bool = "true", later "there is no results cache";
        /// Whether series are kept.
        cache_series_results: bool = "true", later "there is no results cache";
        /// Whether label names and values are kept.
        cache_label_results: bool = "true", later "there is no results cache";
        /// Whether instant metric results are kept.
        cache_instant_metric_results: bool = "false", later "there is no results cache";
        /// Whether `start` and `end` are rounded to the step.
        align_queries_with_step: bool = "false", later "queries are not aligned";
    }

    /// `frontend`
    pub struct FrontendConfig {
        /// Loki's encoding between frontend and querier.
        encoding: String = "json", ignored "one process, no encoding";
        /// Pieces of queries of one tenant that may wait for a querier. Over it: 429.
        max_outstanding_per_tenant: u32 = "2048";
        /// Queries that take longer are told of in the log; 0 is none, negative every one.
        log_queries_longer_than: SignedDuration = "0s";
        /// Whether answers of queries are compressed when the client takes gzip.
        compress_responses: bool = "true";
    }

    /// `ingester_client`
    pub struct IngesterClientConfig {
        /// Ingesters as `host:port`, `dns+host:port` for every address of a name; empty is the one
        /// in this process.
        addresses: Vec<String> = "";
        /// The longest a call of an ingester may take.
        remote_timeout: Duration = "5s";
    }

    /// `frontend_worker`
    pub struct FrontendWorkerConfig {
        /// Query frontends that this querier works for, as `host:port`; empty is the one in this
        /// process.
        frontend_address: String = "";
        /// The same: queues are in the frontends.
        scheduler_address: String = "";
    }

    /// `query_scheduler`
    pub struct QuerySchedulerConfig {
        /// Where set, what `frontend.max_outstanding_per_tenant` is: queues are in the frontends.
        max_outstanding_requests_per_tenant: u32 = "32000";
    }

    /// `tracing`
    pub struct TracingConfig {
        /// Whether traces are sent, where `otlp_endpoint` says to.
        enabled: bool = "true";
        /// Where traces are sent by OTLP over gRPC, `http://host:4317`; empty is what
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` says, else nowhere.
        otlp_endpoint: String = "";
    }

    /// `compactor`
    pub struct CompactorConfig {
        /// How often it is looked for parts to merge.
        compaction_interval: Duration = "10m", later "there is no compactor";
        /// Objects that nothing names are removed after so long.
        retention_delete_delay: Duration = "2h", later "there is no compactor";
        /// Loki's scratch directory.
        working_directory: String = "", ignored "compaction needs no scratch directory";
        /// How long a merged part stays after the commit that replaced it.
        delete_delay: Duration = "2h", later "there is no compactor";
        /// Whether old rows are removed.
        retention_enabled: bool = "false", later "retention is not enforced";
    }

    /// `ruler`
    pub struct RulerConfig {
        /// Whether the rule API is served.
        enable_api: bool = "true", later "there is no ruler";
        /// Scratch directory of Loki's ruler.
        rule_path: String = "/rules", ignored "rules need no scratch directory";
        /// Where rules are.
        storage: RulerStorageConfig;
        /// Loki's ring of rulers.
        ring: RingConfig;
        /// Where alerts go.
        alertmanager_url: String = "", later "there is no ruler";
    }

    /// `ruler.storage`
    pub struct RulerStorageConfig {
        /// `local` or an object store.
        r#type: String = "", later "there is no ruler";
        /// Rules in files.
        local: RulerLocalConfig;
    }

    /// `ruler.storage.local`
    pub struct RulerLocalConfig {
        /// One directory per tenant.
        directory: String = "", later "there is no ruler";
    }

    /// `ruler.ring`, `common.ring`
    pub struct RingConfig {
        /// Address other instances reach this one at.
        instance_addr: String = "", later "there is no ring";
        /// Where Loki keeps its ring.
        kvstore: KvStoreConfig;
    }

    /// `ring.kvstore`
    pub struct KvStoreConfig {
        /// `inmemory`, `memberlist`, `consul` or `etcd`.
        store: String = "memberlist", ignored "the ring needs no store of its own";
    }

    /// `pattern_ingester`
    pub struct PatternIngesterConfig {
        /// Whether patterns are detected.
        enabled: bool = "false", later "there is no pattern detection";
    }

    /// `memberlist`
    pub struct MemberlistConfig {
        /// Addresses gossip listens on.
        bind_addr: Vec<String> = "", ignored "there is no gossip";
        /// Address that is told to others.
        advertise_addr: String = "", ignored "there is no gossip";
        /// Members to join.
        join_members: Vec<String> = "", ignored "there is no gossip";
    }

    /// `analytics`
    pub struct AnalyticsConfig {
        /// Whether Loki reports usage.
        reporting_enabled: bool = "true", ignored "nothing is ever reported";
    }
}
