//! Operators between two vectors: which series of one side meets which of the other (contract 7.5).
//!
//! Series meet where their signatures are equal: the labels that `on` names, or all but those that
//! `ignoring` names. At each evaluation apart, only series with a value count: so what is ambiguous
//! at one evaluation fails the query, what never meets in time does not.

use base::{HashMap, Labels, LabelsBuilder};

use super::binary::{arithmetic, compares, holds};
use super::matrix::{Matrix, Numbering};
use crate::plan::QueryError;
use crate::syntax::{BinaryExpr, BinaryOp, GroupSide, VectorMatching};

/// An arithmetic operator or a comparison between vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Between {
    op: BinaryOp,
    return_bool: bool,
    matching: VectorMatching,
}

/// How series match when nothing is said: by all their labels.
pub(crate) fn matching_of(binary: &BinaryExpr) -> VectorMatching {
    binary.matching.clone().unwrap_or_else(|| VectorMatching {
        on: false,
        labels: Vec::new(),
        group: None,
        include: Vec::new(),
    })
}

/// What a series is matched by.
pub(crate) fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    if !matching.on && matching.labels.is_empty() {
        return labels.clone();
    }
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    Labels::from_sorted(labels.iter().filter(|(name, _)| named(name) == matching.on))
}

/// The one side at one evaluation: which series has each signature.
type Ones = Vec<Option<usize>>;

impl Between {
    pub(crate) fn new(binary: &BinaryExpr) -> Between {
        let BinaryExpr { op, return_bool, .. } = *binary;
        Between { op, return_bool, matching: matching_of(binary) }
    }

    /// The value of a pair, if the comparison keeps it.
    fn value(&self, left: f64, right: f64) -> Option<f64> {
        if compares(self.op) && !self.return_bool {
            return holds(self.op, left, right).then_some(left);
        }
        Some(arithmetic(self.op, left, right))
    }

    /// Labels of a pair. `many` is the left side unless the right one is grouped.
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let VectorMatching { on, labels, group, include } = &self.matching;
        if group.is_none() {
            let named = |name: &str| labels.iter().any(|label| label == name);
            return Labels::from_sorted(many.iter().filter(|(name, _)| named(name) == *on));
        }
        if include.is_empty() {
            return many.clone();
        }
        let mut builder = LabelsBuilder::from_labels(many);
        for name in include {
            match one.get(name).filter(|value| !value.is_empty()) {
                Some(value) => builder.set(name, value),
                None => builder.remove(name),
            }
        }
        builder.build()
    }

    /// Applies the operator at each of `steps` evaluations.
    pub(crate) fn apply(
        &self,
        left: &Matrix,
        right: &Matrix,
        steps: usize,
    ) -> Result<Matrix, QueryError> {
        let grouped_right = self.matching.group == Some(GroupSide::Right);
        let (many, one) = if grouped_right { (right, left) } else { (left, right) };
        let mut signatures = Numbering::default();
        let mut number = |labels: &Labels| signatures.number(signature(&self.matching, labels));
        let many_of: Vec<usize> = many.iter().map(|(labels, _)| number(labels)).collect();
        let one_of: Vec<usize> = one.iter().map(|(labels, _)| number(labels)).collect();
        let mut out = Out::new(steps);
        let mut ones: Ones = vec![None; signatures.labels.len()];
        let mut met: Vec<bool> = vec![false; signatures.labels.len()];
        for step in 0..steps {
            ones.fill(None);
            met.fill(false);
            for (series, &signature) in one_of.iter().enumerate() {
                let absent = one[series].1[step].is_none();
                if !absent && ones[signature].replace(series).is_some() {
                    return Err(ambiguous(grouped_right));
                }
            }
            for (series, &signature) in many_of.iter().enumerate() {
                let (Some(value), Some(partner)) = (many[series].1[step], ones[signature]) else {
                    continue;
                };
                let Some(other) = one[partner].1[step] else { continue };
                let (left, right) = if grouped_right { (other, value) } else { (value, other) };
                let Some(result) = self.value(left, right) else { continue };
                if self.matching.group.is_none() && std::mem::replace(&mut met[signature], true) {
                    return Err(QueryError::Internal(
                        "multiple matches for labels: many-to-one matching must be explicit \
                         (group_left/group_right)"
                            .to_owned(),
                    ));
                }
                let labels = || self.labels(&many[series].0, &one[partner].0);
                if !out.set((series, partner), labels, step, result) {
                    return Err(QueryError::Internal(
                        "multiple matches for labels: grouping labels must ensure unique matches"
                            .to_owned(),
                    ));
                }
            }
        }
        Ok(out.matrix())
    }
}

fn ambiguous(left: bool) -> QueryError {
    let side = if left { "left" } else { "right" };
    QueryError::Internal(format!(
        "found duplicate series on the {side} hand-side;many-to-many matching not allowed: \
         matching labels must be unique on one side"
    ))
}

/// Series that come up while evaluations are gone through.
struct Out {
    steps: usize,
    series: Numbering,
    values: Vec<Vec<Option<f64>>>,
    /// By pair of series, so that labels are made once per pair.
    pairs: HashMap<(usize, usize), usize>,
}

impl Out {
    fn new(steps: usize) -> Out {
        let (series, values, pairs) = (Numbering::default(), Vec::new(), HashMap::default());
        Out { steps, series, values, pairs }
    }

    /// Sets a value; false = the series has one already.
    fn set(
        &mut self,
        pair: (usize, usize),
        labels: impl FnOnce() -> Labels,
        step: usize,
        value: f64,
    ) -> bool {
        let series = &mut self.series;
        let number = *self.pairs.entry(pair).or_insert_with(|| series.number(labels()));
        if number == self.values.len() {
            self.values.push(vec![None; self.steps]);
        }
        self.values[number][step].replace(value).is_none()
    }

    fn matrix(self) -> Matrix {
        self.series.labels.into_iter().zip(self.values).collect()
    }
}

#[cfg(test)]
mod tests;
