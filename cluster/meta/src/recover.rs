//! When a majority of the voters is lost for ever: one store that is left becomes the only voter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use base::StoreId;
use base::disk::Disk;
use openraft::{BasicNode, CommittedLeaderId, EntryPayload};
use ring::State;
use ulid::Ulid;

use crate::error::Error;
use crate::frame::Appender;
use crate::log::{Image, Owner, load_image, log_name};
use crate::machine::{self, Kept};
use crate::types::{LogId, Membership, NodeId, SnapshotMeta, StoredMembership, Vote};

/// Versions by which a recovered state is ahead: what the lost voters may have committed, and
/// watchers have seen, is never taken for something newer.
const LEAP: u64 = 1 << 32;

/// What a recovery made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Voters before.
    pub voters: Vec<StoreId>,
    /// Version of the state that is left.
    pub version: u64,
    /// Entries that were applied although nobody can say whether they had been committed.
    pub uncommitted: u64,
}

/// Makes `store` the only voter, with all that its log holds, in a new term. Its process must not
/// run, and the voters that are lost must never come back: two rings would be one cluster.
pub fn recover(
    disk: &dyn Disk,
    dir: &Path,
    cluster: Ulid,
    store: StoreId,
    address: &str,
) -> Result<Recovered, Error> {
    let owner = Owner::new(cluster, store);
    let lock_path = dir.join("lock");
    let _lock = disk.lock(&lock_path).map_err(|error| Error::io(&lock_path, error))?;
    let (image, files) = load_image(disk, dir, &owner)?;
    let (snapshot, sequence) = machine::load(disk, dir, &owner)?;
    let mut state = match &snapshot {
        None => State::new(cluster),
        Some(kept) => State::decode(&kept.state)?,
    };
    let mut last = snapshot.as_ref().and_then(|kept| kept.meta.last_log_id);
    let stored = snapshot.map(|kept| kept.meta.last_membership).unwrap_or_default();
    let mut before: BTreeSet<NodeId> = stored.voter_ids().collect();
    let mut uncommitted = 0;
    for entry in image.entries.values() {
        if Some(entry.log_id) <= last {
            continue;
        }
        uncommitted += u64::from(Some(entry.log_id) > image.committed);
        last = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(command) => {
                ring::apply(&mut state, command);
            }
            EntryPayload::Membership(membership) => before = membership.voter_ids().collect(),
        }
    }
    state.version += LEAP;
    state.placement_version = state.version;
    let term = image.vote.map_or(0, |vote| vote.leader_id.term);
    let term = term.max(last.map_or(0, |id| id.leader_id.term)) + 1;
    let id = NodeId(store);
    let index = last.map_or(0, |id| id.index + 1);
    let at = LogId::new(CommittedLeaderId::new(term, id), index);
    let nodes = BTreeMap::from([(id, BasicNode::new(address))]);
    let membership = Membership::new(vec![BTreeSet::from([id])], nodes);
    let meta = SnapshotMeta {
        last_log_id: Some(at),
        last_membership: StoredMembership::new(Some(at), membership),
        snapshot_id: format!("recovered-{term}-{index}"),
    };
    let kept = Kept { meta, state: Arc::new(state.encode()) };
    machine::save(disk, dir, &owner, sequence + 1, &kept).map_err(|e| Error::io(dir, e))?;
    // From here on the old log is behind the snapshot; the new one only says so.
    let fresh = Image::recovered(owner, Vote::new(term, id), at);
    let newest = files.last().copied().unwrap_or(0) + 1;
    let path = dir.join(log_name(newest));
    let written = Appender::create(disk, &path).and_then(|mut file| {
        file.put(&fresh.encode());
        file.sync()?;
        disk.sync_dir(dir)
    });
    written.map_err(|error| Error::io(&path, error))?;
    let voters = before.into_iter().map(|node| node.0).collect();
    Ok(Recovered { voters, version: state.version, uncommitted })
}
