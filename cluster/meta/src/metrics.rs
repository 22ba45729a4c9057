//! Names of metrics.

/// Syncs of Raft's log; counter.
pub const LOG_SYNCS: &str = "runelog_ring_log_syncs_total";
/// Whether this process leads the ring; gauge, 0 or 1.
pub const LEADER: &str = "runelog_ring_is_leader";
/// Whether the ring's log has failed here: the process must start anew; gauge, 0 or 1.
pub const LOG_FAILED: &str = "runelog_ring_log_failed";
/// Times that this process has seen the leader change; counter.
pub const LEADER_CHANGES: &str = "runelog_ring_leader_changes_total";
/// Version of the ring that this process follows; gauge.
pub const VERSION: &str = "runelog_ring_version";
/// Changes of the ring that this process asked for, by `outcome` (done, unchanged, refused,
/// failed); counter.
pub const PROPOSALS: &str = "runelog_ring_proposals_total";
