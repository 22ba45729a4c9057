//! Vector aggregations: series into groups, at each evaluation apart (contract 7.4).
//!
//! One file per aggregation below `vector/`.

pub(crate) mod avg;
pub(crate) mod count;
pub(crate) mod minmax;
pub(crate) mod moments;
pub(crate) mod sum;
pub(crate) mod topk;

use base::{Labels, LabelsBuilder};

use super::matrix::{Matrix, Numbering};
use crate::syntax::{Grouping, VectorOp};

/// An aggregation that is executed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregation {
    /// Which.
    pub op: VectorOp,
    /// `k` of `topk`.
    pub parameter: usize,
    /// None = everything is one group.
    pub grouping: Option<Grouping>,
}

/// The labels of the group that a series belongs to. Labels without a value are left out.
fn group_labels(grouping: Option<&Grouping>, labels: &Labels) -> Labels {
    let Some(Grouping { without, labels: names }) = grouping else {
        return Labels::empty();
    };
    let mut group = LabelsBuilder::default();
    for (name, value) in labels.iter() {
        let named = names.iter().any(|known| known == name);
        let kept = if *without { !named && name != "__name__" } else { named };
        if kept && (*without || !value.is_empty()) {
            group.set(name, value);
        }
    }
    group.build()
}

/// Aggregates `matrix`, whose series have `steps` values each.
pub(crate) fn aggregate(aggregation: &Aggregation, matrix: Matrix, steps: usize) -> Matrix {
    let mut groups = Numbering::default();
    let group_of: Vec<usize> = matrix
        .iter()
        .map(|(labels, _)| groups.number(group_labels(aggregation.grouping.as_ref(), labels)))
        .collect();
    let fold: fn(&mut Cell, f64) = match aggregation.op {
        VectorOp::Sum => sum::add,
        VectorOp::Avg => avg::add,
        VectorOp::Min => minmax::add_min,
        VectorOp::Max => minmax::add_max,
        VectorOp::Count => count::add,
        VectorOp::Stddev => moments::add_deviation,
        VectorOp::Stdvar => moments::add_variance,
        // The plan puts the answer in order.
        VectorOp::Sort | VectorOp::SortDesc => return matrix,
        VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk => {
            let best = topk::Best {
                k: aggregation.parameter,
                lowest: aggregation.op == VectorOp::Bottomk,
            };
            return best.select(matrix, &group_of, groups.labels.len(), steps);
        }
    };
    let mut cells = vec![Cell::default(); groups.labels.len() * steps];
    for ((_, values), group) in matrix.iter().zip(group_of) {
        for (step, value) in values.iter().enumerate() {
            if let Some(value) = *value {
                fold(&mut cells[group * steps + step], value);
            }
        }
    }
    let values = cells.chunks(steps).map(|row| row.iter().map(Cell::value).collect());
    groups.labels.into_iter().zip(values).collect()
}

/// What an aggregation knows of a group at one evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    /// Series taken in.
    pub count: u64,
    /// The result so far.
    pub value: f64,
    /// Of the values so far; for variances.
    mean: f64,
    /// Sum of the squares of what the values differ from their mean; for variances.
    squares: f64,
}

impl Cell {
    fn value(&self) -> Option<f64> {
        (self.count > 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests;
