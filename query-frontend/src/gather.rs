//! Results of pieces, merged as they come.

use base::task;
use futures::{Stream, StreamExt};
use logql::engine::Partial;
use logql::plan::TimeRange;
use rpc::querier::Selected;
use rpc::stats::QueryStats;

use crate::error::Error;

/// The merged result of the pieces that came so far.
pub struct Gathered(Selected);

impl Gathered {
    /// Of no piece.
    pub fn new(empty: Partial) -> Gathered {
        let (stats, warnings) = (QueryStats::default(), Vec::new());
        Gathered(Selected { partial: empty, stats, warnings })
    }

    /// Takes in one more piece. Merges off the threads that serve connections: a partial may hold
    /// millions of samples.
    pub async fn add(&mut self, more: Selected) -> Result<(), Error> {
        let Selected { partial, stats, warnings } = more;
        self.0.stats.take_in(&stats);
        self.0.warnings.extend(warnings);
        let mut merged = std::mem::take(&mut self.0.partial);
        let job = task::blocking("frontend.merge", move || {
            merged.merge(partial)?;
            Ok::<Partial, Error>(merged)
        });
        let died = |died| Err(Error::Internal(format!("a merge died: {died}")));
        self.0.partial = job.await.unwrap_or_else(died)?;
        Ok(())
    }

    /// Takes in all pieces of `pieces`, in their order of arrival. The first error drops the rest.
    pub async fn add_all(
        mut self,
        pieces: impl Stream<Item = Result<Selected, Error>>,
    ) -> Result<Selected, Error> {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            self.add(piece?).await?;
        }
        Ok(self.finish())
    }

    /// Whether rows of `range` can still change the answer: [`Partial::needs`].
    pub fn needs(&self, range: TimeRange) -> bool {
        self.0.partial.needs(range)
    }

    /// The whole.
    pub fn finish(self) -> Selected {
        let mut whole = self.0;
        whole.warnings.sort_unstable();
        whole.warnings.dedup();
        whole
    }
}
