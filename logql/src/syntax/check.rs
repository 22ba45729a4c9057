//! What a query must satisfy beyond its grammar.

use super::ast::*;
use super::goregex;

pub(super) const EMPTY_COMPATIBLE: &str = "queries require at least one regexp or equality matcher that does \
    not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, \
    but app=~\".+\" will";

/// What is wrong when every matcher matches a stream without the label.
pub(super) fn empty_compatible(matchers: &[Matcher]) -> Option<String> {
    // Plain ones first: an expression must be compiled to be asked.
    let plain = |m: &Matcher| match m.op {
        MatchOp::Equal => m.value.is_empty(),
        MatchOp::NotEqual => !m.value.is_empty(),
        MatchOp::Regex | MatchOp::NotRegex => true,
    };
    let regex = |m: &Matcher| match m.op {
        MatchOp::Regex => goregex::matches_empty(&m.value),
        MatchOp::NotRegex => !goregex::matches_empty(&m.value),
        MatchOp::Equal | MatchOp::NotEqual => true,
    };
    let all = matchers.iter().all(plain) && matchers.iter().all(regex);
    all.then(|| EMPTY_COMPATIBLE.to_owned())
}

/// Whether the function takes an unwrapped value and a grouping.
pub(super) fn range_aggregation(op: RangeOp, unwrapped: bool, grouped: bool) -> Option<String> {
    use RangeOp::*;
    let groups = matches!(
        op,
        AvgOverTime
            | MinOverTime
            | MaxOverTime
            | StddevOverTime
            | StdvarOverTime
            | QuantileOverTime
            | FirstOverTime
            | LastOverTime
    );
    let lines = matches!(op, CountOverTime | Rate | BytesOverTime | BytesRate | AbsentOverTime);
    let values = groups || matches!(op, SumOverTime | RateCounter | Rate | AbsentOverTime);
    if grouped && !groups {
        return Some(format!("grouping not allowed for {op} aggregation"));
    }
    if unwrapped && !values {
        return Some(format!("invalid aggregation {op} with unwrap"));
    }
    if !unwrapped && !lines {
        return Some(format!("invalid aggregation {op} without unwrap"));
    }
    None
}

/// Whether the aggregation takes the grouping.
pub(super) fn vector_grouping(op: VectorOp, grouping: Option<&Grouping>) -> Option<String> {
    let grouping = grouping?;
    match op {
        VectorOp::ApproxTopk => Some(format!("grouping not allowed for {op} aggregation")),
        VectorOp::Sort | VectorOp::SortDesc if !grouping.labels.is_empty() => {
            Some("sort and sort_desc doesn't allow grouping by ".to_owned())
        }
        _ => None,
    }
}

/// Numbers are no sets.
pub(super) fn binary_literals(
    op: BinaryOp,
    left: Option<f64>,
    right: Option<f64>,
) -> Option<String> {
    if !matches!(op, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless) {
        return None;
    }
    let (side, value) = match (left, right) {
        (Some(value), _) => ("left", value),
        (None, Some(value)) => ("right", value),
        (None, None) => return None,
    };
    Some(format!(
        "unexpected literal for {side} leg of logical/set binary operation ({op}): {value:.6}"
    ))
}

/// The value of an operator between two numbers. Division by zero is no number.
pub(super) fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => {
            unreachable!("binary_literals refuses set operators")
        }
    }
}
