//! `topk`, `bottomk` and `approx_topk` (which is exact here): the `k` best series of each group at
//! each evaluation, with their labels.
//!
//! NaN is worse than any number. Among equal values the series whose labels sort first wins: Loki
//! leaves that open.

use std::cmp::Ordering;

use crate::engine::matrix::Matrix;

/// What is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Best {
    pub k: usize,
    /// The lowest rather than the highest values.
    pub lowest: bool,
}

impl Best {
    fn compare(&self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if self.lowest => a.total_cmp(&b),
            (false, false) => b.total_cmp(&a),
        }
    }

    /// Keeps only the best values. `group_of` names the group of each series.
    pub(crate) fn select(
        &self,
        mut matrix: Matrix,
        group_of: &[usize],
        groups: usize,
        steps: usize,
    ) -> Matrix {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups];
        for (series, &group) in group_of.iter().enumerate() {
            members[group].push(series);
        }
        let mut present: Vec<(usize, f64)> = Vec::new();
        for members in &members {
            for step in 0..steps {
                present.clear();
                for &series in members {
                    present.extend(matrix[series].1[step].map(|value| (series, value)));
                }
                if present.len() <= self.k {
                    continue;
                }
                present.sort_by(|a, b| {
                    let by_labels = || matrix[a.0].0.cmp(&matrix[b.0].0);
                    self.compare(a.1, b.1).then_with(by_labels)
                });
                for &(series, _) in &present[self.k..] {
                    matrix[series].1[step] = None;
                }
            }
        }
        matrix.retain(|(_, values)| values.iter().any(Option::is_some));
        matrix
    }
}
