//! Settings of a write-ahead log.

use std::path::PathBuf;

use base::ByteSize;

/// Where the log lies and how large it may be.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory; made if missing. A new directory is a new store.
    pub dir: PathBuf,
    /// A segment that has reached this size is followed by a new one. Smaller: space comes back
    /// sooner after a flush; larger: fewer files and directory fsyncs.
    pub segment_size: ByteSize,
    /// Past this the owner should flush the batches of the oldest segment (W4).
    pub soft_limit: ByteSize,
    /// Past this appends are refused until segments were released (W4).
    pub hard_limit: ByteSize,
    /// Appends that may wait for the writer.
    pub queue_length: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            dir: PathBuf::from("data/wal"),
            segment_size: ByteSize(64 << 20),
            soft_limit: ByteSize(8 << 30),
            hard_limit: ByteSize(10 << 30),
            queue_length: 1024,
        }
    }
}
