//! `limits_config` as each service asks for it. Every tenant has the same limits.

use std::sync::Arc;
use std::time::Duration;

use base::TenantId;
use distributor::PushLimits;

use crate::config::Config;
use crate::config::limits::LimitsConfig;

/// Answers every service's `Limits`.
pub struct ConfigLimits {
    push: Arc<PushLimits>,
    limits: LimitsConfig,
    out_of_order_window: Duration,
}

/// Bytes of a megabyte in `ingestion_rate_mb`.
const MB: f64 = (1u64 << 20) as f64;

impl ConfigLimits {
    /// From the configuration.
    pub fn new(config: &Config) -> ConfigLimits {
        ConfigLimits {
            push: Arc::new(push_limits(config)),
            limits: config.limits().clone(),
            out_of_order_window: config.out_of_order_window,
        }
    }
}

fn push_limits(config: &Config) -> PushLimits {
    let limits = config.limits();
    PushLimits {
        ingestion_rate_bytes: limits.ingestion_rate_mb * MB,
        // The cast saturates: an infinite burst is the largest number.
        ingestion_burst_bytes: (limits.ingestion_burst_size_mb * MB) as u64,
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
        block_ingestion_until: config.block_ingestion_until,
        block_ingestion_status_code: limits.block_ingestion_status_code,
        enforced_labels: limits.enforced_labels.clone(),
    }
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl distributor::Limits for ConfigLimits {
    fn push(&self, _: &TenantId) -> Arc<PushLimits> {
        self.push.clone()
    }
}

impl ingester::Limits for ConfigLimits {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        self.out_of_order_window
    }

    fn max_streams(&self, _: &TenantId) -> usize {
        let limits = [self.limits.max_streams_per_user, self.limits.max_global_streams_per_user];
        count(limits.into_iter().filter(|&limit| limit > 0).min().unwrap_or(0))
    }

    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        self.limits.per_stream_rate_limit.0
    }

    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        self.limits.per_stream_rate_limit_burst.0
    }
}

impl query_frontend::Limits for ConfigLimits {
    fn max_entries_limit_per_query(&self, _: &TenantId) -> usize {
        count(self.limits.max_entries_limit_per_query)
    }

    fn max_query_length(&self, _: &TenantId) -> Duration {
        self.limits.max_query_length
    }

    fn max_query_lookback(&self, _: &TenantId) -> Duration {
        self.limits.max_query_lookback
    }

    fn max_query_range(&self, _: &TenantId) -> Duration {
        self.limits.max_query_range
    }

    fn max_query_series(&self, _: &TenantId) -> usize {
        count(self.limits.max_query_series)
    }

    fn max_streams_matchers_per_query(&self, _: &TenantId) -> usize {
        count(self.limits.max_streams_matchers_per_query)
    }

    fn query_timeout(&self, _: &TenantId) -> Duration {
        self.limits.query_timeout
    }

    fn split_queries_by_interval(&self, _: &TenantId) -> Duration {
        self.limits.split_queries_by_interval
    }

    fn max_query_parallelism(&self, _: &TenantId) -> usize {
        self.limits.max_query_parallelism as usize
    }

    fn tsdb_max_query_parallelism(&self, _: &TenantId) -> usize {
        self.limits.tsdb_max_query_parallelism as usize
    }

    fn max_queriers_per_tenant(&self, _: &TenantId) -> f64 {
        self.limits.max_queriers_per_tenant
    }

    fn required_labels(&self, _: &TenantId) -> Vec<String> {
        self.limits.required_labels.clone()
    }

    fn minimum_labels_number(&self, _: &TenantId) -> usize {
        count(self.limits.minimum_labels_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

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
        assert_eq!(*limits.push, expected);
    }

    #[test]
    fn an_empty_file_gives_the_services_own_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = crate::config::load_file(file.path()).unwrap();
        let limits = ConfigLimits::new(&config);
        assert_eq!(*limits.push, PushLimits::default());
        let tenant = TenantId::new("a").unwrap();
        assert_eq!(ingester::Limits::max_streams(&limits, &tenant), 5000);
        assert_eq!(ingester::Limits::per_stream_rate_bytes(&limits, &tenant), 3 << 20);
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
}
