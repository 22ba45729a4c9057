//! How a process takes part in the ring.

use std::path::PathBuf;
use std::time::Duration;

use base::StoreId;
use ulid::Ulid;

/// How a member or a watcher takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster, as `cluster.json` in the bucket says (C6).
    pub cluster: Ulid,
    /// The store of this process; a watcher has made one up at its start.
    pub store: StoreId,
    /// `host:port` under which others dial this process.
    pub address: String,
    /// Where others are found before the ring's state is known: `host:port`, or what the dialer
    /// resolves.
    pub join: Vec<String>,
    /// How often the leader is heard at least. A follower that hears nothing for four to eight
    /// times as long stands for election.
    pub heartbeat: Duration,
    /// An instance is taken as down when the leader has not heard from it for this long.
    pub down_after: Duration,
    /// An ingester that is down for this long is taken as gone (R1b), a watcher is forgotten.
    pub gone_after: Duration,
}

impl Config {
    /// The defaults.
    pub fn new(cluster: Ulid, store: StoreId, address: impl Into<String>) -> Config {
        Config {
            cluster,
            store,
            address: address.into(),
            join: Vec::new(),
            heartbeat: Duration::from_millis(250),
            down_after: Duration::from_secs(3),
            gone_after: Duration::from_secs(600),
        }
    }
}

/// What only a member needs: an ingester.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Where its log and snapshots are. Keep it with the store: one that is lost without the other
    /// makes the store refuse to start.
    pub dir: PathBuf,
    /// The stores that found the ring, as `cluster.json` says.
    pub first_voters: Vec<StoreId>,
    /// Entries after which a snapshot is made.
    pub snapshot_after: u64,
    /// Entries that are kept behind a snapshot for followers that are late.
    pub keep: u64,
}

impl MemberConfig {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>, first_voters: Vec<StoreId>) -> MemberConfig {
        MemberConfig { dir: dir.into(), first_voters, snapshot_after: 1000, keep: 200 }
    }
}
