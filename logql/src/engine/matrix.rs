//! Series over evaluations, and the expression that is computed on them when all rows are in.

use base::{HashMap, Labels};

use super::label_replace::LabelReplace;
use super::matching::Between;
use super::sets::Set;
use super::vector::Aggregation;
use super::{binary, vector};
use crate::plan::QueryError;
use crate::syntax::BinaryOp;

/// Series and their value, if any, at each evaluation. No two have the same labels.
pub(crate) type Matrix = Vec<(Labels, Vec<Option<f64>>)>;

/// What is computed from the leaves.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The series of a leaf.
    Leaf(usize),
    /// A number.
    Scalar(f64),
    /// `vector(1)`: one series without labels.
    Constant(f64),
    /// `sum by (..) (..)` and kin.
    Aggregate(Aggregation, Box<Node>),
    /// Two vectors.
    Between(Between, Box<(Node, Node)>),
    /// `and`, `or`, `unless`.
    Set(Set, Box<(Node, Node)>),
    /// `label_replace(..)`.
    LabelReplace(Box<LabelReplace>, Box<Node>),
    /// A vector and a number, in either order.
    WithScalar {
        op: BinaryOp,
        return_bool: bool,
        /// The number stands on the left.
        scalar_left: bool,
        scalar: f64,
        vector: Box<Node>,
    },
}

/// What a node is worth.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(f64),
    Matrix(Matrix),
}

/// Computes `node`; `leaves` are taken out as they are used.
pub(crate) fn evaluate(
    node: &Node,
    leaves: &mut [Option<Matrix>],
    steps: usize,
) -> Result<Value, QueryError> {
    Ok(match node {
        Node::Leaf(leaf) => {
            Value::Matrix(leaves[*leaf].take().expect("each leaf stands once in the tree"))
        }
        Node::Scalar(value) => Value::Scalar(*value),
        Node::Constant(value) => Value::Matrix(vec![(Labels::empty(), vec![Some(*value); steps])]),
        Node::Aggregate(aggregation, inner) => {
            let matrix = matrix(evaluate(inner, leaves, steps)?, steps);
            Value::Matrix(vector::aggregate(aggregation, matrix, steps))
        }
        Node::Between(between, sides) => {
            let left = matrix(evaluate(&sides.0, leaves, steps)?, steps);
            let right = matrix(evaluate(&sides.1, leaves, steps)?, steps);
            Value::Matrix(between.apply(&left, &right, steps)?)
        }
        Node::Set(set, sides) => {
            let left = matrix(evaluate(&sides.0, leaves, steps)?, steps);
            let right = matrix(evaluate(&sides.1, leaves, steps)?, steps);
            Value::Matrix(set.apply(left, right, steps))
        }
        Node::LabelReplace(replace, inner) => {
            let mut matrix = matrix(evaluate(inner, leaves, steps)?, steps);
            replace.apply(&mut matrix);
            Value::Matrix(matrix)
        }
        Node::WithScalar { op, return_bool, scalar_left, scalar, vector } => {
            let mut matrix = matrix(evaluate(vector, leaves, steps)?, steps);
            let with = binary::WithScalar {
                op: *op,
                return_bool: *return_bool,
                scalar_left: *scalar_left,
                scalar: *scalar,
            };
            with.apply(&mut matrix);
            Value::Matrix(matrix)
        }
    })
}

fn matrix(value: Value, steps: usize) -> Matrix {
    match value {
        Value::Matrix(matrix) => matrix,
        Value::Scalar(value) => vec![(Labels::empty(), vec![Some(value); steps])],
    }
}

/// Numbers label sets in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    index: HashMap<Labels, usize>,
    pub labels: Vec<Labels>,
}

impl Numbering {
    pub(crate) fn number(&mut self, labels: Labels) -> usize {
        if let Some(&number) = self.index.get(&labels) {
            return number;
        }
        let number = self.labels.len();
        self.index.insert(labels.clone(), number);
        self.labels.push(labels);
        number
    }
}
