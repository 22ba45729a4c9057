//! `stddev` and `stdvar`: of the population, by a running mean (Welford).

use super::Cell;

/// Takes in one more value. The result so far is the variance.
pub(crate) fn add_variance(cell: &mut Cell, value: f64) {
    cell.count += 1;
    let away = value - cell.mean;
    cell.mean += away / cell.count as f64;
    cell.squares += away * (value - cell.mean);
    cell.value = cell.squares / cell.count as f64;
}

/// Takes in one more value. The result so far is the standard deviation.
pub(crate) fn add_deviation(cell: &mut Cell, value: f64) {
    add_variance(cell, value);
    cell.value = cell.value.sqrt();
}
