//! Counts of queries.

use proto::{Wire, WireError, v1};

use crate::ingester::ReadStats;
use crate::stats::{IngesterStats, PartStats, QueryStats};

impl Wire for ReadStats {
    type Message = v1::ReadStats;

    fn to_wire(&self) -> v1::ReadStats {
        v1::ReadStats {
            rows: self.rows,
            line_bytes: self.line_bytes,
            metadata_bytes: self.metadata_bytes,
            stored_bytes: self.stored_bytes,
            pages: self.pages,
            pages_pruned: self.pages_pruned,
            rows_selected: self.rows_selected,
        }
    }

    fn from_wire(message: v1::ReadStats) -> Result<ReadStats, WireError> {
        Ok(ReadStats {
            rows: message.rows,
            line_bytes: message.line_bytes,
            metadata_bytes: message.metadata_bytes,
            stored_bytes: message.stored_bytes,
            pages: message.pages,
            pages_pruned: message.pages_pruned,
            rows_selected: message.rows_selected,
        })
    }
}

impl Wire for QueryStats {
    type Message = v1::QueryStats;

    fn to_wire(&self) -> v1::QueryStats {
        let parts = v1::PartStats {
            parts: self.parts.parts,
            groups: self.parts.groups,
            groups_read: self.parts.groups_read,
            streams: self.parts.streams,
            read: Some(self.parts.read.to_wire()),
            scan_ns: self.parts.scan_ns,
            requests: self.parts.requests,
        };
        let ingester = v1::IngesterStats {
            reached: self.ingester.reached,
            calls: self.ingester.calls,
            streams: self.ingester.streams,
            read: Some(self.ingester.read.to_wire()),
        };
        v1::QueryStats {
            parts: Some(parts),
            ingester: Some(ingester),
            exec_ns: self.exec_ns,
            entries_returned: self.entries_returned,
            reads_metadata: self.reads_metadata,
        }
    }

    /// Absent counts are zero.
    fn from_wire(message: v1::QueryStats) -> Result<QueryStats, WireError> {
        let parts = message.parts.unwrap_or_default();
        let ingester = message.ingester.unwrap_or_default();
        Ok(QueryStats {
            parts: PartStats {
                parts: parts.parts,
                groups: parts.groups,
                groups_read: parts.groups_read,
                streams: parts.streams,
                read: ReadStats::from_wire(parts.read.unwrap_or_default())?,
                scan_ns: parts.scan_ns,
                requests: parts.requests,
            },
            ingester: IngesterStats {
                reached: ingester.reached,
                calls: ingester.calls,
                streams: ingester.streams,
                read: ReadStats::from_wire(ingester.read.unwrap_or_default())?,
            },
            exec_ns: message.exec_ns,
            entries_returned: message.entries_returned,
            reads_metadata: message.reads_metadata,
        })
    }
}
