//! `avg`: a running mean, which stays finite where the sum would not.

use super::Cell;

/// Takes in one more value.
pub(crate) fn add(cell: &mut Cell, value: f64) {
    cell.count += 1;
    cell.value = if cell.value.is_infinite() || value.is_infinite() {
        // Infinities of one sign stay, of both signs give NaN, as a sum would.
        cell.value + value
    } else {
        cell.value + (value - cell.value) / cell.count as f64
    };
}
