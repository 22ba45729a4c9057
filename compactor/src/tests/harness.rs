//! A bucket with writers whose parts say which batches they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use base::random::{Random, SeededRandom};
use base::time::ManualClock;
use base::{BatchId, Clock, Day, Incarnation, StoreId, TenantId, UnixNanos};
use catalog::{PartId, PartRecord, Place};
use store::testing::{FaultyStore, Knobs};
use store::{Bucket, CatalogConfig, CatalogHandle, ClaimState, Outcome, Upload, put_parts};
use ulid::Ulid;

use crate::plan::Rules;
use crate::{Compactor, Config, Deps, Limits};

pub const HOUR_NS: i64 = 3_600_000_000_000;

/// Nothing is kept out of courtesy: only the rules are left.
pub fn ruthless() -> Config {
    Config {
        delete_delay: Duration::ZERO,
        log_retention: Duration::ZERO,
        orphan_age: Duration::ZERO,
        ..by_hand()
    }
}

/// Its parts are none that could be merged.
pub fn by_hand() -> Config {
    let rules = Rules { max_inputs: 0, ..Rules::default() };
    Config { rules, ..Config::default() }
}

/// Nothing is kept for ever, if its tenant says so.
pub struct KeepFor(pub Duration);

impl Limits for KeepFor {
    fn keep_for(&self, _: &TenantId) -> Duration {
        self.0
    }
}

pub struct Rig {
    pub store: Arc<FaultyStore>,
    pub bucket: Bucket,
    pub clock: ManualClock,
}

pub fn batch(sequence: u64) -> BatchId {
    BatchId { incarnation: Incarnation(Ulid(1)), owner: StoreId(Ulid(2)), sequence }
}

pub fn tenant(n: u64) -> TenantId {
    TenantId::new(&format!("tenant-{n}")).unwrap()
}

impl Rig {
    pub fn new() -> Rig {
        let (store, clock) = (FaultyStore::new(), ManualClock::new(UnixNanos(1 << 60)));
        let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(clock.clone()));
        Rig { store, bucket, clock }
    }

    pub fn advance_hours(&self, hours: i64) {
        self.clock.advance(hours * HOUR_NS);
    }

    pub async fn open_with(&self, who: u64, knobs: Knobs) -> CatalogHandle {
        let deps = store::Deps {
            bucket: self.bucket.clone(),
            committer: StoreId(Ulid(u128::from(who))),
            random: Arc::new(SeededRandom::new(who)),
            clock: Arc::new(self.clock.clone()),
        };
        let config = CatalogConfig { checkpoint_every: 1 };
        CatalogHandle::open_with_knobs(deps, config, knobs).await.unwrap()
    }

    pub async fn open(&self, who: u64) -> CatalogHandle {
        self.open_with(who, Knobs::default()).await
    }

    pub async fn compactor(&self, who: u64, config: Config) -> Compactor {
        self.compactor_that_keeps(who, config, Duration::ZERO).await
    }

    pub async fn compactor_that_keeps(
        &self,
        who: u64,
        config: Config,
        keep: Duration,
    ) -> Compactor {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let random = Arc::new(SeededRandom::new(who));
        Compactor::new(
            config,
            Deps { catalog: self.open(who).await, clock, random, limits: Arc::new(KeepFor(keep)) },
        )
    }

    /// An upload that holds these batches.
    pub fn part(&self, random: &SeededRandom, ids: &BTreeSet<u64>) -> Upload {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let first = ids.first().copied().unwrap_or_default();
        let record = PartRecord {
            id: PartId(random.ulid(&self.clock)),
            tenant: tenant(first % 2),
            day: Day(0),
            place: Place::Object,
            len_bytes: bytes.len() as u64,
            footer_bytes: 0,
            tail_bytes: 0,
            rows: ids.len() as u64,
            raw_bytes: 1,
            streams: 1,
            min_ts: UnixNanos(0),
            max_ts: UnixNanos(1),
            min_key: 0,
            max_key: 0,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        };
        Upload { record, bytes: bytes.into() }
    }

    /// Uploads one part for each of `parts` and commits them, whatever it takes.
    pub async fn flush(&self, handle: &CatalogHandle, seed: u64, parts: &[&[u64]]) -> u64 {
        let random = SeededRandom::new(seed);
        let mut left: Vec<BTreeSet<u64>> =
            parts.iter().map(|ids| ids.iter().copied().collect()).collect();
        for _ in 0..20 {
            let mut draft = handle.draft();
            left.retain(|ids| !ids.is_empty());
            let uploads = left.iter().map(|ids| self.part(&random, ids)).collect();
            draft.added = put_parts(&self.bucket, &random, &self.clock, uploads).await.unwrap();
            let ids: Vec<BatchId> = left.iter().flatten().map(|&id| batch(id)).collect();
            draft.claims = ids.iter().collect();
            match handle.commit(&draft).await.unwrap() {
                Outcome::Committed(number) => return number,
                Outcome::Rebuild { claimed, .. } => {
                    left.iter_mut().for_each(|ids| ids.retain(|&id| !claimed.contains(&batch(id))));
                }
                Outcome::Ended(reason) => panic!("a flush has no inputs: {reason:?}"),
            }
            if left.iter().all(BTreeSet::is_empty) {
                return 0;
            }
        }
        panic!("a flush does not come to an end");
    }

    /// One part in the place of `removed`, with all their batches.
    pub async fn merge(&self, handle: &CatalogHandle, seed: u64, removed: &[PartRecord]) -> u64 {
        let random = SeededRandom::new(seed);
        let mut ids = BTreeSet::new();
        for part in removed {
            ids.extend(self.read(part).await.unwrap());
        }
        let mut draft = handle.draft();
        draft.removed = removed.iter().map(PartRecord::reference).collect();
        let mut upload = self.part(&random, &ids);
        upload.record.tenant = removed[0].tenant.clone();
        let uploaded = put_parts(&self.bucket, &random, &self.clock, vec![upload]).await;
        draft.added = uploaded.unwrap();
        match handle.commit(&draft).await.unwrap() {
            Outcome::Committed(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// The batches of a part, if its object is there.
    pub async fn read(&self, part: &PartRecord) -> Result<Vec<u64>, store::Error> {
        let bytes = self.bucket.get(&part.path(), 1 << 20).await?;
        let from = part.offset() as usize;
        let section = &bytes[from..from + part.len_bytes as usize];
        Ok(section.chunks(8).map(|id| u64::from_le_bytes(id.try_into().unwrap())).collect())
    }

    /// What is wrong when everything has come to rest: a batch of `wanted` that is not in exactly
    /// one live part and claimed, or a live part that is not there.
    pub async fn violation(&self, wanted: &[u64]) -> Option<String> {
        let handle = self.open(99).await;
        let mut seen = BTreeMap::new();
        for part in handle.snapshot().all_parts() {
            let Ok(ids) = self.read(part).await else {
                return Some(format!("{} is live and does not exist", part.path()));
            };
            ids.into_iter().for_each(|id| *seen.entry(id).or_insert(0) += 1);
        }
        let expected: BTreeMap<u64, i32> = wanted.iter().map(|&id| (id, 1)).collect();
        if seen != expected {
            return Some(format!("batches are in this many live parts: {seen:?}"));
        }
        let unclaimed = |id: &&u64| handle.claim_state(&batch(**id)) != ClaimState::Claimed;
        wanted.iter().find(unclaimed).map(|id| format!("batch {id} is live and not claimed"))
    }

    /// Names of all objects under `prefix`.
    pub async fn names(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        self.bucket.walk(prefix, |object| names.push(object.path)).await.unwrap();
        names.sort();
        names
    }
}

pub fn parts(handle: &CatalogHandle) -> Vec<PartRecord> {
    handle.snapshot().all_parts().map(|part| (**part).clone()).collect()
}

/// Polls `work` at most `steps` times and drops it: a process that dies there. Every request to the
/// store is one step. Whether it came to its end.
pub fn run_for<T>(work: impl Future<Output = T>, steps: usize) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut work = Box::pin(work);
    (0..steps).any(|_| work.as_mut().poll(&mut context).is_ready())
}
