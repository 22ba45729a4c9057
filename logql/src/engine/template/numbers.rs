//! Functions on numbers. Text is read as a number; what is none is 0.

use super::functions::{Call, Kind};
use super::value::Value;
use crate::syntax::number;
use Kind::{Any, Float, Int};

type Row = (&'static str, &'static [Kind], Option<Kind>, Call);

pub(super) const FUNCTIONS: &[Row] = &[
    ("int", &[Any], None, |_, g| Ok(Value::Int(whole(&g[0])))),
    ("float64", &[Any], None, |_, g| Ok(Value::Float(float(&g[0])))),
    ("add", &[], Some(Any), |_, g| Ok(Value::Long(g.iter().map(whole).fold(0, i64::wrapping_add)))),
    ("sub", &[Any, Any], None, |_, g| Ok(Value::Long(whole(&g[0]).wrapping_sub(whole(&g[1]))))),
    ("mul", &[Any], Some(Any), |_, g| {
        Ok(Value::Long(g.iter().map(whole).fold(1, i64::wrapping_mul)))
    }),
    ("div", &[Any, Any], None, |_, g| divided(&g[0], &g[1], i64::checked_div)),
    ("mod", &[Any, Any], None, |_, g| divided(&g[0], &g[1], i64::checked_rem)),
    ("max", &[Any], Some(Any), |_, g| {
        Ok(Value::Long(g.iter().map(whole).fold(i64::MIN, i64::max)))
    }),
    ("min", &[Any], Some(Any), |_, g| {
        Ok(Value::Long(g.iter().map(whole).fold(i64::MAX, i64::min)))
    }),
    ("addf", &[], Some(Any), |_, g| decimal(Value::Float(0.0), g, Operation::Add)),
    ("subf", &[Any], Some(Any), |_, g| decimal(g[0].clone(), &g[1..], Operation::Subtract)),
    ("mulf", &[Any], Some(Any), |_, g| decimal(g[0].clone(), &g[1..], Operation::Multiply)),
    ("divf", &[Any], Some(Any), |_, g| decimal(g[0].clone(), &g[1..], Operation::Divide)),
    ("maxf", &[Any], Some(Any), |_, g| {
        Ok(Value::Float(g.iter().map(float).fold(f64::NEG_INFINITY, f64::max)))
    }),
    ("minf", &[Any], Some(Any), |_, g| {
        Ok(Value::Float(g.iter().map(float).fold(f64::INFINITY, f64::min)))
    }),
    ("ceil", &[Any], None, |_, g| Ok(Value::Float(float(&g[0]).ceil()))),
    ("floor", &[Any], None, |_, g| Ok(Value::Float(float(&g[0]).floor()))),
    ("round", &[Any, Int], Some(Float), |_, g| Ok(Value::Float(rounded(g)))),
];

/// As a whole number: text in any base that its prefix tells, up to a decimal point.
pub(super) fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(value) | Value::Long(value) => *value,
        Value::Byte(byte) => i64::from(*byte),
        Value::Bool(value) => i64::from(*value),
        Value::Float(value) => *value as i64,
        Value::Str(text) => std::str::from_utf8(text).map_or(0, read_whole),
        _ => 0,
    }
}

fn read_whole(text: &str) -> i64 {
    if text.contains('_') {
        // Go's literals may have them between digits.
        let inside = number::separators_are_inside(text.trim_start_matches(['+', '-']));
        return if inside { read_whole(&text.replace('_', "")) } else { 0 };
    }
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = match body.split_once('.') {
        Some((whole, part)) if part.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) => return 0,
        None => body,
    };
    let lower = whole.to_ascii_lowercase();
    let radix = |prefix: &str, radix: u32| {
        lower.strip_prefix(prefix).map(|digits| i64::from_str_radix(digits, radix).unwrap_or(0))
    };
    let read = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8));
    let octal = lower.len() > 1 && lower.starts_with('0');
    let read = read.unwrap_or_else(|| match octal {
        true => i64::from_str_radix(&lower, 8).unwrap_or(0),
        false if lower.bytes().all(|byte| byte.is_ascii_digit()) => lower.parse().unwrap_or(0),
        false => 0,
    });
    sign * read
}

/// As a float.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Str(text) => {
            std::str::from_utf8(text).ok().and_then(|t| number::parse_float(t).ok()).unwrap_or(0.0)
        }
        other => whole(other) as f64,
    }
}

fn divided(
    left: &Value,
    right: &Value,
    divide: fn(i64, i64) -> Option<i64>,
) -> Result<Value, String> {
    let (left, right) = (whole(left), whole(right));
    if right == 0 {
        return Err("runtime error: integer divide by zero".to_owned());
    }
    // The only other case without a result wraps around in Go.
    Ok(Value::Long(divide(left, right).unwrap_or(left)))
}

fn rounded(given: &[Value]) -> f64 {
    let value = float(&given[0]);
    let on = given.get(2).map_or(0.5, float);
    let scale = 10f64.powi(whole(&given[1]).clamp(-400, 400) as i32);
    let scaled = scale * value;
    let up = scaled.fract() >= on;
    (if up { scaled.ceil() } else { scaled.floor() }) / scale
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Decimal arithmetic on the shortest decimals of floats: `addf 0.1 0.2` is 0.3.
fn decimal(first: Value, rest: &[Value], operation: Operation) -> Result<Value, String> {
    let mut left = float(&first);
    for value in rest {
        let right = float(value);
        if matches!(operation, Operation::Divide) && right == 0.0 {
            return Err("decimal division by 0".to_owned());
        }
        left = exact(left, right, operation).unwrap_or(match operation {
            Operation::Add => left + right,
            Operation::Subtract => left - right,
            Operation::Multiply => left * right,
            Operation::Divide => left / right,
        });
    }
    Ok(Value::Float(left))
}

/// The result, if its digits fit into 128 bits.
fn exact(left: f64, right: f64, operation: Operation) -> Option<f64> {
    let ((a, a_scale), (b, b_scale)) = (digits(left)?, digits(right)?);
    let (value, scale) = match operation {
        Operation::Divide => quotient((a, a_scale), (b, b_scale))?,
        Operation::Multiply => (a.checked_mul(b)?, a_scale + b_scale),
        Operation::Add | Operation::Subtract => {
            let scale = a_scale.max(b_scale);
            let raise = |value: i128, own: u32| {
                10i128.checked_pow(scale - own).and_then(|factor| value.checked_mul(factor))
            };
            let (a, b) = (raise(a, a_scale)?, raise(b, b_scale)?);
            let subtracts = matches!(operation, Operation::Subtract);
            (if subtracts { a.checked_sub(b)? } else { a.checked_add(b)? }, scale)
        }
    };
    format!("{value}e-{scale}").parse().ok()
}

/// Digits behind the point that a quotient has.
const QUOTIENT_DIGITS: u32 = 16;

/// `a / b`, rounded to the nearest, halves away from zero.
fn quotient((a, a_scale): (i128, u32), (b, b_scale): (i128, u32)) -> Option<(i128, u32)> {
    let raised =
        |value: i128, by: u32| 10i128.checked_pow(by).and_then(|factor| value.checked_mul(factor));
    let a = raised(a, QUOTIENT_DIGITS + b_scale)?;
    let b = raised(b, a_scale)?;
    let (whole, rest) = (a / b, a % b);
    let away = if (a < 0) == (b < 0) { 1 } else { -1 };
    let up = rest.unsigned_abs().checked_mul(2)? >= b.unsigned_abs();
    Some((if up { whole + away } else { whole }, QUOTIENT_DIGITS))
}

/// A float as an integer and how many of its digits stand behind the point.
fn digits(value: f64) -> Option<(i128, u32)> {
    if !value.is_finite() {
        return None;
    }
    let text = value.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let value = format!("{whole}{part}").parse().ok()?;
    Some((value, part.len() as u32))
}
