//! `min` and `max`: NaN counts only where there is nothing else.

use super::Cell;

/// Takes in one more value for `min`.
pub(crate) fn add_min(cell: &mut Cell, value: f64) {
    cell.count += 1;
    if cell.count == 1 || cell.value.is_nan() || cell.value > value {
        cell.value = value;
    }
}

/// Takes in one more value for `max`.
pub(crate) fn add_max(cell: &mut Cell, value: f64) {
    cell.count += 1;
    if cell.count == 1 || cell.value.is_nan() || cell.value < value {
        cell.value = value;
    }
}
