//! Rules that are broken on purpose, each at a seam, to see that the simulation notices.

use std::sync::Arc;

use object_store::ObjectStore;
use rpc::IngesterApi;

use super::nodes::Node;
use super::world::World;

/// Which rule is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    #[default]
    Nothing,
    /// W1: the disk only says that it synced.
    AckBeforeSync,
    /// C2: a flush is put without being compared with other commits.
    NoCompare,
    /// C3: a PUT is believed without reading the floor after it.
    NumberUsedTwice,
}

impl Break {
    /// The way to the bucket.
    pub fn bucket(
        self,
        store: Arc<dyn ObjectStore>,
        _: &Arc<World>,
        _: &Node,
    ) -> Arc<dyn ObjectStore> {
        store
    }

    /// The way to an ingester.
    pub fn peer(self, api: Arc<dyn IngesterApi>) -> Arc<dyn IngesterApi> {
        api
    }
}
