//! Following the log to its head (R1, C3).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use catalog::{Commit, Damage, Draft, Floor, Snapshot, paths};
use futures::{StreamExt, TryStreamExt};

use crate::bucket::Created;
use crate::error::Error;
use crate::handle::CatalogHandle;
use crate::metrics::{ANOMALIES, CORRUPT};

/// Commits read before the floor is checked and they are applied: bounds memory.
const CHUNK: u64 = 256;

/// Commits read at the same time when it is known that they exist.
const CONCURRENT_READS: usize = 16;

/// A commit has about 130 bytes per part; this one would have two million parts.
const MAX_COMMIT_BYTES: u64 = 256 << 20;

const MAX_FLOOR_BYTES: u64 = 4096;

/// What stands at a number of the log.
pub(crate) enum Found {
    Commit(Box<Commit>),
    /// Something that is not a commit, read twice.
    Damaged(Damage),
    Nothing,
}

impl CatalogHandle {
    /// Reads the log to its head: the answer holds every commit that was there when this was
    /// called. Callers at the same time share the work.
    pub async fn follow(&self) -> Result<Snapshot, Error> {
        // A round that begins from now on is good enough; one that has begun already is not.
        let needed = self.inner.rounds.load(Ordering::SeqCst) + 1;
        let mut finished = self.inner.tail.lock().await;
        if *finished < needed {
            let round = self.inner.rounds.fetch_add(1, Ordering::SeqCst) + 1;
            self.follow_round(0).await?;
            *finished = round;
        }
        drop(finished);
        Ok(self.snapshot())
    }

    /// A view at or after commit `version`, read from the log only if it is not known yet.
    pub async fn follow_to(&self, version: u64) -> Result<Snapshot, Error> {
        let known = self.snapshot();
        if known.version() >= version {
            return Ok(known);
        }
        let read = self.follow().await?;
        if read.version() < version {
            let store = self.bucket().name().to_owned();
            return Err(Error::Behind { store, wanted: version, head: read.version() });
        }
        Ok(read)
    }

    /// A commit that was followed, as long as the log has it. `None`: a checkpoint stands for it.
    pub async fn commit_at(&self, number: u64) -> Result<Option<Commit>, Error> {
        let found = self.read_commit(number).await?;
        // Read after the object: a number that was cleaned and came back is below it.
        if self.read_floor().await? >= number {
            return Ok(None);
        }
        match found {
            Found::Commit(commit) => Ok(Some(*commit)),
            Found::Nothing => Ok(None),
            Found::Damaged(Damage { object, problem, .. }) => {
                let store = self.bucket().name().to_owned();
                Err(Error::Damaged { store, path: object, problem })
            }
        }
    }

    /// Reads to the head. `listed` is the greatest number that a listing has shown, or 0. The
    /// caller holds `tail`.
    pub(crate) async fn follow_round(&self, mut listed: u64) -> Result<(), Error> {
        loop {
            let first = self.version() + 1;
            let (found, at_head) = self.read_chunk(first, listed).await?;
            // Read after the objects: a number that was cleaned and came back is below it.
            if self.read_floor().await? >= first {
                self.restart().await?;
                listed = 0;
                continue;
            }
            if !found.is_empty() {
                // WAL records go because of what is told now.
                self.bucket().make_durable(paths::LOG).await?;
            }
            let next = first + found.len() as u64;
            let damaged = found.iter().position(|found| matches!(found, Found::Damaged(_)));
            if let Some(damaged) = damaged
                && self.jump_over(first + damaged as u64).await?
            {
                continue;
            }
            for (number, found) in (first..).zip(found) {
                self.apply_found(number, found);
            }
            self.publish();
            if at_head && listed >= next {
                self.fill_hole(next).await?;
            } else if at_head {
                return Ok(());
            }
        }
    }

    /// Commits from `first` on, until nothing is found or a chunk is full. The flag says that
    /// nothing was found.
    async fn read_chunk(&self, first: u64, listed: u64) -> Result<(Vec<Found>, bool), Error> {
        let mut chunk = Vec::new();
        if listed >= first {
            let numbers = first..=listed.min(first + CHUNK - 1);
            let reads = futures::stream::iter(numbers).map(|number| self.read_commit(number));
            let all: Vec<Found> = reads.buffered(CONCURRENT_READS).try_collect().await?;
            for found in all {
                if matches!(found, Found::Nothing) {
                    return Ok((chunk, true));
                }
                chunk.push(found);
            }
            return Ok((chunk, false));
        }
        for number in first..first + CHUNK {
            match self.read_commit(number).await? {
                Found::Nothing => return Ok((chunk, true)),
                found => chunk.push(found),
            }
        }
        Ok((chunk, false))
    }

    pub(crate) async fn read_commit(&self, number: u64) -> Result<Found, Error> {
        let path = paths::commit(number);
        let mut first_problem = None;
        loop {
            let problem = match self.bucket().find(&path, MAX_COMMIT_BYTES).await {
                Ok(None) => return Ok(Found::Nothing),
                Ok(Some(bytes)) => match Commit::decode(number, &bytes) {
                    Ok(commit) => return Ok(Found::Commit(Box::new(commit))),
                    Err(error) => error.to_string(),
                },
                Err(Error::Damaged { problem, .. }) => problem,
                Err(error) => return Err(error),
            };
            // Once more: the way here may have been at fault.
            if first_problem.is_some() {
                return Ok(Found::Damaged(Damage { object: path, problem, scope: None }));
            }
            first_problem = Some(problem);
        }
    }

    pub(crate) async fn read_floor(&self) -> Result<u64, Error> {
        let Some(bytes) = self.bucket().find(paths::FLOOR, MAX_FLOOR_BYTES).await? else {
            return Ok(0);
        };
        match Floor::decode(&bytes) {
            Ok(floor) => Ok(floor.0),
            Err(error) => {
                metrics::counter!(CORRUPT, "object" => "floor").increment(1);
                Err(self.bucket().catalog_error(paths::FLOOR, error))
            }
        }
    }

    /// Applies what was read, and tells observers; the caller publishes. The caller holds `tail` and has checked the
    /// floor.
    fn apply_found(&self, number: u64, found: Found) {
        match found {
            Found::Commit(commit) => self.apply(&commit),
            Found::Damaged(damage) => {
                let (object, problem) = (&damage.object, &damage.problem);
                let store = self.bucket().name();
                tracing::error!(store, object, problem, "a commit is damaged; going on after it");
                metrics::counter!(CORRUPT, "object" => "commit").increment(1);
                self.change(|catalog| catalog.skip(number, damage));
            }
            Found::Nothing => unreachable!("a chunk ends before what is not there"),
        }
    }

    /// The caller holds `tail`, and publishes.
    fn apply(&self, commit: &Commit) {
        let applied = self.change(|catalog| catalog.apply(commit));
        if applied != catalog::Applied::default() {
            let (number, committer) = (commit.number, commit.committer);
            tracing::error!(number, %committer, ?applied, "a commit breaks a rule of the log");
            metrics::counter!(ANOMALIES).increment(1);
        }
        let observers: Vec<_> = self.observers().iter().map(Arc::clone).collect();
        for observer in observers {
            observer.committed(commit.number, commit);
        }
    }

    /// Applies a commit of our own whose PUT was answered and whose floor was checked. Somebody
    /// who followed meanwhile may have read it already.
    pub(crate) async fn apply_own(&self, commit: &Commit) {
        let _tail = self.inner.tail.lock().await;
        let version = self.version();
        if version + 1 == commit.number {
            self.apply(commit);
            self.publish();
        }
        assert!(self.version() >= commit.number, "commits before {} are applied", commit.number);
    }

    /// Waits until what is being followed is told and visible.
    pub(crate) async fn finish_round(&self) {
        drop(self.inner.tail.lock().await);
    }

    /// Somebody removed an object in the middle of the log. Until it is filled, everything after it
    /// is invisible to readers that do not list; an empty commit makes the log dense again.
    async fn fill_hole(&self, number: u64) -> Result<(), Error> {
        let path = paths::commit(number);
        let store = self.bucket().name();
        tracing::error!(store, object = path, "a commit is missing; filling the log's hole");
        metrics::counter!(CORRUPT, "object" => "commit").increment(1);
        let empty: Draft = self.draft();
        let bytes = empty.at_number(number, self.inner.deps.committer).encode();
        match self.bucket().create(&path, bytes.into()).await? {
            Created::Now | Created::Exists => Ok(()),
        }
    }
}
