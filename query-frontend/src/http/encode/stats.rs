//! The `stats` object: every key Loki writes, in its order, with what is true of it here.
//!
//! A chunk is a row group. There are no result caches yet, so the cache section is all zeros.

use crate::http::json;
use crate::query::PieceStats;
use rpc::ingester::ReadStats;
use rpc::stats::{PartStats, QueryStats};

const CACHES: [&str; 10] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
    "logResult",
    "taskResult",
];

const DATAOBJ: [&str; 14] = [
    "prePredicateDecompressedRows",
    "prePredicateDecompressedBytes",
    "prePredicateDecompressedStructuredMetadataBytes",
    "postPredicateRows",
    "postPredicateDecompressedBytes",
    "postPredicateStructuredMetadataBytes",
    "postFilterRows",
    "pagesScanned",
    "pagesDownloaded",
    "pagesDownloadedBytes",
    "pageBatches",
    "totalRowsAvailable",
    "totalPageDownloadTime",
    "pagesPruned",
];

/// Writes keys and values of one object.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(if self.first { b'{' } else { b',' });
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn uint(&mut self, name: &str, value: u64) -> &mut Self {
        json::uint(self.key(name), value);
        self
    }

    fn float(&mut self, name: &str, value: f64) -> &mut Self {
        json::number(self.key(name), value);
        self
    }

    fn no(&mut self, name: &str) -> &mut Self {
        self.key(name).extend_from_slice(b"false");
        self
    }

    fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        object(self.key(name), write);
        self
    }
}

fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    let mut fields = Object { out, first: true };
    write(&mut fields);
    out.push(b'}');
}

/// Appends the object.
pub fn write(out: &mut Vec<u8>, stats: &QueryStats, pieces: &PieceStats) {
    object(out, |top| {
        top.object("summary", |summary| write_summary(summary, stats, pieces));
        top.object("querier", |querier| {
            querier.object("store", |store| {
                write_store(store, &stats.parts, &ReadStats::default(), stats.reads_metadata);
            });
            querier.float("querierExecTime", stats.exec_ns as f64 / 1e9);
        });
        top.object("ingester", |ingester| {
            ingester.uint("totalReached", stats.ingester.reached);
            ingester.uint("totalChunksMatched", stats.ingester.streams);
            ingester.uint("totalBatches", stats.ingester.calls);
            ingester.uint("totalLinesSent", stats.ingester.read.rows_selected);
            let none = PartStats::default();
            ingester.object("store", |store| {
                write_store(store, &none, &stats.ingester.read, stats.reads_metadata);
            });
        });
        top.object("cache", |caches| {
            for name in CACHES {
                caches.object(name, write_cache);
            }
        });
        top.object("index", |index| {
            index.uint("totalChunks", stats.parts.groups);
            index.uint("postFilterChunks", stats.parts.groups_read);
            index.uint("shardsDuration", 0);
            index.no("usedBloomFilters");
            index.uint("totalStreams", stats.parts.streams);
            index.float("chunkRefsLookupTime", 0.0);
            index.float("bloomFilterTime", 0.0);
        });
    });
}

fn write_summary(summary: &mut Object<'_>, stats: &QueryStats, pieces: &PieceStats) {
    summary
        .uint("bytesProcessedPerSecond", stats.per_second(stats.bytes()))
        .uint("linesProcessedPerSecond", stats.per_second(stats.rows()))
        .uint("totalBytesProcessed", stats.bytes())
        .uint("totalLinesProcessed", stats.rows())
        .float("execTime", stats.exec_ns as f64 / 1e9)
        .float("queueTime", pieces.queue_ns as f64 / 1e9)
        .uint("subqueries", pieces.subqueries)
        .uint("totalEntriesReturned", stats.entries_returned)
        .uint("splits", pieces.splits)
        .uint("shards", pieces.shards)
        .uint("totalPostFilterLines", stats.rows_selected())
        .uint("totalStructuredMetadataBytesProcessed", stats.metadata_bytes());
}

fn write_store(store: &mut Object<'_>, parts: &PartStats, head: &ReadStats, metadata: bool) {
    store
        .uint("totalChunksRef", parts.groups)
        .uint("totalChunksDownloaded", parts.groups_read)
        .uint("chunksDownloadTime", parts.scan_ns);
    let flag: &[u8] = if metadata { b"true" } else { b"false" };
    store.key("queryReferencedStructuredMetadata").extend_from_slice(flag);
    store.no("queryUsedV2Engine");
    store.object("chunk", |chunk| {
        chunk
            .uint("headChunkBytes", head.line_bytes + head.metadata_bytes)
            .uint("headChunkLines", head.rows)
            .uint("decompressedBytes", parts.read.line_bytes + parts.read.metadata_bytes)
            .uint("decompressedLines", parts.read.rows)
            .uint("compressedBytes", parts.read.stored_bytes)
            .uint("totalDuplicates", 0)
            .uint("postFilterLines", parts.read.rows_selected + head.rows_selected)
            .uint("headChunkStructuredMetadataBytes", head.metadata_bytes)
            .uint("decompressedStructuredMetadataBytes", parts.read.metadata_bytes);
    });
    store
        .uint("chunkRefsFetchTime", 0)
        .uint("congestionControlLatency", 0)
        .uint("pipelineWrapperFilteredLines", 0);
    store.object("dataobj", |zeros| {
        for name in DATAOBJ {
            zeros.uint(name, 0);
        }
    });
}

fn write_cache(cache: &mut Object<'_>) {
    for name in [
        "entriesFound",
        "entriesRequested",
        "entriesStored",
        "bytesReceived",
        "bytesSent",
        "requests",
        "downloadTime",
        "queryLengthServed",
    ] {
        cache.uint(name, 0);
    }
}
