//! `/loki/api/v1/index/volume` and `volume_range`: bytes by labels (contract 2.8).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{Labels, UnixNanos, task};
use http::HeaderMap;
use logql::engine::{Answer, Sample};
use logql::plan::{TimeRange, VolumesOf};
use logql::syntax::{Matcher, parse_matchers};
use rpc::http::{Form, HttpError, Tenants};

use super::chunks::{Bucket, Chunk, window_ns};
use super::encode::{AnswerBody, EncodingFlags};
use super::lists;
use super::params::{self, ParamError};
use super::refuse;
use super::respond::send;
use super::telemetry::Watch;
use crate::checks::{Checks, Refusal};
use crate::frontend::Frontend;
use crate::limits::OfAll;
use crate::query::Evaluated;
use crate::volume::Volumed;

/// Series of an answer when `limit` is not given or 0.
const DEFAULT_LIMIT: usize = 100;

/// `/index/volume`: one bucket.
pub(super) async fn instant(
    state: State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    answer(state, tenants, headers, form, false).await
}

/// `/index/volume_range`: buckets of a step.
pub(super) async fn range(
    state: State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    answer(state, tenants, headers, form, true).await
}

async fn answer(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
    in_steps: bool,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "volume");
    watch.text(form.value("query"));
    let result = evaluate(&frontend, &tenants, &form, in_steps).await;
    let evaluated = watch.finish(result)?;
    let flags = EncodingFlags::default();
    send(&frontend, &headers, AnswerBody::new(evaluated, flags)).await
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    matchers: Vec<Matcher>,
    targets: Vec<String>,
    /// Sums of label names rather than of series.
    by_names: bool,
    limit: usize,
    start: UnixNanos,
    end: UnixNanos,
    step_ns: i64,
}

impl Asked {
    fn parse(form: &Form, now: UnixNanos, in_steps: bool) -> Result<Asked, HttpError> {
        let limit = match form.value("limit") {
            "" => DEFAULT_LIMIT,
            text => match params::integer(text).map_err(refuse)? {
                0 => DEFAULT_LIMIT,
                _ => params::limit(form).map_err(refuse)?,
            },
        };
        let (start, end) = params::bounds(form, now).map_err(refuse)?;
        params::check_order(start, end).map_err(refuse)?;
        let step_ns = match in_steps {
            true => params::checked_step(form, end.0.saturating_sub(start.0)).map_err(refuse)?,
            false => 0,
        };
        let by_names = match form.value("aggregateBy") {
            "" | "series" => false,
            "labels" => true,
            _ => return Err(refuse(ParamError("invalid aggregation option".to_owned()))),
        };
        let targets = form.value("targetLabels").split(',').filter(|name| !name.is_empty());
        Ok(Asked {
            matchers: parse_matchers(form.value("query")).map_err(refuse)?,
            targets: targets.map(str::to_owned).collect(),
            by_names,
            limit,
            start,
            end,
            // As steps of queries, whole milliseconds.
            step_ns: if in_steps { (step_ns / MS).max(1) * MS } else { 0 },
        })
    }

    /// The names that make a series; `None` = all of a stream.
    fn names(&self) -> Option<Vec<&str>> {
        let mut names: Vec<&str> = match self.targets.as_slice() {
            [] if self.matchers.is_empty() => return None,
            [] => self.matchers.iter().map(|matcher| matcher.name.as_str()).collect(),
            targets => targets.iter().map(String::as_str).collect(),
        };
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    /// What a stream, or streams with these labels in common, counts for.
    fn counts_for(&self, labels: &Labels) -> Vec<Labels> {
        if self.targets.iter().any(|name| labels.get(name).is_none()) {
            return Vec::new();
        }
        let names = self.names();
        let keeps = |name: &str| names.as_ref().is_none_or(|names| names.contains(&name));
        if !self.by_names {
            return vec![Labels::from_pairs(labels.iter().filter(|(name, _)| keeps(name)))];
        }
        let is_target = |name: &str| self.targets.is_empty() || keeps(name);
        let names = labels.iter().map(|(name, _)| name).filter(|name| is_target(name));
        names.map(|name| Labels::from_sorted([(name, "")])).collect()
    }
}

const MS: i64 = 1_000_000;

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
    in_steps: bool,
) -> Result<Evaluated, HttpError> {
    let of_all = OfAll { limits: frontend.limits(), tenants: &tenants.ids };
    if !of_all.volume_enabled() {
        return Err(HttpError::query_with(404, "not found"));
    }
    let now = frontend.clock().now();
    let mut asked = Asked::parse(form, now, in_steps)?;
    let checks = Checks { limits: frontend.limits(), tenants, now };
    (asked.start, asked.end) = checks.window(asked.start, asked.end).map_err(refuse)?;
    let of = VolumesOf {
        matchers: asked.matchers.clone(),
        patterns: Arc::default(),
        range: TimeRange { from_ns: asked.start.0, to_ns: one_instant(asked.start, asked.end) },
        step_ns: window_ns(asked.step_ns),
        max_memory_bytes: 0,
    };
    let volumed = lists::volumes(frontend, tenants, of).await?;
    let most = of_all.volume_max_series();
    // Streams times buckets: too much for a thread that serves connections.
    let sum = task::blocking("frontend.finish", move || summed(&asked, volumed, most));
    let died = |died| HttpError::query_with(500, format!("an answer died: {died}"));
    sum.await.map_err(died)?.map_err(refuse)
}

/// As log queries: up to `end`, and an empty range is its one instant.
pub(super) fn one_instant(start: UnixNanos, end: UnixNanos) -> i64 {
    if start == end { end.0.saturating_add(1) } else { end.0 }
}

/// The largest series of each bucket, the largest of the first bucket first.
fn summed(asked: &Asked, volumed: Volumed, most: usize) -> Result<Evaluated, Refusal> {
    let Volumed { series, stats, pieces, warnings, .. } = volumed;
    let buckets = Bucket::all(asked.start, asked.end, asked.step_ns);
    let mut sums: BTreeMap<Labels, Vec<Option<u64>>> = BTreeMap::new();
    for (labels, volumes) in &series {
        let chunks = volumes.iter().map(|(_, volume)| Chunk::of(volume));
        let spread: Vec<(usize, u64)> = chunks.flat_map(|chunk| chunk.spread(&buckets)).collect();
        for labels in asked.counts_for(labels) {
            if !sums.contains_key(&labels) && most > 0 && sums.len() == most {
                return Err(Refusal(format!(
                    "the query hit the max number of series limit (limit: {most} series)"
                )));
            }
            let sums = sums.entry(labels).or_insert_with(|| vec![None; buckets.len()]);
            for &(bucket, bytes) in &spread {
                *sums[bucket].get_or_insert(0) += bytes;
            }
        }
    }
    for bucket in 0..buckets.len() {
        keep_largest(&mut sums, bucket, asked.limit);
    }
    let samples = |sums: Vec<Option<u64>>| -> Vec<Sample> {
        let present = sums.into_iter().enumerate();
        let sample = |(bucket, sum): (usize, Option<u64>)| {
            Some(Sample { ts_ms: buckets[bucket].to_ms, value: sum? as f64 })
        };
        present.filter_map(sample).collect()
    };
    let mut series: Vec<(Labels, Vec<Sample>)> = sums
        .into_iter()
        .map(|(labels, sums)| (labels, samples(sums)))
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    // Stable: equal volumes stay in the order of labels.
    series.sort_by(|a, b| b.1[0].value.total_cmp(&a.1[0].value));
    let answer = match series.iter().all(|(_, samples)| samples.len() == 1) {
        true => Answer::Vector(series.into_iter().map(|(labels, of)| (labels, of[0])).collect()),
        false => Answer::Matrix(series),
    };
    Ok(Evaluated { answer, stats, pieces, warnings })
}

/// Takes away what is not among the `limit` largest of a bucket.
fn keep_largest(sums: &mut BTreeMap<Labels, Vec<Option<u64>>>, bucket: usize, limit: usize) {
    let mut order: Vec<(Reverse<u64>, &Labels)> =
        sums.iter().filter_map(|(labels, sums)| Some((Reverse(sums[bucket]?), labels))).collect();
    if order.len() <= limit {
        return;
    }
    order.sort_unstable();
    let dropped: Vec<Labels> = order[limit..].iter().map(|(_, labels)| (*labels).clone()).collect();
    for labels in dropped {
        sums.get_mut(&labels).expect("it was listed")[bucket] = None;
    }
}

#[cfg(test)]
mod tests;
