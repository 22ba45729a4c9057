//! Metric queries, one instant after the other.

use std::collections::{BTreeMap, BTreeSet};

use base::Labels;
use regex_automata::meta::Regex;

use super::super::TestRow;
use super::{distinct, stages};
use crate::syntax::*;

pub(in crate::engine::tests) type Vector = BTreeMap<Labels, f64>;

/// Why a query has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine::tests) enum Failed {
    /// An error label on a row.
    Pipeline,
    /// Series that meet more than one other.
    Matching,
}

enum Value {
    Number(f64),
    Vector(Vector),
}

/// A metric query at one instant.
pub(in crate::engine::tests) fn metric(
    expr: &MetricExpr,
    at: i64,
    streams: &[Labels],
    rows: &[(u64, TestRow)],
) -> Result<Vector, Failed> {
    let vector = |expr: &MetricExpr| metric(expr, at, streams, rows);
    match expr {
        MetricExpr::Range(range) => self::range(range, false, at, streams, rows),
        MetricExpr::Vector(aggregation) => {
            // A sum takes its grouping into what it sums up, where the sample is still a label.
            let by = aggregation.grouping.as_ref().is_some_and(|grouping| !grouping.without);
            let inner = match &*aggregation.inner {
                MetricExpr::Range(range) if aggregation.op == VectorOp::Sum => {
                    let adds = matches!(range.op, RangeOp::SumOverTime | RangeOp::Rate);
                    self::range(range, by && adds, at, streams, rows)?
                }
                inner => vector(inner)?,
            };
            Ok(aggregate(aggregation, inner))
        }
        MetricExpr::VectorFn(value) => Ok([(Labels::empty(), *value)].into()),
        MetricExpr::Literal(value) => Ok([(Labels::empty(), *value)].into()),
        MetricExpr::LabelReplace(replace) => Ok(label_replace(replace, vector(&replace.inner)?)),
        MetricExpr::Binary(binary) => {
            let side = |expr: &MetricExpr| match expr {
                MetricExpr::Literal(value) => Ok(Value::Number(*value)),
                expr => vector(expr).map(Value::Vector),
            };
            match (side(&binary.left)?, side(&binary.right)?) {
                (Value::Vector(left), Value::Vector(right)) => match binary.op {
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => Ok(set(binary, left, right)),
                    _ => between(binary, left, right),
                },
                (Value::Vector(left), Value::Number(right)) => {
                    Ok(with_number(left, |left| compute(binary, left, right, left)))
                }
                (Value::Number(left), Value::Vector(right)) => {
                    Ok(with_number(right, |right| compute(binary, left, right, right)))
                }
                _ => panic!("numbers are folded"),
            }
        }
    }
}

fn with_number(vector: Vector, value: impl Fn(f64) -> Option<f64>) -> Vector {
    vector.into_iter().filter_map(|(labels, old)| Some((labels, value(old)?))).collect()
}

/// The value of an operator, or none where a comparison filters; then `kept` is the value.
fn compute(binary: &BinaryExpr, left: f64, right: f64, kept: f64) -> Option<f64> {
    let truth = match binary.op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        BinaryOp::Add => return Some(left + right),
        BinaryOp::Sub => return Some(left - right),
        BinaryOp::Mul => return Some(left * right),
        BinaryOp::Pow => return Some(left.powf(right)),
        BinaryOp::Div => return Some(if right == 0.0 { f64::NAN } else { left / right }),
        BinaryOp::Mod => return Some(if right == 0.0 { f64::NAN } else { left % right }),
        other => panic!("{other} is a set operator"),
    };
    match binary.return_bool {
        true => Some(f64::from(u8::from(truth))),
        false => truth.then_some(kept),
    }
}

fn matching(binary: &BinaryExpr) -> VectorMatching {
    let none = VectorMatching { on: false, labels: Vec::new(), group: None, include: Vec::new() };
    binary.matching.clone().unwrap_or(none)
}

fn named(labels: &Labels, names: &[String], which: bool) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(name, _)| names.iter().any(|n| n == name) == which))
}

fn set(binary: &BinaryExpr, left: Vector, right: Vector) -> Vector {
    let VectorMatching { on, labels, .. } = matching(binary);
    let signature = |series: &Labels| named(series, &labels, on);
    let of = |vector: &Vector| -> BTreeSet<Labels> { vector.keys().map(signature).collect() };
    let (of_left, of_right) = (of(&left), of(&right));
    let mut out = left;
    match binary.op {
        BinaryOp::And => out.retain(|series, _| of_right.contains(&signature(series))),
        BinaryOp::Unless => out.retain(|series, _| !of_right.contains(&signature(series))),
        _ => out.extend(right.into_iter().filter(|(s, _)| !of_left.contains(&signature(s)))),
    }
    out
}

fn between(binary: &BinaryExpr, left: Vector, right: Vector) -> Result<Vector, Failed> {
    let VectorMatching { on, labels, group, include } = matching(binary);
    let signature = |series: &Labels| named(series, &labels, on);
    let swapped = group == Some(GroupSide::Right);
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut ones: BTreeMap<Labels, (Labels, f64)> = BTreeMap::new();
    for (series, value) in one {
        if ones.insert(signature(&series), (series, value)).is_some() {
            return Err(Failed::Matching);
        }
    }
    let mut out = Vector::new();
    for (series, value) in many {
        let Some((partner, other)) = ones.get(&signature(&series)) else { continue };
        let (left, right) = if swapped { (*other, value) } else { (value, *other) };
        let Some(result) = compute(binary, left, right, left) else { continue };
        let result_labels = match group {
            None => named(&series, &labels, on),
            Some(_) => {
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let mut all: BTreeMap<String, String> = series.iter().map(owned).collect();
                for name in &include {
                    all.remove(name);
                    let value = partner.get(name).filter(|value| !value.is_empty());
                    all.extend(value.map(|value| (name.clone(), value.to_owned())));
                }
                Labels::from_pairs(all)
            }
        };
        if out.insert(result_labels, result).is_some() {
            return Err(Failed::Matching);
        }
    }
    Ok(out)
}

fn label_replace(replace: &LabelReplace, vector: Vector) -> Vector {
    let regex = Regex::new(&format!("^(?s:{})$", replace.regex)).unwrap();
    assert_eq!(replace.replacement, "<$1>", "the only one that is tested");
    let rename = |(series, value): (Labels, f64)| {
        let source = series.get(&replace.src).unwrap_or_default();
        let mut captures = regex.create_captures();
        regex.captures(source, &mut captures);
        if !captures.is_match() {
            return (series, value);
        }
        let group = captures.get_group(1).map_or("", |span| &source[span.range()]);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut all: BTreeMap<String, String> = series.iter().map(owned).collect();
        all.insert(replace.dst.clone(), format!("<{group}>"));
        (Labels::from_pairs(all), value)
    };
    vector.into_iter().map(rename).collect()
}

/// Stages without the `line_format`s whose line nobody reads.
fn read_stages(range: &RangeAggregation) -> Vec<Stage> {
    let lengths = matches!(range.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
    let stages = &range.log.stages;
    let reads = |stage: &Stage| {
        use Stage::*;
        !matches!(stage, LineFormat(_) | LabelFilter(_) | Drop(_) | Keep(_) | Decolorize)
    };
    let kept = |at: usize| {
        !matches!(stages[at], Stage::LineFormat(_)) || lengths || stages[at..].iter().any(reads)
    };
    (0..stages.len()).filter(|&at| kept(at)).map(|at| stages[at].clone()).collect()
}

/// `keep` = the label that became the sample stays.
fn range(
    range: &RangeAggregation,
    keep: bool,
    at: i64,
    streams: &[Labels],
    rows: &[(u64, TestRow)],
) -> Result<Vector, Failed> {
    let end = at - range.offset_ns;
    let length = range.range.as_nanos() as i64;
    let stages = read_stages(range);
    let mut samples: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    let mut rows = distinct(rows);
    rows.sort_by_key(|(order, row)| (row.ts_ns, streams[row.stream].key(), *order));
    for (_, row) in rows {
        if row.ts_ns <= end - length || row.ts_ns > end {
            continue;
        }
        let Some(mut row) = stages::run(&range.log.matchers, &stages, streams, &row) else {
            continue;
        };
        let value = match (&range.unwrap, range.op) {
            (Some(unwrap), _) => {
                let Some(value) = stages::unwrapped(unwrap, &mut row) else { continue };
                value
            }
            (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => row.line.len() as f64,
            _ => 1.0,
        };
        if !row.error.is_empty() {
            return Err(Failed::Pipeline);
        }
        let by = range.grouping.as_ref().is_some_and(|grouping| !grouping.without);
        let labels = match &range.unwrap {
            Some(unwrap) if !by && !keep => row.labels_without(&unwrap.label),
            _ => row.labels(),
        };
        let labels = match &range.grouping {
            Some(grouping) => group(Some(grouping), &labels),
            None => labels,
        };
        samples.entry(labels).or_default().push(value);
    }
    if range.op == RangeOp::AbsentOverTime {
        let present = samples.into_values().any(|samples| !samples.is_empty());
        let matchers = &range.log.matchers;
        let alone =
            |matcher: &Matcher| matchers.iter().filter(|m| m.name == matcher.name).count() == 1;
        let equal = matchers.iter().filter(|matcher| {
            matcher.op == MatchOp::Equal && !matcher.value.is_empty() && alone(matcher)
        });
        let labels = Labels::from_pairs(equal.map(|matcher| (&matcher.name, &matcher.value)));
        return Ok((!present).then_some((labels, 1.0)).into_iter().collect());
    }
    Ok(samples.into_iter().map(|(labels, samples)| (labels, of_range(range, samples))).collect())
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

fn of_range(range: &RangeAggregation, mut samples: Vec<f64>) -> f64 {
    let count = samples.len() as f64;
    let sum = samples.iter().sum::<f64>();
    match range.op {
        RangeOp::Rate | RangeOp::BytesRate => sum / range.range.as_secs_f64(),
        RangeOp::CountOverTime | RangeOp::BytesOverTime | RangeOp::SumOverTime => sum,
        RangeOp::AvgOverTime => sum / count,
        RangeOp::StdvarOverTime => variance(&samples),
        RangeOp::StddevOverTime => variance(&samples).sqrt(),
        RangeOp::MinOverTime => samples.into_iter().fold(f64::INFINITY, f64::min),
        RangeOp::MaxOverTime => samples.into_iter().fold(f64::NEG_INFINITY, f64::max),
        RangeOp::FirstOverTime => samples[0],
        RangeOp::LastOverTime => samples[samples.len() - 1],
        RangeOp::QuantileOverTime => {
            let q = range.parameter.unwrap();
            if q > 1.0 {
                return f64::INFINITY;
            }
            samples.sort_by(f64::total_cmp);
            let rank = q * (count - 1.0);
            let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
            samples[low] + (samples[high] - samples[low]) * (rank - rank.floor())
        }
        other => panic!("not evaluated here: {other}"),
    }
}

/// The labels of a group.
fn group(grouping: Option<&Grouping>, labels: &Labels) -> Labels {
    let Some(grouping) = grouping else { return Labels::empty() };
    Labels::from_pairs(labels.iter().filter(|(name, value)| {
        let named = grouping.labels.iter().any(|label| label == name);
        named != grouping.without && (grouping.without || !value.is_empty())
    }))
}

fn aggregate(aggregation: &VectorAggregation, inner: Vector) -> Vector {
    if matches!(aggregation.op, VectorOp::Sort | VectorOp::SortDesc) {
        return inner;
    }
    let mut groups: BTreeMap<Labels, Vec<(Labels, f64)>> = BTreeMap::new();
    for (labels, value) in inner {
        groups
            .entry(group(aggregation.grouping.as_ref(), &labels))
            .or_default()
            .push((labels, value));
    }
    let mut out = Vector::new();
    for (labels, mut members) in groups {
        let values: Vec<f64> = members.iter().map(|member| member.1).collect();
        let value = match aggregation.op {
            VectorOp::Sum => values.iter().sum(),
            VectorOp::Avg => values.iter().sum::<f64>() / values.len() as f64,
            VectorOp::Min => values.into_iter().fold(f64::NAN, f64::min),
            VectorOp::Max => values.into_iter().fold(f64::NAN, f64::max),
            VectorOp::Count => values.len() as f64,
            VectorOp::Stddev => variance(&values).sqrt(),
            VectorOp::Stdvar => variance(&values),
            VectorOp::Topk | VectorOp::Bottomk => {
                let low = aggregation.op == VectorOp::Bottomk;
                members.sort_by(|a, b| {
                    let (a_value, b_value) = if low { (a.1, b.1) } else { (b.1, a.1) };
                    let numbers = a_value.partial_cmp(&b_value);
                    let by_number = numbers.unwrap_or(a.1.is_nan().cmp(&b.1.is_nan()));
                    by_number.then_with(|| a.0.cmp(&b.0))
                });
                members.truncate(aggregation.parameter.unwrap() as usize);
                out.extend(members);
                continue;
            }
            other => panic!("not evaluated here: {other}"),
        };
        out.insert(labels, value);
    }
    out
}
