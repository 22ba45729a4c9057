//! The tenant's token bucket, with the arithmetic of Go's `golang.org/x/time/rate`.

use std::sync::Mutex;

/// Tokens are bytes. Starts full.
#[derive(Debug)]
pub(crate) struct TokenBucket(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None`: never used, as full as the burst allows.
    tokens: Option<f64>,
    last_ns: u64,
}

impl TokenBucket {
    pub(crate) fn new() -> TokenBucket {
        TokenBucket(Mutex::new(State { tokens: None, last_ns: 0 }))
    }

    /// Takes `bytes` at the monotonic instant `now_ns`, all or none. A request larger than `burst`
    /// never passes, an infinite `rate` (bytes per second) always lets pass.
    pub(crate) fn allow(&self, now_ns: u64, bytes: u64, rate: f64, burst: u64) -> bool {
        if rate == f64::INFINITY {
            return true;
        }
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let elapsed = now_ns.saturating_sub(state.last_ns) as f64 / 1e9;
        let tokens = match state.tokens {
            Some(tokens) => (tokens + elapsed * rate).min(burst as f64),
            None => burst as f64,
        };
        let left = tokens - bytes as f64;
        // Go rounds the wait down to whole nanoseconds.
        let wait_ns = if left < 0.0 { (-left / rate * 1e9).floor() } else { 0.0 };
        if bytes > burst || wait_ns > 0.0 {
            return false;
        }
        state.tokens = Some(left);
        state.last_ns = state.last_ns.max(now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_starts_full_and_fills_at_its_rate() {
        let bucket = TokenBucket::new();
        assert!(bucket.allow(5 * SECOND, 100, 10.0, 100));
        assert!(!bucket.allow(5 * SECOND, 1, 10.0, 100));
        assert!(!bucket.allow(6 * SECOND, 11, 10.0, 100));
        assert!(bucket.allow(6 * SECOND, 10, 10.0, 100));
        assert!(bucket.allow(1_000 * SECOND, 100, 10.0, 100));
        assert!(!bucket.allow(1_000 * SECOND, 100, 10.0, 100));
    }

    #[test]
    fn more_than_the_burst_never_passes_and_takes_nothing() {
        let bucket = TokenBucket::new();
        assert!(!bucket.allow(0, 101, 10.0, 100));
        assert!(bucket.allow(0, 100, 10.0, 100));
        assert!(bucket.allow(0, u64::MAX, f64::INFINITY, 0));
    }

    #[test]
    fn time_that_goes_back_gives_no_tokens() {
        let bucket = TokenBucket::new();
        assert!(bucket.allow(10 * SECOND, 100, 10.0, 100));
        assert!(!bucket.allow(0, 1, 10.0, 100));
        assert!(!bucket.allow(10 * SECOND, 1, 10.0, 100));
    }

    #[test]
    fn a_new_limit_counts_from_the_next_request() {
        let bucket = TokenBucket::new();
        assert!(bucket.allow(0, 50, 10.0, 100));
        assert!(!bucket.allow(0, 30, 10.0, 20));
        assert!(bucket.allow(0, 20, 10.0, 20));
    }
}
