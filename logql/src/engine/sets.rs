//! `and`, `or`, `unless`: series of one side by whether the other has their signature, at each
//! evaluation apart (contract 7.5). Values and labels stay as they are.

use super::matching::{matching_of, signature};
use super::matrix::{Matrix, Numbering};
use crate::syntax::{BinaryExpr, BinaryOp, VectorMatching};

/// A set operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Set {
    op: BinaryOp,
    matching: VectorMatching,
}

impl Set {
    pub(crate) fn new(binary: &BinaryExpr) -> Set {
        Set { op: binary.op, matching: matching_of(binary) }
    }

    /// Applies the operator at each of `steps` evaluations.
    pub(crate) fn apply(&self, mut left: Matrix, mut right: Matrix, steps: usize) -> Matrix {
        let mut signatures = Numbering::default();
        let mut number = |matrix: &Matrix| -> Vec<usize> {
            let of = |labels| signatures.number(signature(&self.matching, labels));
            matrix.iter().map(|(labels, _)| labels).map(of).collect()
        };
        let (left_of, right_of) = (number(&left), number(&right));
        let of_first =
            if self.op == BinaryOp::Or { (&left, &left_of) } else { (&right, &right_of) };
        let mut present = vec![false; signatures.labels.len() * steps];
        for ((_, values), &signature) in of_first.0.iter().zip(of_first.1) {
            for (step, value) in values.iter().enumerate() {
                present[signature * steps + step] |= value.is_some();
            }
        }
        let (filtered, of, keep) = match self.op {
            BinaryOp::Or => (&mut right, &right_of, false),
            BinaryOp::And => (&mut left, &left_of, true),
            _ => (&mut left, &left_of, false),
        };
        for ((_, values), &signature) in filtered.iter_mut().zip(of) {
            for (step, value) in values.iter_mut().enumerate() {
                if present[signature * steps + step] != keep {
                    *value = None;
                }
            }
        }
        if self.op == BinaryOp::Or { join(left, right) } else { with_values(left) }
    }
}

fn with_values(mut matrix: Matrix) -> Matrix {
    matrix.retain(|(_, values)| values.iter().any(Option::is_some));
    matrix
}

/// Both sides together. Where both have a series it has a value of one side at each evaluation.
fn join(left: Matrix, right: Matrix) -> Matrix {
    let mut series = Numbering::default();
    let mut out: Matrix = Vec::with_capacity(left.len() + right.len());
    for (labels, values) in left.into_iter().chain(with_values(right)) {
        let number = series.number(labels.clone());
        match out.get_mut(number) {
            None => out.push((labels, values)),
            Some((_, known)) => {
                for (known, value) in known.iter_mut().zip(values) {
                    *known = known.or(value);
                }
            }
        }
    }
    with_values(out)
}
