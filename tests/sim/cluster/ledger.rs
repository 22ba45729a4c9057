//! What distributors sent: a batch never changes under its id, each attempt has one list with one
//! owner, attempts only rise, and an answer speaks of what was sent (B2, B3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Batch, BatchId, StoreId};
use rpc::ingester::Appended;

use super::push::TENANTS;
use super::record::Row;
use super::world::{World, event};

pub struct Ledger {
    world: Arc<World>,
    batches: Mutex<BTreeMap<BatchId, Known>>,
    /// Nodes that said they hold a row.
    holders: Mutex<BTreeMap<Row, BTreeSet<String>>>,
}

struct Known {
    content: u128,
    attempts: BTreeMap<u32, Vec<StoreId>>,
}

/// A short name for the event log.
fn short(id: &BatchId) -> String {
    let incarnation = id.incarnation.to_string();
    format!("{}/{}", &incarnation[incarnation.len() - 4..], id.sequence)
}

impl Ledger {
    pub fn new(world: Arc<World>) -> Arc<Ledger> {
        Arc::new(Ledger { world, batches: Mutex::default(), holders: Mutex::default() })
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
        let known =
            known.entry(batch.id).or_insert_with(|| Known { content, attempts: BTreeMap::new() });
        if known.content != content {
            return Err("B2: its rows have changed".to_owned());
        }
        if batch.members.len() != 1 {
            return Err(format!("{} members at replication factor 1", batch.members.len()));
        }
        let newest = known.attempts.keys().next_back().copied().unwrap_or(0);
        match known.attempts.get(&batch.attempt) {
            Some(members) if *members != batch.members => {
                Err(format!("B3: attempt {} has two lists", batch.attempt))
            }
            None if batch.attempt < newest => {
                Err(format!("B3: attempt {} after {newest}", batch.attempt))
            }
            _ => {
                known.attempts.insert(batch.attempt, batch.members.clone());
                Ok(())
            }
        }
    }

    pub fn answered(&self, from: &str, batches: &[Batch], appended: &Appended) {
        let (got, wanted) = (appended.attempts.len(), batches.len());
        if got != wanted {
            self.world.violate(format!("{from} answers {got} of {wanted} batches"));
        }
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        for row in batches.iter().flat_map(rows_of) {
            holders.entry(row).or_default().insert(from.to_owned());
        }
        drop(holders);
        let sent = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        for (batch, &attempt) in batches.iter().zip(&appended.attempts) {
            let newest = sent.get(&batch.id).and_then(|known| known.attempts.keys().next_back());
            if attempt != u32::MAX && newest.is_some_and(|&newest| attempt > newest) {
                let id = batch.id;
                self.world.violate(format!("{from} holds attempt {attempt} of {id}: never sent"));
            }
        }
    }

    /// A node has lost its disk: the rows that no other node said it holds.
    pub fn lost(&self, node: &str) -> BTreeSet<Row> {
        let mut lost = BTreeSet::new();
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, nodes) in &mut *holders {
            nodes.remove(node);
            if nodes.is_empty() {
                lost.insert(row.clone());
            }
        }
        lost
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
