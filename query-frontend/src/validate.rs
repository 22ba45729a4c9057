//! Refuses what the tenant's limits forbid, in Loki's order and words, and plans the rest. Nothing
//! is queued or read before.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::UnixNanos;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use logql::engine::Answer;
use logql::plan::{Params, Plan};
use logql::syntax::Expr;
use tower::Service;

use crate::blocked::{Subject, is_drilldown};
use crate::checks::{Checks, selects_internal_streams};
use crate::error::Error;
use crate::http::params::RangeQuery;
use crate::limits::OfAll;
use crate::query::{Asked, Evaluated, Planned, Query};
use crate::stack::Shared;
use crate::tenants;

/// The layer.
#[derive(Clone)]
pub struct Validate<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Validate<S> {
    /// Around `inner`.
    pub fn new(inner: S, shared: Arc<Shared>) -> Validate<S> {
        Validate { inner, shared }
    }

    /// The plan, and how many series of the answer are given if it may be cut off.
    fn plan(&self, query: Query) -> Result<(Planned, Option<usize>), Error> {
        let Query { tenants, mut expr, asked, tags, categorize } = query;
        let limits = &*self.shared.limits;
        let max_memory_bytes = self.shared.config.max_query_memory_bytes;
        let checks = Checks { limits, tenants: &tenants, now: self.shared.clock.now() };
        let of_all = OfAll { limits, tenants: &tenants.ids };
        checks.blocked(Subject { text: asked.text(), expr: &expr, tags: &tags })?;
        let max_series = of_all.max_query_series();
        let most = is_drilldown(&tags).then_some(max_series).filter(|most| *most > 0);
        let max_series = if most.is_some() { 0 } else { max_series };
        let params = match asked {
            Asked::Range(mut asked) => {
                checks.range(&expr, &mut asked)?;
                let is_log = matches!(expr, Expr::Log(_));
                Params {
                    start: workable(asked.start),
                    end: workable(if is_log { log_end(&asked) } else { asked.end }),
                    step_ns: asked.step_ns,
                    interval_ns: asked.interval_ns,
                    limit: asked.limit,
                    direction: asked.direction,
                    max_series,
                    max_memory_bytes,
                    categorize,
                    now: checks.now,
                }
            }
            Asked::Instant(asked) => {
                checks.instant(&expr, asked.time)?;
                Params {
                    limit: asked.limit,
                    direction: asked.direction,
                    max_series,
                    max_memory_bytes,
                    categorize,
                    now: checks.now,
                    ..Params::at(workable(asked.time))
                }
            }
        };
        let shardable = match &expr {
            Expr::Log(log) => !log.stages.is_empty(),
            Expr::Metric(_) => true,
        };
        let parallelism = match of_all.max_query_parallelism() {
            0 => return Err(Error::Disabled),
            most if shardable => most.max(of_all.tsdb_max_query_parallelism()),
            most => most,
        };
        let owners = tenants::owners(&mut expr, &tenants)?;
        let plan = Arc::new(Plan::new(&expr, &params)?);
        Ok((Planned { tenants, owners, plan, parallelism, shardable }, most))
    }
}

impl<S> Service<Query> for Validate<S>
where
    S: Service<Planned, Response = Evaluated, Error = Error, Future: Send + 'static>,
{
    type Response = Evaluated;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Evaluated, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, query: Query) -> Self::Future {
        let internal = selects_internal_streams(&query.expr) && !is_drilldown(&query.tags);
        match self.plan(query) {
            Ok((planned, _)) if internal => ready(planned.nothing()).boxed(),
            Ok((planned, None)) => self.inner.call(planned).boxed(),
            Ok((planned, Some(most))) => {
                self.inner.call(planned).map_ok(move |whole| cut_off(whole, most)).boxed()
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}

/// At most `most` series of a metric answer, and a warning if there are more.
fn cut_off(mut evaluated: Evaluated, most: usize) -> Evaluated {
    let series = match &mut evaluated.answer {
        Answer::Vector(vector) => {
            let series = vector.len();
            vector.truncate(most);
            series
        }
        Answer::Matrix(matrix) => {
            let series = matrix.len();
            matrix.truncate(most);
            series
        }
        Answer::Streams(_) | Answer::Scalar(_) => 0,
    };
    if series > most {
        evaluated.warnings.push(format!(
            "maximum number of series ({most}) reached for a single query; returning partial results"
        ));
        evaluated.warnings.sort_unstable();
    }
    evaluated
}

/// An instant that arithmetic on times can work with: ranges, offsets and steps of years can be
/// added to it, and two of them subtracted, without leaving 64 bits. From 1827 to 2112.
fn workable(time: UnixNanos) -> UnixNanos {
    const LIMIT_NS: i64 = 4_500_000_000_000_000_000;
    UnixNanos(time.0.clamp(-LIMIT_NS, LIMIT_NS))
}

/// Log queries end before `end`; an empty range is that one instant (limits_and_direction/062).
fn log_end(asked: &RangeQuery) -> UnixNanos {
    if asked.start == asked.end { UnixNanos(asked.end.0.saturating_add(1)) } else { asked.end }
}
