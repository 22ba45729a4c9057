//! A second evaluator that shares nothing with the first but the syntax tree and the conversions
//! of numbers: row by row, label by label, window by window. Slow on purpose.
//!
//! Lines must be whole JSON objects, logfmt without quotes, or text that is neither; templates are
//! those of `templates`.

mod metrics;
mod stages;
pub(super) mod templates;

use std::collections::{BTreeMap, BTreeSet};

use base::Labels;

use super::TestRow;
use crate::plan::{Direction, Params};
use crate::syntax::*;

pub(super) use metrics::{Failed, metric};

/// Each distinct row once: the first copy in `order`.
fn distinct(rows: &[(u64, TestRow)]) -> Vec<(u64, TestRow)> {
    let mut seen = BTreeSet::new();
    rows.iter().filter(|(_, row)| seen.insert(row.clone())).cloned().collect()
}

fn changes_rows(stage: &Stage) -> bool {
    let line = matches!(stage, Stage::Unpack | Stage::Decolorize | Stage::LineFormat(_));
    line || matches!(stage, Stage::LabelFormat(_) | Stage::Drop(_) | Stage::Keep(_))
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
    // Rows are compared as they leave a pipeline that changes lines or labels. What a parser's
    // label hides of metadata still tells rows apart, as it did when they were stored.
    let changes = log.stages.iter().any(changes_rows);
    let mut seen = BTreeSet::new();
    for (_, row) in distinct(&rows) {
        if row.ts_ns < params.start.0 || row.ts_ns >= params.end.0 {
            continue;
        }
        let Some(end) = stages::run(&log.matchers, &log.stages, streams, &row) else { continue };
        let left_with = (row.stream, row.ts_ns, end.line.clone(), end.metadata());
        if changes && !seen.insert(left_with) {
            continue;
        }
        let far = last.is_none_or(|last| (last - row.ts_ns).abs() >= params.interval_ns);
        if left == 0 || !far {
            continue;
        }
        left -= 1;
        last = Some(row.ts_ns);
        let text = format!("{} {}", row.ts_ns, end.line);
        out.entry(end.labels().to_string()).or_default().push(text);
    }
    out.into_iter().map(|(labels, lines)| format!("{labels} [{}]", lines.join(", "))).collect()
}
