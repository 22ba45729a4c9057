//! `limits_config`: what a tenant may do.

use std::time::Duration;

use base::ByteSize;

use super::value::blocks;

blocks! {
    /// `limits_config`
    pub struct LimitsConfig {
        /// Bytes of lines and metadata a tenant may push per second, in MB; `inf` is no limit.
        /// Over it: 429.
        ingestion_rate_mb: f64 = "4";
        /// Largest burst, in MB; a larger push is always refused.
        ingestion_burst_size_mb: f64 = "6";
        /// Whether the rate is for the cluster or for each instance.
        ingestion_rate_strategy: String = "global", later "one process takes every push";
        /// Longest label name, bytes.
        max_label_name_length: u64 = "1024";
        /// Longest label value, bytes.
        max_label_value_length: u64 = "2048";
        /// Labels of a stream, without `service_name` where it was discovered.
        max_label_names_per_series: u64 = "15";
        /// Whether rows older than `reject_old_samples_max_age` are refused.
        reject_old_samples: bool = "true";
        /// See `reject_old_samples`.
        reject_old_samples_max_age: Duration = "1w";
        /// How far in the future a timestamp may lie.
        creation_grace_period: Duration = "10m";
        /// Longest line, bytes; 0 is no limit.
        max_line_size: ByteSize = "256KB";
        /// Whether longer lines are cut instead of refused.
        max_line_size_truncate: bool = "false";
        /// Put at the end of a cut line.
        max_line_size_truncate_identifier: String = "";
        /// Whether equal timestamps of different lines are moved by a nanosecond.
        increment_duplicate_timestamp: bool = "false";
        /// Labels and metadata whose value becomes `service_name`; empty switches it off.
        discover_service_name: Vec<String> = "service,app,application,app_name,name,app_kubernetes_io_name,\
            container,container_name,k8s_container_name,component,workload,job,\
            k8s_job_name";
        /// Whether `detected_level` is added.
        discover_log_levels: bool = "true";
        /// Fields in which a level is looked for.
        log_level_fields: Vec<String> = "level,LEVEL,Level,log.level,severity,SEVERITY,Severity,SeverityText,\
            lvl,LVL,Lvl,severity_text,Severity_Text,SEVERITY_TEXT";
        /// How deep a JSON line is searched for a level.
        log_level_from_json_max_depth: u32 = "2";
        /// Active streams of a tenant in this process; 0 is no limit. Over it: 429.
        max_streams_per_user: u64 = "0";
        /// Active streams of a tenant in the cluster; 0 is no limit. Over it: 429.
        max_global_streams_per_user: u64 = "5000";
        /// Bytes a stream may take per second. Over it: 429 for those rows.
        per_stream_rate_limit: ByteSize = "3MB";
        /// Largest burst of a stream.
        per_stream_rate_limit_burst: ByteSize = "15MB";
        /// Whether rows may carry structured metadata.
        allow_structured_metadata: bool = "true";
        /// Structured metadata of a row, bytes.
        max_structured_metadata_size: ByteSize = "64KB";
        /// Structured metadata entries of a row.
        max_structured_metadata_entries_count: u64 = "128";
        /// How far behind its newest row a stream takes rows; 0 is without end. Loki's window is
        /// half of `ingester.max_chunk_age`, which stands here while this is unset.
        out_of_order_window: String = "";
        /// Until when pushes are refused, RFC 3339; empty is never.
        block_ingestion_until: String = "";
        /// Status of a refused push; 200 drops it silently.
        block_ingestion_status_code: u16 = "260";
        /// Labels that every stream must carry. Else: 400.
        enforced_labels: Vec<String> = "";
        /// Series a metric query may give. Over it: 400.
        max_query_series: u64 = "500";
        /// How far back a query may look; 0 is without end.
        max_query_lookback: Duration = "0s";
        /// Longest time between start and end of a query; 0 is no limit. Over it: 400.
        max_query_length: Duration = "721h";
        /// Longest range in a query's brackets; 0 is no limit.
        max_query_range: Duration = "0s";
        /// Largest `limit` of a log query. Over it: 400.
        max_entries_limit_per_query: u64 = "5000";
        /// The longest a query may run. Over it: 504.
        query_timeout: Duration = "1m";
        /// Matchers of a query.
        max_streams_matchers_per_query: u64 = "1000";
        /// Bytes a query may read; 0 is no limit.
        max_query_bytes_read: ByteSize = "0",
            later "the cost of a query is not known before it runs";
        /// Bytes one querier may read for a query; 0 is no limit.
        max_querier_bytes_read: ByteSize = "150GB",
            later "the cost of a query is not known before it runs";
        /// Length of the pieces Loki cuts a range query into; each piece with its range is held
        /// against `max_query_length` once more.
        split_queries_by_interval: Duration = "1h";
        /// Labels that every selector must name. Else: 400.
        required_labels: Vec<String> = "";
        /// Fewest matchers of a selector. Less: 400.
        minimum_labels_number: u64 = "0";
        /// Pieces of a query that run at the same time; 0 refuses every query with 429.
        max_query_parallelism: u32 = "32";
        /// The same for queries that are cut in shards: the larger of the two counts.
        tsdb_max_query_parallelism: u32 = "128";
        /// Queriers a tenant's queries may use: from 1 a number, below a share, 0 every one.
        max_queriers_per_tenant: f64 = "0";
        /// Chunks a query may read.
        max_chunks_per_query: u64 = "2000000", ignored "there are no chunks";
        /// Loki's limit of index look-ups.
        cardinality_limit: u64 = "100000", ignored "postings are read whole";
        /// Whether volumes are answered.
        volume_enabled: bool = "true", later "volumes are not answered";
        /// Series of a volume.
        volume_max_series: u64 = "1000", later "volumes are not answered";
        /// How long rows are kept; 0 is for ever.
        retention_period: Duration = "0s", later "retention is not enforced";
    }
}
