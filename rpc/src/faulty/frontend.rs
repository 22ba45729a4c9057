//! Faulty stays at frontends.

use std::sync::Arc;

use async_trait::async_trait;

use super::Faulty;
use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::querier::QuerierApi;

#[async_trait]
impl<T: FrontendApi + ?Sized> FrontendApi for Faulty<T> {
    /// Jobs go through the same network. A partition ends the stay: then the frontend's future is
    /// dropped, as when a connection breaks.
    async fn work(
        &self,
        worker: Worker,
        querier: Arc<dyn QuerierApi>,
    ) -> Result<(), FrontendError> {
        let lost = || Err(FrontendError::Unavailable(self.lost()));
        if self.network.carry((), |()| std::future::ready(())).await.is_none() {
            return lost();
        }
        let querier = Faulty::new(querier, self.network.clone(), &worker.querier);
        tokio::select! {
            biased;
            () = self.network.cut_off() => lost(),
            ended = self.inner.work(worker, Arc::new(querier)) => ended,
        }
    }
}
