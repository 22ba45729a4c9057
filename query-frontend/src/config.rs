//! What an operator can set about the query frontend.

use std::time::Duration;

/// Settings of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Jobs of one tenant that may wait for a querier; one more is refused with 429
    /// (`frontend.max_outstanding_per_tenant`). Bounds the memory of the queue.
    pub max_outstanding_per_tenant: usize,
    /// Times a job is tried before its query fails; 0 counts as 1 (`query_range.max_retries`).
    pub max_retries: u32,
    /// How long the first repetition of a job waits; each further one waits twice as long.
    pub min_backoff: Duration,
    /// The longest a repetition waits.
    pub max_backoff: Duration,
    /// Pieces by stream key that a query is cut into; 0 = one per connected querier process. More
    /// pieces decode more pages twice: streams share pages.
    pub shards: usize,
    /// Bytes that the workers and partials of one query may hold; above it the query fails with a
    /// text that names this limit. 0 = no limit.
    pub max_query_memory_bytes: u64,
    /// Whether answers are compressed for clients that accept gzip (`frontend.compress_responses`).
    /// Costs CPU here and saves it on the network.
    pub compress_responses: bool,
    /// A log line for each query that took longer; zero = for every query, `None` = for none
    /// (`frontend.log_queries_longer_than`).
    pub log_queries_longer_than: Option<Duration>,
    /// The longest a tail may last (`querier.tail_max_duration`).
    pub tail_max_duration: Duration,
    /// Whether patterns are told (`pattern_ingester.enabled`).
    pub patterns: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_outstanding_per_tenant: 2048,
            max_retries: 5,
            min_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(5),
            shards: 0,
            max_query_memory_bytes: 1 << 30,
            compress_responses: true,
            log_queries_longer_than: None,
            tail_max_duration: Duration::from_secs(3600),
            patterns: true,
        }
    }
}

impl Config {
    /// Refuses values that cannot work.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_outstanding_per_tenant == 0 {
            return Err("frontend.max_outstanding_per_tenant must be at least 1".to_owned());
        }
        if self.min_backoff > self.max_backoff {
            return Err("the first pause between tries is longer than the longest".to_owned());
        }
        Ok(())
    }
}
