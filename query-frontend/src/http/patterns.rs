//! `/loki/api/v1/patterns`: what lines look like, and how many look so (contract 2.9).
//!
//! Ingesters and parts know patterns, learned from samples. They are counted here by a query like any
//! other, with the matcher of `|>`: what is told of a pattern is what `|>` with it finds.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::UnixNanos;
use http::HeaderMap;
use logql::plan::{LEVEL, MATCHED, TimeRange, VolumesOf};
use logql::syntax::{Matcher, parse_matchers};
use rpc::http::{Form, HttpError, Tenants};
use rpc::querier::Listing;

use super::lists::{self, Which};
use super::respond::ok;
use super::telemetry::Watch;
use super::volume::one_instant;
use super::{encode, params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;
use crate::volume::Volumed;
use distinct::telling;

mod distinct;

/// The shortest step.
const MIN_STEP_NS: i64 = 10 * SECOND;
const SECOND: i64 = 1_000_000_000;
/// Patterns of fewer lines are not told.
const MIN_LINES: u64 = 30;
/// Patterns, each with each of its levels, that are told.
const MAX_TOLD: usize = 300;
/// Patterns that are counted, and their bytes: what a leaf takes.
const MAX_COUNTED: usize = 1024;
const MAX_COUNTED_BYTES: usize = 512 << 10;

/// Lines of a pattern and a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What `|>` takes.
    pub text: String,
    /// Empty = none.
    pub level: String,
    /// Seconds at which a step begins, and lines in it; those without lines are left out.
    pub samples: Vec<(i64, u64)>,
}

/// `/patterns`.
pub(super) async fn patterns(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "patterns");
    watch.text(form.value("query"));
    let result = evaluate(&frontend, &tenants, &form).await;
    let patterns = watch.finish_with(result, Vec::len)?;
    ok(&frontend, &headers, move || encode::patterns(&patterns)).await
}

/// What is asked for.
struct Asked {
    matchers: Vec<Matcher>,
    start: UnixNanos,
    end: UnixNanos,
    /// Whole seconds.
    step_ns: i64,
}

impl Asked {
    fn parse(form: &Form, now: UnixNanos) -> Result<Asked, HttpError> {
        let (start, end) = params::bounds(form, now).map_err(refuse)?;
        params::check_order(start, end).map_err(refuse)?;
        let step = params::checked_step(form, end.0.saturating_sub(start.0)).map_err(refuse)?;
        // Samples are told by the second.
        let step_ns = step.max(MIN_STEP_NS).saturating_add(SECOND - 1) / SECOND * SECOND;
        let matchers = parse_matchers(form.value("query")).map_err(refuse)?;
        Ok(Asked { matchers, start, end, step_ns })
    }
}

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
) -> Result<Vec<Pattern>, HttpError> {
    let now = frontend.clock().now();
    let mut asked = Asked::parse(form, now)?;
    let checks = Checks { limits: frontend.limits(), tenants, now };
    (asked.start, asked.end) = checks.window(asked.start, asked.end).map_err(refuse)?;
    if !frontend.config().patterns {
        // As Loki answers without its pattern ingester (recorded: param_errors/patterns-disabled).
        return Ok(Vec::new());
    }
    let (start, end) = (asked.start, asked.end);
    let which = Which { tenants, selectors: vec![asked.matchers.clone()], start, end };
    let mut texts = lists::in_order(frontend, which, Listing::Templates).await?;
    let mut bytes = 0;
    let fits = texts.iter().take(MAX_COUNTED).take_while(|text| {
        bytes += text.len();
        bytes <= MAX_COUNTED_BYTES
    });
    let fits = fits.count();
    texts.truncate(fits);
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Arc<[String]> = texts.into();
    let of = VolumesOf {
        matchers: asked.matchers,
        patterns: Arc::clone(&texts),
        range: TimeRange { from_ns: start.0, to_ns: one_instant(start, end) },
        step_ns: asked.step_ns,
        max_memory_bytes: 0,
    };
    let volumed = lists::volumes(frontend, tenants, of).await?;
    told(&texts, &volumed, asked.step_ns)
}

/// Lines of one level, by the second at which their step begins.
type Samples = BTreeMap<i64, u64>;

/// What is told: patterns with the most lines first.
fn told(texts: &[String], volumed: &Volumed, step_ns: i64) -> Result<Vec<Pattern>, HttpError> {
    let mut by_pattern: Vec<BTreeMap<&str, Samples>> = vec![BTreeMap::new(); texts.len()];
    let mut sets: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
    for (labels, volumes) in &volumed.series {
        let set = numbers(labels.get(MATCHED).unwrap_or_default(), texts.len())?;
        let level = labels.get(LEVEL).unwrap_or_default();
        for (window, volume) in volumes {
            let end_ns = volumed.window_ends[*window as usize];
            // The last window may end early, and begins at a multiple of the step all the same.
            let second = (end_ns - 1).div_euclid(step_ns) * (step_ns / SECOND);
            for &pattern in &set {
                let samples = by_pattern[pattern as usize].entry(level).or_default();
                *samples.entry(second).or_default() += volume.lines;
            }
        }
        *sets.entry(set).or_default() +=
            volumes.iter().map(|(_, volume)| volume.lines).sum::<u64>();
    }
    let mut chosen = telling(&sets, texts, MIN_LINES);
    chosen.sort_by_key(|&(pattern, lines)| (Reverse(lines), &texts[pattern as usize]));
    let mut patterns = Vec::new();
    for (pattern, _) in chosen {
        let levels = std::mem::take(&mut by_pattern[pattern as usize]);
        // All levels of a pattern or none: together they are what `|>` finds.
        if patterns.len() + levels.len() > MAX_TOLD {
            break;
        }
        patterns.extend(levels.into_iter().map(|(level, samples)| Pattern {
            text: texts[pattern as usize].clone(),
            level: level.to_owned(),
            samples: samples.into_iter().collect(),
        }));
    }
    let lines = |pattern: &Pattern| pattern.samples.iter().map(|sample| sample.1).sum::<u64>();
    patterns.sort_by_key(|pattern| Reverse(lines(pattern)));
    Ok(patterns)
}

/// The patterns that [`MATCHED`] names.
fn numbers(text: &str, patterns: usize) -> Result<Vec<u32>, HttpError> {
    let number =
        |text: &str| text.parse().ok().filter(|&number: &u32| (number as usize) < patterns);
    let numbers: Option<Vec<u32>> = text.split(',').map(number).collect();
    numbers.ok_or_else(|| HttpError::query_with(500, format!("no list of patterns: {text:?}")))
}

#[cfg(test)]
mod tests;
