//! The top of the configuration file.

use std::time::Duration;

use base::ByteSize;

use super::accepted::Accepted;
use super::backend::{
    AnalyticsConfig, CompactorConfig, PatternIngesterConfig, RuntimeConfig, TracingConfig,
};
use super::blocks::blocks;
use super::limits::LimitsConfig;
use super::read::{
    FrontendConfig, FrontendWorkerConfig, QuerierConfig, QueryRangeConfig, QuerySchedulerConfig,
};
use super::ring::RingConfig;
pub use super::server::ServerConfig;
use super::storage::{CommonConfig, SchemaConfig, StorageConfig};
use super::write::{DistributorConfig, IngesterClientConfig, IngesterConfig};

blocks! {
    /// The whole file.
    pub struct RawConfig {
        /// Services to run, a comma list: `all`, `distributor`, `ingester`, `querier`,
        /// `query-frontend`, `compactor`.
        target: String = "all";
        /// Whether requests must name their tenant in `X-Scope-OrgID`. Off: the header is ignored.
        auth_enabled: bool = "true", flag "auth.enabled";
        /// The tenant of every request while `auth_enabled` is false.
        no_auth_tenant: String = "fake", flag "auth.no-auth-tenant";
        /// How long `/ready` says 503 after SIGTERM before connections are drained.
        shutdown_delay: Duration = "0s";
        /// Memory that Loki holds to calm Go's garbage collector.
        ballast_bytes: ByteSize = "0", ignored "there is no garbage collector to calm",
            flag "config.ballast-bytes";
        /// What names of metrics begin with in Loki.
        metrics_namespace: String = "loki",
            ignored "metrics keep the names that dashboards ask for";
        /// Limits that Loki shows to tenants.
        tenant_limits_allow_publish: Vec<String> = "",
            ignored "/config/tenant/v1/limits shows every limit",
            flag "limits.tenant-limits-allow-publish";
        /// Listeners and logging.
        server: ServerConfig;
        /// What several blocks share.
        common: CommonConfig;
        /// The processes of one cluster, and who they are to each other.
        ring: RingConfig;
        /// How pushes are taken.
        distributor: DistributorConfig;
        /// Recent rows: log, memory, flush.
        ingester: IngesterConfig;
        /// How distributors and queriers reach ingesters.
        ingester_client: IngesterClientConfig, flag "ingester.client";
        /// How pieces of queries run.
        querier: QuerierConfig;
        /// How queriers reach query frontends.
        frontend_worker: FrontendWorkerConfig, flag "querier";
        /// The queue of queries.
        frontend: FrontendConfig;
        /// Loki's query queue.
        query_scheduler: QuerySchedulerConfig, flag "query-scheduler";
        /// Splitting, repeating and caching of queries.
        query_range: QueryRangeConfig, flag "querier";
        /// Limits of every tenant.
        limits_config: LimitsConfig, flag "limits";
        /// Limits of single tenants, read anew while the process runs.
        runtime_config: RuntimeConfig;
        /// Since when which object store holds the rows.
        schema_config: SchemaConfig;
        /// The object store.
        storage_config: StorageConfig, flag "store";
        /// Merging of parts, retention, deletes.
        compactor: CompactorConfig;
        /// Traces of this process.
        tracing: TracingConfig;
        /// Pattern detection.
        pattern_ingester: PatternIngesterConfig;
        /// Usage reports.
        analytics: AnalyticsConfig;
        /// Loki's caches of chunks.
        chunk_store_config: Accepted = "chunk_store", flag "store",
            ignored "there are no chunks: parts are kept in storage_config.footer_cache and page_cache";
        /// Loki's tables.
        table_manager: Accepted = "table_manager",
            ignored "there are no tables: see compactor.retention_enabled and \
                limits_config.retention_period";
        /// Rules.
        ruler: Accepted = "ruler", later "rules are not evaluated";
        /// Rules in an object store.
        ruler_storage: Accepted = "ruler_storage", later "rules are not evaluated";
        /// Gossip.
        memberlist: Accepted = "memberlist",
            ignored "there is no gossip: ring.join names the others";
        /// Loki's service for its index.
        index_gateway: IndexGatewayConfig;
        /// Bloom filters.
        bloom_build: Accepted = "bloom_build", flag "bloom-build",
            ignored "every part carries its own sketches";
        /// Bloom filters.
        bloom_gateway: Accepted = "bloom_gateway", flag "bloom-gateway",
            ignored "every part carries its own sketches";
        /// The way of queries to Loki's compactor.
        compactor_client: Accepted = "grpc_client", flag "compactor.client",
            ignored "nobody calls the compactor: the catalog says what it did";
        /// The same.
        compactor_grpc_client: Accepted = "grpc_client", flag "compactor.grpc-client",
            ignored "nobody calls the compactor: the catalog says what it did";
        /// Pushes through Kafka.
        kafka_config: Accepted = "kafka", flag "kafka",
            ignored "pushes go to the ingesters directly";
        /// Another store format of Loki.
        dataobj: Accepted = "dataobj", ignored "parts are the only format";
        /// Another engine of Loki.
        query_engine: Accepted = "query_engine", flag "query-engine",
            ignored "there is one engine";
        /// Limits by a service of their own.
        ingest_limits: Accepted = "ingest_limits", flag "ingest-limits",
            ignored "distributors and ingesters limit on their own";
        /// The same.
        ingest_limits_frontend: Accepted = "ingest_limits_frontend",
            flag "ingest-limits-frontend",
            ignored "distributors and ingesters limit on their own";
        /// The same.
        ingest_limits_frontend_client: Accepted = "ingest_limits_frontend_client",
            flag "ingest-limits-frontend-client",
            ignored "distributors and ingesters limit on their own";
        /// A second port.
        internal_server: Accepted = "internal_server", flag "internal-server",
            later "there is no second port: operational routes are on the first";
        /// What Loki logs beside queries.
        operational_config: Accepted = "operational_config", flag "operation-config",
            ignored "log lines are chosen by server.log_level";
        /// Go's profiler.
        profiling: Accepted = "profiling", ignored "there is no Go profiler";
        /// A web page.
        ui: Accepted = "ui", later "there is no web page";
        /// Access by labels.
        lbac: Accepted = "lbac", later "access is by tenant only";
    }

    /// `index_gateway`
    pub struct IndexGatewayConfig {
        /// How Loki's index is shared out.
        mode: String = "simple", ignored "queriers read the catalog themselves";
        /// Its members.
        ring: Accepted = "ring", ignored "queriers read the catalog themselves";
    }
}
