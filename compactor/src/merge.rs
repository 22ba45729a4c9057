//! Merging: what is planned becomes one part, by one commit that removes the inputs (C2).
//!
//! 1. The draft is begun, so that a cleaner's later commits are compared with it.
//! 2. The inputs are opened and merged step by step; what comes out is uploaded as it comes.
//! 3. The commit adds the output and removes the inputs. If one of them is gone, another compactor
//!    was faster or retention took it: the output is garbage that the orphan rule finds.
//!
//! A merge that is cut off anywhere has committed or has not: what it uploaded is named or an
//! orphan, and its inputs are live or removed together.

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{ErrorKind, HashSet, task};
use catalog::{Catalog, EndReason};
use futures::StreamExt;
use metrics::{counter, gauge};
use store::{Outcome, PartId, PartReader, PartRecord, Place, Streamed};
use ulid::Ulid;

use crate::compactor::{Compactor, ns};
use crate::error::Error;
use crate::metrics::{COPIED_BYTES, MERGED_BYTES, MERGES, PENDING};
use crate::objects::{is_older, named_by};
use crate::plan::{Task, plan};

type PartMerge = part::Merge<store::Error>;

/// Plans that are carried out one after the other: as often as a row is merged, once by the hour,
/// by six hours and by the day.
const MAX_ROUNDS: u32 = 3;

/// What became of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    Committed(u64),
    /// An input was gone.
    Ended,
    /// The process is asked to end.
    Stopped,
}

impl Compactor {
    /// Merges what is planned and due, and then what became due by that, for at most
    /// [`MAX_ROUNDS`]: writers may make more due for ever, and other work must have its turn. Gives
    /// the number of merges.
    pub(crate) async fn merge_due(&self, shutdown: &Shutdown) -> Result<u64, Error> {
        let mut done = 0;
        for _ in 0..MAX_ROUNDS {
            self.deps.catalog.follow().await?;
            let due: Vec<Task> = self.planned().into_iter().filter(|task| task.is_due).collect();
            if due.is_empty() || shutdown.is_cancelled() {
                break;
            }
            let mut merges = Vec::with_capacity(due.len());
            for task in &due {
                merges.push(self.merge_and_tell(task, shutdown));
            }
            let mut merges = futures::stream::iter(merges).buffer_unordered(self.config.merges);
            while let Some(merged) = merges.next().await {
                done += u64::from(merged?);
            }
        }
        Ok(done)
    }

    /// The merges that pay now.
    pub(crate) fn planned(&self) -> Vec<Task> {
        let catalog = &self.deps.catalog;
        if catalog.read(Catalog::is_damaged) {
            // What cannot be read may have removed parts; merged they would come back for good.
            return Vec::new();
        }
        let (now, snapshot) = (self.deps.clock.now(), catalog.snapshot());
        let mut tasks = Vec::new();
        {
            let broken = self.lock_broken();
            let parts: Vec<Arc<PartRecord>> =
                snapshot.all_parts().filter(|part| !broken.contains(&part.id)).cloned().collect();
            for of_day in parts.chunk_by(|a, b| a.day == b.day && a.tenant == b.tenant) {
                tasks.extend(plan(of_day, now, &self.config.rules));
            }
        }
        let pending: usize = tasks.iter().map(|task| task.inputs.len()).sum();
        gauge!(PENDING).set(pending as f64);
        tasks
    }

    /// Whether it came to a commit. What only concerns its parts is not an error of the pass.
    async fn merge_and_tell(&self, task: &Task, shutdown: &Shutdown) -> Result<bool, Error> {
        let (tenant, day, inputs) = (&task.tenant, task.day, task.inputs.len());
        let merged = self.merge(task, shutdown).await;
        let outcome = match &merged {
            Ok(Merged::Committed(_)) => "committed",
            Ok(Merged::Ended | Merged::Stopped) => "ended",
            Err(_) => "failed",
        };
        counter!(MERGES, "outcome" => outcome).increment(1);
        match merged {
            Ok(Merged::Committed(number)) => {
                tracing::info!(%tenant, %day, inputs, number, "merged");
                Ok(true)
            }
            Ok(Merged::Ended | Merged::Stopped) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, %tenant, %day, inputs, "a merge met damage");
                self.leave_broken_alone(task).await?;
                Ok(false)
            }
            // Some input is not what its checksums say; nobody knows which.
            Err(error @ Error::Panicked(_)) => {
                tracing::error!(%error, %tenant, %day, "these parts are not merged any more");
                self.lock_broken().extend(task.inputs.iter().map(|input| input.id));
                Ok(false)
            }
            // Removed and deleted since it was planned.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.leave_lost_alone(task).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn merge(&self, task: &Task, shutdown: &Shutdown) -> Result<Merged, Error> {
        let (catalog, inputs) = (&self.deps.catalog, &task.inputs);
        let mut draft = catalog.draft();
        draft.removed = inputs.iter().map(|part| part.reference()).collect();
        let id = PartId(self.deps.random.ulid(&*self.deps.clock));
        let mut record = PartRecord {
            id,
            tenant: task.tenant.clone(),
            day: task.day,
            place: Place::Object,
            level: inputs.iter().map(|part| part.level).max().unwrap_or(0).saturating_add(1),
            purged_through: inputs.iter().map(|part| part.purged_through).min().unwrap_or(0),
            ..(*inputs[0]).clone()
        };
        let mut upload = Streamed::new(catalog.bucket(), record.path());
        let mut merge = self.open(inputs).await?;
        loop {
            let step = blocking("merge-step", move || {
                let chunk = merge.next()?;
                Ok((merge, chunk))
            });
            let (stepped, pushed) = match step.await {
                Ok((stepped, Some(chunk))) => (stepped, upload.push(chunk).await),
                Ok((stepped, None)) => {
                    merge = stepped;
                    break;
                }
                Err(error) => {
                    upload.abandon().await;
                    return Err(error);
                }
            };
            merge = stepped;
            if pushed.is_err() || shutdown.is_cancelled() {
                upload.abandon().await;
                return pushed.map(|()| Merged::Stopped).map_err(Error::from);
            }
        }
        describe(&mut record, &merge, inputs);
        let len_bytes = upload.finish().await?;
        assert_eq!(len_bytes, record.len_bytes, "the whole part is uploaded");
        draft.added = vec![record];
        // The inputs are removed from now on, however long the merge took.
        draft.at = self.deps.clock.now();
        match catalog.commit(&draft).await? {
            Outcome::Committed(number) => {
                count(&merge);
                let named = named_by(catalog.snapshot());
                self.garbage.add(inputs.iter().map(|part| &**part), draft.at, &named);
                Ok(Merged::Committed(number))
            }
            Outcome::Ended(EndReason::InputRemoved(part)) => {
                tracing::info!(part = %part.id, "an input was removed by somebody else");
                Ok(Merged::Ended)
            }
            // The output was taken for an orphan, so long did it take: the next plan has it again.
            Outcome::Rebuild { .. } | Outcome::Ended(_) => Ok(Merged::Ended),
        }
    }

    async fn open(&self, inputs: &[Arc<PartRecord>]) -> Result<PartMerge, Error> {
        let (inputs, bucket) = (inputs.to_vec(), self.deps.catalog.bucket().clone());
        let runtime = tokio::runtime::Handle::current();
        blocking("merge-open", move || {
            let mut opened = Vec::with_capacity(inputs.len());
            for record in &inputs {
                let reader = PartReader::open(&bucket, &runtime, record)?;
                let footer = Arc::new(reader.read_footer(record)?);
                opened.push(part::Input { footer, reader: Arc::new(reader) });
            }
            let (tenant, day) = (&inputs[0].tenant, inputs[0].day);
            part::Merge::new(tenant, day, &opened, &part::Options::flushed())
        })
        .await
    }

    /// Finds the damaged ones of a merge's inputs and plans without them from now on.
    async fn leave_broken_alone(&self, task: &Task) -> Result<(), Error> {
        for input in &task.inputs {
            let whole = async {
                let mut alone = self.open(std::slice::from_ref(input)).await?;
                blocking("merge-check", move || {
                    while alone.next()?.is_some() {}
                    Ok(())
                })
                .await
            };
            match whole.await {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let (part, path) = (input.id, input.path());
                    tracing::error!(%error, %part, path, "a damaged part is not merged");
                    self.lock_broken().insert(part);
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// An input whose object is not there: a commit removed it, or it is lost.
    async fn leave_lost_alone(&self, task: &Task) -> Result<(), Error> {
        self.deps.catalog.follow().await?;
        let live: HashSet<PartId> =
            self.deps.catalog.snapshot().all_parts().map(|part| part.id).collect();
        for input in task.inputs.iter().filter(|input| live.contains(&input.id)) {
            match self.open(std::slice::from_ref(input)).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tracing::error!(%error, part = %input.id, "a part of the catalog is lost");
                    self.lock_broken().insert(input.id);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes the objects that merges and retention of this process left, once they are old enough.
    pub(crate) async fn delete_garbage(&self) -> Result<(), Error> {
        let (now, delay_ns) = (self.deps.clock.now(), ns(self.config.delete_delay));
        let old = self.garbage.old(|at| is_older(at, now, delay_ns));
        if old.is_empty() || self.deps.catalog.read(Catalog::is_damaged) {
            return Ok(());
        }
        let named: HashSet<Ulid> = named_by(self.deps.catalog.follow().await?);
        for removed in old {
            if !named.contains(&removed.id) {
                self.delete(removed.id, &removed.path, "part").await?;
            }
            self.garbage.forget(removed.id);
        }
        Ok(())
    }
}

fn count(merge: &PartMerge) {
    let Some(summary) = merge.summary() else { return };
    counter!(MERGED_BYTES).increment(summary.part_bytes);
    counter!(COPIED_BYTES).increment(merge.copies().line_bytes);
}

/// Fills in what only the finished part tells.
fn describe(record: &mut PartRecord, merge: &PartMerge, inputs: &[Arc<PartRecord>]) {
    let summary = merge.summary().expect("parts have rows");
    let rows = |part: &Arc<PartRecord>| part.rows;
    let (most, all) = (inputs.iter().map(rows).max(), inputs.iter().map(rows).sum());
    assert!(Some(summary.rows) >= most && summary.rows <= all, "{} rows of {all}", summary.rows);
    let oldest = inputs.iter().map(|part| part.min_ts.0).min();
    let newest = inputs.iter().map(|part| part.max_ts.0).max();
    assert_eq!((Some(summary.min_ns), Some(summary.max_ns)), (oldest, newest), "no row is lost");
    record.len_bytes = summary.part_bytes;
    record.footer_bytes = summary.footer_bytes;
    record.tail_bytes = summary.tail_bytes;
    record.rows = summary.rows;
    record.raw_bytes = summary.line_bytes;
    record.streams = summary.streams;
    record.min_ts.0 = summary.min_ns;
    record.max_ts.0 = summary.max_ns;
    (record.min_key, record.max_key) = (summary.keys.0.0, summary.keys.1.0);
}

async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Error> {
    match task::blocking(name, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Panicked(name)),
    }
}
