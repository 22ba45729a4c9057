//! How many failed reads may be tried again.

use std::sync::atomic::{AtomicU32, Ordering};

/// Tokens of one connection, after gRPC's retry throttling (gRFC A6): a failure takes one, a
/// success gives a tenth of one back, and with half of them gone nothing is tried again. So a peer
/// that fails gets one attempt per call and not a multiple.
#[derive(Debug)]
pub struct RetryBudget {
    /// In tenths.
    tokens: AtomicU32,
    /// In tenths.
    most: u32,
}

impl RetryBudget {
    /// A full budget of `tokens`.
    pub fn new(tokens: u32) -> RetryBudget {
        let most = tokens.saturating_mul(10);
        RetryBudget { tokens: AtomicU32::new(most), most }
    }

    /// A call succeeded.
    pub fn success(&self) {
        self.update(|tokens| (tokens + 1).min(self.most));
    }

    /// A call failed; whether it may be tried again.
    pub fn failure(&self) -> bool {
        self.update(|tokens| tokens.saturating_sub(10)) > self.most / 2
    }

    /// Returns the new value.
    fn update(&self, change: impl Fn(u32) -> u32) -> u32 {
        let old = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| Some(change(tokens)));
        // The closure always has a value.
        change(old.unwrap_or_else(|tokens| tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_end_retries_and_successes_bring_them_back() {
        let budget = RetryBudget::new(10);
        let allowed = (0..20).take_while(|_| budget.failure()).count();
        assert_eq!(allowed, 4);
        assert!(!budget.failure());
        (0..200).for_each(|_| budget.success());
        assert!(budget.failure());
        assert!(!RetryBudget::new(0).failure());
    }
}
