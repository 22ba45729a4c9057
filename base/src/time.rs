//! Wall time, days, and the clock that a simulation can replace.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Nanoseconds since 1970-01-01 UTC. Negative is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

/// Nanoseconds in one UTC day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// A UTC day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day an instant falls into.
    pub fn of(ts: UnixNanos) -> Day {
        Day(ts.0.div_euclid(DAY_NS) as i32)
    }

    /// Nanoseconds of the first instant of the day (saturating at the ends of `i64`).
    pub fn start_ns(self) -> i64 {
        i64::from(self.0).saturating_mul(DAY_NS)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = chrono::DateTime::from_timestamp(i64::from(self.0) * 86_400, 0);
        match date {
            Some(date) => write!(f, "{}", date.format("%Y-%m-%d")),
            None => write!(f, "day{}", self.0),
        }
    }
}

/// Where "now" comes from. Never used for correctness, only for courtesy: ages, limits, metrics.
pub trait Clock: Send + Sync + 'static {
    /// Wall time.
    fn now(&self) -> UnixNanos;
    /// Nanoseconds of a clock that never goes back, from an arbitrary zero.
    fn monotonic_ns(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now(&self) -> UnixNanos {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => UnixNanos(since.as_nanos() as i64),
            Err(before) => UnixNanos(-(before.duration().as_nanos() as i64)),
        }
    }

    #[allow(clippy::disallowed_methods)] // the one place that may
    fn monotonic_ns(&self) -> u64 {
        use std::sync::OnceLock;
        static ZERO: OnceLock<std::time::Instant> = OnceLock::new();
        ZERO.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
    }
}

/// The runtime's clock, which a simulation pauses and moves, as one machine sees it: with a skew.
/// Clones share the skew.
#[derive(Clone, Debug)]
pub struct SimClock {
    start: UnixNanos,
    zero: tokio::time::Instant,
    skew_ns: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that says `start` now. Call it within the runtime.
    pub fn new(start: UnixNanos) -> SimClock {
        SimClock { start, zero: tokio::time::Instant::now(), skew_ns: Arc::default() }
    }

    /// The same time with a skew of its own, of nothing yet.
    pub fn of_another_machine(&self) -> SimClock {
        SimClock { skew_ns: Arc::default(), ..self.clone() }
    }

    /// Sets how far wall time is ahead. The monotonic clock does not jump.
    pub fn set_skew(&self, ns: i64) {
        self.skew_ns.store(ns, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixNanos {
        let elapsed_ns = self.monotonic_ns() as i64;
        UnixNanos(self.start.0 + elapsed_ns + self.skew_ns.load(Ordering::SeqCst))
    }
    fn monotonic_ns(&self) -> u64 {
        (tokio::time::Instant::now() - self.zero).as_nanos() as u64
    }
}

/// A clock that a test moves by hand. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: UnixNanos) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(start.0)))
    }

    /// Moves the clock by `by_ns` nanoseconds.
    pub fn advance(&self, by_ns: i64) {
        self.0.fetch_add(by_ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::SeqCst))
    }
    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst) as u64
    }
}
