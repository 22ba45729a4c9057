//! What distributors sent: a batch never changes under its id, each attempt has one list with one
//! owner, attempts only rise, and an answer speaks of what was sent (B2, B3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Batch, BatchId, StoreId};
use rpc::ingester::Appended;

use super::push::TENANTS;
use super::record::Row;
use super::world::{World, event};

pub struct Ledger {
    world: Arc<World>,
    batches: Mutex<BTreeMap<BatchId, Known>>,
    copies: Mutex<Copies>,
}

/// Where rows are, as nodes said it. A promise is about copies and not about acks: what was
/// acknowledged on the word of one disk may rest on the copy on another one, flushed or not, when
/// that other disk is lost.
#[derive(Default)]
struct Copies {
    rows: BTreeMap<Row, Copy>,
    /// Number of the last loss of each node's disk.
    lost: BTreeMap<String, u64>,
    losses: u64,
}

#[derive(Default)]
struct Copy {
    /// Nodes whose present disk holds it.
    holders: BTreeSet<String>,
    /// A commit claims its batch, it was on a disk before a flush that took everything, or a node said
    /// it is in the bucket.
    is_flushed: bool,
    /// Number of the loss that took the last copy.
    lost: u64,
}

struct Known {
    content: u128,
    /// The list of each, and its factor.
    attempts: BTreeMap<u32, (Vec<StoreId>, u8)>,
    /// Which stores have said that they hold which attempt.
    answered: BTreeSet<(u32, StoreId)>,
    rows: Vec<Row>,
}

/// A short name for the event log.
fn short(id: &BatchId) -> String {
    let incarnation = id.incarnation.to_string();
    format!("{}/{}", &incarnation[incarnation.len() - 4..], id.sequence)
}

impl Ledger {
    pub fn new(world: Arc<World>) -> Arc<Ledger> {
        Arc::new(Ledger { world, batches: Mutex::default(), copies: Mutex::default() })
    }

    pub fn sent(&self, from: &str, to: &str, batches: &[Batch]) {
        for batch in batches {
            let (id, attempt) = (short(&batch.id), batch.attempt);
            let rows = batch.rows.len();
            event!(self.world, from, "appends {id} attempt {attempt}, {rows} rows, to {to}");
            if let Err(broken) = self.note(batch) {
                self.world.violate(format!("{from} sends {}: {broken}", batch.id));
            }
        }
    }

    fn note(&self, batch: &Batch) -> Result<(), String> {
        let content = format!("{:?}{:?}{}{}", batch.streams, batch.rows, batch.tenant, batch.day);
        let content = base::hash::hash128(content.as_bytes());
        let mut known = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(batch.id).or_insert_with(|| Known {
            content,
            attempts: BTreeMap::new(),
            answered: BTreeSet::new(),
            rows: rows_of(batch),
        });
        if known.content != content {
            return Err("B2: its rows have changed".to_owned());
        }
        let (members, factor) = (batch.members.len() as u64, u64::from(batch.factor));
        if members > factor || members <= factor / 2 || factor > self.world.profile.factor {
            return Err(format!("{members} members at replication factor {factor}"));
        }
        let newest = known.attempts.keys().next_back().copied().unwrap_or(0);
        match known.attempts.get(&batch.attempt) {
            Some((members, _)) if *members != batch.members => {
                Err(format!("B3: attempt {} has two lists", batch.attempt))
            }
            None if batch.attempt < newest => {
                Err(format!("B3: attempt {} after {newest}", batch.attempt))
            }
            _ => {
                known.attempts.insert(batch.attempt, (batch.members.clone(), batch.factor));
                Ok(())
            }
        }
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of a node's disks an answer speaks of. It may arrive when that disk is gone: a caller
    /// that is stalled reads it late.
    pub fn disk(&self, node: &str) -> u64 {
        self.copies().lost.get(node).copied().unwrap_or(0)
    }

    pub fn answered(
        &self,
        from: &str,
        store: Option<StoreId>,
        disk: u64,
        batches: &[Batch],
        appended: &Appended,
    ) {
        let (got, wanted) = (appended.attempts.len(), batches.len());
        if got != wanted {
            self.world.violate(format!("{from} answers {got} of {wanted} batches"));
        }
        let is_lost = self.disk(from) != disk;
        let mut copies = self.copies();
        let lost = copies.lost.get(from).copied().unwrap_or(0);
        for (batch, &attempt) in batches.iter().zip(&appended.attempts) {
            for row in rows_of(batch) {
                let copy = copies.rows.entry(row).or_default();
                // It stands in the log already: nothing is written for this answer (B2).
                copy.is_flushed |= attempt == u32::MAX;
                if !is_lost {
                    copy.holders.insert(from.to_owned());
                } else if copy.holders.is_empty() {
                    copy.lost = copy.lost.max(lost);
                }
            }
        }
        drop(copies);
        let mut sent = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        for (batch, &attempt) in batches.iter().zip(&appended.attempts) {
            if let (Some(known), Some(store)) = (sent.get_mut(&batch.id), store) {
                known.answered.insert((attempt, store));
            }
            let newest = sent.get(&batch.id).and_then(|known| known.attempts.keys().next_back());
            if attempt != u32::MAX && newest.is_some_and(|&newest| attempt > newest) {
                let id = batch.id;
                self.world.violate(format!("{from} holds attempt {attempt} of {id}: never sent"));
            }
        }
    }

    /// After a 204: every row is in a batch of which the beginning of the newest list has said that it
    /// holds that attempt, or that a commit claims it (B3).
    pub fn check_acked(
        &self,
        rows: &[Row],
        is_claimed: impl Fn(&BatchId) -> bool,
    ) -> Result<(), String> {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let is_acked = |id: &BatchId, known: &Known| {
            let Some((&attempt, (list, factor))) = known.attempts.last_key_value() else {
                return false;
            };
            let needed = usize::from(*factor) / 2 + 1;
            let said = |store: &StoreId| {
                [attempt, u32::MAX].iter().any(|&at| known.answered.contains(&(at, *store)))
            };
            is_claimed(id) || (list.len() >= needed && list[..needed].iter().all(said))
        };
        let acked: BTreeSet<&Row> = batches
            .iter()
            .filter(|(id, known)| is_acked(id, known))
            .flat_map(|(_, known)| &known.rows)
            .collect();
        match rows.iter().find(|row| !acked.contains(row)) {
            None => Ok(()),
            Some(row) => Err(format!("B3: acknowledged without the beginning of a list: {row:?}")),
        }
    }

    /// What a node's disk holds: a flush that begins now makes it safe.
    pub fn held_by(&self, node: &str) -> Vec<Row> {
        let copies = self.copies();
        let held = copies.rows.iter().filter(|(_, copy)| copy.holders.contains(node));
        held.map(|(row, _)| row.clone()).collect()
    }

    /// A flush has ended well that began when a node held `rows`.
    pub fn flushed(&self, rows: &[Row]) {
        let mut copies = self.copies();
        for row in rows {
            copies.rows.entry(row.clone()).or_default().is_flushed = true;
        }
    }

    /// A node has lost its disk: the rows of which it had the last copy and that no commit claims. At
    /// replication factor 1 they are not promised any more.
    pub fn lost(&self, node: &str, is_claimed: impl Fn(&BatchId) -> bool) -> BTreeSet<Row> {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = batches.iter().filter(|(id, _)| is_claimed(id));
        let claimed: Vec<Row> = claimed.flat_map(|(_, known)| known.rows.clone()).collect();
        drop(batches);
        self.flushed(&claimed);
        let mut copies = self.copies();
        copies.losses += 1;
        let loss = copies.losses;
        copies.lost.insert(node.to_owned(), loss);
        let mut lost = BTreeSet::new();
        for (row, copy) in &mut copies.rows {
            if copy.holders.remove(node) && copy.holders.is_empty() && !copy.is_flushed {
                copy.lost = loss;
                lost.insert(row.clone());
            }
        }
        lost
    }

    /// How many disks were lost.
    pub fn losses(&self) -> u64 {
        self.copies().losses
    }

    /// Whether the last copy of a row was lost after the first `losses` losses, so that an ack of a
    /// push that began then promises nothing: the disk held the row, and was gone before the ack. A
    /// row that no disk held since the push began is promised: its ack was a lie.
    pub fn is_lost_since(&self, row: &Row, losses: u64) -> bool {
        let copies = self.copies();
        let is_lost =
            |copy: &Copy| !copy.is_flushed && copy.holders.is_empty() && copy.lost > losses;
        copies.rows.get(row).is_some_and(is_lost)
    }

    pub fn count(&self) -> usize {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The rows of a batch as their client knows them.
fn rows_of(batch: &Batch) -> Vec<Row> {
    let tenant = TENANTS.into_iter().find(|tenant| *tenant == batch.tenant.as_str());
    let trace = batch.rows.metadata.iter().find(|column| &*column.name == "trace");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut rows = Vec::with_capacity(batch.rows.len());
    for run in &batch.rows.runs {
        let labels = &batch.streams[run.stream as usize];
        while rows.len() < run.end as usize {
            let at = rows.len();
            rows.push(Row {
                tenant: tenant.unwrap_or("unknown"),
                app: labels.get("app").unwrap_or_default().to_owned(),
                ts_ns: batch.rows.ts_ns[at],
                line: text(batch.rows.lines.get(at)),
                trace: trace.and_then(|trace| trace.get(at)).map(text),
            });
        }
    }
    rows
}
