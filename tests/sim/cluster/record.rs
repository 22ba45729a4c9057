//! What clients know: which rows were sent, which were acknowledged, and what that promises. Nothing
//! of it comes from the system.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A row as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub tenant: &'static str,
    pub app: String,
    pub ts_ns: i64,
    pub line: String,
    pub trace: Option<String>,
}

/// Which rows a query is about.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub tenant: &'static str,
    pub app: Option<&'static str>,
    pub needle: Option<String>,
    /// First instant.
    pub from_ns: i64,
    /// One past the last instant.
    pub to_ns: i64,
}

impl Wanted {
    pub fn matches(&self, row: &Row) -> bool {
        self.tenant == row.tenant
            && self.app.is_none_or(|app| app == row.app)
            && self.needle.as_ref().is_none_or(|needle| row.line.contains(needle.as_str()))
            && (self.from_ns..self.to_ns).contains(&row.ts_ns)
    }

    /// The same rows in another range.
    pub fn within(&self, from_ns: i64, to_ns: i64) -> Wanted {
        Wanted { from_ns, to_ns, ..self.clone() }
    }
}

#[derive(Default)]
pub struct Record(Mutex<State>);

#[derive(Default)]
struct State {
    /// Acknowledged rows.
    promised: BTreeSet<Row>,
    sent: BTreeSet<Row>,
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a push leaves its client.
    pub fn sending(&self, rows: &[Row]) {
        self.state().sent.extend(rows.iter().cloned());
    }

    /// After a push was answered with 204. `is_lost`: a disk held the row and was lost meanwhile.
    pub fn acked(&self, rows: &[Row], is_lost: impl Fn(&Row) -> bool) {
        let kept = rows.iter().filter(|row| !is_lost(row)).cloned();
        self.state().promised.extend(kept);
    }

    /// A disk is gone for ever that alone held `rows`.
    pub fn lost_disk(&self, rows: &BTreeSet<Row>) {
        self.state().promised.retain(|row| !rows.contains(row));
    }

    /// Rows that must be found from now on.
    pub fn promised(&self, wanted: &Wanted) -> Vec<Row> {
        self.state().promised.iter().filter(|row| wanted.matches(row)).cloned().collect()
    }

    /// Those of `rows` that are still promised.
    pub fn still_promised(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let state = self.state();
        rows.retain(|row| state.promised.contains(row));
        rows
    }

    /// Rows that may be found.
    pub fn sent(&self, wanted: &Wanted) -> BTreeSet<Row> {
        self.state().sent.iter().filter(|row| wanted.matches(row)).cloned().collect()
    }

    /// A row that was sent before.
    pub fn some_row(&self, number: u64) -> Option<Row> {
        let state = self.state();
        let count = state.sent.len() as u64;
        state.sent.iter().nth((number % count.max(1)) as usize).cloned()
    }

    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.promised.len(), state.sent.len())
    }
}
