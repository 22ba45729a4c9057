//! Binary operators: numbers with numbers, and series with a number (contract 7.5).

use super::matrix::Matrix;
use crate::syntax::BinaryOp;

/// `left op right` as a number; comparisons give 1 or 0. Division by zero is NaN, as in Loki.
pub(crate) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        comparison => f64::from(u8::from(holds(comparison, left, right))),
    }
}

/// Whether a comparison is true.
pub(crate) fn holds(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        _ => unreachable!("{op} compares nothing"),
    }
}

/// Whether an operator compares.
pub(crate) fn compares(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterOrEqual
            | BinaryOp::Less
            | BinaryOp::LessOrEqual
    )
}

/// An operator between series and a number. Labels stay. A comparison without `bool` keeps the
/// samples for which it is true, with their own value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WithScalar {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub scalar_left: bool,
    pub scalar: f64,
}

impl WithScalar {
    fn value(&self, value: f64) -> Option<f64> {
        let (left, right) =
            if self.scalar_left { (self.scalar, value) } else { (value, self.scalar) };
        if compares(self.op) && !self.return_bool {
            return holds(self.op, left, right).then_some(value);
        }
        Some(arithmetic(self.op, left, right))
    }

    /// Applies it to every sample.
    pub(crate) fn apply(&self, matrix: &mut Matrix) {
        for (_, values) in matrix.iter_mut() {
            for value in values.iter_mut() {
                *value = value.and_then(|value| self.value(value));
            }
        }
        matrix.retain(|(_, values)| values.iter().any(Option::is_some));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Labels;

    #[test]
    fn numbers_compute_as_in_loki() {
        use BinaryOp::*;
        for (op, left, right, want) in [
            (Add, 1.0, 1.0, 2.0),
            (Sub, 1.0, -1.0, 2.0),
            (Mul, 3.0, 2.0, 6.0),
            (Div, 7.0, 2.0, 3.5),
            (Mod, 7.0, 4.0, 3.0),
            (Mod, -7.0, 4.0, -3.0),
            (Pow, 2.0, 9.0, 512.0),
            (Equal, 7.0, 7.0, 1.0),
            (Greater, 2.0, 7.0, 0.0),
            (NotEqual, f64::NAN, f64::NAN, 1.0),
        ] {
            assert_eq!(arithmetic(op, left, right), want, "{left} {op:?} {right}");
        }
        assert!(arithmetic(Div, 10.0, 0.0).is_nan());
        assert!(arithmetic(Mod, 10.0, 0.0).is_nan());
    }

    #[test]
    fn a_comparison_with_a_number_filters_or_gives_a_bool() {
        let matrix = || -> Matrix {
            vec![
                (Labels::from_pairs([("a", "1")]), vec![Some(3.0), None, Some(5.0)]),
                (Labels::from_pairs([("a", "2")]), vec![Some(9.0), None, Some(f64::NAN)]),
            ]
        };
        let mut kept = matrix();
        let op = WithScalar {
            op: BinaryOp::Greater,
            return_bool: false,
            scalar_left: true,
            scalar: 4.0,
        };
        op.apply(&mut kept);
        assert_eq!(kept, [(Labels::from_pairs([("a", "1")]), vec![Some(3.0), None, None])]);
        let mut bools = matrix();
        WithScalar { return_bool: true, ..op }.apply(&mut bools);
        assert_eq!(bools[0].1, [Some(1.0), None, Some(0.0)]);
        assert_eq!(bools[1].1, [Some(0.0), None, Some(0.0)]);
    }
}
