//! `limits_config` and the overrides of single tenants, as each service asks for them.
//!
//! What a tenant's limits are is worked out when the configuration or a file of overrides is read,
//! not when somebody asks: asking is one atomic load and one look-up.

pub mod otlp;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{HashMap, TenantId};
use distributor::PushLimits;
use query_frontend::BlockedQuery;

use crate::config::Config;
use crate::config::limits::{BlockedQueryConfig, LimitsConfig, ShardStreamsConfig};
use crate::config::runtime::Overrides;

/// Answers every service's `Limits`; overrides can be replaced while they are asked.
pub struct ConfigLimits {
    base: LimitsConfig,
    /// What the out-of-order window is where no limit says so.
    default_window: Duration,
    /// Attributes of OTLP that are labels of every tenant.
    otlp_labels: Vec<String>,
    now: ArcSwap<Snapshot>,
}

/// The limits of every tenant at one time.
struct Snapshot {
    default: Arc<TenantLimits>,
    tenants: HashMap<TenantId, Arc<TenantLimits>>,
}

/// The limits of one tenant.
pub struct TenantLimits {
    /// As configured.
    pub config: LimitsConfig,
    push: Arc<PushLimits>,
    out_of_order_window: Duration,
}

impl TenantLimits {
    fn new(
        config: LimitsConfig,
        default_window: Duration,
        otlp_labels: &[String],
    ) -> Arc<TenantLimits> {
        Arc::new(TenantLimits {
            push: Arc::new(push_limits(&config, otlp_labels)),
            out_of_order_window: config.out_of_order_window.unwrap_or(default_window),
            config,
        })
    }
}

/// Bytes of a megabyte in `ingestion_rate_mb`.
const MB: f64 = (1u64 << 20) as f64;

impl ConfigLimits {
    /// From the configuration, without overrides.
    pub fn new(config: &Config) -> ConfigLimits {
        let base = config.limits().clone();
        let default_window = config.raw.ingester.max_chunk_age / 2;
        let labels = &config.raw.distributor.otlp_config;
        let otlp_labels = labels.default_resource_attributes_as_index_labels.clone();
        let default = TenantLimits::new(base.clone(), default_window, &otlp_labels);
        let now = ArcSwap::from_pointee(Snapshot { default, tenants: HashMap::default() });
        ConfigLimits { base, default_window, otlp_labels, now }
    }

    /// The limits of tenants without overrides.
    pub fn base(&self) -> &LimitsConfig {
        &self.base
    }

    /// From now on `overrides` count, and no others.
    pub fn replace(&self, overrides: Overrides) {
        let default = self.now.load().default.clone();
        let tenants = overrides.limits.into_iter();
        let tenants = tenants
            .map(|(tenant, limits)| {
                let (window, labels) = (self.default_window, &self.otlp_labels);
                (tenant, TenantLimits::new(limits, window, labels))
            })
            .collect();
        self.now.store(Arc::new(Snapshot { default, tenants }));
    }

    /// The limits of `tenant` as they stand now.
    pub fn tenant(&self, tenant: &TenantId) -> Arc<TenantLimits> {
        let now = self.now.load();
        now.tenants.get(tenant).unwrap_or(&now.default).clone()
    }

    fn get<T>(&self, tenant: &TenantId, limit: impl Fn(&LimitsConfig) -> T) -> T {
        let now = self.now.load();
        limit(&now.tenants.get(tenant).unwrap_or(&now.default).config)
    }
}

fn push_limits(limits: &LimitsConfig, otlp_labels: &[String]) -> PushLimits {
    PushLimits {
        ingestion_rate_bytes: limits.ingestion_rate_mb * MB,
        // The cast saturates: an infinite burst is the largest number.
        ingestion_burst_bytes: (limits.ingestion_burst_size_mb * MB) as u64,
        is_rate_global: limits.ingestion_rate_strategy == "global",
        tenant_shard_size: limits.ingestion_tenant_shard_size as usize,
        max_label_name_length: count(limits.max_label_name_length),
        max_label_value_length: count(limits.max_label_value_length),
        max_label_names_per_series: count(limits.max_label_names_per_series),
        reject_old_samples: limits.reject_old_samples,
        reject_old_samples_max_age: limits.reject_old_samples_max_age,
        creation_grace_period: limits.creation_grace_period,
        max_line_size: limits.max_line_size.0,
        max_line_size_truncate: limits.max_line_size_truncate,
        max_line_size_truncate_identifier: limits.max_line_size_truncate_identifier.clone(),
        increment_duplicate_timestamp: limits.increment_duplicate_timestamp,
        discover_service_name: limits.discover_service_name.clone(),
        discover_log_levels: limits.discover_log_levels,
        log_level_fields: limits.log_level_fields.clone(),
        log_level_from_json_max_depth: limits.log_level_from_json_max_depth,
        allow_structured_metadata: limits.allow_structured_metadata,
        max_structured_metadata_size: limits.max_structured_metadata_size.0,
        max_structured_metadata_entries_count: limits.max_structured_metadata_entries_count,
        block_ingestion_until: limits.block_ingestion_until.0,
        block_ingestion_status_code: limits.block_ingestion_status_code,
        otlp: otlp::rules(&limits.otlp_config, otlp_labels).unwrap_or_default(),
        enforced_labels: limits.enforced_labels.clone(),
    }
}

/// Whether Loki would cut every stream into streams that stay below `limit`: then none is refused.
fn is_cut_below(rule: &ShardStreamsConfig, limit: u64) -> bool {
    rule.enabled && (1..=limit).contains(&rule.desired_rate.0)
}

fn blocked(rule: &BlockedQueryConfig) -> BlockedQuery {
    let BlockedQueryConfig { pattern, regex, hash, types, tags } = rule.clone();
    BlockedQuery { pattern, regex, hash, types, tags: tags.into_iter().collect() }
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl distributor::Limits for ConfigLimits {
    fn push(&self, tenant: &TenantId) -> Arc<PushLimits> {
        let now = self.now.load();
        now.tenants.get(tenant).unwrap_or(&now.default).push.clone()
    }
}

impl compactor::Limits for ConfigLimits {
    fn keep_for(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| match limits.retention_period {
            Duration::ZERO => Duration::ZERO,
            // A part goes as a whole: not before the last of its streams may.
            period => {
                limits.retention_stream.iter().map(|rule| rule.period).fold(period, Duration::max)
            }
        })
    }
}

impl ingester::Limits for ConfigLimits {
    fn out_of_order_window(&self, tenant: &TenantId) -> Duration {
        self.tenant(tenant).out_of_order_window
    }

    fn max_streams(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.max_streams_per_user))
    }

    fn max_global_streams(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.max_global_streams_per_user))
    }

    fn tenant_shard_size(&self, tenant: &TenantId) -> usize {
        self.tenant(tenant).push.tenant_shard_size
    }

    fn per_stream_rate_bytes(&self, tenant: &TenantId) -> u64 {
        self.get(tenant, |limits| match limits.per_stream_rate_limit.0 {
            limit if is_cut_below(&limits.shard_streams, limit) => 0,
            limit => limit,
        })
    }

    fn per_stream_rate_burst_bytes(&self, tenant: &TenantId) -> u64 {
        self.get(tenant, |limits| limits.per_stream_rate_limit_burst.0)
    }
}

impl query_frontend::Limits for ConfigLimits {
    fn max_entries_limit_per_query(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.max_entries_limit_per_query))
    }

    fn max_query_length(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| limits.max_query_length)
    }

    fn max_query_lookback(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| limits.max_query_lookback)
    }

    fn max_query_range(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| limits.max_query_range)
    }

    fn max_query_series(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.max_query_series))
    }

    fn max_streams_matchers_per_query(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.max_streams_matchers_per_query))
    }

    fn query_timeout(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| limits.query_timeout)
    }

    fn split_queries_by_interval(&self, tenant: &TenantId) -> Duration {
        self.get(tenant, |limits| limits.split_queries_by_interval)
    }

    fn max_query_parallelism(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| limits.max_query_parallelism as usize)
    }

    fn tsdb_max_query_parallelism(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| limits.tsdb_max_query_parallelism as usize)
    }

    fn max_queriers_per_tenant(&self, tenant: &TenantId) -> f64 {
        self.get(tenant, |limits| limits.max_queriers_per_tenant)
    }

    fn required_labels(&self, tenant: &TenantId) -> Vec<String> {
        self.get(tenant, |limits| limits.required_labels.clone())
    }

    fn minimum_labels_number(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.minimum_labels_number))
    }

    fn max_query_bytes_read(&self, tenant: &TenantId) -> u64 {
        self.get(tenant, |limits| limits.max_query_bytes_read.0)
    }

    fn blocked_queries(&self, tenant: &TenantId) -> Vec<BlockedQuery> {
        self.get(tenant, |limits| limits.blocked_queries.iter().map(blocked).collect())
    }

    fn volume_enabled(&self, tenant: &TenantId) -> bool {
        self.get(tenant, |limits| limits.volume_enabled)
    }

    fn volume_max_series(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| count(limits.volume_max_series))
    }

    fn max_concurrent_tail_requests(&self, tenant: &TenantId) -> usize {
        self.get(tenant, |limits| limits.max_concurrent_tail_requests as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn push(limits: &ConfigLimits) -> Arc<PushLimits> {
        distributor::Limits::push(limits, &TenantId::new("a").unwrap())
    }

    #[test]
    fn without_a_file_rates_are_unlimited_and_everything_else_is_loki() {
        let config = Config::load(&Source::default()).unwrap();
        let limits = ConfigLimits::new(&config);
        let expected = PushLimits {
            ingestion_rate_bytes: f64::INFINITY,
            ingestion_burst_bytes: u64::MAX,
            reject_old_samples: false,
            ..PushLimits::default()
        };
        assert_eq!(*push(&limits), expected);
    }

    #[test]
    fn an_empty_file_gives_the_services_own_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = crate::config::load_file(file.path()).unwrap();
        let limits = ConfigLimits::new(&config);
        assert_eq!(*push(&limits), PushLimits::default());
        let tenant = TenantId::new("a").unwrap();
        assert_eq!(ingester::Limits::max_global_streams(&limits, &tenant), 5000);
        assert_eq!(ingester::Limits::max_streams(&limits, &tenant), 0);
        assert_eq!(ingester::Limits::per_stream_rate_burst_bytes(&limits, &tenant), 15 << 20);
        let window = ingester::Limits::out_of_order_window(&limits, &tenant);
        assert_eq!(window, Duration::from_secs(3600));
        let queries = query_frontend::StaticLimits::default();
        assert_eq!(
            query_frontend::Limits::max_query_length(&limits, &tenant),
            query_frontend::Limits::max_query_length(&queries, &tenant)
        );
        assert_eq!(query_frontend::Limits::query_timeout(&limits, &tenant), queries.query_timeout);
        assert_eq!(
            query_frontend::Limits::max_query_series(&limits, &tenant),
            queries.max_query_series
        );
    }

    fn of(text: &str) -> ConfigLimits {
        let text = format!("limits_config: {{{text}}}");
        ConfigLimits::new(&Config::derive(crate::config::load::from_text(&text).unwrap()).unwrap())
    }

    #[test]
    fn a_stream_that_loki_would_cut_into_slower_ones_has_no_rate_of_its_own() {
        let table = [
            ("", 0),
            ("per_stream_rate_limit: 1536KB", 0),
            ("per_stream_rate_limit: 1MB", 1 << 20),
            ("shard_streams: {desired_rate: 4MB}", 3 << 20),
            ("shard_streams: {desired_rate: 0}", 3 << 20),
            ("shard_streams: {enabled: false}", 3 << 20),
            ("per_stream_rate_limit: 0", 0),
        ];
        for (text, expected) in table {
            let tenant = TenantId::new("a").unwrap();
            let rate = ingester::Limits::per_stream_rate_bytes(&of(text), &tenant);
            assert_eq!(rate, expected, "{text}");
        }
    }

    #[test]
    fn shards_and_the_strategy_of_the_rate_reach_the_distributor() {
        let limits = of("ingestion_tenant_shard_size: 4, ingestion_rate_strategy: local");
        assert_eq!((push(&limits).tenant_shard_size, push(&limits).is_rate_global), (4, false));
        assert_eq!((push(&of("")).tenant_shard_size, push(&of("")).is_rate_global), (0, true));
    }
}
