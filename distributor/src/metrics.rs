//! Metrics of the write path under Loki's names. Counted per push and stream, never per line.

use std::sync::OnceLock;

use base::TenantId;
use metrics::{Counter, Histogram, counter, histogram};

use crate::body::Encoding;
use crate::collector::Volume;
use crate::distributor::Format;
use crate::problems::{Discards, Reason};

/// Counter {tenant, retention_hours, is_internal_stream, policy, format}: bytes of lines and
/// metadata after decoding, before validation.
pub const BYTES_RECEIVED: &str = "loki_distributor_bytes_received_total";
/// Counter {tenant, is_internal_stream, policy, format}.
pub const LINES_RECEIVED: &str = "loki_distributor_lines_received_total";
/// Counter, labels as [`BYTES_RECEIVED`].
pub const METADATA_BYTES_RECEIVED: &str =
    "loki_distributor_structured_metadata_bytes_received_total";
/// Counter {tenant, content_type, content_encoding, content_version, format}: pushes.
pub const PUSHES: &str = "loki_distributor_push_stats_count";
/// Counter {reason, tenant, retention_hours, policy, format}.
pub const DISCARDED_SAMPLES: &str = "loki_discarded_samples_total";
/// Counter, labels as [`DISCARDED_SAMPLES`].
pub const DISCARDED_BYTES: &str = "loki_discarded_bytes_total";
/// Counter {reason, tenant}: lines that were cut.
pub const MUTATED_SAMPLES: &str = "loki_mutated_samples_total";
/// Counter {reason, tenant}: bytes cut off.
pub const MUTATED_BYTES: &str = "loki_mutated_bytes_total";
/// Counter {ingester}: append calls.
pub const INGESTER_APPENDS: &str = "loki_distributor_ingester_appends_total";
/// Counter {ingester}: append calls that failed.
pub const INGESTER_APPEND_FAILURES: &str = "loki_distributor_ingester_append_failures_total";
/// Counter {ingester}: append calls that ended at their deadline.
pub const INGESTER_APPEND_TIMEOUTS: &str = "loki_distributor_ingester_append_timeouts_total";
/// Gauge: ingesters that this distributor knows.
pub const INGESTER_CLIENTS: &str = "loki_distributor_ingester_clients";
/// Gauge.
pub const REPLICATION_FACTOR: &str = "loki_distributor_replication_factor";
/// Histogram: mean bytes per line of each push.
pub const BYTES_PER_LINE: &str = "loki_bytes_per_line";

/// Handles of one tenant, looked up once.
pub(crate) struct TenantMetrics {
    tenant: String,
    /// By family of formats; made when first counted.
    received: [OnceLock<Received>; 2],
    bytes_per_line: Histogram,
    /// By format and encoding; made when first counted.
    pushes: [[OnceLock<Counter>; Encoding::COUNT]; Format::COUNT],
}

struct Received {
    bytes: Counter,
    lines: Counter,
    metadata_bytes: Counter,
}

/// What Loki calls the family of a format.
fn family(format: Format) -> &'static str {
    if format.is_otlp() { "otlp" } else { "loki" }
}

impl TenantMetrics {
    pub(crate) fn new(tenant: &TenantId) -> TenantMetrics {
        TenantMetrics {
            tenant: tenant.as_str().to_owned(),
            received: Default::default(),
            bytes_per_line: histogram!(BYTES_PER_LINE),
            pushes: Default::default(),
        }
    }

    /// A push came in.
    pub(crate) fn push(&self, format: Format, encoding: Encoding) {
        let counter = self.pushes[format as usize][encoding as usize].get_or_init(|| {
            let (content_type, version) = match format {
                Format::Protobuf => ("application/x-protobuf", "2"),
                Format::Json => ("application/json", "2"),
                Format::LegacyJson => ("application/json", "1"),
                Format::Otlp => ("application/x-protobuf", ""),
                Format::OtlpJson => ("application/json", ""),
            };
            let content_encoding = match encoding {
                Encoding::Identity => "",
                Encoding::Gzip => "gzip",
                Encoding::Deflate => "deflate",
                Encoding::Zstd => "zstd",
                Encoding::Lz4 => "lz4",
            };
            counter!(PUSHES, "tenant" => self.tenant.clone(), "content_type" => content_type,
                "content_encoding" => content_encoding, "content_version" => version,
                "format" => family(format))
        });
        counter.increment(1);
    }

    fn received_of(&self, format: Format) -> &Received {
        self.received[usize::from(format.is_otlp())].get_or_init(|| {
            let (tenant, format) = (&self.tenant, family(format));
            let bytes = |name: &'static str| {
                counter!(name, "tenant" => tenant.clone(), "retention_hours" => "",
                    "is_internal_stream" => "false", "policy" => "", "format" => format)
            };
            Received {
                bytes: bytes(BYTES_RECEIVED),
                lines: counter!(LINES_RECEIVED, "tenant" => tenant.clone(),
                    "is_internal_stream" => "false", "policy" => "", "format" => format),
                metadata_bytes: bytes(METADATA_BYTES_RECEIVED),
            }
        })
    }

    /// What a push held.
    pub(crate) fn received(
        &self,
        format: Format,
        volume: &Volume,
        (cut_lines, cut_bytes): (u64, u64),
    ) {
        let received = self.received_of(format);
        received.lines.increment(volume.lines);
        received.bytes.increment(volume.line_bytes + volume.metadata_bytes);
        received.metadata_bytes.increment(volume.metadata_bytes);
        if volume.lines > 0 {
            self.bytes_per_line.record(volume.line_bytes as f64 / volume.lines as f64);
        }
        if cut_lines > 0 {
            self.truncated(cut_lines, cut_bytes);
        }
    }

    pub(crate) fn discarded(&self, format: Format, discards: &Discards) {
        for (reason, lines, bytes) in discards.iter() {
            for (name, by) in [(DISCARDED_SAMPLES, lines), (DISCARDED_BYTES, bytes)] {
                counter!(name, "reason" => reason.as_str(), "tenant" => self.tenant.clone(),
                    "retention_hours" => "", "policy" => "", "format" => family(format))
                .increment(by);
            }
        }
    }

    fn truncated(&self, lines: u64, bytes: u64) {
        for (name, by) in [(MUTATED_SAMPLES, lines), (MUTATED_BYTES, bytes)] {
            counter!(name, "reason" => Reason::LineTooLong.as_str(),
                "tenant" => self.tenant.clone())
            .increment(by);
        }
    }
}
