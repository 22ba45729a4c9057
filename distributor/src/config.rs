//! What an operator can set for the whole process.

use base::{ByteSize, UnixNanos};

/// Settings of the distributor; per-tenant settings are [`crate::PushLimits`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `distributor.max_recv_msg_size`: the largest body as sent. Default 100 MiB.
    pub max_recv_msg_size: ByteSize,
    /// `distributor.max_decompressed_size`: the largest body after its encoding is undone.
    /// Default 5000 MiB, as Loki; the shared byte budget is usually far below it.
    pub max_decompressed_size: ByteSize,
    /// Midnight of the first `schema_config.configs[].from`. Streams that would begin before it are
    /// refused. `None`: no such check.
    pub schema_from: Option<UnixNanos>,
    /// Label sets kept ready, over all tenants. Default 100,000.
    pub stream_cache_entries: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_recv_msg_size: ByteSize(100 << 20),
            max_decompressed_size: ByteSize(5000 << 20),
            schema_from: None,
            stream_cache_entries: 100_000,
        }
    }
}

impl Config {
    /// Names the first setting that cannot work.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_recv_msg_size.0 == 0 {
            return Err("distributor.max_recv_msg_size must be positive".to_owned());
        }
        if self.max_decompressed_size.0 == 0 {
            return Err("distributor.max_decompressed_size must be positive".to_owned());
        }
        if self.stream_cache_entries == 0 {
            return Err("the distributor's stream cache needs at least one entry".to_owned());
        }
        Ok(())
    }
}
