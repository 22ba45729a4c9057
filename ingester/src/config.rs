//! Settings of an ingester. Durations and sizes in their own types; defaults are production's.

use std::path::PathBuf;
use std::time::Duration;

use base::ByteSize;

/// What the process's configuration says about its ingester.
#[derive(Clone, Debug)]
pub struct Config {
    /// The write-ahead log (`ingester.wal`).
    pub wal: wal::Config,
    /// The availability zone (`ring.instance_zone`); empty where there are none. The members of a
    /// list are in different zones.
    pub zone: String,
    /// Whether SIGTERM flushes before it ends (`ingester.wal.flush_on_shutdown`). Without it the
    /// WAL keeps the rows and the next start replays them.
    pub flush_on_shutdown: bool,
    /// A (tenant, day) without an append for this long is flushed (`ingester.chunk_idle_period`).
    pub chunk_idle_period: Duration,
    /// A (tenant, day) whose oldest unflushed batch arrived this long ago is flushed
    /// (`ingester.max_chunk_age`).
    pub max_chunk_age: Duration,
    /// How often idleness and age are looked at (`ingester.flush_check_period`).
    pub flush_check_period: Duration,
    /// Raw bytes of a (tenant, day) that start a flush. More: fewer and larger parts, more memory,
    /// a longer WAL to replay.
    pub flush_bytes: ByteSize,
    /// Raw rows in memory, over all tenants, that no flush has read yet: above this appends wait for
    /// the flush of their day to read on, or, if none is due, full heads are compressed where they
    /// lie. More: fewer waits, and less CPU, because rows that are flushed raw are compressed once;
    /// more memory. Raw rows take at most this and what the flushes under way have read.
    pub raw_limit: ByteSize,
    /// Flushes at the same time (`ingester.concurrent_flushes`, at most the number of cores).
    pub concurrent_flushes: usize,
    /// How long flushed rows are kept for queries that read the catalog before the flush
    /// (courtesy: an older view is answered `Behind`).
    pub flushed_retain: Duration,
    /// Most bytes of flushed rows kept that way, over all tenants.
    pub flushed_retain_bytes: ByteSize,
    /// Ceiling of memory for unflushed rows, compressed ones at their compressed size. An append
    /// that would pass it is refused with 503.
    pub memory_limit: ByteSize,
    /// Where `/ingester/prepare_shutdown` puts its mark (`ingester.shutdown_marker_path`, a
    /// directory). `None`: that endpoint answers 500, as Loki's.
    pub shutdown_marker_path: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            wal: wal::Config::default(),
            zone: String::new(),
            flush_on_shutdown: false,
            chunk_idle_period: Duration::from_secs(30 * 60),
            max_chunk_age: Duration::from_secs(2 * 60 * 60),
            flush_check_period: Duration::from_secs(30),
            flush_bytes: ByteSize(64 << 20),
            raw_limit: ByteSize(80 << 20),
            concurrent_flushes: 2,
            flushed_retain: Duration::from_secs(60),
            flushed_retain_bytes: ByteSize(16 << 20),
            memory_limit: ByteSize(512 << 20),
            shutdown_marker_path: None,
        }
    }
}
