//! The distributor: what a push goes through after its body is read.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use base::random::Random;
use base::{Clock, Day, Labels, Rows, Run, TenantId};
use bytes::Bytes;
use rpc::Members;
use rpc::http::body::Hold;

use crate::body::{self, Buffer, Caps, Encoding};
use crate::charge::Charge;
use crate::collector::Collector;
use crate::config::Config;
use crate::decode::{self, Pieces};
use crate::error::Error;
use crate::ids::Ids;
use crate::limits::{Limits, PushLimits};
use crate::peers::Peers;
use crate::problems::{Discards, Reason};
use crate::streams::StreamCache;
use crate::tenants::{Tenant, Tenants};
use crate::validate::rfc3339;

/// How a push body is written, after its content encoding is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `PushRequest` as protobuf in a snappy block.
    Protobuf,
    /// JSON of `/loki/api/v1/push`.
    Json,
    /// JSON of the time before version 1: `labels` as text, `ts` as RFC 3339.
    LegacyJson,
    /// `ExportLogsServiceRequest` as protobuf.
    Otlp,
    /// `ExportLogsServiceRequest` as JSON.
    OtlpJson,
}

impl Format {
    /// Number of formats.
    pub(crate) const COUNT: usize = 5;

    pub(crate) fn is_otlp(self) -> bool {
        matches!(self, Format::Otlp | Format::OtlpJson)
    }
}

/// A push as it was received.
#[derive(Debug)]
pub struct Payload {
    /// How the body is written.
    pub format: Format,
    /// How the whole of it was compressed.
    pub encoding: Encoding,
    /// The body as sent.
    pub body: Bytes,
    /// Its share of the budget of all bodies.
    pub hold: Hold,
}

impl Payload {
    /// Whether the task that serves other requests too may decode it.
    fn is_small(&self) -> bool {
        let Payload { format, encoding, body, .. } = self;
        let most_bytes = || body::most_bytes(*encoding, *format == Format::Protobuf, body);
        body.len() <= INLINE_BYTES && most_bytes() <= INLINE_DECODED_BYTES
    }
}

/// Accepts pushes. One per process; shared by all requests.
pub struct Distributor {
    config: Config,
    tenants: Tenants,
    cache: Arc<StreamCache>,
    pub(crate) peers: Peers,
    pub(crate) ids: Ids,
    pub(crate) clock: Arc<dyn Clock>,
    /// Buffers of pushes that ended, for those that come.
    idle: Mutex<Vec<Scratch>>,
}

/// What one push works with. Reused.
struct Scratch {
    pieces: Pieces,
    /// The body without its content encoding.
    decoded: Buffer,
    /// Protobuf without its snappy.
    message: Buffer,
    collector: Collector,
}

/// A push before the first call of an ingester.
struct Prepared {
    accepted: Option<Accepted>,
    /// The answer, if the ingester has no other.
    outcome: Result<(), Error>,
}

/// Valid rows of a push, ready for the owner.
pub(crate) struct Accepted {
    pub(crate) format: Format,
    pub(crate) streams: Vec<Labels>,
    pub(crate) runs: Vec<Run>,
    pub(crate) ts_ns: Vec<i64>,
    pub(crate) sizes: Vec<u32>,
    pub(crate) parts: Vec<(Day, Rows)>,
    /// Where the rows went: (part, one past the last row), when there are several parts.
    pub(crate) order: Vec<(u32, u32)>,
}

/// Larger bodies are decoded where they may block: as they are sent, and as they may become.
const INLINE_BYTES: usize = 128 << 10;
const INLINE_DECODED_BYTES: usize = 1 << 20;
/// Idle scratches kept.
const MAX_IDLE: usize = 16;
/// Scratches that grew larger are dropped.
const MAX_IDLE_BYTES: usize = 16 << 20;

impl Distributor {
    /// A distributor in front of the ingesters of `members`. `random` draws the incarnation (B2).
    pub fn new(
        config: Config,
        limits: Arc<dyn Limits>,
        members: Arc<dyn Members>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Distributor {
        Distributor {
            cache: Arc::new(StreamCache::new(config.stream_cache_entries)),
            tenants: Tenants::new(limits),
            peers: Peers::new(members),
            ids: Ids::new(clock.clone(), random),
            clock,
            idle: Mutex::default(),
            config,
        }
    }

    /// The settings of the process.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Stores the entries of `payload`. `Ok` means that every one is durable; an error may still
    /// have stored the valid entries beside those it names.
    pub async fn push(self: &Arc<Self>, tenant: &TenantId, payload: Payload) -> Result<(), Error> {
        if payload.is_small() {
            return self.push_here(tenant, payload).await;
        }
        let (this, id) = (self.clone(), tenant.clone());
        let work = move || {
            let mut payload = payload;
            let tenant = this.tenants.get(&id);
            (this.prepare(&tenant, &mut payload), tenant, payload.hold)
        };
        let worked = base::task::blocking("decode push", work).await;
        let (prepared, tenant, hold) = worked
            .map_err(|error| Error::new(500, format!("decoding the push failed: {error}")))?;
        self.finish(&tenant, prepared?, hold).await
    }

    /// As [`Distributor::push`], decoding in the calling task whatever the size.
    pub async fn push_here(&self, tenant: &TenantId, mut payload: Payload) -> Result<(), Error> {
        let tenant = self.tenants.get(tenant);
        let prepared = self.prepare(&tenant, &mut payload)?;
        self.finish(&tenant, prepared, payload.hold).await
    }

    /// Sends the rows. The hold lives until they are appended.
    async fn finish(&self, tenant: &Tenant, prepared: Prepared, hold: Hold) -> Result<(), Error> {
        if let Some(accepted) = prepared.accepted {
            self.send(tenant, accepted).await?;
        }
        drop(hold);
        prepared.outcome
    }

    /// Everything up to the first call of an ingester.
    fn prepare(&self, tenant: &Arc<Tenant>, payload: &mut Payload) -> Result<Prepared, Error> {
        tenant.metrics.push(payload.format, payload.encoding);
        let mut scratch = self.idle_scratch(tenant);
        let result = self.decode(tenant, payload, &mut scratch).and_then(|streams| {
            self.judge(tenant, payload.format, streams, &mut scratch.collector)
        });
        payload.hold = scratch.collector.end();
        self.keep(scratch);
        result
    }

    fn idle_scratch(&self, tenant: &Arc<Tenant>) -> Scratch {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        idle.pop().unwrap_or_else(|| Scratch {
            pieces: Pieces::default(),
            decoded: Buffer::default(),
            message: Buffer::default(),
            collector: Collector::new(tenant.clone(), self.cache.clone()),
        })
    }

    fn keep(&self, mut scratch: Scratch) {
        scratch.decoded.trim();
        scratch.message.trim();
        if scratch.pieces.capacity() + scratch.collector.capacity() > MAX_IDLE_BYTES {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if idle.len() < MAX_IDLE {
            idle.push(scratch);
        }
    }

    /// From the body to rows in the collector; returns the number of streams.
    fn decode(
        &self,
        tenant: &Arc<Tenant>,
        payload: &mut Payload,
        scratch: &mut Scratch,
    ) -> Result<usize, Error> {
        let Payload { format, encoding, body, hold } = payload;
        let (format, encoding, body) = (*format, *encoding, &body[..]);
        let max_bytes = usize::try_from(self.config.max_decompressed_size.0).unwrap_or(usize::MAX);
        let Scratch { pieces, decoded, message, collector } = scratch;
        let mut cut = None;
        let body = if encoding == Encoding::Identity {
            // JSON and OTLP are read in place: only their rows are a copy.
            if format != Format::Protobuf {
                hold.grow(body.len()).map_err(body::too_large)?;
            }
            body
        } else {
            let mut caps = Caps::new(max_bytes, hold);
            cut = body::decompress(encoding, body, &mut caps, decoded)?.cut;
            decoded.as_slice()
        };
        let is_whole = format == Format::Protobuf || format.is_otlp();
        let body = match (format, cut.take_if(|_| is_whole)) {
            (_, Some(cut)) => return Err(Error::new(400, cut)),
            (Format::Protobuf, None) => {
                body::decompress_snappy(body, &mut Caps::new(max_bytes, hold), message)?;
                message.as_slice()
            }
            (Format::OtlpJson, None) => {
                // Ids shrink, lengths take five bytes: protobuf is at most a few times as long.
                hold.grow(body.len().saturating_mul(2)).map_err(body::too_large)?;
                message.filled(|out| decode::otlp::to_protobuf(body, out)).map_err(|e| *e)?;
                let longer = message.as_slice().len().saturating_sub(body.len());
                hold.grow(longer).map_err(body::too_large)?;
                message.as_slice()
            }
            _ => body,
        };
        let rows = tenant.expected_rows(body.len());
        let now = self.clock.now();
        // Every way here has taken the length of what is read once more, for the rows.
        let charge = Charge::new(std::mem::replace(hold, Hold::unlimited()), body.len());
        collector.begin(tenant.clone(), now, rows, body.len(), charge);
        let cut = cut.as_deref();
        match format {
            Format::Protobuf => decode::protobuf::decode(body, pieces, collector),
            Format::Json => decode::json::decode(body, cut, pieces, collector),
            Format::LegacyJson => decode::legacy::decode(body, cut, pieces, collector),
            Format::Otlp | Format::OtlpJson => {
                decode::otlp::decode(body, &tenant.limits, now, pieces, collector)
            }
        }
        .inspect(|_| tenant.remember_rows(body.len(), collector.ts_ns.len()))
    }

    /// What the limits say of the push as a whole.
    fn judge(
        &self,
        tenant: &Tenant,
        format: Format,
        streams: usize,
        collector: &mut Collector,
    ) -> Result<Prepared, Error> {
        if let Some(mut error) = collector.fatal(streams) {
            // A name that cannot be stored is the sender's fault only in OTLP.
            if format.is_otlp() && error.status == 500 {
                error.status = 400;
            }
            return Err(error);
        }
        tenant.metrics.received(format, &collector.received, collector.truncated);
        tenant.metrics.discarded(format, &collector.discards);
        let outcome = match collector.problems.text() {
            Some(text) => Err(Error::new(400, text)),
            None if collector.blocked => blocked(tenant),
            None => Ok(()),
        };
        let lines = collector.ts_ns.len();
        if lines == 0 {
            return Ok(Prepared { accepted: None, outcome });
        }
        let (limits, bytes) = (&tenant.limits, collector.valid_bytes);
        let (rate, burst) = (self.rate_of(limits), limits.ingestion_burst_bytes);
        if !tenant.bucket.allow(self.clock.monotonic_ns(), bytes, rate, burst) {
            let mut discards = Discards::default();
            discards.add(Reason::RateLimited, lines as u64, bytes);
            tenant.metrics.discarded(format, &discards);
            let (tenant, rate) = (&tenant.id, rate as i64);
            let text = format!(
                "ingestion rate limit exceeded for user {tenant} (limit: {rate} bytes/sec) while \
                 attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume \
                 or contact your Loki administrator to see if the limit can be increased"
            );
            return Err(Error::new(429, text));
        }
        Ok(Prepared { accepted: Some(take(format, collector)), outcome })
    }
}

impl Distributor {
    /// Bytes per second that this distributor lets a tenant push.
    fn rate_of(&self, limits: &PushLimits) -> f64 {
        let rate = limits.ingestion_rate_bytes;
        if limits.is_rate_global && rate.is_finite() {
            return rate / self.peers.newest().distributors() as f64;
        }
        rate
    }
}

/// The rows of `collector`, which is left empty and warm.
fn take(format: Format, collector: &mut Collector) -> Accepted {
    let parts = &mut collector.parts[..collector.parts_used];
    let order = if parts.len() > 1 { collector.order.clone() } else { Vec::new() };
    Accepted {
        format,
        parts: parts.iter_mut().map(|part| (part.day, part.builder.take())).collect(),
        streams: std::mem::take(&mut collector.streams),
        runs: std::mem::take(&mut collector.runs),
        ts_ns: std::mem::take(&mut collector.ts_ns),
        sizes: std::mem::take(&mut collector.sizes),
        order,
    }
}

fn blocked(tenant: &Tenant) -> Result<(), Error> {
    let (limits, tenant) = (&tenant.limits, &tenant.id);
    let status = limits.block_ingestion_status_code;
    if status == 200 {
        return Ok(());
    }
    let until = rfc3339(limits.block_ingestion_until.map_or(0, |until| until.0));
    let text = format!(
        "ingestion blocked for user '{tenant}' until '{until}' with status code '{status}'"
    );
    Err(Error::new(status, text))
}

impl Tenant {
    /// How many rows a body of `bytes` probably has: as many per byte as the tenant's last one.
    fn expected_rows(&self, bytes: usize) -> usize {
        const MAX: usize = 1 << 20;
        let row_bytes = self.row_bytes.load(Ordering::Relaxed);
        let rows = bytes / row_bytes.max(1);
        (rows + rows / 16 + 16).min(MAX)
    }

    fn remember_rows(&self, bytes: usize, rows: usize) {
        if let Some(row_bytes) = bytes.checked_div(rows) {
            self.row_bytes.store(row_bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_small(format: Format, encoding: Encoding, body: &[u8]) -> bool {
        let body = Bytes::copy_from_slice(body);
        Payload { format, encoding, body, hold: Hold::unlimited() }.is_small()
    }

    #[test]
    fn what_may_become_large_is_decoded_where_it_may_block() {
        let snappy = |bytes: usize| snap::raw::Encoder::new().compress_vec(&vec![b'x'; bytes]);
        let (small, large) = (snappy(1 << 20).unwrap(), snappy((1 << 20) + 1).unwrap());
        assert!(large.len() < 60_000, "{}", large.len());
        assert!(is_small(Format::Protobuf, Encoding::Identity, &small));
        assert!(!is_small(Format::Protobuf, Encoding::Identity, &large));
        assert!(!is_small(Format::Protobuf, Encoding::Gzip, &[0; 100]));
        assert!(is_small(Format::Json, Encoding::Identity, &[b' '; 128 << 10]));
        assert!(!is_small(Format::Json, Encoding::Identity, &[b' '; 129 << 10]));
        // 100 KiB of gzip may be 100 MiB.
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Lz4, Encoding::Zstd] {
            assert!(!is_small(Format::Otlp, encoding, &[0; 100 << 10]), "{encoding:?}");
        }
        assert!(is_small(Format::Otlp, Encoding::Gzip, &[0; 1000]));
        assert!(!is_small(Format::Otlp, Encoding::Zstd, &[0; 100]));
    }
}
