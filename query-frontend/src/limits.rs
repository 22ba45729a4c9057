//! The tenant limits that queries obey.

use std::time::Duration;

use base::TenantId;

use crate::blocked::BlockedQuery;

/// Limits of tenants, read once per query. A zero duration or count means no limit.
pub trait Limits: Send + Sync + 'static {
    /// Most entries a log query may ask for (`max_entries_limit_per_query`).
    fn max_entries_limit_per_query(&self, tenant: &TenantId) -> usize;
    /// Longest time range (`max_query_length`).
    fn max_query_length(&self, tenant: &TenantId) -> Duration;
    /// How far back a query may look (`max_query_lookback`).
    fn max_query_lookback(&self, tenant: &TenantId) -> Duration;
    /// Longest range of a range function (`max_query_range`).
    fn max_query_range(&self, tenant: &TenantId) -> Duration;
    /// Most series in a metric answer (`max_query_series`).
    fn max_query_series(&self, tenant: &TenantId) -> usize;
    /// Most matchers of one selector (`max_streams_matchers_per_query`).
    fn max_streams_matchers_per_query(&self, tenant: &TenantId) -> usize;
    /// How long a query may run (`query_timeout`).
    fn query_timeout(&self, tenant: &TenantId) -> Duration;
    /// Shortest piece a query is cut into by time (`split_queries_by_interval`); cuts lie at its
    /// multiples. The length of a piece plus its lookback is what [`Limits::max_query_length`] limits a second time.
    fn split_queries_by_interval(&self, tenant: &TenantId) -> Duration;
    /// Jobs of one query that may wait or run at the same time (`max_query_parallelism`); 0 = the
    /// tenant may not query.
    fn max_query_parallelism(&self, tenant: &TenantId) -> usize;
    /// The same for a query that is cut in shards, if it is more (`tsdb_max_query_parallelism`).
    fn tsdb_max_query_parallelism(&self, tenant: &TenantId) -> usize;
    /// Queriers that serve the tenant: from 1 a number, below 1 a share of all, 0 = all
    /// (`max_queriers_per_tenant`).
    fn max_queriers_per_tenant(&self, tenant: &TenantId) -> f64;
    /// Labels every selector must name (`required_labels`).
    fn required_labels(&self, tenant: &TenantId) -> Vec<String>;
    /// Fewest matchers of a selector (`minimum_labels_number`).
    fn minimum_labels_number(&self, tenant: &TenantId) -> usize;
    /// Most bytes of lines that a query may read (`max_query_bytes_read`).
    fn max_query_bytes_read(&self, tenant: &TenantId) -> u64;
    /// Queries that are refused (`blocked_queries`).
    fn blocked_queries(&self, tenant: &TenantId) -> Vec<BlockedQuery>;
    /// Whether volumes are answered (`volume_enabled`).
    fn volume_enabled(&self, tenant: &TenantId) -> bool;
    /// Most series of a volume (`volume_max_series`).
    fn volume_max_series(&self, tenant: &TenantId) -> usize;
    /// Tails at the same time (`max_concurrent_tail_requests`).
    fn max_concurrent_tail_requests(&self, tenant: &TenantId) -> usize;
}

/// The limits of a query over several tenants: of each the smallest that is one.
#[derive(Clone, Copy)]
pub struct OfAll<'a> {
    /// The limits.
    pub limits: &'a dyn Limits,
    /// Whose.
    pub tenants: &'a [TenantId],
}

impl<'a> OfAll<'a> {
    pub(crate) fn smallest<T: PartialOrd + Default>(
        &self,
        limit: impl Fn(&'a dyn Limits, &TenantId) -> T,
    ) -> T {
        let none = T::default();
        let values = self.tenants.iter().map(|tenant| limit(self.limits, tenant));
        let limits = values.filter(|value| *value > none);
        limits.reduce(|a, b| if b < a { b } else { a }).unwrap_or_default()
    }

    /// See [`Limits::max_entries_limit_per_query`].
    pub fn max_entries_limit_per_query(&self) -> usize {
        self.smallest(|limits, tenant| limits.max_entries_limit_per_query(tenant))
    }
    /// See [`Limits::max_query_length`].
    pub fn max_query_length(&self) -> Duration {
        self.smallest(|limits, tenant| limits.max_query_length(tenant))
    }
    /// See [`Limits::max_query_lookback`].
    pub fn max_query_lookback(&self) -> Duration {
        self.smallest(|limits, tenant| limits.max_query_lookback(tenant))
    }
    /// See [`Limits::max_query_range`].
    pub fn max_query_range(&self) -> Duration {
        self.smallest(|limits, tenant| limits.max_query_range(tenant))
    }
    /// See [`Limits::max_query_series`].
    pub fn max_query_series(&self) -> usize {
        self.smallest(|limits, tenant| limits.max_query_series(tenant))
    }
    /// See [`Limits::max_streams_matchers_per_query`].
    pub fn max_streams_matchers_per_query(&self) -> usize {
        self.smallest(|limits, tenant| limits.max_streams_matchers_per_query(tenant))
    }
    /// See [`Limits::query_timeout`].
    pub fn query_timeout(&self) -> Duration {
        self.smallest(|limits, tenant| limits.query_timeout(tenant))
    }
    /// See [`Limits::split_queries_by_interval`].
    pub fn split_queries_by_interval(&self) -> Duration {
        self.smallest(|limits, tenant| limits.split_queries_by_interval(tenant))
    }
    /// See [`Limits::max_query_parallelism`].
    pub fn max_query_parallelism(&self) -> usize {
        self.smallest(|limits, tenant| limits.max_query_parallelism(tenant))
    }
    /// See [`Limits::tsdb_max_query_parallelism`].
    pub fn tsdb_max_query_parallelism(&self) -> usize {
        self.smallest(|limits, tenant| limits.tsdb_max_query_parallelism(tenant))
    }
    /// See [`Limits::max_query_bytes_read`].
    pub fn max_query_bytes_read(&self) -> u64 {
        self.smallest(|limits, tenant| limits.max_query_bytes_read(tenant))
    }
    /// See [`Limits::volume_max_series`].
    pub fn volume_max_series(&self) -> usize {
        self.smallest(|limits, tenant| limits.volume_max_series(tenant))
    }
    /// See [`Limits::volume_enabled`]: every tenant must allow it.
    pub fn volume_enabled(&self) -> bool {
        self.tenants.iter().all(|tenant| self.limits.volume_enabled(tenant))
    }
}

/// Loki's defaults for everybody, each changeable. For tests and for tools without a config file.
#[derive(Clone, Debug)]
pub struct StaticLimits {
    /// See [`Limits::max_entries_limit_per_query`].
    pub max_entries_limit_per_query: usize,
    /// See [`Limits::max_query_length`].
    pub max_query_length: Duration,
    /// See [`Limits::max_query_lookback`].
    pub max_query_lookback: Duration,
    /// See [`Limits::max_query_range`].
    pub max_query_range: Duration,
    /// See [`Limits::max_query_series`].
    pub max_query_series: usize,
    /// See [`Limits::max_streams_matchers_per_query`].
    pub max_streams_matchers_per_query: usize,
    /// See [`Limits::query_timeout`].
    pub query_timeout: Duration,
    /// See [`Limits::split_queries_by_interval`].
    pub split_queries_by_interval: Duration,
    /// See [`Limits::max_query_parallelism`].
    pub max_query_parallelism: usize,
    /// See [`Limits::tsdb_max_query_parallelism`].
    pub tsdb_max_query_parallelism: usize,
    /// See [`Limits::max_queriers_per_tenant`].
    pub max_queriers_per_tenant: f64,
    /// See [`Limits::required_labels`].
    pub required_labels: Vec<String>,
    /// See [`Limits::minimum_labels_number`].
    pub minimum_labels_number: usize,
    /// See [`Limits::max_query_bytes_read`].
    pub max_query_bytes_read: u64,
    /// See [`Limits::blocked_queries`].
    pub blocked_queries: Vec<BlockedQuery>,
    /// See [`Limits::volume_enabled`].
    pub volume_enabled: bool,
    /// See [`Limits::volume_max_series`].
    pub volume_max_series: usize,
    /// See [`Limits::max_concurrent_tail_requests`].
    pub max_concurrent_tail_requests: usize,
}

impl Default for StaticLimits {
    fn default() -> StaticLimits {
        StaticLimits {
            max_entries_limit_per_query: 5000,
            max_query_length: Duration::from_secs(721 * 3600),
            max_query_lookback: Duration::ZERO,
            max_query_range: Duration::ZERO,
            max_query_series: 500,
            max_streams_matchers_per_query: 1000,
            query_timeout: Duration::from_secs(60),
            split_queries_by_interval: Duration::from_secs(3600),
            max_query_parallelism: 32,
            tsdb_max_query_parallelism: 128,
            max_queriers_per_tenant: 0.0,
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            max_query_bytes_read: 0,
            blocked_queries: Vec::new(),
            volume_enabled: true,
            volume_max_series: 1000,
            max_concurrent_tail_requests: 10,
        }
    }
}

impl Limits for StaticLimits {
    fn max_entries_limit_per_query(&self, _: &TenantId) -> usize {
        self.max_entries_limit_per_query
    }
    fn max_query_length(&self, _: &TenantId) -> Duration {
        self.max_query_length
    }
    fn max_query_lookback(&self, _: &TenantId) -> Duration {
        self.max_query_lookback
    }
    fn max_query_range(&self, _: &TenantId) -> Duration {
        self.max_query_range
    }
    fn max_query_series(&self, _: &TenantId) -> usize {
        self.max_query_series
    }
    fn max_streams_matchers_per_query(&self, _: &TenantId) -> usize {
        self.max_streams_matchers_per_query
    }
    fn query_timeout(&self, _: &TenantId) -> Duration {
        self.query_timeout
    }
    fn split_queries_by_interval(&self, _: &TenantId) -> Duration {
        self.split_queries_by_interval
    }
    fn max_query_parallelism(&self, _: &TenantId) -> usize {
        self.max_query_parallelism
    }
    fn tsdb_max_query_parallelism(&self, _: &TenantId) -> usize {
        self.tsdb_max_query_parallelism
    }
    fn max_queriers_per_tenant(&self, _: &TenantId) -> f64 {
        self.max_queriers_per_tenant
    }
    fn required_labels(&self, _: &TenantId) -> Vec<String> {
        self.required_labels.clone()
    }
    fn minimum_labels_number(&self, _: &TenantId) -> usize {
        self.minimum_labels_number
    }
    fn max_query_bytes_read(&self, _: &TenantId) -> u64 {
        self.max_query_bytes_read
    }
    fn blocked_queries(&self, _: &TenantId) -> Vec<BlockedQuery> {
        self.blocked_queries.clone()
    }
    fn volume_enabled(&self, _: &TenantId) -> bool {
        self.volume_enabled
    }
    fn volume_max_series(&self, _: &TenantId) -> usize {
        self.volume_max_series
    }
    fn max_concurrent_tail_requests(&self, _: &TenantId) -> usize {
        self.max_concurrent_tail_requests
    }
}
