//! Naming the ring in the log, for readers whom nobody else may tell that theirs is old.

use catalog::{Draft, RingVersion};

use crate::commit::Outcome;
use crate::error::Error;
use crate::handle::CatalogHandle;

impl CatalogHandle {
    /// Returns when the log names `ring` or a later version of it. Reads the log first, so that of many
    /// who want the same one commits.
    ///
    /// # Errors
    /// After an error the log may name it all the same: call again.
    pub async fn name_ring(&self, ring: RingVersion) -> Result<(), Error> {
        let is_named = |named: Option<RingVersion>| named.is_some_and(|named| named.covers(ring));
        if is_named(self.snapshot().ring()) || is_named(self.follow().await?.ring()) {
            return Ok(());
        }
        let draft = Draft { ring: Some(ring), ..self.draft() };
        match self.commit(&draft).await? {
            Outcome::Committed(_) => Ok(()),
            other => {
                unreachable!("a draft without batches and parts collides with none: {other:?}")
            }
        }
    }
}
