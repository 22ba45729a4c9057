//! The partial of a log query: the best candidates so far, as stored, each with its row hash.
//!
//! More than the limit is gathered, then sorted, equals dropped and the rest cut off. Lines are
//! run through the whole pipeline only at the very end, when they are known to be in the answer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use base::{HashMap, Labels, StreamKey};

use super::ties::Ties;
use crate::plan::leaf::LogLeaf;
use crate::plan::{Direction, QueryError};

/// What a log query asks for; shared by all its partials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub limit: usize,
    pub direction: Direction,
    pub interval_ns: i64,
    pub max_memory_bytes: u64,
}

/// A row that may be in the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub ts_ns: i64,
    pub stream: u32,
    /// Arrival: source, then row.
    pub order: u64,
    pub row: u64,
    /// Of the row as stored, or of what the pipeline makes of it.
    pub hash: u128,
    pub rendered: bool,
    at: usize,
    line_bytes: u32,
    metadata_bytes: u32,
}

/// Candidates and their bytes.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    demand: Arc<Demand>,
    ties: Option<Arc<Ties>>,
    streams: Vec<Labels>,
    /// Whose each stream is, where a query reads several tenants.
    tenants: Vec<Option<Arc<str>>>,
    index: BTreeMap<Option<Arc<str>>, HashMap<Labels, u32>>,
    rows: Vec<Candidate>,
    bytes: Vec<u8>,
    /// The instant of the worst row that can matter, once it is known.
    worst: Option<i64>,
    /// Compacted when there are this many rows.
    compact_at: usize,
}

/// Most metadata pairs of a row: a page has at most as many columns. Tenants may send far fewer.
pub(crate) const METADATA_MAX: usize = 32_768;

/// Fewer rows than this are never compacted.
const ROWS_MIN: usize = 256;

impl Entries {
    pub(crate) fn new(leaf: &LogLeaf) -> Entries {
        let demand = Arc::clone(&leaf.demand);
        Entries {
            ties: leaf.ties.clone(),
            streams: Vec::new(),
            tenants: Vec::new(),
            index: BTreeMap::new(),
            rows: Vec::new(),
            bytes: Vec::new(),
            worst: None,
            compact_at: demand.limit.saturating_mul(2).max(ROWS_MIN),
            demand,
        }
    }

    /// The number of the stream with these labels.
    pub(crate) fn stream(&mut self, labels: &Labels) -> u32 {
        self.stream_of(&None, labels)
    }

    fn stream_of(&mut self, tenant: &Option<Arc<str>>, labels: &Labels) -> u32 {
        let known = self.index.get(tenant).and_then(|of_tenant| of_tenant.get(labels));
        if let Some(&stream) = known {
            return stream;
        }
        let stream = self.streams.len() as u32;
        self.index.entry(tenant.clone()).or_default().insert(labels.clone(), stream);
        self.streams.push(labels.clone());
        self.tenants.push(tenant.clone());
        stream
    }

    /// The same rows as rows of `tenant`, which had none so far.
    pub(crate) fn of_tenant(mut self, tenant: &str) -> Entries {
        let tenant: Option<Arc<str>> = Some(tenant.into());
        self.tenants.fill(tenant.clone());
        let streams = self.index.remove(&None).unwrap_or_default();
        self.index.insert(tenant, streams);
        self
    }

    /// Whose row a candidate is, where a query reads several tenants.
    pub(crate) fn tenant(&self, row: &Candidate) -> Option<&str> {
        self.tenants[row.stream as usize].as_deref()
    }

    /// Rows beyond this instant (older for backward, newer for forward) or at it cannot matter.
    pub(crate) fn threshold(&self) -> Option<i64> {
        // Rows at the worst instant itself still compete by order of arrival.
        self.worst.map(|worst| match self.demand.direction {
            Direction::Backward => worst.saturating_sub(1),
            Direction::Forward => worst.saturating_add(1),
        })
    }

    /// Adds a candidate. `metadata` is encoded as the row hash has it.
    pub(crate) fn add(&mut self, row: NewRow<'_>) -> Result<(), QueryError> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(row.metadata);
        self.bytes.extend_from_slice(row.line);
        self.rows.push(Candidate {
            ts_ns: row.ts_ns,
            stream: row.stream,
            order: row.order,
            row: row.row,
            hash: row.hash,
            rendered: row.rendered,
            at,
            line_bytes: row.line.len() as u32,
            metadata_bytes: row.metadata.len() as u32,
        });
        let limit = self.demand.max_memory_bytes;
        if self.rows.len() >= self.compact_at || (limit > 0 && self.bytes.len() as u64 > limit) {
            self.compact();
            self.check_memory()?;
        }
        Ok(())
    }

    /// Whether more rows are of any use.
    pub(crate) fn wants_none(&self) -> bool {
        self.demand.limit == 0
    }

    /// Takes in `other`.
    pub(crate) fn merge(&mut self, other: &Entries) -> Result<(), QueryError> {
        let streams = other.tenants.iter().zip(&other.streams);
        let mapped: Vec<u32> =
            streams.map(|(tenant, labels)| self.stream_of(tenant, labels)).collect();
        for row in &other.rows {
            let (metadata, line) = other.text(row);
            self.add(NewRow {
                ts_ns: row.ts_ns,
                stream: mapped[row.stream as usize],
                order: row.order,
                row: row.row,
                hash: row.hash,
                rendered: row.rendered,
                metadata,
                line,
            })?;
        }
        self.settle()
    }

    /// Metadata (encoded) and line of a candidate.
    pub(crate) fn text(&self, row: &Candidate) -> (&[u8], &[u8]) {
        let middle = row.at + row.metadata_bytes as usize;
        (&self.bytes[row.at..middle], &self.bytes[middle..middle + row.line_bytes as usize])
    }

    /// The streams by number.
    pub(crate) fn streams(&self) -> &[Labels] {
        &self.streams
    }

    /// Candidates in the order of the answer.
    pub(crate) fn rows(&self) -> &[Candidate] {
        &self.rows
    }

    fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let key = |row: &Candidate| -> (StreamKey, &Option<Arc<str>>) {
            let stream = row.stream as usize;
            (self.streams[stream].key(), &self.tenants[stream])
        };
        let forward = || {
            (a.ts_ns, key(a), a.order, a.row, a.hash).cmp(&(
                b.ts_ns,
                key(b),
                b.order,
                b.row,
                b.hash,
            ))
        };
        match self.demand.direction {
            Direction::Forward => forward(),
            Direction::Backward => forward().reverse(),
        }
    }

    /// Sorts, drops equals, thins and cuts off.
    pub(crate) fn compact(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|a, b| self.compare(a, b));
        if let Some(ties) = &self.ties {
            ties.hash(self, &mut rows);
        }
        self.drop_equals(&mut rows);
        let demand = *self.demand;
        if demand.interval_ns > 0 {
            // Of one instant only the first row can be taken.
            rows.dedup_by_key(|row| row.ts_ns);
            let last = thinned(&rows, &demand).nth(demand.limit.saturating_sub(1));
            if let Some(last) = last {
                // With more rows each pick comes at the same instant or sooner, never later.
                self.worst = Some(rows[last].ts_ns);
                rows.truncate(last + 1);
            }
        } else if rows.len() >= demand.limit {
            rows.truncate(demand.limit);
            self.worst = rows.last().map(|row| row.ts_ns);
        }
        // Thinning may leave more than the limit: twice what is left keeps the cost per row low.
        self.compact_at = rows.len().max(demand.limit).saturating_mul(2).max(ROWS_MIN);
        self.rows = rows;
        self.repack();
    }

    /// Of equal rows the one that comes first in the answer stays. So a row that is cut off in one
    /// partial is cut off in all, and merging stays exact.
    fn drop_equals(&self, rows: &mut Vec<Candidate>) {
        let same = |a: &Candidate, b: &Candidate| a.ts_ns == b.ts_ns && a.stream == b.stream;
        let mut seen: base::HashSet<u128> = base::HashSet::default();
        let mut group: Option<Candidate> = None;
        rows.retain(|row| match group {
            Some(first) if same(&first, row) => {
                if seen.is_empty() {
                    seen.insert(first.hash);
                }
                seen.insert(row.hash)
            }
            _ => {
                group = Some(*row);
                seen.clear();
                true
            }
        });
    }

    /// Copies the bytes of the rows that are left together.
    fn repack(&mut self) {
        let needed: usize =
            self.rows.iter().map(|row| (row.line_bytes + row.metadata_bytes) as usize).sum();
        if needed == self.bytes.len() {
            return;
        }
        let mut bytes = Vec::with_capacity(needed * 2);
        for row in &mut self.rows {
            let length = (row.line_bytes + row.metadata_bytes) as usize;
            let at = bytes.len();
            bytes.extend_from_slice(&self.bytes[row.at..row.at + length]);
            row.at = at;
        }
        self.bytes = bytes;
    }

    fn check_memory(&self) -> Result<(), QueryError> {
        let limit = self.demand.max_memory_bytes;
        let held = self.bytes.len() + self.rows.len() * size_of::<Candidate>();
        if limit == 0 || held as u64 <= limit {
            return Ok(());
        }
        Err(QueryError::Limited(format!(
            "the query would hold more than {limit} bytes in memory: {} lines so far; consider a \
             lower limit of lines or a shorter time range",
            self.rows.len(),
        )))
    }

    /// Sorted and cut to what may be answered, within the memory there is.
    pub(crate) fn settle(&mut self) -> Result<(), QueryError> {
        self.compact();
        self.check_memory()
    }

    /// The query's direction.
    pub(crate) fn direction(&self) -> Direction {
        self.demand.direction
    }

    /// Sorted and cut to what is answered.
    pub(crate) fn finish(mut self) -> Entries {
        self.compact();
        if self.demand.interval_ns > 0 {
            let demand = *self.demand;
            let picks: Vec<usize> = thinned(&self.rows, &demand).take(demand.limit).collect();
            self.rows = picks.into_iter().map(|index| self.rows[index]).collect();
        }
        self
    }
}

/// A row to be added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRow<'a> {
    pub ts_ns: i64,
    pub stream: u32,
    pub order: u64,
    pub row: u64,
    pub hash: u128,
    /// `hash` is that of what the pipeline makes of the row.
    pub rendered: bool,
    pub metadata: &'a [u8],
    pub line: &'a [u8],
}

/// Indices of the rows that `interval` leaves: each at least that far from the one before.
fn thinned<'a>(rows: &'a [Candidate], demand: &'a Demand) -> impl Iterator<Item = usize> + 'a {
    let mut last: Option<i64> = None;
    rows.iter().enumerate().filter_map(move |(index, row)| {
        let far = last.is_none_or(|last| row.ts_ns.abs_diff(last) >= demand.interval_ns as u64);
        if far {
            last = Some(row.ts_ns);
        }
        far.then_some(index)
    })
}
