//! What an operator can set about the querier.

/// Settings of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads that scan parts at the same time, over all jobs. More than there are cores only
    /// helps while reads wait for object storage.
    pub scan_threads: usize,
    /// Jobs that run at the same time (`querier.max_concurrent`). They share the scan threads; more
    /// of them make short queries wait less behind long ones and hold more memory.
    pub max_concurrent: usize,
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config { scan_threads: cores, max_concurrent: 4 }
    }
}

impl Config {
    /// Refuses values that cannot work.
    pub fn validate(&self) -> Result<(), String> {
        if self.scan_threads == 0 {
            return Err("querier.scan_threads must be at least 1".to_owned());
        }
        if self.max_concurrent == 0 {
            return Err("querier.max_concurrent must be at least 1".to_owned());
        }
        Ok(())
    }
}
