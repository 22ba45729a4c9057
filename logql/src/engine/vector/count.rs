//! `count`: how many series have a value.

use super::Cell;

/// Takes in one more value.
pub(crate) fn add(cell: &mut Cell, _value: f64) {
    cell.count += 1;
    cell.value += 1.0;
}
