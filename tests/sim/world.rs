//! What the outside world knows: what was sent, what was acknowledged.

use std::collections::BTreeSet;

use base::{Batch, BatchId, Day, Labels, RowsBuilder, StoreId, TenantId, UnixNanos};

use crate::machine::Process;

/// A row as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub app: String,
    pub ts_ns: i64,
    pub line: String,
    pub trace: Option<String>,
}

/// Rows as one batch; all within one day.
pub fn batch(id: BatchId, members: Vec<StoreId>, tenant: TenantId, rows: &[Row]) -> Batch {
    let mut streams: Vec<Labels> = Vec::new();
    let mut builder = RowsBuilder::default();
    for row in rows {
        let labels = Labels::from_pairs([("app", &row.app)]);
        let known = streams.iter().position(|known| *known == labels);
        let stream = known.unwrap_or_else(|| {
            streams.push(labels);
            streams.len() - 1
        });
        builder.push(stream as u32, row.ts_ns, row.line.as_bytes());
        if let Some(trace) = &row.trace {
            builder.metadata("trace", trace.as_bytes());
        }
    }
    let day = Day::of(UnixNanos(rows[0].ts_ns));
    Batch { id, attempt: 1, members, factor: 1, tenant, day, streams, rows: builder.finish() }
}

/// The record of the checker; nothing of it comes from the system.
#[derive(Clone, Default)]
pub struct World {
    /// Rows whose push was answered with success.
    pub acked: BTreeSet<Row>,
    /// Rows that were sent, whatever was answered.
    pub sent: BTreeSet<Row>,
    /// Rows that were acknowledged when a flush succeeded afterwards.
    pub flushed: BTreeSet<Row>,
}

impl World {
    pub async fn push(&mut self, process: &mut Process, rows: &[Row]) -> Result<(), String> {
        self.sent.extend(rows.iter().cloned());
        process.push(rows).await?;
        self.acked.extend(rows.iter().cloned());
        Ok(())
    }

    pub async fn flush(&mut self, process: &Process) -> Result<(), String> {
        let acked = self.acked.clone();
        process.flush().await?;
        self.flushed = acked;
        Ok(())
    }

    /// Every query path tells the same truth.
    pub async fn check(&self, process: &Process, when: &str) -> Result<(), String> {
        self.compare(&self.acked, process, when).await
    }

    /// After the loss of all local state only flushed rows are promised.
    pub async fn check_flushed(&self, process: &Process, when: &str) -> Result<(), String> {
        self.compare(&self.flushed, process, when).await
    }

    async fn compare(
        &self,
        promised: &BTreeSet<Row>,
        process: &Process,
        when: &str,
    ) -> Result<(), String> {
        let rows = process.rows().await.map_err(|error| format!("{when}: query: {error}"))?;
        let distinct: BTreeSet<Row> = rows.iter().cloned().collect();
        if distinct.len() != rows.len() {
            return Err(format!("{when}: P2: {} rows, {} distinct", rows.len(), distinct.len()));
        }
        if let Some(lost) = promised.difference(&distinct).next() {
            return Err(format!("{when}: P1/P3: acknowledged and not found: {lost:?}"));
        }
        if let Some(foreign) = distinct.difference(&self.sent).next() {
            return Err(format!("{when}: never sent: {foreign:?}"));
        }
        let count = process.count().await.map_err(|error| format!("{when}: count: {error}"))?;
        if count != rows.len() {
            return Err(format!("{when}: {} rows but a count of {count}", rows.len()));
        }
        Ok(())
    }
}
