//! From a metric expression to leaves and what is computed on them.

use super::leaf::Program;
use super::{Params, QueryError};
use crate::engine::binary;
use crate::engine::matrix::Node;
use crate::engine::vector::{self, Aggregation};
use crate::syntax::{BinaryExpr, MetricExpr, RangeAggregation, VectorAggregation, VectorOp};

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

/// The range function that takes over the grouping of a `sum` above it. All functions that are
/// executed add up, so the sum of series is the series of the sum.
fn pushed_down(aggregation: &VectorAggregation) -> Option<&RangeAggregation> {
    match &*aggregation.inner {
        MetricExpr::Range(range) if aggregation.op == VectorOp::Sum && range.grouping.is_none() => {
            Some(range)
        }
        _ => None,
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
        MetricExpr::LabelReplace(_) => {
            return Err(QueryError::Unsupported("label_replace".to_owned()));
        }
    })
}

fn aggregate(
    aggregation: &VectorAggregation,
    params: &Params,
    leaves: &mut Vec<Program>,
) -> Result<Node, QueryError> {
    if !vector::executes(aggregation.op) {
        return Err(QueryError::Unsupported(aggregation.op.to_string()));
    }
    let inner = match pushed_down(aggregation) {
        Some(range) => {
            leaves.push(Program::metric(range, Some(aggregation.grouping.as_ref()), params)?);
            Node::Leaf(leaves.len() - 1)
        }
        None => node(&aggregation.inner, params, leaves)?,
    };
    if matches!(inner, Node::Scalar(_)) {
        // Parses, and fails in Loki's evaluator with this text and status 500.
        return Err(QueryError::Internal(
            "unexpected expr type (*syntax.LiteralExpr) for Evaluator type \
             (*logql.DefaultEvaluator)"
                .to_owned(),
        ));
    }
    let aggregation = Aggregation {
        op: aggregation.op,
        parameter: aggregation.parameter.unwrap_or(0).max(0) as usize,
        grouping: aggregation.grouping.clone(),
    };
    Ok(Node::Aggregate(aggregation, Box::new(inner)))
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
        _ => {
            let what = format!("binary operation ({}) between vectors", binary.op);
            return Err(QueryError::Unsupported(what));
        }
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
