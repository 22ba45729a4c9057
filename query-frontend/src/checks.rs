//! What a tenant's limits say about a query before it runs. Texts are Loki's.

use std::time::Duration;

use base::units::{format_go_duration, format_prometheus_duration};
use base::{TenantId, UnixNanos};
use logql::syntax::{Expr, LogExpr, MatchOp, Matcher, MetricExpr, RangeAggregation, RangeOp};
use metrics::counter;
use rpc::http::Tenants;

use crate::blocked::Subject;
use crate::http::params::RangeQuery;
use crate::limits::{Limits, OfAll};
use crate::metrics::BLOCKED;

/// Why a query is not run; HTTP 400 with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Limits of the tenants of a request at one time.
pub struct Checks<'a> {
    /// The limits.
    pub limits: &'a dyn Limits,
    /// Whose.
    pub tenants: &'a Tenants,
    /// The time of the request.
    pub now: UnixNanos,
}

impl Checks<'_> {
    fn of_all(&self) -> OfAll<'_> {
        OfAll { limits: self.limits, tenants: &self.tenants.ids }
    }

    /// A range query. May move `start` forward ([`Limits::max_query_lookback`]) and aligns metric
    /// queries to multiples of the step.
    pub fn range(&self, expr: &Expr, query: &mut RangeQuery) -> Result<(), Refusal> {
        let most = self.of_all().max_entries_limit_per_query();
        if matches!(expr, Expr::Log(_)) && most > 0 && query.limit > most {
            return Err(Refusal(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query \
                 ({} > {most})",
                query.limit
            )));
        }
        self.selectors(expr)?;
        (query.start, query.end) = self.window(query.start, query.end)?;
        let Expr::Metric(metric) = expr else { return Ok(()) };
        align(query);
        let split = nanos(self.of_all().split_queries_by_interval());
        let length = query.end.0.saturating_sub(query.start.0);
        let piece = if split > 0 { length.min(split) } else { length };
        each_range(metric, &mut |range| {
            self.interval(range)?;
            // A window reaches back a range before the first evaluation and includes the last
            // instant of the last one.
            let looked_at = piece.saturating_add(nanos(range.range)).saturating_add(1);
            self.length(looked_at)
        })
    }

    /// Whether a rule of the tenant refuses the query.
    pub fn blocked(&self, query: Subject<'_>) -> Result<(), Refusal> {
        for tenant in &self.tenants.ids {
            if self.limits.blocked_queries(tenant).iter().any(|rule| rule.blocks(query)) {
                counter!(BLOCKED, "user" => tenant.as_str().to_owned()).increment(1);
                return Err(Refusal("query blocked by policy".to_owned()));
            }
        }
        Ok(())
    }

    /// An instant query.
    pub fn instant(&self, expr: &Expr, time: UnixNanos) -> Result<(), Refusal> {
        let Expr::Metric(metric) = expr else {
            return Err(Refusal(
                "log queries are not supported as an instant query type, please change your \
                 query to a range query type"
                    .to_owned(),
            ));
        };
        self.selectors(expr)?;
        let mut reads = false;
        each_range(metric, &mut |range| {
            reads = true;
            self.interval(range)?;
            // Loki evaluates these in pieces of the range, each far below the limit.
            if splits_at_an_instant(range) {
                return Ok(());
            }
            self.length(nanos(range.range).saturating_add(1))
        })?;
        if reads { self.window(time, time).map(|_| ()) } else { Ok(()) }
    }

    /// The time range of any request: cut off at the lookback, then limited in length.
    pub fn window(
        &self,
        start: UnixNanos,
        end: UnixNanos,
    ) -> Result<(UnixNanos, UnixNanos), Refusal> {
        let lookback = self.of_all().max_query_lookback();
        let mut start = start;
        if !lookback.is_zero() {
            let oldest = UnixNanos(self.now.0.saturating_sub(nanos(lookback)));
            if end < oldest {
                return Err(Refusal(format!(
                    "this data is no longer available, it is past now - max_query_lookback ({})",
                    format_prometheus_duration(lookback)
                )));
            }
            start = start.max(oldest);
        }
        self.length(end.0.saturating_sub(start.0))?;
        Ok((start, end))
    }

    fn length(&self, length_ns: i64) -> Result<(), Refusal> {
        let limit = self.of_all().max_query_length();
        if limit.is_zero() || length_ns <= nanos(limit) {
            return Ok(());
        }
        Err(Refusal(format!(
            "the query time range exceeds the limit (query length: {}, limit: {})",
            format_go_duration(length_ns),
            format_prometheus_duration(limit)
        )))
    }

    fn interval(&self, range: &RangeAggregation) -> Result<(), Refusal> {
        let limit = self.of_all().max_query_range();
        if limit.is_zero() || range.range <= limit {
            return Ok(());
        }
        Err(Refusal(format!(
            "[interval] value exceeds limit: [{}] > [{}]",
            format_prometheus_duration(range.range),
            format_prometheus_duration(limit)
        )))
    }

    fn selectors(&self, expr: &Expr) -> Result<(), Refusal> {
        match expr {
            Expr::Log(log) => self.matchers(&log.matchers),
            Expr::Metric(metric) => {
                each_range(metric, &mut |range| self.matchers(&range.log.matchers))
            }
        }
    }

    fn matchers(&self, matchers: &[Matcher]) -> Result<(), Refusal> {
        let most = self.of_all().max_streams_matchers_per_query();
        if most > 0 && matchers.len() > most {
            return Err(Refusal(format!(
                "max streams matchers per query exceeded, matchers-count > limit ({} > {most})",
                matchers.len()
            )));
        }
        self.tenants.ids.iter().try_for_each(|tenant| self.labels(tenant, matchers))
    }

    fn labels(&self, tenant: &TenantId, matchers: &[Matcher]) -> Result<(), Refusal> {
        let required = self.limits.required_labels(tenant);
        let names: Vec<&str> = matchers.iter().map(|matcher| matcher.name.as_str()).collect();
        let missing: Vec<&str> =
            required.iter().map(String::as_str).filter(|name| !names.contains(name)).collect();
        if !missing.is_empty() {
            return Err(Refusal(format!(
                "stream selector is missing required matchers [{}], labels present in the query \
                 were [{}]",
                missing.join(", "),
                names.join(", ")
            )));
        }
        let fewest = self.limits.minimum_labels_number(tenant);
        if matchers.len() < fewest {
            return Err(Refusal(format!(
                "stream selector has less label matchers than required: (present: [{}], \
                 number_present: {}, required_number_label_matchers: {fewest})",
                names.join(", "),
                matchers.len()
            )));
        }
        Ok(())
    }
}

/// Metric queries start and end at multiples of the step, counted since 1970: the start is moved
/// back, the end forward, be it by a nanosecond (range_aggregations/060).
fn align(query: &mut RangeQuery) {
    // The step was validated in nanoseconds and works in milliseconds.
    const MS: i64 = 1_000_000;
    let step_ns = (query.step_ns / MS).max(1) * MS;
    let (start, end) = (i128::from(query.start.0), i128::from(query.end.0));
    let step = i128::from(step_ns);
    let first = start.div_euclid(step) * step;
    let last = (end + step - 1).div_euclid(step) * step;
    let saturated = |ns: i128| UnixNanos(ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
    query.step_ns = step_ns;
    query.start = saturated(first);
    query.end = saturated(last);
}

/// Whether Loki cuts an instant evaluation of this function into pieces of its range.
fn splits_at_an_instant(range: &RangeAggregation) -> bool {
    matches!(
        range.op,
        RangeOp::CountOverTime
            | RangeOp::Rate
            | RangeOp::BytesOverTime
            | RangeOp::BytesRate
            | RangeOp::SumOverTime
            | RangeOp::MinOverTime
            | RangeOp::MaxOverTime
    )
}

/// Calls `visit` for each range function of `expr`, left to right.
pub fn each_range<E>(
    expr: &MetricExpr,
    visit: &mut dyn FnMut(&RangeAggregation) -> Result<(), E>,
) -> Result<(), E> {
    match expr {
        MetricExpr::Range(range) => visit(range),
        MetricExpr::Vector(vector) => each_range(&vector.inner, visit),
        MetricExpr::Binary(binary) => {
            each_range(&binary.left, visit)?;
            each_range(&binary.right, visit)
        }
        MetricExpr::LabelReplace(replace) => each_range(&replace.inner, visit),
        MetricExpr::Literal(_) | MetricExpr::VectorFn(_) => Ok(()),
    }
}

/// Whether a selector asks for streams that Loki keeps for itself. Ordinary queries find none.
pub fn selects_internal_streams(expr: &Expr) -> bool {
    let internal = |log: &LogExpr| {
        log.matchers.iter().any(|matcher| {
            matcher.op == MatchOp::Equal
                && matches!(matcher.name.as_str(), "__aggregated_metric__" | "__pattern__")
        })
    };
    match expr {
        Expr::Log(log) => internal(log),
        Expr::Metric(metric) => {
            each_range(metric, &mut |range| if internal(&range.log) { Err(()) } else { Ok(()) })
                .is_err()
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
