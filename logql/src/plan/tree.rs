//! From a metric expression to leaves and what is computed on them.

use super::leaf::Program;
use super::{Params, QueryError};
use crate::engine::binary;
use crate::engine::label_replace::LabelReplace;
use crate::engine::matching::Between;
use crate::engine::matrix::Node;
use crate::engine::range::Function;
use crate::engine::sets::Set;
use crate::engine::vector::Aggregation;
use crate::syntax::{
    self, BinaryExpr, BinaryOp, LabelFilter, MetricExpr, RangeAggregation, Stage,
    VectorAggregation, VectorOp,
};

/// Cuts `expr` at its range functions.
pub(super) fn build(
    expr: &MetricExpr,
    params: &Params,
) -> Result<(Vec<Program>, Node), QueryError> {
    let mut leaves = Vec::new();
    let mut params = params.clone();
    if !is_one_leaf(expr) {
        params.max_series = 0; // what is above the leaves may leave fewer series
    }
    let root = node(expr, &params, &mut leaves)?;
    Ok((leaves, root))
}

/// Whether the series of the answer are those of the only leaf.
fn is_one_leaf(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Range(_) => true,
        MetricExpr::Vector(aggregation) => pushed_down(aggregation).is_some(),
        _ => false,
    }
}

/// The range function that takes over the grouping of a `sum` above it: if it adds up, the sum of
/// series is the series of the sum.
fn pushed_down(aggregation: &VectorAggregation) -> Option<&RangeAggregation> {
    match &*aggregation.inner {
        MetricExpr::Range(range) if aggregation.op == VectorOp::Sum && range.grouping.is_none() => {
            Function::of(range).is_additive().then_some(range)
        }
        _ => None,
    }
}

/// What a `count` counts, where only the presence of series matters: an aggregation has a series
/// wherever the function below has a sample in it, and so has the sum, which needs fewer series.
fn only_counted(
    count: &VectorAggregation,
) -> Option<(Option<&syntax::Grouping>, &RangeAggregation)> {
    let MetricExpr::Vector(counted) = &*count.inner else { return None };
    let one_for_some = matches!(
        counted.op,
        VectorOp::Sum
            | VectorOp::Avg
            | VectorOp::Min
            | VectorOp::Max
            | VectorOp::Count
            | VectorOp::Stddev
            | VectorOp::Stdvar
    );
    let MetricExpr::Range(range) = &*counted.inner else { return None };
    let function = Function::of(range);
    let adds = function.is_additive() && range.grouping.is_none();
    let grouping = counted.grouping.as_ref();
    // A series of the error label may hold rows that otherwise fail the query.
    let plain = grouping.is_none_or(|by| !by.labels.iter().any(|name| name.starts_with("__")));
    // What is not needed is not parsed: nobody may miss the errors that are then not found. Only
    // of a `sum` Loki knows what it needs (contract 6.11), so only there they are missing anyway.
    let may_fail = range.unwrap.is_some() || range.log.stages.iter().any(may_fail);
    let errors_found = counted.op == VectorOp::Sum || !may_fail;
    let fits = count.op == VectorOp::Count && one_for_some && adds && plain && errors_found;
    fits.then_some((grouping, range))
}

/// Whether a stage may set the error of a row.
fn may_fail(stage: &Stage) -> bool {
    fn reads_numbers(filter: &LabelFilter) -> bool {
        match filter {
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                reads_numbers(left) || reads_numbers(right)
            }
            LabelFilter::Match(_) | LabelFilter::Ip { .. } => false,
            _ => true,
        }
    }
    match stage {
        Stage::LineFilter(_) | Stage::Decolorize | Stage::Drop(_) | Stage::Keep(_) => false,
        Stage::Pattern(_) | Stage::Regexp(_) | Stage::Logfmt { strict: false, .. } => false,
        Stage::LabelFilter(filter) => reads_numbers(filter),
        _ => true,
    }
}

fn node(expr: &MetricExpr, params: &Params, leaves: &mut Vec<Program>) -> Result<Node, QueryError> {
    Ok(match expr {
        MetricExpr::Range(range) => {
            leaves.push(Program::metric(range, None, params)?);
            Node::Leaf(leaves.len() - 1)
        }
        MetricExpr::Vector(aggregation) => aggregate(aggregation, params, leaves)?,
        MetricExpr::Binary(binary) => between(binary, params, leaves)?,
        MetricExpr::Literal(value) => Node::Scalar(*value),
        MetricExpr::VectorFn(value) => Node::Constant(*value),
        MetricExpr::LabelReplace(replace) => {
            let inner = node(&replace.inner, params, leaves)?;
            refuse_number(&inner)?;
            let replace = LabelReplace::new(replace).map_err(|error| {
                QueryError::Invalid(format!(
                    "parse error : invalid regex in label_replace: {error}"
                ))
            })?;
            Node::LabelReplace(Box::new(replace), Box::new(inner))
        }
    })
}

fn aggregate(
    aggregation: &VectorAggregation,
    params: &Params,
    leaves: &mut Vec<Program>,
) -> Result<Node, QueryError> {
    if aggregation.op == VectorOp::ApproxTopk && params.step_ns > 0 {
        let text = "count min sketches are only supported on instant queries";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    let inner = match pushed_down(aggregation) {
        Some(range) => {
            leaves.push(Program::metric(range, Some(aggregation.grouping.as_ref()), params)?);
            Node::Leaf(leaves.len() - 1)
        }
        None => match only_counted(aggregation) {
            Some((grouping, range)) => {
                leaves.push(Program::metric(range, Some(grouping), params)?);
                Node::Leaf(leaves.len() - 1)
            }
            None => node(&aggregation.inner, params, leaves)?,
        },
    };
    refuse_number(&inner)?;
    let aggregation = Aggregation {
        op: aggregation.op,
        parameter: aggregation.parameter.unwrap_or(0).max(0) as usize,
        grouping: aggregation.grouping.clone(),
    };
    Ok(Node::Aggregate(aggregation, Box::new(inner)))
}

/// A number where a vector must stand parses, and fails in Loki's evaluator with this text and
/// status 500.
fn refuse_number(node: &Node) -> Result<(), QueryError> {
    if !matches!(node, Node::Scalar(_)) {
        return Ok(());
    }
    Err(QueryError::Internal(
        "unexpected expr type (*syntax.LiteralExpr) for Evaluator type (*logql.DefaultEvaluator)"
            .to_owned(),
    ))
}

fn between(
    binary: &BinaryExpr,
    params: &Params,
    leaves: &mut Vec<Program>,
) -> Result<Node, QueryError> {
    let left = node(&binary.left, params, leaves)?;
    let right = node(&binary.right, params, leaves)?;
    Ok(match (left, right) {
        (Node::Scalar(left), Node::Scalar(right)) => {
            Node::Scalar(binary::arithmetic(binary.op, left, right))
        }
        (Node::Scalar(scalar), vector) => with_scalar(binary, true, scalar, vector),
        (vector, Node::Scalar(scalar)) => with_scalar(binary, false, scalar, vector),
        sides if matches!(binary.op, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless) => {
            Node::Set(Set::new(binary), Box::new(sides))
        }
        sides => Node::Between(Between::new(binary), Box::new(sides)),
    })
}

fn with_scalar(binary: &BinaryExpr, scalar_left: bool, scalar: f64, vector: Node) -> Node {
    Node::WithScalar {
        op: binary.op,
        return_bool: binary.return_bool,
        scalar_left,
        scalar,
        vector: Box::new(vector),
    }
}
