//! What the rows of a push take of the budget that all bodies share.
//!
//! A body says little about what becomes of it: an empty record costs its timestamp in several
//! columns, and every metadata name a cell in every row beside it. So rows are charged as they
//! grow, and a push that the budget has no room for is refused before they fill the memory.

use rpc::http::body::{BodyError, Hold};

/// What rows may take beyond the size of their body, whatever the budget has: some 10,000,000 empty
/// rows, or 60,000,000 cells of metadata.
const MAX_EXCESS_BYTES: usize = 256 << 20;
/// The budget is asked for at least so much at once.
const STEP_BYTES: usize = 4 << 10;

/// The share of the push at hand.
#[derive(Debug)]
pub(crate) struct Charge {
    hold: Hold,
    /// What the rows take.
    used: usize,
    /// What the hold has for rows.
    granted: usize,
    /// What rows may take at most.
    limit: usize,
}

impl Charge {
    /// Nothing is charged to nobody: between pushes.
    pub(crate) fn nobody() -> Charge {
        Charge::new(Hold::unlimited(), 0)
    }

    /// `hold` has `paid` bytes for rows already.
    pub(crate) fn new(hold: Hold, paid: usize) -> Charge {
        let limit = paid.saturating_add(MAX_EXCESS_BYTES);
        Charge { hold, used: 0, granted: paid, limit }
    }

    /// Charges `bytes` more.
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.used += bytes;
        if self.used <= self.granted { Ok(()) } else { self.grow() }
    }

    /// The rows are gone, and will be made again.
    pub(crate) fn restart(&mut self) {
        self.used = 0;
    }

    /// What was held, to be kept as long as the rows.
    pub(crate) fn into_hold(self) -> Hold {
        self.hold
    }

    #[cold]
    fn grow(&mut self) -> Result<(), BodyError> {
        if self.used > self.limit {
            return Err(BodyError::TooLarge { bytes: self.used, limit: self.limit });
        }
        // A part of what there is, so that many rows ask seldom.
        let more = (self.used - self.granted).max(self.granted / 8).max(STEP_BYTES);
        self.hold.grow(more)?;
        self.granted += more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rpc::http::Budget;

    use super::*;

    #[test]
    fn rows_are_charged_beyond_what_was_paid_and_refused_where_the_budget_ends() {
        let budget = Budget::new(100_000);
        let mut charge = Charge::new(budget.hold(10_000).unwrap(), 8_000);
        charge.add(8_000).unwrap();
        assert_eq!(budget.held(), 10_000, "paid for");
        let mut used = 8_000;
        while charge.add(100).is_ok() {
            used += 100;
            assert!(budget.held() >= used + 2_000);
            assert!(budget.held() <= used + 2_000 + (used / 8).max(STEP_BYTES));
        }
        assert!(used > 80_000, "{used}");
        drop(charge.into_hold());
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_nobody_limits_ends_somewhere_too() {
        let mut charge = Charge::nobody();
        charge.add(MAX_EXCESS_BYTES).unwrap();
        assert_eq!(charge.add(1).unwrap_err().status(), 413);
    }
}
