//! The way of a query: `frontend`, `query_range`, `query_scheduler`, `frontend_worker`, `querier`.

use std::time::Duration;

use base::ByteSize;

use super::accepted::Accepted;
use super::blocks::blocks;
use super::scalar::SignedDuration;
use super::tls::GrpcClientConfig;

blocks! {
    /// `querier`
    pub struct QuerierConfig {
        /// Whether query routes take several tenants: `X-Scope-OrgID: a|b`.
        multi_tenant_queries_enabled: bool = "false";
        /// Threads that scan parts at the same time, over all queries; 0 is the number of cores, four
        /// times as many where parts are in an object store.
        scan_threads: u32 = "0";
        /// Memory of the partial results of one query; 0 is a quarter of the memory of this
        /// process, at most 1GB. Over it the query fails.
        max_query_memory: ByteSize = "0";
        /// Pieces of queries this querier works on at the same time.
        max_concurrent: u32 = "4";
        /// How far back Loki asks ingesters.
        query_ingesters_within: Duration = "3h",
            ignored "ingesters answer exactly what is in no commit";
        /// The longest a tail may last; then it is closed and begins anew.
        tail_max_duration: Duration = "1h";
        /// How long Loki waits before it asks.
        extra_query_delay: Duration = "0s",
            ignored "a query sees what was acknowledged before it";
        /// Loki's engine.
        engine: EngineConfig;
        /// Whether Loki leaves ingesters out.
        query_store_only: bool = "false", later "both ingesters and parts are asked";
        /// Whether Loki leaves the store out.
        query_ingester_only: bool = "false", later "both ingesters and parts are asked";
        /// Whether Loki asks ingesters by partition.
        query_partition_ingesters: bool = "false", ignored "there are no partitions";
        /// Whether requests may bring limits of their own.
        per_request_limits_enabled: bool = "false", later "limits of requests are not read",
            flag "querier.per-request-limits-enabled";
        /// The older place of `limits_config.query_timeout`.
        query_timeout: Option<Duration> = "", ignored "limits_config.query_timeout counts",
            flag "querier.legacy-query-timeout";
    }

    /// `querier.engine`
    pub struct EngineConfig {
        /// How far back an instant log query looks.
        max_look_back_period: Duration = "30s", flag "querier.engine.max-lookback-period",
            ignored "instant log queries are refused";
        /// Series that are counted at once.
        max_count_min_sketch_heap_size: u32 = "10000", ignored "approx_topk counts exactly";
        /// The older place of `limits_config.query_timeout`.
        timeout: Option<Duration> = "", ignored "limits_config.query_timeout counts";
    }

    /// `query_range`
    pub struct QueryRangeConfig {
        /// How often a failed piece of a query is tried in all.
        max_retries: u32 = "5", flag "querier.max-retries-per-request";
        /// Whether queries are cut in shards.
        parallelise_shardable_queries: bool = "true",
            ignored "a query is cut by the queriers that are free";
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
        /// Where.
        results_cache: Accepted = "results_cache", flag "frontend",
            ignored "there is no results cache";
        /// Where.
        index_stats_results_cache: Accepted = "results_cache",
            flag "frontend.index-stats-results-cache", ignored "there is no results cache";
        /// Where.
        volume_results_cache: Accepted = "results_cache",
            flag "frontend.volume-results-cache", ignored "there is no results cache";
        /// Where.
        series_results_cache: Accepted = "results_cache",
            flag "frontend.series-results-cache", ignored "there is no results cache";
        /// Where.
        label_results_cache: Accepted = "results_cache",
            flag "frontend.label-results-cache", ignored "there is no results cache";
        /// Where.
        instant_metric_results_cache: Accepted = "results_cache",
            flag "frontend.instant-metric-results-cache", ignored "there is no results cache";
        /// Whether `start` and `end` are rounded to the step.
        align_queries_with_step: bool = "false", later "queries are not aligned",
            flag "querier.align-querier-with-step";
        /// Which operators are cut in shards.
        shard_aggregations: Vec<String> = "",
            ignored "every operator whose partial results can be merged is cut in shards";
        /// How instant queries are cut.
        instant_metric_query_split_align: bool = "false",
            ignored "cuts never change an answer";
        /// Encoding between Loki's services.
        required_query_response_format: String = "protobuf", flag "frontend.required-query-response-format",
            ignored "partial results travel as columns";
        /// The older place of `limits_config.split_queries_by_interval`.
        split_queries_by_interval: Option<Duration> = "",
            flag "querier.legacy-split-queries-by-interval",
            ignored "limits_config.split_queries_by_interval counts";
    }

    /// `frontend`
    pub struct FrontendConfig {
        /// Pieces of queries of one tenant that may wait for a querier. Over it: 429.
        max_outstanding_per_tenant: u32 = "2048",
            flag "querier.max-outstanding-requests-per-tenant";
        /// Queries that take longer are told of in the log; 0 is none, negative every one.
        log_queries_longer_than: SignedDuration = "0s";
        /// Whether answers of queries are compressed when the client takes gzip.
        compress_responses: bool = "true", flag "querier.compress-http-responses";
        /// Loki's encoding between frontend and querier.
        encoding: String = "json", ignored "partial results travel as columns";
        /// Largest body of a query.
        max_body_size: ByteSize = "10MB", ignored "bodies of queries are held to 10MB";
        /// Whether answers say how long each step took.
        query_stats_enabled: bool = "false", flag "frontend.query-stats-enabled",
            later "there is no Server-Timing header";
        /// How long a lost querier is remembered.
        querier_forget_delay: Duration = "0s", flag "query-frontend.querier-forget-delay",
            ignored "a querier's place is free when its connection ends";
        /// Loki's scheduler.
        scheduler_address: String = "", ignored "the queue is in the query-frontend itself";
        /// How often its name is looked up.
        scheduler_dns_lookup_period: Duration = "10s",
            ignored "the queue is in the query-frontend itself";
        /// Connections to it.
        scheduler_worker_concurrency: u32 = "5",
            ignored "the queue is in the query-frontend itself";
        /// How they are tuned.
        grpc_client_config: Accepted = "grpc_client", flag "frontend.grpc-client-config",
            ignored "the queue is in the query-frontend itself";
        /// How long it waits for queries at its end.
        graceful_shutdown_timeout: Duration = "5m",
            ignored "server.graceful_shutdown_timeout counts";
        /// Interfaces its address is taken from.
        instance_interface_names: Vec<String> = "",
            ignored "queriers are told by frontend_worker.frontend_address";
        /// Its address.
        address: String = "", flag "frontend.instance-addr",
            ignored "queriers are told by frontend_worker.frontend_address";
        /// Its port.
        port: u16 = "0", flag "frontend.instance-port",
            ignored "queriers are told by frontend_worker.frontend_address";
        /// Another Loki that answers.
        downstream_url: String = "",
            ignored "queriers pull from the query-frontend: see frontend_worker.frontend_address";
        /// Another Loki that follows.
        tail_proxy_url: String = "", ignored "query frontends serve tails themselves";
        /// TLS to it.
        tail_tls_config: Accepted = "tls", flag "frontend.tail-tls-config",
            ignored "query frontends serve tails themselves";
        /// Whether answers may be Parquet.
        support_parquet_encoding: bool = "false", later "answers are never Parquet";
    }

    /// `frontend_worker`
    pub struct FrontendWorkerConfig {
        /// Query frontends that this querier works for, as a comma list of `host:port`,
        /// `dns+host:port` for every address of a name; empty is the one in this process, or,
        /// without one, those of the ring.
        frontend_address: String = "";
        /// The same: queues are in the frontends.
        scheduler_address: String = "";
        /// How often names are looked up.
        dns_lookup_duration: Duration = "3s", flag "querier.dns-lookup-period",
            ignored "a name is looked up for each new connection";
        /// The querier's name.
        id: String = "", ignored "a querier is told apart by its connection";
        /// How connections to query frontends are made.
        grpc_client_config: GrpcClientConfig, flag "querier.frontend-client";
        /// The same; where TLS is enabled here, this block counts.
        query_frontend_grpc_client: GrpcClientConfig, flag "querier.frontend-grpc-client";
        /// The same, where `scheduler_address` names them.
        query_scheduler_grpc_client: GrpcClientConfig, flag "querier.scheduler-grpc-client";
        /// Loki's older way to say how much runs at once.
        match_max_concurrent: bool = "true", flag "querier.worker-match-max-concurrent",
            ignored "querier.max_concurrent counts";
        /// The same.
        parallelism: u32 = "10", flag "querier.worker-parallelism",
            ignored "querier.max_concurrent counts";
    }

    /// `query_scheduler`
    pub struct QuerySchedulerConfig {
        /// Where set, what `frontend.max_outstanding_per_tenant` is: queues are in the frontends.
        max_outstanding_requests_per_tenant: u32 = "32000";
        /// How deep actors may nest.
        max_queue_hierarchy_levels: u32 = "3",
            ignored "the queue is fair between tenants, not within them";
        /// How long a lost querier is remembered.
        querier_forget_delay: Duration = "0s",
            ignored "a querier's place is free when its connection ends";
        /// How connections are tuned.
        grpc_client_config: Accepted = "grpc_client", flag "query-scheduler.grpc-client-config",
            ignored "the queue is in the query-frontend itself";
        /// Whether schedulers are found by a ring.
        use_scheduler_ring: bool = "false", ignored "the queue is in the query-frontend itself";
        /// The ring.
        scheduler_ring: Accepted = "ring", flag "query-scheduler.ring",
            ignored "the queue is in the query-frontend itself";
    }
}
