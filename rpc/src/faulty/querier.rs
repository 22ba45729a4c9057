//! Faulty calls to queriers.

use async_trait::async_trait;

use super::Faulty;
use crate::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use crate::tail::{TailJob, Tailed};

#[async_trait]
impl<T: QuerierApi + ?Sized> QuerierApi for Faulty<T> {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let inner = self.inner.clone();
        let call = move |job| {
            let inner = inner.clone();
            async move { inner.select(job).await }
        };
        let answer = self.network.carry(job, call).await;
        answer.unwrap_or_else(|| Err(QuerierError::Unavailable(self.lost())))
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        let inner = self.inner.clone();
        let call = move |job| {
            let inner = inner.clone();
            async move { inner.tail(job).await }
        };
        let answer = self.network.carry(job, call).await;
        answer.unwrap_or_else(|| Err(QuerierError::Unavailable(self.lost())))
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let inner = self.inner.clone();
        let call = move |job| {
            let inner = inner.clone();
            async move { inner.list(job).await }
        };
        let answer = self.network.carry(job, call).await;
        answer.unwrap_or_else(|| Err(QuerierError::Unavailable(self.lost())))
    }
}
