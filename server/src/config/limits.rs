//! `limits_config`: what a tenant may do.

use std::collections::BTreeMap;
use std::time::Duration;

use base::ByteSize;

use super::accepted::Anything;
use super::blocks::blocks;
use super::scalar::{Secret, Time};

blocks! {
    /// `limits_config`
    pub struct LimitsConfig {
        /// Bytes of lines and metadata a tenant may push per second, in MB; `inf` is no limit.
        /// Over it: 429.
        ingestion_rate_mb: f64 = "4", flag "distributor.ingestion-rate-limit-mb";
        /// Largest burst, in MB; a larger push is always refused.
        ingestion_burst_size_mb: f64 = "6", flag "distributor.ingestion-burst-size-mb";
        /// `global`: the rate divides over the distributors of the ring that are up (the burst does
        /// not). `local`: each of them takes all of it.
        ingestion_rate_strategy: String = "global",
            flag "distributor.ingestion-rate-limit-strategy";
        /// Ingesters that a tenant's streams are kept to, so that what it does is noticed by few
        /// others; never fewer than copies of a row, the same ones as long as they are there, in all
        /// zones. 0 is all. Queries find everything whatever it says.
        ingestion_tenant_shard_size: u32 = "0", flag "distributor.ingestion-tenant-shard-size";
        /// Longest label name, bytes.
        max_label_name_length: u64 = "1024", flag "validation.max-length-label-name";
        /// Longest label value, bytes.
        max_label_value_length: u64 = "2048", flag "validation.max-length-label-value";
        /// Labels of a stream, without `service_name` where it was discovered.
        max_label_names_per_series: u64 = "15", flag "validation.max-label-names-per-series";
        /// Whether rows older than `reject_old_samples_max_age` are refused.
        reject_old_samples: bool = "true", flag "validation.reject-old-samples";
        /// See `reject_old_samples`.
        reject_old_samples_max_age: Duration = "1w", flag "validation.reject-old-samples.max-age";
        /// How far in the future a timestamp may lie.
        creation_grace_period: Duration = "10m", flag "validation.create-grace-period";
        /// Longest line, bytes; 0 is no limit.
        max_line_size: ByteSize = "256KB", flag "distributor.max-line-size";
        /// Whether longer lines are cut instead of refused.
        max_line_size_truncate: bool = "false", flag "distributor.max-line-size-truncate";
        /// Put at the end of a cut line.
        max_line_size_truncate_identifier: String = "",
            flag "distributor.max-line-size-truncate-identifier";
        /// Whether equal timestamps of different lines are moved by a nanosecond.
        increment_duplicate_timestamp: bool = "false",
            flag "validation.increment-duplicate-timestamps";
        /// Labels and metadata whose value becomes `service_name`; empty switches it off.
        discover_service_name: Vec<String> = "service,app,application,app_name,name,app_kubernetes_io_name,\
            container,container_name,k8s_container_name,component,workload,job,\
            k8s_job_name", flag "validation.discover-service-name";
        /// Whether `detected_level` is added.
        discover_log_levels: bool = "true", flag "validation.discover-log-levels";
        /// Fields in which a level is looked for.
        log_level_fields: Vec<String> = "level,LEVEL,Level,log.level,severity,SEVERITY,Severity,SeverityText,\
            lvl,LVL,Lvl,severity_text,Severity_Text,SEVERITY_TEXT",
            flag "validation.log-level-fields";
        /// How deep a JSON line is searched for a level.
        log_level_from_json_max_depth: u32 = "2", flag "validation.log-level-from-json-max-depth";
        /// Active streams of a tenant in this process; 0 is no limit. Over it: 429.
        max_streams_per_user: u64 = "0", flag "ingester.max-streams-per-user";
        /// Active streams of a tenant in the cluster; 0 is no limit. Over it: 429.
        max_global_streams_per_user: u64 = "5000", flag "ingester.max-global-streams-per-user";
        /// Bytes a stream may take per second. Over it: 429 for those rows. Where `shard_streams` is
        /// on and its `desired_rate` is not above this, no stream is refused: Loki would cut it into
        /// streams that each stay below it.
        per_stream_rate_limit: ByteSize = "3MB", flag "ingester.per-stream-rate-limit";
        /// Largest burst of a stream.
        per_stream_rate_limit_burst: ByteSize = "15MB",
            flag "ingester.per-stream-rate-limit-burst";
        /// Whether rows may carry structured metadata.
        allow_structured_metadata: bool = "true", flag "validation.allow-structured-metadata";
        /// Structured metadata of a row, bytes.
        max_structured_metadata_size: ByteSize = "64KB";
        /// Structured metadata entries of a row.
        max_structured_metadata_entries_count: u64 = "128";
        /// How far behind its newest row a stream takes rows; 0 is without end. Loki's window is
        /// half of `ingester.max_chunk_age`, which stands here while this is unset.
        out_of_order_window: Option<Duration> = "";
        /// Until when pushes are refused, RFC 3339; empty is never.
        block_ingestion_until: Time = "";
        /// Status of a refused push; 200 drops it silently.
        block_ingestion_status_code: u16 = "260";
        /// Labels that every stream must carry. Else: 400.
        enforced_labels: Vec<String> = "", flag "validation.enforced-labels";
        /// Series a metric query may give. Over it: 400.
        max_query_series: u64 = "500", flag "querier.max-query-series";
        /// How far back a query may look; 0 is without end.
        max_query_lookback: Duration = "0s", flag "querier.max-query-lookback";
        /// Longest time between start and end of a query; 0 is no limit. Over it: 400.
        max_query_length: Duration = "721h", flag "store.max-query-length";
        /// Longest range in a query's brackets; 0 is no limit.
        max_query_range: Duration = "0s", flag "querier.max-query-range";
        /// Largest `limit` of a log query. Over it: 400.
        max_entries_limit_per_query: u64 = "5000", flag "validation.max-entries-limit";
        /// The longest a query may run. Over it: 504.
        query_timeout: Duration = "1m", flag "querier.query-timeout";
        /// Matchers of a query.
        max_streams_matchers_per_query: u64 = "1000",
            flag "querier.max-streams-matcher-per-query";
        /// Bytes of lines, of all streams that a query selects, that it may read; 0 is no limit. Over
        /// it: 400, before a line is read. Counting them costs each query a little.
        max_query_bytes_read: ByteSize = "0",
            flag "frontend.max-query-bytes-read";
        /// Bytes one querier may read for a query; 0 is no limit.
        max_querier_bytes_read: ByteSize = "150GB",
            ignored "a query is cut into days and shards, whatever its size",
            flag "frontend.max-querier-bytes-read";
        /// Length of the pieces Loki cuts a range query into; each piece with its range is held
        /// against `max_query_length` once more.
        split_queries_by_interval: Duration = "1h", flag "querier.split-queries-by-interval";
        /// Labels that every selector must name. Else: 400.
        required_labels: Vec<String> = "", flag "validation.required-labels";
        /// Fewest matchers of a selector. Less: 400.
        minimum_labels_number: u64 = "0", flag "validation.minimum-labels-number";
        /// Pieces of a query that run at the same time; 0 refuses every query with 429.
        max_query_parallelism: u32 = "32", flag "querier.max-query-parallelism";
        /// The same for queries that are cut in shards: the larger of the two counts.
        tsdb_max_query_parallelism: u32 = "128", flag "querier.tsdb-max-query-parallelism";
        /// Queriers a tenant's queries may use: from 1 a number, below a share, 0 every one.
        max_queriers_per_tenant: f64 = "0", flag "frontend.max-queriers-per-tenant";
        /// Chunks a query may read.
        max_chunks_per_query: u64 = "2000000", ignored "there are no chunks",
            flag "store.query-chunk-limit";
        /// Loki's limit of index look-ups.
        cardinality_limit: u64 = "100000", ignored "postings are read whole",
            flag "store.cardinality-limit";
        /// Whether volumes are answered.
        volume_enabled: bool = "true";
        /// Series of a volume.
        volume_max_series: u64 = "1000";
        /// How long rows are kept; 0 is for ever.
        retention_period: Duration = "0s",
            flag "store.retention";
        /// Rules of single streams: the one of the highest priority counts.
        retention_stream: Vec<StreamRetentionConfig>,
            later "retention of single streams is not enforced: whole parts stay for the longest";
        /// `disabled`, `filter-only` or `filter-and-delete`.
        deletion_mode: String = "filter-and-delete", later "deletes are not built",
            flag "compactor.deletion-mode";
        /// How hot streams are cut.
        shard_streams: ShardStreamsConfig, flag "shard-streams";
        /// What becomes of attributes of OTLP.
        otlp_config: OtlpRulesConfig;
        /// The same for every tenant.
        global_otlp_config: Anything = "",
            ignored "distributor.otlp_config is the same for every tenant";
        /// Queries that are refused.
        blocked_queries: Vec<BlockedQueryConfig>;
        /// Which streams have which policy.
        policy_stream_mapping: Anything = "", later "there are no policies";
        /// Labels that streams of a policy must carry.
        policy_enforced_labels: Anything = "", later "there are no policies";
        /// Until when pushes of a policy are refused.
        block_ingestion_policy_until: Anything = "", later "there are no policies";
        /// Limits of a policy.
        policy_override_limits: Anything = "", later "there are no policies";
        /// Tails of a tenant at the same time, in one query frontend; 0 is any number.
        max_concurrent_tail_requests: u32 = "10",
            flag "querier.max-concurrent-tail-requests";
        /// Bytes of a shard of a query.
        tsdb_max_bytes_per_shard: ByteSize = "600MB",
            ignored "a query is cut by the queriers that are free",
            flag "querier.tsdb-max-bytes-per-shard";
        /// How a query is cut.
        tsdb_sharding_strategy: String = "power_of_two",
            ignored "a query is cut by the queriers that are free",
            flag "limits.tsdb-sharding-strategy";
        /// Whether chunks are looked up early.
        tsdb_precompute_chunks: bool = "false", ignored "there are no chunks",
            flag "querier.tsdb-precompute-chunks";
        /// Results that are too fresh to be kept.
        max_cache_freshness_per_query: Duration = "10m", ignored "there is no results cache",
            flag "frontend.max-cache-freshness";
        /// The same of labels and series.
        max_metadata_cache_freshness: Duration = "24h", ignored "there is no results cache",
            flag "frontend.max-metadata-cache-freshness";
        /// The same of index statistics.
        max_stats_cache_freshness: Duration = "10m", ignored "there is no results cache",
            flag "frontend.max-stats-cache-freshness";
        /// Share of the queriers a tenant's queries may use.
        max_query_capacity: f64 = "0", flag "frontend.max-query-capacity",
            later "every querier serves every tenant";
        /// Days of Loki's index that are kept at hand.
        query_ready_index_num_days: u32 = "0", flag "store.query-ready-index-num-days",
            ignored "there is no index to fetch";
        /// Length of the pieces of queries for labels and series.
        split_metadata_queries_by_interval: Duration = "24h",
            flag "querier.split-metadata-queries-by-interval",
            ignored "labels and series are answered in one piece";
        /// The same of the last hours.
        split_recent_metadata_queries_by_interval: Duration = "1h",
            flag "experimental.querier.split-recent-metadata-queries-by-interval",
            ignored "labels and series are answered in one piece";
        /// Which hours are the last.
        recent_metadata_query_window: Duration = "0s",
            flag "experimental.querier.recent-metadata-query-window",
            ignored "labels and series are answered in one piece";
        /// Length of the pieces of instant queries.
        split_instant_metric_queries_by_interval: Duration = "1h",
            flag "querier.split-instant-metric-queries-by-interval",
            ignored "split_queries_by_interval counts for them too";
        /// Length of the pieces that ingesters answer.
        split_ingester_queries_by_interval: Duration = "0s",
            flag "querier.split-ingester-queries-by-interval",
            ignored "split_queries_by_interval counts for them too";
        /// How old rows must be so that a query is cut in shards.
        min_sharding_lookback: Duration = "0s", flag "frontend.min-sharding-lookback",
            ignored "queries are cut in shards whatever their age";
        /// Operators that are cut in shards.
        shard_aggregations: Vec<String> = "",
            ignored "every operator whose partial results can be merged is cut in shards";
        /// Queries of several outputs.
        enable_multi_variant_queries: bool = "false", flag "limits.enable-multi-variant-queries",
            ignored "there are no such queries in LogQL any more";
        /// Rules of a group.
        ruler_max_rules_per_rule_group: u32 = "0", later "rules are not evaluated",
            flag "ruler.max-rules-per-rule-group";
        /// Groups of a tenant.
        ruler_max_rule_groups_per_tenant: u32 = "0", later "rules are not evaluated",
            flag "ruler.max-rule-groups-per-tenant";
        /// Where a tenant's alerts go.
        ruler_alertmanager_config: Anything = "", later "rules are not evaluated";
        /// Rulers of a tenant.
        ruler_tenant_shard_size: u32 = "0", flag "ruler.tenant-shard-size",
            ignored "groups are spread by leases";
        /// Whether a tenant's samples are not sent.
        ruler_remote_write_disabled: bool = "false", flag "ruler.remote-write.disabled",
            later "rules are not evaluated";
        /// Where a tenant's samples go.
        ruler_remote_write_config: Anything = "", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_url: Secret = "", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_timeout: Duration = "0s", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_headers: Anything = "", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_relabel_configs: Anything = "", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_capacity: u32 = "0", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_min_shards: u32 = "0", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_max_shards: u32 = "0", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_max_samples_per_send: u32 = "0",
            later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_batch_send_deadline: Duration = "0s",
            later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_min_backoff: Duration = "0s", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_max_backoff: Duration = "0s", later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_queue_retry_on_ratelimit: bool = "false",
            later "rules are not evaluated";
        /// Older forms of the same.
        ruler_remote_write_sigv4_config: Anything = "", later "rules are not evaluated";
        /// The longest a rule may take elsewhere.
        ruler_remote_evaluation_timeout: Duration = "0s", later "rules are not evaluated";
        /// Largest answer of a rule evaluated elsewhere.
        ruler_remote_evaluation_max_response_size: ByteSize = "0",
            later "rules are not evaluated";
        /// Whether samples are kept over a restart.
        ruler_enable_wal_replay: bool = "true", flag "ruler.enable-wal-replay",
            ignored "rules are not evaluated";
        /// How late rules are evaluated.
        ruler_evaluation_delay_duration: Duration = "0s", flag "ruler.evaluation-delay-duration",
            ignored "a query sees what was acknowledged before it";
        /// Counts of streams as streams.
        metric_aggregation_enabled: bool = "false", later "counts are not stored as streams";
        /// Patterns as streams.
        pattern_persistence_enabled: bool = "false", later "patterns are not stored as streams";
        /// Which patterns.
        pattern_rate_threshold: f64 = "1", ignored "patterns are not stored as streams";
        /// How they are counted.
        persist_granularity: Duration = "0s", ignored "patterns are not stored as streams";
        /// Which fields of JSON lines make a pattern.
        pattern_ingester_tokenizable_json_fields_default: Vec<String> = "log,message,msg,msg_,\
            _msg,content", ignored "patterns are of whole lines",
            flag "limits.pattern-ingester-tokenizable-json-fields";
        /// More of them.
        pattern_ingester_tokenizable_json_fields_append: Vec<String> = "",
            ignored "patterns are of whole lines";
        /// Fewer of them.
        pattern_ingester_tokenizable_json_fields_delete: Vec<String> = "",
            ignored "patterns are of whole lines";
        /// How Loki counts streams.
        use_owned_stream_count: bool = "false", flag "ingester.use-owned-stream-count",
            ignored "every ingester counts the streams it owns";
        /// Members of the index.
        index_gateway_shard_size: u32 = "0", flag "index-gateway.shard-size",
            ignored "queriers read the catalog themselves";
        /// Partitions of a tenant.
        ingestion_partitions_tenant_shard_size: u32 = "0",
            flag "limits.ingestion-partition-tenant-shard-size",
            ignored "there are no partitions; ingestion_tenant_shard_size is about ingesters";
        /// Encryption at rest of a tenant's objects.
        s3_sse_type: String = "", later "objects are encrypted as the bucket says",
            flag "limits.s3-sse-type";
        /// Its key.
        s3_sse_kms_key_id: String = "", later "objects are encrypted as the bucket says",
            flag "limits.s3-sse-kms-key-id";
        /// Its context.
        s3_sse_kms_encryption_context: String = "",
            later "objects are encrypted as the bucket says",
            flag "limits.s3-sse-kms-encryption-context";
        /// A pause before each push, for tests.
        simulated_push_latency: Duration = "0s", ignored "pushes are never held up",
            flag "limits.simulated-push-latency";
        /// What Loki logs of its engine.
        debug_engine_tasks: bool = "false", ignored "there is one engine";
        /// The same.
        debug_engine_streams: bool = "false", ignored "there is one engine";
        /// Loki's check of a name that logs do not have.
        enforce_metric_name: bool = "true", ignored "streams have no metric name",
            flag "validation.enforce-metric-name";
        /// Whether rows may come out of order.
        unordered_writes: bool = "true", ignored "rows may always come out of order",
            flag "ingester.unordered-writes";
        /// Older switch of deletes.
        allow_deletes: bool = "false", ignored "deletion_mode counts",
            flag "compactor.allow-deletes";
        /// Older place of `runtime_config.file`.
        per_tenant_override_config: String = "", flag "limits.per-user-override-config";
        /// Older place of `runtime_config.period`.
        per_tenant_override_period: Duration = "10s", flag "limits.per-user-override-period";
        /// Bloom filters.
        bloom_gateway_enable_filtering: bool = "false",
            ignored "every part carries its own sketches", flag "bloom-gateway.enable-filtering";
        /// Bloom filters.
        bloom_gateway_shard_size: u32 = "0",
            ignored "every part carries its own sketches", flag "bloom-gateway.shard-size";
        /// Bloom filters.
        bloom_creation_enabled: bool = "false",
            ignored "every part carries its own sketches", flag "bloom-build.enable";
        /// Bloom filters.
        bloom_build_enable: bool = "false",
            ignored "every part carries its own sketches", flag "bloom-build.enable-legacy";
        /// Bloom filters.
        bloom_build_max_builders: u32 = "0",
            ignored "every part carries its own sketches", flag "bloom-build.max-builders";
        /// Bloom filters.
        bloom_build_task_max_retries: u32 = "3",
            ignored "every part carries its own sketches", flag "bloom-build.task-max-retries";
        /// Bloom filters.
        bloom_build_builder_response_timeout: Duration = "0s",
            ignored "every part carries its own sketches", flag "bloom-build.builder-response-timeout";
        /// Bloom filters.
        bloom_split_series_keyspace_by: u32 = "256",
            ignored "every part carries its own sketches", flag "bloom-build.split-keyspace-by";
        /// Bloom filters.
        bloom_planning_strategy: String = "split_keyspace_by_factor",
            ignored "every part carries its own sketches", flag "bloom-build.planning-strategy";
        /// Bloom filters.
        bloom_task_target_series_chunk_size: ByteSize = "20GB",
            ignored "every part carries its own sketches", flag "bloom-build.split-target-series-chunk-size";
        /// Bloom filters.
        bloom_block_encoding: String = "none",
            ignored "every part carries its own sketches", flag "bloom-build.block-encoding";
        /// Bloom filters.
        bloom_prefetch_blocks: bool = "false",
            ignored "every part carries its own sketches", flag "bloom-build.prefetch-blocks";
        /// Bloom filters.
        bloom_max_block_size: ByteSize = "200MB",
            ignored "every part carries its own sketches", flag "bloom-build.max-block-size";
        /// Bloom filters.
        bloom_max_bloom_size: ByteSize = "128MB",
            ignored "every part carries its own sketches", flag "bloom-build.max-bloom-size";
        /// Bloom filters.
        bloom_ngram_length: u32 = "0",
            ignored "every part carries its own sketches", flag "bloom-build.ngram-length";
        /// Bloom filters.
        bloom_ngram_skip: u32 = "0",
            ignored "every part carries its own sketches", flag "bloom-build.ngram-skip";
        /// Bloom filters.
        bloom_false_positive_rate: f64 = "0",
            ignored "every part carries its own sketches", flag "bloom-build.false-positive-rate";
        /// Bloom filters.
        bloom_compactor_enable_compaction: bool = "false",
            ignored "every part carries its own sketches", flag "bloom-compactor.enable-compaction";
        /// Bloom filters.
        bloom_compactor_shard_size: u32 = "0",
            ignored "every part carries its own sketches", flag "bloom-compactor.shard-size";
        /// Bloom filters.
        bloom_gateway_cache_key_interval: Duration = "15m",
            ignored "every part carries its own sketches", flag "bloom-gateway.cache-key-interval";
        /// Bloom filters.
        bloom_gateway_blocks_downloading_parallelism: u32 = "50",
            ignored "every part carries its own sketches", flag "bloom-gateway.blocks-downloading-parallelism";
    }

    /// `limits_config.retention_stream[]`
    pub struct StreamRetentionConfig {
        /// Streams this selector matches.
        selector: String = "";
        /// The rule of the highest priority counts.
        priority: u32 = "0";
        /// How long their rows are kept, at least a day.
        period: Duration = "0s";
    }

    /// `limits_config.blocked_queries[]`: a query is refused with 400 if all that is set applies.
    pub struct BlockedQueryConfig {
        /// The query as it is written; empty is any.
        pattern: String = "";
        /// The pattern is a regular expression that matches somewhere in the query.
        regex: bool = "false";
        /// FNV-1 of 32 bits over the query; 0 is any. Where it is set, the pattern does not count.
        hash: u32 = "0";
        /// `metric`, `filter`, `limited`; none is all.
        types: Vec<String> = "";
        /// What `X-Query-Tags` of the request must say.
        tags: BTreeMap<String, String>;
    }

    /// `limits_config.otlp_config`
    pub struct OtlpRulesConfig {
        /// Attributes of resources.
        resource_attributes: OtlpResourceConfig;
        /// Rules for attributes of scopes; what none is about becomes metadata.
        scope_attributes: Vec<OtlpRuleConfig>;
        /// Rules for attributes of records; what none is about becomes metadata.
        log_attributes: Vec<OtlpRuleConfig>;
        /// Whether the severity of a record, as its sender writes it, is a label too.
        severity_text_as_label: bool = "false";
    }

    /// `limits_config.otlp_config.resource_attributes`
    pub struct OtlpResourceConfig {
        /// Whether only `attributes_config` counts, and not also the attributes of
        /// `distributor.otlp_config`, which are asked first.
        ignore_defaults: bool = "false";
        /// Rules; what none is about becomes metadata.
        attributes_config: Vec<OtlpRuleConfig>;
    }

    /// A rule for attributes of OTLP: the first that holds counts.
    pub struct OtlpRuleConfig {
        /// `index_label` (not of scopes), `structured_metadata` or `drop`.
        action: String = "";
        /// Names of attributes, as senders write them.
        attributes: Vec<String> = "";
        /// A regular expression that a name matches from beginning to end; instead of `attributes`.
        regex: String = "";
    }

    /// `limits_config.shard_streams`
    pub struct ShardStreamsConfig {
        /// Whether a stream may be faster than `per_stream_rate_limit`, as if it was cut into
        /// several. It stays one stream, without a label of its own.
        enabled: bool = "true";
        /// Rate of each of the streams that Loki would cut a hot one into.
        desired_rate: ByteSize = "1536KB";
        /// Whether it is logged.
        logging_enabled: bool = "false", ignored "it is counted";
        /// Whether streams are cut by time.
        time_sharding_enabled: bool = "false", ignored "a part holds one day anyway";
        /// Which rows are not.
        time_sharding_ignore_recent: Duration = "40m", ignored "a part holds one day anyway";
    }
}
