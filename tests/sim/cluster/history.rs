//! The bucket itself, and what must be true of it at every change: dense commits, one claim for each
//! batch, no commit that names a missing object, no number used twice, nothing deleted that counts.
//!
//! It reads what is put; it asks the system nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::BatchId;
use catalog::{Commit, paths};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, PutResult, Result,
};
use store::{IdSet, PartId, PartRecord};

use super::world::{World, event};

pub struct History {
    pub inner: InMemory,
    world: Arc<World>,
    /// Whether the rules of the log are looked at.
    is_strict: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: u64,
    floor: u64,
    claimed: IdSet,
    /// Parts that count.
    live: BTreeMap<PartId, PartRecord>,
    /// Every part that a commit has added.
    added: BTreeSet<PartId>,
    /// When each object was put.
    put_at_ns: BTreeMap<String, u64>,
    commits: u64,
    merges: u64,
    below_floor: u64,
    deleted: u64,
}

/// What happened to the bucket, for the summary.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // read by people
pub struct Counts {
    pub commits: u64,
    pub merges: u64,
    pub live: u64,
    pub floor: u64,
    pub below_floor: u64,
    pub deleted: u64,
}

impl History {
    pub fn new(world: Arc<World>, is_strict: bool) -> Arc<History> {
        Arc::new(History { inner: InMemory::new(), world, is_strict, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit that counts claims the batch.
    pub fn is_claimed(&self, id: &BatchId) -> bool {
        self.state().claimed.contains(id)
    }

    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            commits: state.commits,
            merges: state.merges,
            live: state.live.len() as u64,
            floor: state.floor,
            below_floor: state.below_floor,
            deleted: state.deleted,
        }
    }

    pub async fn put(
        &self,
        who: &str,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes: Vec<u8> = payload.iter().flat_map(|chunk| chunk.iter().copied()).collect();
        let result = self.inner.put_opts(path, payload, options).await;
        match &result {
            Ok(_) => {
                event!(self.world, who, "PUT {path}, {} bytes", bytes.len());
                if let Err(broken) = self.check_put(path.as_ref(), &bytes).await
                    && self.is_strict
                {
                    self.world.violate(format!("{who} put {path}: {broken}"));
                }
            }
            Err(_) => event!(self.world, who, "PUT {path}: exists"),
        }
        result
    }

    async fn check_put(&self, path: &str, bytes: &[u8]) -> std::result::Result<(), String> {
        let now_ns = self.world.now_ns();
        self.state().put_at_ns.insert(path.to_owned(), now_ns);
        if path == paths::FLOOR {
            let floor = catalog::Floor::decode(bytes).map_err(|error| error.to_string())?.0;
            let mut state = self.state();
            if floor > state.head {
                return Err(format!("the floor {floor} is above the head {}", state.head));
            }
            let is_covered = state.put_at_ns.keys().any(|path| {
                path.starts_with(paths::MANIFESTS)
                    && paths::number_of(path).is_some_and(|version| version >= floor)
            });
            if floor > state.floor && !is_covered {
                return Err(format!("no checkpoint covers the floor {floor}"));
            }
            if floor < state.floor {
                return Err(format!("the floor falls from {} to {floor}", state.floor));
            }
            state.floor = floor;
            return Ok(());
        }
        if !path.starts_with(paths::LOG) {
            return Ok(());
        }
        let number = paths::number_of(path).ok_or("an unknown object of the log")?;
        let commit = Commit::decode(number, bytes).map_err(|error| error.to_string())?;
        let mut objects = BTreeSet::new();
        for record in &commit.added {
            let object = record.path();
            if self.inner.head(&Path::from(object.as_str())).await.is_ok() {
                objects.insert(object);
            }
        }
        self.commit(&commit, &objects)
    }

    /// `objects`: those of the added parts that exist.
    fn commit(
        &self,
        commit: &Commit,
        objects: &BTreeSet<String>,
    ) -> std::result::Result<(), String> {
        let mut state = self.state();
        let number = commit.number;
        if number <= state.floor {
            // It never happened (C3): its maker has to find out.
            state.below_floor += 1;
            return Ok(());
        }
        if number != state.head + 1 {
            return Err(format!("commit {number} follows {}", state.head));
        }
        let twice = state.claimed.intersection(&commit.claims);
        if !twice.is_empty() {
            return Err(format!("P2: {} batches are claimed a second time", twice.count()));
        }
        let mut inputs = Vec::new();
        for removed in &commit.removed {
            let was_live = state.live.remove(&removed.id).inspect(|input| inputs.push(input.rows));
            // A compactor that starts anew takes what it did not see removed for an orphan.
            let is_orphan = removed.day == base::Day(i32::MIN);
            if !is_orphan && was_live.is_none() && state.added.contains(&removed.id) {
                return Err(format!("part {} is removed twice", removed.id));
            }
            state.added.insert(removed.id);
        }
        for record in &commit.added {
            if !objects.contains(&record.path()) {
                return Err(format!("C4: part {} has no object {}", record.id, record.path()));
            }
            if !state.added.insert(record.id) {
                return Err(format!("part {} was added or removed before", record.id));
            }
            state.live.insert(record.id, record.clone());
        }
        check_merge(commit, &inputs)?;
        state.merges += u64::from(!inputs.is_empty() && !commit.added.is_empty());
        state.claimed.extend(&commit.claims);
        state.head = number;
        state.commits += 1;
        Ok(())
    }

    pub async fn delete(&self, who: &str, path: &Path) -> Result<()> {
        let name = path.as_ref();
        {
            let mut state = self.state();
            let above = paths::number_of(name).filter(|&number| number > state.floor);
            if let (Some(number), true) = (above, name.starts_with("log/")) {
                let floor = state.floor;
                drop(state);
                self.world.violate(format!("C3: {who} deletes commit {number}, floor {floor}"));
            } else if self.is_strict && state.live.values().any(|part| part.path() == name) {
                drop(state);
                self.world.violate(format!("C4: {who} deletes {name}, which a live part needs"));
            } else {
                state.deleted += 1;
                state.put_at_ns.remove(name);
            }
        }
        event!(self.world, who, "DELETE {path}");
        self.inner.delete(path).await
    }

    /// Objects with the simulation's times.
    pub fn list(self: &Arc<Self>, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let timed = move |mut meta: ObjectMeta| {
            meta.last_modified = this.put_at(meta.location.as_ref());
            meta
        };
        self.inner.list(prefix).map_ok(timed).boxed()
    }

    /// When an object was put.
    pub fn put_at(&self, path: &str) -> chrono::DateTime<chrono::Utc> {
        let at_ns = self.state().put_at_ns.get(path).copied().unwrap_or(0);
        chrono::DateTime::from_timestamp_nanos(super::world::START.0 + at_ns as i64)
    }

    /// Every live part has its object.
    pub async fn check_objects(&self) -> std::result::Result<(), String> {
        let live = self.state().live.clone();
        for (id, record) in live {
            let object = record.path();
            let path = Path::from(object.as_str());
            if self.inner.get_opts(&path, GetOptions::default()).await.is_err() {
                return Err(format!("C4: live part {id} has no object {object}"));
            }
        }
        Ok(())
    }
}

/// A commit either flushes or merges: what it adds in the place of others has their rows, of which
/// it may drop those that are there twice.
fn check_merge(commit: &Commit, inputs: &[u64]) -> std::result::Result<(), String> {
    let is_merge = !inputs.is_empty() && !commit.added.is_empty();
    if is_merge && !commit.claims.is_empty() {
        return Err("a merge claims batches".to_owned());
    }
    if !is_merge {
        return match commit.added.iter().find(|part| part.level > 0) {
            Some(part) => Err(format!("part {} of level {} was not merged", part.id, part.level)),
            None => Ok(()),
        };
    }
    let rows: u64 = commit.added.iter().map(|part| part.rows).sum();
    let (most, all) = (inputs.iter().copied().max().unwrap_or(0), inputs.iter().sum());
    match (most..=all).contains(&rows) {
        true => Ok(()),
        false => Err(format!("P2: {all} rows of {} parts become {rows}", inputs.len())),
    }
}
