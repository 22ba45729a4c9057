//! What an operator can set about the querier.

/// Settings of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads that scan parts at the same time, over all queries. More than there are cores only
    /// helps while reads wait for object storage.
    pub scan_threads: usize,
    /// Bytes that the workers and partials of one query may hold; above it the query fails with a
    /// text that names this limit. 0 = no limit.
    pub max_query_memory_bytes: u64,
    /// Whether answers are compressed for clients that accept gzip (`frontend.compress_responses`).
    /// Costs CPU here and saves it on the network.
    pub compress_responses: bool,
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config { scan_threads: cores, max_query_memory_bytes: 1 << 30, compress_responses: true }
    }
}

impl Config {
    /// Refuses values that cannot work.
    pub fn validate(&self) -> Result<(), String> {
        if self.scan_threads == 0 {
            return Err("querier.scan_threads must be at least 1".to_owned());
        }
        Ok(())
    }
}
