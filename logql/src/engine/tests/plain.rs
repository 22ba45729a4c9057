//! A second evaluator that shares nothing with the first but the syntax tree and the conversions
//! of numbers: row by row, label by label, window by window. Slow on purpose.
//!
//! Lines must be whole JSON objects, logfmt without escapes, or text that is neither.

use std::collections::BTreeMap;

use base::Labels;
use regex_automata::meta::Regex;

use super::TestRow;
use crate::engine::convert::{parse_bytes, parse_duration, parse_float};
use crate::engine::matcher::ValueMatcher;
use crate::plan::{Direction, Params};
use crate::syntax::*;

type Map = BTreeMap<String, String>;

/// Labels of one row and its error.
#[derive(Clone, Debug, Default)]
struct Row {
    stream: Map,
    metadata: Map,
    parsed: Map,
}

impl Row {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.parsed.get(name).or(self.metadata.get(name)).or(self.stream.get(name));
        found.map(String::as_str)
    }

    fn extract(&mut self, name: &str, value: &str) {
        let taken = self.stream.contains_key(name) || self.metadata.contains_key(name);
        let name = if taken { format!("{name}_extracted") } else { name.to_owned() };
        self.parsed.entry(name).or_insert_with(|| value.to_owned());
    }

    fn fail(&mut self, kind: &str, details: &str) {
        self.parsed.insert("__error__".to_owned(), kind.to_owned());
        self.parsed.insert("__error_details__".to_owned(), details.to_owned());
    }

    fn labels(&self) -> Labels {
        let mut all = self.stream.clone();
        all.extend(self.metadata.clone());
        all.extend(self.parsed.clone());
        Labels::from_pairs(all)
    }
}

fn sanitised(key: &str) -> String {
    let mut out: String =
        key.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

fn json_leaves(prefix: &str, value: &serde_json::Value, row: &mut Row) {
    for (key, value) in value.as_object().expect("an object") {
        let name =
            if prefix.is_empty() { sanitised(key) } else { format!("{prefix}_{}", sanitised(key)) };
        match value {
            serde_json::Value::Object(_) => json_leaves(&name, value, row),
            serde_json::Value::Null | serde_json::Value::Array(_) => {}
            serde_json::Value::String(text) => row.extract(&name, text),
            other => row.extract(&name, &other.to_string()),
        }
    }
}

fn parse(stage: &Stage, line: &str, row: &mut Row) {
    match stage {
        Stage::Json(paths) if paths.is_empty() => match serde_json::from_str(line) {
            Ok(value @ serde_json::Value::Object(_)) => json_leaves("", &value, row),
            _ => row.fail(
                "JSONParserErr",
                "Value looks like object, but can't find closing '}' symbol",
            ),
        },
        Stage::Logfmt { keep_empty, .. } => {
            for pair in line.split_whitespace() {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let odd = |text: &str| text.contains('"') || text.contains('=');
                let unquoted = value.trim_matches('"');
                if key.is_empty() || odd(key) || odd(unquoted) {
                    continue;
                }
                if *keep_empty || !unquoted.is_empty() {
                    row.extract(&sanitised(key), unquoted);
                }
            }
        }
        other => panic!("not evaluated here: {other}"),
    }
}

fn line_passes(filter: &LineFilter, line: &str) -> bool {
    let hit = filter.operands.iter().any(|operand| {
        let LineOperand::Text(text) = operand else { panic!("not evaluated here") };
        let text = std::str::from_utf8(text).unwrap();
        match filter.op {
            LineOp::Contains | LineOp::NotContains => line.contains(text),
            LineOp::Regex | LineOp::NotRegex => Regex::new(text).unwrap().is_match(line),
            LineOp::Pattern | LineOp::NotPattern => panic!("not evaluated here"),
        }
    });
    hit == matches!(filter.op, LineOp::Contains | LineOp::Regex)
}

fn compare<T: PartialOrd>(op: CompareOp, left: T, right: T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterOrEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessOrEqual => left <= right,
    }
}

fn label_passes(filter: &LabelFilter, row: &mut Row) -> bool {
    let (name, verdict) = match filter {
        LabelFilter::And(left, right) => {
            let left = label_passes(left, row);
            return label_passes(right, row) && left;
        }
        LabelFilter::Or(left, right) => {
            return label_passes(left, row) || label_passes(right, row);
        }
        LabelFilter::Match(matcher) => {
            let value = row.get(&matcher.name).unwrap_or_default();
            let compiled = ValueMatcher::new(matcher.op, &matcher.value).unwrap();
            return compiled.is_match(value.as_bytes());
        }
        LabelFilter::Number { name, op, value } => {
            (name, row.get(name).map(|text| parse_float(text).map(|l| compare(*op, l, *value))))
        }
        LabelFilter::Duration { name, op, value_ns } => {
            let judge = |text| parse_duration(text).map(|left| compare(*op, left, *value_ns));
            (name, row.get(name).map(judge))
        }
        LabelFilter::Bytes { name, op, value } => {
            (name, row.get(name).map(|text| parse_bytes(text).map(|l| compare(*op, l, *value))))
        }
        LabelFilter::Ip { .. } => panic!("not evaluated here"),
    };
    assert!(!name.starts_with("__error"), "not evaluated here");
    match verdict {
        None => false,
        Some(Ok(passes)) => passes,
        Some(Err(why)) => {
            if row.get("__error__").is_none() {
                row.fail("LabelFilterErr", &why.0);
            }
            true
        }
    }
}

/// The row after the pipeline, if it passes.
fn pipeline(log: &LogExpr, streams: &[Labels], row: &TestRow) -> Option<Row> {
    let labels = &streams[row.stream];
    let selected = log.matchers.iter().all(|matcher| {
        let compiled = ValueMatcher::new(matcher.op, &matcher.value).unwrap();
        compiled.is_match(labels.get(&matcher.name).unwrap_or_default().as_bytes())
    });
    if !selected {
        return None;
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut out = Row { stream: labels.iter().map(owned).collect(), ..Row::default() };
    for (name, value) in &row.metadata {
        let taken = out.stream.contains_key(name);
        let name = if taken { format!("{name}_extracted") } else { name.clone() };
        out.metadata.insert(name, value.clone());
    }
    for stage in &log.stages {
        let passes = match stage {
            Stage::LineFilter(filter) => line_passes(filter, &row.line),
            Stage::LabelFilter(filter) => label_passes(filter, &mut out),
            parser => {
                parse(parser, &row.line, &mut out);
                true
            }
        };
        if !passes {
            return None;
        }
    }
    Some(out)
}

/// Each distinct row once: the first copy in `order`.
fn distinct(rows: &[(u64, TestRow)]) -> Vec<(u64, TestRow)> {
    let mut seen = std::collections::BTreeSet::new();
    rows.iter().filter(|(_, row)| seen.insert(row.clone())).cloned().collect()
}

/// The lines of a log query, each with its labels. `rows` carry their order of arrival.
pub(super) fn log(
    log: &LogExpr,
    params: &Params,
    streams: &[Labels],
    rows: &[(u64, TestRow)],
) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(order, row)| (row.ts_ns, streams[row.stream].key(), *order));
    if params.direction == Direction::Backward {
        rows.reverse();
    }
    let mut last: Option<i64> = None;
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut left = params.limit;
    for (_, row) in distinct(&rows) {
        let inside = params.start.0 <= row.ts_ns && row.ts_ns < params.end.0;
        let Some(labels) = pipeline(log, streams, &row).filter(|_| inside) else { continue };
        let far = last.is_none_or(|last| (last - row.ts_ns).abs() >= params.interval_ns);
        if left == 0 || !far {
            continue;
        }
        left -= 1;
        last = Some(row.ts_ns);
        let text = format!("{} {}", row.ts_ns, row.line);
        out.entry(labels.labels().to_string()).or_default().push(text);
    }
    out.into_iter().map(|(labels, lines)| format!("{labels} [{}]", lines.join(", "))).collect()
}

type Vector = BTreeMap<Labels, f64>;

/// Whether the query has failed because of an error label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// A metric query at one instant.
pub(super) fn metric(
    expr: &MetricExpr,
    at: i64,
    streams: &[Labels],
    rows: &[(u64, TestRow)],
) -> Result<Vector, Failed> {
    match expr {
        MetricExpr::Range(range) => self::range(range, at, streams, rows),
        MetricExpr::Vector(aggregation) => {
            let inner = metric(&aggregation.inner, at, streams, rows)?;
            Ok(aggregate(aggregation, inner))
        }
        MetricExpr::VectorFn(value) => Ok([(Labels::empty(), *value)].into()),
        MetricExpr::Binary(binary) => {
            let mut left = metric(&binary.left, at, streams, rows)?;
            let MetricExpr::Literal(right) = binary.right else {
                let mut right = metric(&binary.right, at, streams, rows)?;
                match binary.op {
                    BinaryOp::And => left.retain(|labels, _| right.contains_key(labels)),
                    BinaryOp::Unless => left.retain(|labels, _| !right.contains_key(labels)),
                    BinaryOp::Or => {
                        right.extend(left);
                        return Ok(right);
                    }
                    BinaryOp::Div => {
                        left.retain(|labels, _| right.contains_key(labels));
                        let zero = |value: f64| if value == 0.0 { f64::NAN } else { value };
                        left.iter_mut().for_each(|(labels, value)| *value /= zero(right[labels]));
                    }
                    other => panic!("not evaluated here: {other}"),
                }
                return Ok(left);
            };
            left.retain(|_, left| match binary.op {
                BinaryOp::Greater => *left > right,
                BinaryOp::Mul => {
                    *left *= right;
                    true
                }
                other => panic!("not evaluated here: {other}"),
            });
            Ok(left)
        }
        other => panic!("not evaluated here: {other}"),
    }
}

fn range(
    range: &RangeAggregation,
    at: i64,
    streams: &[Labels],
    rows: &[(u64, TestRow)],
) -> Result<Vector, Failed> {
    let end = at - range.offset_ns;
    let length = range.range.as_nanos() as i64;
    let mut samples: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    let mut rows = distinct(rows);
    rows.sort_by_key(|(order, row)| (row.ts_ns, streams[row.stream].key(), *order));
    for (_, row) in rows {
        if row.ts_ns <= end - length || row.ts_ns > end {
            continue;
        }
        let Some(mut labels) = pipeline(&range.log, streams, &row) else { continue };
        let value = match (&range.unwrap, range.op) {
            (Some(unwrap), _) => {
                let Some(value) = unwrapped(unwrap, &mut labels) else { continue };
                value
            }
            (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => row.line.len() as f64,
            _ => 1.0,
        };
        if labels.get("__error__").is_some() {
            return Err(Failed);
        }
        let mut labels = labels.labels();
        if let Some(grouping) = &range.grouping {
            labels = group(Some(grouping), &labels);
        }
        samples.entry(labels).or_default().push(value);
    }
    if range.op == RangeOp::AbsentOverTime {
        let present = samples.into_values().any(|samples| !samples.is_empty());
        let equal = |matcher: &&Matcher| matcher.op == MatchOp::Equal;
        let equal = range.log.matchers.iter().filter(equal);
        let labels = Labels::from_pairs(equal.map(|matcher| (&matcher.name, &matcher.value)));
        return Ok((!present).then_some((labels, 1.0)).into_iter().collect());
    }
    Ok(samples.into_iter().map(|(labels, samples)| (labels, of_range(range, samples))).collect())
}

/// The value of a row, if it has one. Its label is none any more.
fn unwrapped(unwrap: &Unwrap, row: &mut Row) -> Option<f64> {
    let text = row.get(&unwrap.label).filter(|text| !text.is_empty())?.to_owned();
    let read = match unwrap.conversion {
        None => parse_float(&text),
        Some(UnwrapConversion::Bytes) => parse_bytes(&text).map(|bytes| bytes as f64),
        Some(_) => parse_duration(&text).map(|ns| ns as f64 / 1e9),
    };
    let value = read.unwrap_or_else(|why| {
        row.fail("SampleExtractionErr", &why.0);
        0.0
    });
    for filter in &unwrap.filters {
        let passes = match filter {
            LabelFilter::Match(m) if m.name == "__error__" => row.get("__error__").is_none(),
            filter => label_passes(filter, row),
        };
        if !passes {
            return None;
        }
    }
    for labels in [&mut row.parsed, &mut row.metadata, &mut row.stream] {
        labels.remove(&unwrap.label);
    }
    Some(value)
}

fn of_range(range: &RangeAggregation, mut samples: Vec<f64>) -> f64 {
    let count = samples.len() as f64;
    let sum = samples.iter().sum::<f64>();
    let mean = sum / count;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / count;
    match range.op {
        RangeOp::Rate | RangeOp::BytesRate => sum / range.range.as_secs_f64(),
        RangeOp::CountOverTime | RangeOp::BytesOverTime | RangeOp::SumOverTime => sum,
        RangeOp::AvgOverTime => mean,
        RangeOp::StdvarOverTime => variance,
        RangeOp::StddevOverTime => variance.sqrt(),
        RangeOp::MinOverTime => samples.into_iter().fold(f64::INFINITY, f64::min),
        RangeOp::MaxOverTime => samples.into_iter().fold(f64::NEG_INFINITY, f64::max),
        RangeOp::FirstOverTime => samples[0],
        RangeOp::LastOverTime => samples[samples.len() - 1],
        RangeOp::QuantileOverTime => {
            samples.sort_by(f64::total_cmp);
            let rank = range.parameter.unwrap() * (count - 1.0);
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
    let mut groups: BTreeMap<Labels, Vec<(Labels, f64)>> = BTreeMap::new();
    for (labels, value) in inner {
        groups
            .entry(group(aggregation.grouping.as_ref(), &labels))
            .or_default()
            .push((labels, value));
    }
    let mut out = Vector::new();
    for (labels, mut members) in groups {
        let values = members.iter().map(|member| member.1);
        let value = match aggregation.op {
            VectorOp::Sum => values.sum(),
            VectorOp::Avg => values.clone().sum::<f64>() / values.count() as f64,
            VectorOp::Min => values.fold(f64::INFINITY, f64::min),
            VectorOp::Max => values.fold(f64::NEG_INFINITY, f64::max),
            VectorOp::Count => values.count() as f64,
            VectorOp::Stddev => {
                let (count, sum) = (members.len() as f64, values.clone().sum::<f64>());
                (values.map(|value| (value - sum / count).powi(2)).sum::<f64>() / count).sqrt()
            }
            VectorOp::Topk => {
                members.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
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
