//! The tenant limits that decide what a push may contain.

use std::sync::Arc;
use std::time::Duration;

use base::{TenantId, UnixNanos};

use crate::decode::otlp::Rules;

/// Where limits come from. Implemented by the server from its configuration; may change while
/// the process runs.
pub trait Limits: Send + Sync + 'static {
    /// The limits of `tenant` as they stand now; read once per push.
    fn push(&self, tenant: &TenantId) -> Arc<PushLimits>;
}

/// One tenant's limits on pushes. Keys are those of `limits_config`; the default is Loki's.
#[derive(Clone, Debug, PartialEq)]
pub struct PushLimits {
    /// `ingestion_rate_mb` in bytes per second (4 MiB); infinite = unlimited.
    pub ingestion_rate_bytes: f64,
    /// `ingestion_burst_size_mb` in bytes (6 MiB). A larger push is always refused.
    pub ingestion_burst_bytes: u64,
    /// `ingestion_rate_strategy: global`: the rate (not the burst) divides over the distributors that
    /// are up.
    pub is_rate_global: bool,
    /// `ingestion_tenant_shard_size`: ingesters that the tenant's streams are kept to, never fewer
    /// than the replication factor; 0 = all.
    pub tenant_shard_size: usize,
    /// `max_label_name_length`, bytes.
    pub max_label_name_length: usize,
    /// `max_label_value_length`, bytes.
    pub max_label_value_length: usize,
    /// `max_label_names_per_series`; a discovered `service_name` is not counted.
    pub max_label_names_per_series: usize,
    /// `reject_old_samples`.
    pub reject_old_samples: bool,
    /// `reject_old_samples_max_age`.
    pub reject_old_samples_max_age: Duration,
    /// `creation_grace_period`: how far in the future a timestamp may lie.
    pub creation_grace_period: Duration,
    /// `max_line_size`, bytes; 0 = unlimited.
    pub max_line_size: u64,
    /// `max_line_size_truncate`: cut long lines instead of refusing them.
    pub max_line_size_truncate: bool,
    /// `max_line_size_truncate_identifier`: what a cut line ends with.
    pub max_line_size_truncate_identifier: String,
    /// `increment_duplicate_timestamp`.
    pub increment_duplicate_timestamp: bool,
    /// `discover_service_name`: labels tried in turn; empty = off.
    pub discover_service_name: Vec<String>,
    /// `discover_log_levels`.
    pub discover_log_levels: bool,
    /// `log_level_fields`: names tried in turn in metadata and in the line.
    pub log_level_fields: Vec<String>,
    /// `log_level_from_json_max_depth`: how deep a level field may lie in a JSON line; 0 = any.
    pub log_level_from_json_max_depth: u32,
    /// `allow_structured_metadata`.
    pub allow_structured_metadata: bool,
    /// `max_structured_metadata_size`, bytes; 0 = unlimited.
    pub max_structured_metadata_size: u64,
    /// `max_structured_metadata_entries_count`; 0 = unlimited.
    pub max_structured_metadata_entries_count: u64,
    /// `block_ingestion_until`; in the past or `None` = not blocked.
    pub block_ingestion_until: Option<UnixNanos>,
    /// `block_ingestion_status_code`; 200 = drop silently.
    pub block_ingestion_status_code: u16,
    /// `otlp_config`: what becomes of attributes.
    pub otlp: Rules,
    /// `enforced_labels`: every stream must carry them.
    pub enforced_labels: Vec<String>,
}

/// `discover_service_name` of Loki.
const SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// `log_level_fields` of Loki.
const LEVEL_FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

impl Default for PushLimits {
    fn default() -> PushLimits {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        PushLimits {
            ingestion_rate_bytes: (4 << 20) as f64,
            ingestion_burst_bytes: 6 << 20,
            is_rate_global: true,
            tenant_shard_size: 0,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            reject_old_samples: true,
            reject_old_samples_max_age: Duration::from_secs(7 * 24 * 3600),
            creation_grace_period: Duration::from_secs(600),
            max_line_size: 256 << 10,
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            increment_duplicate_timestamp: false,
            discover_service_name: owned(&SERVICE_LABELS),
            discover_log_levels: true,
            log_level_fields: owned(&LEVEL_FIELDS),
            log_level_from_json_max_depth: 2,
            allow_structured_metadata: true,
            max_structured_metadata_size: 64 << 10,
            max_structured_metadata_entries_count: 128,
            block_ingestion_until: None,
            block_ingestion_status_code: 260,
            otlp: Rules::default(),
            enforced_labels: Vec::new(),
        }
    }
}
