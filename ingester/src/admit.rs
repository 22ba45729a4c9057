//! Admission (protocols.md B5): which offered rows the owner takes. State of streams, no bytes.
//!
//! A stream is active while it has rows in a head, a sealed unit or the WAL that no commit claims:
//! each (tenant, day) head holds its streams once ([`Admitter::hold`]) and lets go of them when its
//! rows are flushed ([`Admitter::release`]). Window and rate state live exactly as long.
//!
//! **Invariant:** after `admit` the newest timestamp of a stream never falls while it is active.

use base::{HashMap, Labels, TenantId};
use rpc::ingester::{Admission, AdmitRequest, RejectReason, Rejection};

use crate::Limits;

/// Admission state of all tenants on this ingester. The owner keeps it behind one lock; a call
/// costs one look-up per stream run and one comparison per row.
#[derive(Debug, Default)]
pub struct Admitter {
    tenants: HashMap<TenantId, HashMap<Labels, StreamState>>,
}

#[derive(Debug)]
struct StreamState {
    /// Newest admitted row, nanoseconds.
    newest_ns: i64,
    /// Rate tokens in bytes when `refilled_ns` was the time.
    tokens: f64,
    refilled_ns: u64,
    /// Heads that hold rows of the stream.
    holds: u32,
}

/// What one stream of a request may do, read from the limits once.
struct Rules {
    window_ns: i64,
    max_streams: usize,
    rate_bytes: u64,
    burst_bytes: u64,
}

impl Rules {
    fn of(limits: &dyn Limits, tenant: &TenantId) -> Rules {
        Rules {
            window_ns: i64::try_from(limits.out_of_order_window(tenant).as_nanos())
                .unwrap_or(i64::MAX),
            max_streams: limits.max_streams(tenant),
            rate_bytes: limits.per_stream_rate_bytes(tenant),
            burst_bytes: limits.per_stream_rate_burst_bytes(tenant),
        }
    }
}

impl Admitter {
    /// Decides about every row of `request`. Admitted rows have moved their stream's newest
    /// timestamp and spent their tokens. `monotonic_ns` only refills tokens.
    pub fn admit(
        &mut self,
        request: &AdmitRequest,
        limits: &dyn Limits,
        monotonic_ns: u64,
    ) -> Admission {
        let rules = Rules::of(limits, &request.tenant);
        let streams = self.tenants.entry(request.tenant.clone()).or_default();
        let mut rejected: Vec<Option<Rejection>> = vec![None; request.streams.len()];
        let mut from = 0usize;
        for run in &request.runs {
            let rows = from..run.end as usize;
            from = run.end as usize;
            let labels = &request.streams[run.stream as usize];
            let mut refuse = |row: usize, reason: RejectReason| {
                let slot = &mut rejected[run.stream as usize];
                let rejection =
                    slot.get_or_insert_with(|| Rejection { stream: run.stream, rows: Vec::new() });
                rejection.rows.push((row as u32, reason));
            };
            if !streams.contains_key(labels) {
                if rules.max_streams > 0 && streams.len() >= rules.max_streams {
                    rows.for_each(|row| refuse(row, RejectReason::StreamLimit));
                    continue;
                }
                let first = request.ts_ns[rows.start];
                streams.insert(labels.clone(), StreamState::new(first, &rules, monotonic_ns));
            }
            let Some(state) = streams.get_mut(labels) else { continue };
            state.refill(&rules, monotonic_ns);
            let request_bytes: u64 =
                request.sizes[rows.clone()].iter().map(|&size| u64::from(size)).sum();
            for row in rows {
                if let Err(reason) =
                    state.take(&rules, request.ts_ns[row], request.sizes[row], request_bytes)
                {
                    refuse(row, reason);
                }
            }
        }
        Admission { rejected: rejected.into_iter().flatten().collect() }
    }

    /// A head of the tenant holds rows of these streams now. Called when rows are appended to a
    /// head that did not hold the stream, also on replay (where nothing was admitted before).
    /// Returns how many of them no head held before.
    pub fn hold<'a>(
        &mut self,
        tenant: &TenantId,
        held: impl IntoIterator<Item = (&'a Labels, i64)>,
    ) -> u64 {
        let mut fresh = 0;
        let streams = self.tenants.entry(tenant.clone()).or_default();
        for (labels, newest_ns) in held {
            let state = streams.entry(labels.clone()).or_insert_with(|| StreamState {
                newest_ns,
                tokens: f64::INFINITY, // the first refill cuts it to the burst
                refilled_ns: 0,
                holds: 0,
            });
            state.newest_ns = state.newest_ns.max(newest_ns);
            fresh += u64::from(state.holds == 0);
            state.holds += 1;
        }
        fresh
    }

    /// The rows of a head are flushed: each of its streams is held once less, and forgotten when
    /// no head holds it. Returns how many were forgotten.
    pub fn release<'a>(
        &mut self,
        tenant: &TenantId,
        released: impl IntoIterator<Item = &'a Labels>,
    ) -> u64 {
        let mut forgotten = 0;
        let Some(streams) = self.tenants.get_mut(tenant) else { return 0 };
        for labels in released {
            let Some(state) = streams.get_mut(labels) else { continue };
            assert!(state.holds > 0, "stream {labels} of {tenant} released without a hold");
            state.holds -= 1;
            if state.holds == 0 {
                streams.remove(labels);
                forgotten += 1;
            }
        }
        if streams.is_empty() {
            self.tenants.remove(tenant);
        }
        forgotten
    }

    /// Forgets streams that were admitted but never appended (the append failed or all their rows
    /// were refused) and last asked for before `monotonic_ns`: an append may still be under way.
    pub fn forget_unheld(&mut self, monotonic_ns: u64) {
        self.tenants.retain(|_, streams| {
            streams.retain(|_, state| state.holds > 0 || state.refilled_ns >= monotonic_ns);
            !streams.is_empty()
        });
    }

    /// Active streams of a tenant.
    pub fn stream_count(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).map_or(0, |streams| streams.len())
    }
}

impl StreamState {
    fn new(first_ns: i64, rules: &Rules, monotonic_ns: u64) -> StreamState {
        StreamState {
            newest_ns: first_ns,
            tokens: rules.burst_bytes as f64,
            refilled_ns: monotonic_ns,
            holds: 0,
        }
    }

    /// A token bucket as Go's x/time/rate: it fills at `rate` up to `burst`.
    fn refill(&mut self, rules: &Rules, monotonic_ns: u64) {
        let elapsed = monotonic_ns.saturating_sub(self.refilled_ns) as f64 / 1e9;
        let filled = self.tokens + elapsed * rules.rate_bytes as f64;
        self.tokens = filled.min(rules.burst_bytes as f64);
        self.refilled_ns = monotonic_ns;
    }

    fn take(
        &mut self,
        rules: &Rules,
        ts_ns: i64,
        size: u32,
        request_bytes: u64,
    ) -> Result<(), RejectReason> {
        if rules.window_ns > 0 {
            let oldest_ns = self.newest_ns.saturating_sub(rules.window_ns);
            if ts_ns < oldest_ns {
                return Err(RejectReason::TooFarBehind { oldest_ns });
            }
        }
        if rules.rate_bytes > 0 {
            if self.tokens < f64::from(size) {
                let limit_bytes = rules.rate_bytes;
                return Err(RejectReason::StreamRate { limit_bytes, request_bytes });
            }
            self.tokens -= f64::from(size);
        }
        self.newest_ns = self.newest_ns.max(ts_ns);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
