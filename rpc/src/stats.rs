//! What a query cost: the `stats` of an answer, and what metrics and the query log say.

use crate::ingester::ReadStats;

/// Everything counted while one query ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueryStats {
    /// What parts in object storage gave.
    pub parts: PartStats,
    /// What ingesters gave.
    pub ingester: IngesterStats,
    /// Nanoseconds from the arrival to the answer.
    pub exec_ns: u64,
    /// Entries or series in the answer.
    pub entries_returned: u64,
    /// Whether the plan reads structured metadata.
    pub reads_metadata: bool,
}

/// What was read of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartStats {
    /// Parts of the tenant in the time range.
    pub parts: u64,
    /// Row groups that were candidates by stream and time.
    pub groups: u64,
    /// Row groups of which something was read.
    pub groups_read: u64,
    /// Streams that the selectors match, one count per part.
    pub streams: u64,
    /// Rows, bytes, pages.
    pub read: ReadStats,
    /// Nanoseconds the scanning threads spent, added up.
    pub scan_ns: u64,
    /// Requests to the object store; a bucket that is a directory gets none.
    pub requests: u64,
}

/// What ingesters answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngesterStats {
    /// Ingesters asked.
    pub reached: u64,
    /// Times they were asked.
    pub calls: u64,
    /// Streams they included.
    pub streams: u64,
    /// Rows, bytes, pages.
    pub read: ReadStats,
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut ReadStats, more: &ReadStats) {
    sum.rows += more.rows;
    sum.line_bytes += more.line_bytes;
    sum.metadata_bytes += more.metadata_bytes;
    sum.stored_bytes += more.stored_bytes;
    sum.pages += more.pages;
    sum.pages_pruned += more.pages_pruned;
    sum.rows_selected += more.rows_selected;
}

impl QueryStats {
    /// Rows looked at.
    pub fn rows(&self) -> u64 {
        self.parts.read.rows + self.ingester.read.rows
    }

    /// Line and metadata bytes looked at.
    pub fn bytes(&self) -> u64 {
        self.metadata_bytes() + self.parts.read.line_bytes + self.ingester.read.line_bytes
    }

    /// Metadata bytes looked at.
    pub fn metadata_bytes(&self) -> u64 {
        self.parts.read.metadata_bytes + self.ingester.read.metadata_bytes
    }

    /// Rows that passed the pipeline.
    pub fn rows_selected(&self) -> u64 {
        self.parts.read.rows_selected + self.ingester.read.rows_selected
    }

    /// `count` per second of the run.
    pub fn per_second(&self, count: u64) -> u64 {
        if self.exec_ns == 0 {
            return 0;
        }
        let rate = u128::from(count) * 1_000_000_000 / u128::from(self.exec_ns);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl PartStats {
    /// Adds what another scan of the same query counted.
    pub fn take_in(&mut self, more: &PartStats) {
        self.parts += more.parts;
        self.groups += more.groups;
        self.groups_read += more.groups_read;
        self.streams += more.streams;
        self.scan_ns += more.scan_ns;
        self.requests += more.requests;
        add(&mut self.read, &more.read);
    }
}

impl QueryStats {
    /// Adds what another leaf of the same query counted.
    pub fn take_in(&mut self, more: &QueryStats) {
        self.parts.take_in(&more.parts);
        self.ingester.reached = self.ingester.reached.max(more.ingester.reached);
        self.ingester.calls += more.ingester.calls;
        self.ingester.streams += more.ingester.streams;
        add(&mut self.ingester.read, &more.ingester.read);
        self.reads_metadata |= more.reads_metadata;
    }
}
