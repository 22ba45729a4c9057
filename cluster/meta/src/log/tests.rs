//! openraft's suite, and every write broken in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base::StoreId;
use base::disk::sim::{Fault, Keep};
use base::disk::{OsDisk, SimDisk};
use openraft::storage::{RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{BasicNode, CommittedLeaderId, EntryPayload, RaftSnapshotBuilder};
use ring::{Command, Expect};
use ulid::Ulid;

use super::*;
use crate::machine::Machine;
use crate::publish::Publisher;
use crate::types::Membership;

fn owner() -> Owner {
    Owner::new(Ulid(7), StoreId(Ulid(1)))
}

fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Log, Ended, Machine), Error> {
    let (log, ended) = Log::open(Arc::clone(&disk), dir.to_owned(), owner())?;
    let publisher = Publisher::new(owner().cluster);
    let machine = Machine::open(disk, dir.to_owned(), owner(), log.purged(), publisher)?;
    Ok((log, ended, machine))
}

struct OnOsDisk;

impl StoreBuilder<Types, Log, Machine, tempfile::TempDir> for OnOsDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, machine) = open(Arc::new(OsDisk), &dir.path().join("raft")).unwrap();
        Ok((dir, log, machine))
    }
}

struct OnSimDisk;

impl StoreBuilder<Types, Log, Machine> for OnSimDisk {
    async fn build(&self) -> Result<((), Log, Machine), StorageError> {
        let (log, _, machine) = open(Arc::new(SimDisk::new()), Path::new("raft")).unwrap();
        Ok(((), log, machine))
    }
}

#[test]
fn the_suite_of_openraft_passes_on_the_systems_disk() {
    Suite::test_all(OnOsDisk).unwrap();
}

#[test]
fn the_suite_of_openraft_passes_on_the_simulated_disk() {
    Suite::test_all(OnSimDisk).unwrap();
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NodeId::from(term)), index)
}

fn entry(term: u64, index: u64) -> Entry {
    let tenant = base::TenantId::new(&format!("t{}", index % 3)).unwrap();
    let bytes = vec![b'x'; 60_000].into();
    let payload = match index {
        0 => EntryPayload::Membership(Membership::new(
            vec![BTreeSet::from([NodeId::from(1)])],
            BTreeMap::from([(NodeId::from(1), BasicNode::new("a:1"))]),
        )),
        n if n % 4 == 1 => EntryPayload::Blank,
        _ => EntryPayload::Normal(Command::PutOverride { tenant, expect: Expect::Any, bytes }),
    };
    Entry { log_id: id(term, index), payload }
}

/// What is done to a log, one after the other.
#[derive(Clone, Copy, Debug)]
enum Act {
    Vote(u64),
    Append {
        term: u64,
        from: u64,
        to: u64,
    },
    Truncate(u64),
    /// Applies, makes a snapshot.
    Snapshot {
        from: u64,
        to: u64,
    },
    /// Receives a snapshot up to an index.
    Install {
        term: u64,
        index: u64,
    },
    Purge {
        term: u64,
        index: u64,
    },
    Committed {
        term: u64,
        index: u64,
    },
}

const SCRIPT: [Act; 16] = [
    Act::Vote(1),
    Act::Append { term: 1, from: 0, to: 2 },
    Act::Committed { term: 1, index: 1 },
    Act::Append { term: 1, from: 2, to: 6 },
    Act::Vote(2),
    Act::Truncate(4),
    Act::Append { term: 2, from: 4, to: 7 },
    Act::Committed { term: 2, index: 5 },
    Act::Snapshot { from: 0, to: 6 },
    // More than a file holds: it begins anew.
    Act::Purge { term: 1, index: 3 },
    Act::Append { term: 2, from: 7, to: 9 },
    Act::Purge { term: 2, index: 4 },
    Act::Vote(3),
    Act::Install { term: 3, index: 20 },
    Act::Purge { term: 3, index: 20 },
    Act::Append { term: 3, from: 21, to: 23 },
];

/// What must be there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Promised {
    vote: Option<u64>,
    entries: BTreeMap<u64, LogId>,
    snapshot: Option<LogId>,
    purged: Option<LogId>,
}

impl Promised {
    fn act(&mut self, act: Act) {
        match act {
            Act::Vote(term) => self.vote = Some(term),
            Act::Append { term, from, to } => {
                self.entries.extend((from..to).map(|index| (index, id(term, index))));
            }
            Act::Truncate(since) => drop(self.entries.split_off(&since)),
            Act::Snapshot { to, .. } => self.snapshot = Some(self.entries[&(to - 1)]),
            Act::Install { term, index } => self.snapshot = Some(id(term, index)),
            Act::Purge { term, index } => {
                self.purged = Some(id(term, index));
                self.entries = self.entries.split_off(&(index + 1));
            }
            Act::Committed { .. } => {}
        }
    }
}

async fn act(log: &mut Log, machine: &mut Machine, act: Act) -> Result<(), String> {
    let done = match act {
        Act::Vote(term) => log.save_vote(&Vote::new(term, NodeId::from(term))).await,
        Act::Append { term, from, to } => {
            log.blocking_append((from..to).map(|index| entry(term, index))).await
        }
        Act::Truncate(since) => log.truncate(id(1, since)).await,
        Act::Snapshot { from, to } => {
            let entries = log.try_get_log_entries(from..to).await.unwrap();
            machine.apply(entries).await.unwrap();
            machine.get_snapshot_builder().await.build_snapshot().await.map(drop)
        }
        Act::Install { term, index } => {
            let snapshot = machine.get_current_snapshot().await.unwrap().unwrap();
            let mut meta = snapshot.meta;
            meta.last_log_id = Some(id(term, index));
            machine.install_snapshot(&meta, snapshot.snapshot).await
        }
        Act::Purge { term, index } => log.purge(id(term, index)).await,
        Act::Committed { term, index } => log.save_committed(Some(id(term, index))).await,
    };
    done.map_err(|error| error.to_string())
}

/// Runs the script until something fails: what was promised, and what was under way.
async fn run(disk: &SimDisk) -> Result<(), (Promised, Promised)> {
    let mut promised = Promised::default();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Ok((mut log, _, mut machine)) = open(disk, Path::new("raft")) else {
        return Err((promised.clone(), promised));
    };
    for step in SCRIPT {
        let mut after = promised.clone();
        after.act(step);
        if act(&mut log, &mut machine, step).await.is_err() {
            return Err((promised, after));
        }
        promised = after;
        // What nobody waits for is written before the next is asked for.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

async fn check(disk: SimDisk, promised: &Promised, after: &Promised, what: &str) {
    let mut found = Promised::default();
    let (log, _, mut machine) =
        open(Arc::new(disk), Path::new("raft")).unwrap_or_else(|error| panic!("{what}: {error}"));
    {
        let state = log.shared.lock();
        found.vote = state.image.vote.map(|vote| vote.leader_id.term);
        found.purged = state.image.purged;
        found.entries = state.image.entries.iter().map(|(&i, entry)| (i, entry.log_id)).collect();
    }
    let snapshot = machine.get_current_snapshot().await.unwrap();
    found.snapshot = snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
    assert!(found.vote == promised.vote || found.vote == after.vote, "{what}: {found:?}");
    let snapshots = [promised.snapshot, after.snapshot];
    assert!(snapshots.contains(&found.snapshot), "{what}: {found:?}");
    assert!(found.purged <= found.snapshot, "{what}: {found:?}");
    assert!(found.purged <= after.purged, "{what}: {found:?}");
    // A purge need not be durable: entries before it may be there still.
    let from = after.purged.max(found.purged).map_or(0, |id| id.index + 1);
    let since = |all: &Promised| all.entries.clone().split_off(&from);
    let is_one = since(&found) == since(promised) || since(&found) == since(after);
    assert!(is_one, "{what}: {found:?}, not {promised:?} nor {after:?}");
    let last = found.purged.map(|id| id.index);
    let first = found.entries.first_key_value().map(|(&first, _)| first);
    assert!(first.is_none_or(|first| last.map_or(first == 0, |last| first == last + 1)), "{what}");
}

#[test]
fn whatever_write_fails_what_was_promised_is_there_after_a_restart() {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let whole = SimDisk::new();
        run(&whole).await.unwrap();
        let operations = whole.operations();
        assert!(operations > 40, "{operations}");
        let mut broken = 0;
        for at in 0..operations {
            for fault in [
                Fault::Crash,
                Fault::TornCrash { keep_bytes: 1 },
                Fault::TornCrash { keep_bytes: 40 },
                Fault::TornCrash { keep_bytes: 100_000 },
                Fault::Eio,
                Fault::NoSpace,
            ] {
                let disk = SimDisk::new();
                disk.fail_at(at, fault);
                // A file that cannot be removed is left, and no failure.
                let Err((promised, after)) = run(&disk).await else { continue };
                broken += 1;
                for keep in [Keep::Synced, Keep::Written, Keep::PageCache] {
                    let what = format!("operation {at} {fault:?} {keep:?}");
                    check(disk.crash(keep), &promised, &after, &what).await;
                }
            }
        }
        assert!(broken > 200, "{broken}");
    });
}

#[test]
fn damage_is_named_and_a_foreign_directory_refused() {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = SimDisk::new();
        run(&disk).await.unwrap();
        let files = disk.list(Path::new("raft")).unwrap();
        let log = files.iter().find(|name| name.ends_with(".log")).unwrap();
        let snapshot = files.iter().find(|name| name.ends_with(".snap")).unwrap();
        for (name, offset) in [(log, 50), (snapshot, 50)] {
            let after = disk.crash(Keep::PageCache);
            after.flip(&Path::new("raft").join(name), offset, 1);
            let error = open(Arc::new(after), Path::new("raft")).err().expect("it is damaged");
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        }
        let after: Arc<dyn Disk> = Arc::new(disk.crash(Keep::PageCache));
        let other = Owner::new(Ulid(7), StoreId(Ulid(2)));
        let error = Log::open(after, PathBuf::from("raft"), other).err().expect("foreign");
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    });
}

#[test]
fn a_directory_that_comes_to_another_cluster_has_a_log_of_its_own_there() {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = SimDisk::new();
        run(&disk).await.unwrap();
        let disk = disk.crash(Keep::Synced);
        let (dir, own) = (Path::new("raft"), StoreId(Ulid(1)));
        let of = |cluster| super::dir_of(&disk, dir, Ulid(cluster), own);
        assert_eq!(of(7), dir);
        let other = of(8);
        assert_ne!(other, dir);
        assert_ne!(of(9), other);
        let (log, _) = Log::open(Arc::new(disk.clone()), other.clone(), Owner::new(Ulid(8), own))
            .expect("the other's log is not in the way");
        assert!(log.is_fresh(), "nothing was promised in it");
        // Both are found again.
        assert_eq!((of(7), of(8)), (dir.to_owned(), other));
        assert_eq!(super::dir_of(&disk, Path::new("none"), Ulid(8), own), Path::new("none"));
    });
}

#[test]
fn one_sync_serves_all_that_wait_and_a_message_is_bounded() {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = SimDisk::new();
        let (mut log, _, _) = open(Arc::new(disk.clone()), Path::new("raft")).unwrap();
        log.blocking_append([entry(1, 0)]).await.unwrap();
        let before = disk.syncs();
        let mut logs: Vec<Log> = (0..20).map(|_| log.clone()).collect();
        let votes = logs.iter_mut().enumerate().map(|(n, log)| async move {
            log.save_vote(&Vote::new(n as u64, NodeId::from(1))).await
        });
        for saved in futures::future::join_all(votes).await {
            saved.unwrap();
        }
        assert_eq!(disk.syncs() - before, 1);
        log.blocking_append((1..40).map(|index| entry(1, index))).await.unwrap();
        let read = log.limited_get_log_entries(1, 40).await.unwrap();
        assert!(read.len() > 10 && read.len() < 30, "{}", read.len());
        assert_eq!(log.limited_get_log_entries(39, 40).await.unwrap().len(), 1);
    });
}
