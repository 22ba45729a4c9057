//! `sum`.

use super::Cell;

/// Takes in one more value.
pub(crate) fn add(cell: &mut Cell, value: f64) {
    cell.count += 1;
    cell.value += value;
}
