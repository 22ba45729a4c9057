//! Cuts a leaf by time and merges what its pieces give.
//!
//! A piece has its own handshake and can be given to any querier, so cuts cost a little and share
//! the work. Rows are partitioned by time, so any cut gives the same answer; where it is decides
//! only what is read twice. Parts hold rows of one UTC day: a cut between two days shares no page.
//! So pieces are days, or `split_queries_by_interval` where that is longer: inside of a day the
//! pages of small streams reach over all of it, and each piece would decode them again. Only the
//! first piece of a log query is as short as the interval, because it usually finds enough there.

mod cuts;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesOrdered, StreamExt};
use logql::plan::{Direction, Shard, TimeRange};
use metrics::histogram;
use rpc::querier::Selected;
use tower::Service;

use crate::error::Error;
use crate::evaluate::Selects;
use crate::gather::Gathered;
use crate::metrics::PARTITIONS;
use crate::query::Piece;
use crate::stack::Shared;
use cuts::Cuts;

/// The layer.
#[derive(Clone)]
pub struct Split<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Split<S> {
    /// Around `inner`, which evaluates one piece.
    pub fn new(inner: S, shared: Arc<Shared>) -> Split<S> {
        Split { inner, shared }
    }
}

impl<S: Selects> Service<Piece> for Split<S> {
    type Response = Selected;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Selected, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, whole: Piece) -> Self::Future {
        let split = self.shared.limits.split_queries_by_interval(&whole.scope.tenant);
        let split_ns = i64::try_from(split.as_nanos()).unwrap_or(i64::MAX);
        let direction = whole.leaf.direction();
        let cuts = Cuts::new(whole.leaf.range(), split_ns, direction);
        match direction {
            Some(direction) => self.clone().in_order(whole, cuts, direction).boxed(),
            None => self.clone().side_by_side(whole, cuts).boxed(),
        }
    }
}

impl<S: Selects> Split<S> {
    /// Samples: every piece is needed, so as many run at a time as may.
    async fn side_by_side(self, whole: Piece, cuts: Cuts) -> Result<Selected, Error> {
        let cuts: Vec<TimeRange> = cuts.collect();
        histogram!(PARTITIONS).record(cuts.len() as f64);
        let runs = cuts.into_iter().map(|range| self.run(&whole, range));
        let pieces = stream::iter(runs).buffer_unordered(whole.scope.parallelism);
        Gathered::new(whole.leaf.empty()).add_all(pieces).await
    }

    /// Lines: pieces in the order in which their rows matter, until there are enough. Dropped
    /// futures take their jobs with them.
    async fn in_order(
        self,
        whole: Piece,
        mut cuts: Cuts,
        direction: Direction,
    ) -> Result<Selected, Error> {
        let mut gathered = Gathered::new(whole.leaf.empty());
        let mut running = FuturesOrdered::new();
        let mut ahead = 1;
        let mut begun = 0;
        loop {
            while running.len() < ahead
                && let Some(range) = cuts.next()
            {
                begun += 1;
                running.push_back(self.run(&whole, range).map(move |done| (range, done)));
            }
            let Some((range, selected)) = running.next().await else { break };
            gathered.add(selected?).await?;
            if !gathered.needs(rest(whole.leaf.range(), range, direction)) {
                break;
            }
            // Not enough: rows are sparse. Look further with what nobody else uses.
            let idle = self.shared.queue.idle() + running.len();
            ahead = (ahead * 2).min(idle).clamp(1, whole.scope.parallelism);
        }
        histogram!(PARTITIONS).record(f64::from(begun));
        Ok(gathered.finish())
    }

    fn run(&self, whole: &Piece, range: TimeRange) -> S::Future {
        let Piece { leaf, scope } = whole;
        scope.splits.fetch_add(1, Ordering::Relaxed);
        let leaf =
            if range == leaf.range() { leaf.clone() } else { leaf.piece(range, Shard::WHOLE) };
        let mut inner = self.inner.clone();
        // Every service below is always ready.
        inner.call(Piece { leaf, scope: scope.clone() })
    }
}

/// What of `whole` comes after `done`.
fn rest(whole: TimeRange, done: TimeRange, direction: Direction) -> TimeRange {
    match direction {
        Direction::Backward => TimeRange { to_ns: done.from_ns, ..whole },
        Direction::Forward => TimeRange { from_ns: done.to_ns, ..whole },
    }
}
