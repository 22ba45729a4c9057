//! Settings of a compactor: courtesy times. No correctness depends on any of them.

use std::time::Duration;

use crate::plan::Rules;

/// What the process's configuration says about its compactor.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pause between two passes (`compactor.compaction_interval`).
    pub interval: Duration,
    /// How long an object stays after the commit that removed its last part
    /// (`compactor.delete_delay`): a query that read the catalog before it still finds the object.
    pub delete_delay: Duration,
    /// How long commits, checkpoints and id tables stay after a newer checkpoint covers them.
    pub log_retention: Duration,
    /// Which parts are merged.
    pub rules: Rules,
    /// Merges at the same time (`compactor.max_compaction_parallelism`), at least 1.
    pub merges: usize,
    /// How often it is looked for parts to merge when no commit of this process says so.
    pub look_every: Duration,
    /// How often expired parts are looked for; `None`: they stay
    /// (`compactor.retention_enabled`, `compactor.apply_retention_interval`).
    pub retention_every: Option<Duration>,
    /// How old an uploaded object that no commit names is before it is taken for left over.
    pub orphan_age: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            interval: Duration::from_secs(600),
            delete_delay: Duration::from_secs(2 * 3600),
            log_retention: Duration::from_secs(24 * 3600),
            rules: Rules::default(),
            merges: 1,
            look_every: Duration::from_secs(10),
            retention_every: None,
            orphan_age: Duration::from_secs(24 * 3600),
        }
    }
}
