use std::time::Duration;

use base::Run;

use super::*;

struct Fixed {
    window: Duration,
    streams: usize,
    rate: u64,
    burst: u64,
}

const FREE: Fixed = Fixed { window: Duration::ZERO, streams: 0, rate: 0, burst: 0 };

impl Limits for Fixed {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        self.window
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        self.streams
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        self.rate
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        self.burst
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

fn stream(app: &str) -> Labels {
    Labels::from_pairs([("app", app)])
}

/// Rows of one stream, 10 bytes each.
fn offer(app: &str, ts_ns: &[i64]) -> AdmitRequest {
    AdmitRequest {
        tenant: tenant(),
        streams: vec![stream(app)],
        runs: vec![Run { stream: 0, end: ts_ns.len() as u32 }],
        ts_ns: ts_ns.to_vec(),
        sizes: vec![10; ts_ns.len()],
    }
}

fn reasons(admission: &Admission) -> Vec<(u32, RejectReason)> {
    admission.rejected.iter().flat_map(|rejection| rejection.rows.clone()).collect()
}

#[test]
fn late_entry_is_rejected_outside_window() {
    let limits = Fixed { window: Duration::from_nanos(100), ..FREE };
    let mut admitter = Admitter::default();
    let first = admitter.admit(&offer("a", &[1_000, 900, 899, 1_050, 949]), &limits, 0);
    let too_far = |oldest_ns| RejectReason::TooFarBehind { oldest_ns };
    assert_eq!(reasons(&first), [(2, too_far(900)), (4, too_far(950))]);
    let second = admitter.admit(&offer("a", &[950, 949]), &limits, 0);
    assert_eq!(reasons(&second), [(1, too_far(950))]);
    let other_stream = admitter.admit(&offer("b", &[1]), &limits, 0);
    assert!(other_stream.rejected.is_empty(), "the window belongs to the stream");
}

#[test]
fn without_a_window_any_age_is_admitted() {
    let mut admitter = Admitter::default();
    let admission = admitter.admit(&offer("a", &[i64::MAX, 0, i64::MIN]), &FREE, 0);
    assert!(admission.rejected.is_empty());
}

#[test]
fn the_window_is_forgotten_when_the_last_head_lets_go_of_the_stream() {
    let limits = Fixed { window: Duration::from_nanos(100), ..FREE };
    let mut admitter = Admitter::default();
    admitter.admit(&offer("a", &[1_000]), &limits, 0);
    admitter.hold(&tenant(), [(&stream("a"), 1_000)]);
    admitter.hold(&tenant(), [(&stream("a"), 1_000)]);
    admitter.release(&tenant(), [&stream("a")]);
    assert_eq!(admitter.admit(&offer("a", &[1]), &limits, 0).rejected.len(), 1);
    admitter.release(&tenant(), [&stream("a")]);
    assert_eq!(admitter.stream_count(&tenant()), 0);
    assert!(admitter.admit(&offer("a", &[1]), &limits, 0).rejected.is_empty());
}

#[test]
fn a_replayed_stream_has_its_window_again() {
    let limits = Fixed { window: Duration::from_nanos(100), ..FREE };
    let mut admitter = Admitter::default();
    admitter.hold(&tenant(), [(&stream("a"), 1_000)]);
    assert_eq!(admitter.admit(&offer("a", &[899]), &limits, 0).rejected.len(), 1);
}

#[test]
fn a_new_stream_over_the_limit_is_rejected_and_known_ones_go_on() {
    let limits = Fixed { streams: 2, ..FREE };
    let mut admitter = Admitter::default();
    for app in ["a", "b"] {
        assert!(admitter.admit(&offer(app, &[1]), &limits, 0).rejected.is_empty());
        admitter.hold(&tenant(), [(&stream(app), 1)]);
    }
    let third = admitter.admit(&offer("c", &[1, 2]), &limits, 0);
    assert_eq!(reasons(&third), [(0, RejectReason::StreamLimit), (1, RejectReason::StreamLimit)]);
    assert!(admitter.admit(&offer("a", &[3]), &limits, 0).rejected.is_empty());
    admitter.release(&tenant(), [&stream("b")]);
    assert!(admitter.admit(&offer("c", &[1]), &limits, 0).rejected.is_empty());
}

#[test]
fn rows_over_the_stream_rate_are_rejected_until_tokens_return() {
    let limits = Fixed { rate: 10, burst: 25, ..FREE };
    let mut admitter = Admitter::default();
    let over = RejectReason::StreamRate { limit_bytes: 10, request_bytes: 40 };
    let first = admitter.admit(&offer("a", &[1, 2, 3, 4]), &limits, 0);
    assert_eq!(reasons(&first), [(2, over), (3, over)]);
    let half_a_second = admitter.admit(&offer("a", &[5]), &limits, 500_000_000);
    assert!(half_a_second.rejected.is_empty(), "5 left and 5 returned");
    assert_eq!(admitter.admit(&offer("a", &[6]), &limits, 500_000_000).rejected.len(), 1);
}

#[test]
fn a_stream_that_was_never_appended_is_forgotten() {
    let mut admitter = Admitter::default();
    admitter.admit(&offer("a", &[1]), &FREE, 0);
    assert_eq!(admitter.stream_count(&tenant()), 1);
    admitter.forget_unheld(u64::MAX);
    assert_eq!(admitter.stream_count(&tenant()), 0);
}
