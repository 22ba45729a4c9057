//! Refuses queries that would read too much (`max_query_bytes_read`), before a line is read.
//!
//! What counts is what Loki counts: the bytes of all lines of the selected streams in the range, each
//! selector of the query for itself, whatever filters drop. They are counted by a query of their own,
//! `sum(bytes_over_time(selector[range]))`, which needs lengths and no lines.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{TenantId, UnixNanos};
use futures::FutureExt;
use futures::future::BoxFuture;
use logql::engine::Answer;
use logql::plan::{Leaf, Params, Plan, QueryError};
use logql::syntax::{
    Expr, LogExpr, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::limits::OfAll;
use crate::query::{Evaluated, Planned};
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct Size<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Size<S> {
    /// Around `inner`, which evaluates a plan.
    pub fn new(inner: S, shared: Arc<Shared>) -> Size<S> {
        Size { inner, shared }
    }
}

impl<S> Service<Planned> for Size<S>
where
    S: Service<Planned, Response = Evaluated, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    type Response = Evaluated;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Evaluated, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, planned: Planned) -> Self::Future {
        let limits = &*self.shared.limits;
        let limit = OfAll { limits, tenants: &planned.tenants.ids }.max_query_bytes_read();
        if limit == 0 {
            return self.inner.call(planned).boxed();
        }
        let inner = self.inner.clone();
        async move {
            let mut bytes = 0;
            for (leaf, owners) in planned.plan.leaves().iter().zip(&planned.owners) {
                bytes += size(inner.clone(), &planned, leaf, owners).await?;
                if bytes > limit {
                    return Err(too_many(bytes, limit));
                }
            }
            inner.oneshot(planned).await
        }
        .boxed()
    }
}

/// Bytes of all lines of `owners` that the leaf selects from.
async fn size<S>(
    inner: S,
    planned: &Planned,
    leaf: &Leaf,
    owners: &[TenantId],
) -> Result<u64, Error>
where
    S: Service<Planned, Response = Evaluated, Error = Error, Future: Send + 'static>,
{
    let range = leaf.range();
    let length = u64::try_from(range.to_ns.saturating_sub(range.from_ns)).unwrap_or(0);
    if length == 0 {
        return Ok(0);
    }
    let log = LogExpr { matchers: leaf.matchers().to_vec(), stages: Vec::new() };
    let bytes = MetricExpr::Range(RangeAggregation {
        op: RangeOp::BytesOverTime,
        parameter: None,
        log,
        unwrap: None,
        // A text of a duration has milliseconds.
        range: Duration::from_millis(length.div_ceil(1_000_000)),
        offset_ns: 0,
        grouping: None,
    });
    let sum = Expr::Metric(MetricExpr::Vector(VectorAggregation {
        op: VectorOp::Sum,
        parameter: None,
        grouping: None,
        inner: Box::new(bytes),
    }));
    let last = UnixNanos(range.to_ns.saturating_sub(1));
    let plan = Arc::new(Plan::new(&sum, &Params::at(last))?);
    let owners = vec![owners.to_vec()];
    let counted = Planned { plan, owners, shardable: true, ..planned.clone() };
    let counted = inner.oneshot(counted).await?;
    Ok(match counted.answer {
        Answer::Vector(vector) => vector.first().map_or(0, |(_, sample)| sample.value as u64),
        _ => 0,
    })
}

fn too_many(bytes: u64, limit: u64) -> Error {
    let (bytes, limit) = (people(bytes), people(limit));
    Error::Query(QueryError::Limited(format!(
        "the query would read too many bytes (query: {bytes}, limit: {limit}); consider adding more \
         specific stream selectors or reduce the time range of the query"
    )))
}

/// `1.5 KiB`, `34 MiB`: one digit behind the point below ten.
fn people(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    let value = (bytes as f64 / 1024f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        let cases = [0, 9, 10, 1023, 1024, 1536, 10_240, 35_651_584, u64::MAX];
        let texts = cases.map(people);
        let want =
            ["0 B", "9 B", "10 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 KiB", "34 MiB", "16 EiB"];
        assert_eq!(texts, want);
    }
}
