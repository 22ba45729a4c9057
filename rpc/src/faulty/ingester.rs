//! Faulty calls to ingesters.

use async_trait::async_trait;
use base::Batch;

use super::Faulty;
use crate::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use crate::tail::{TailAnswer, TailRequest};

impl<T: ?Sized> Faulty<T> {
    fn ingester_lost(&self) -> IngesterError {
        IngesterError::Unavailable(self.lost())
    }
}

#[async_trait]
impl<T: IngesterApi + ?Sized> IngesterApi for Faulty<T> {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        let inner = self.inner.clone();
        let call = move |()| {
            let inner = inner.clone();
            async move { inner.identify().await }
        };
        self.network.carry((), call).await.unwrap_or_else(|| Err(self.ingester_lost()))
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let inner = self.inner.clone();
        let call = move |request| {
            let inner = inner.clone();
            async move { inner.admit(request).await }
        };
        self.network.carry(request, call).await.unwrap_or_else(|| Err(self.ingester_lost()))
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let inner = self.inner.clone();
        let call = move |batches| {
            let inner = inner.clone();
            async move { inner.append(batches).await }
        };
        match self.network.carry(batches.clone(), call).await {
            Some(answer) => answer,
            None => Err(AppendError { error: self.ingester_lost(), batches }),
        }
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        let inner = self.inner.clone();
        let call = move |request| {
            let inner = inner.clone();
            async move { inner.select(request).await }
        };
        self.network.carry(request, call).await.unwrap_or_else(|| Err(self.ingester_lost()))
    }

    async fn tail(&self, request: TailRequest) -> Result<TailAnswer, IngesterError> {
        let inner = self.inner.clone();
        let call = move |request| {
            let inner = inner.clone();
            async move { inner.tail(request).await }
        };
        self.network.carry(request, call).await.unwrap_or_else(|| Err(self.ingester_lost()))
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        let inner = self.inner.clone();
        let call = move |request| {
            let inner = inner.clone();
            async move { inner.streams(request).await }
        };
        self.network.carry(request, call).await.unwrap_or_else(|| Err(self.ingester_lost()))
    }
}
