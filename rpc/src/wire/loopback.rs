//! Calls that stay in the process but are written and read as if they did not.

use std::sync::Arc;

use async_trait::async_trait;
use base::Batch;
use proto::{Message, Wire, WireError, v1};

use super::error::WireErrorDetail;
use super::{ingester, querier, tail};
use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use crate::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use crate::tail::{TailAnswer, TailJob, TailRequest, Tailed};

/// Serialises and parses every request and every answer, both ways, errors too. A caller cannot
/// tell it from what is inside; with `RUNELOG_FORCE_WIRE=1` all calls within a process go so.
#[derive(Clone)]
pub struct Loopback<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Loopback<T> {
    /// Calls to `inner`.
    pub fn new(inner: Arc<T>) -> Loopback<T> {
        Loopback(inner)
    }
}

/// To bytes and back.
fn through<M: Message + Default>(name: &'static str, message: &M) -> Result<M, WireError> {
    proto::decode(name, proto::encode(message))
}

/// An error to bytes and back.
fn error_through<E: WireErrorDetail + From<WireError>>(error: &E) -> E {
    match through("ErrorDetail", &error.to_detail()) {
        Ok(detail) => E::from_detail(detail),
        Err(broken) => broken.into(),
    }
}

#[async_trait]
impl<T: IngesterApi + ?Sized> IngesterApi for Loopback<T> {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        let identity = self.0.identify().await.map_err(|error| error_through(&error))?;
        Ok(Identity::from_wire(through("Identity", &identity.to_wire())?)?)
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let (streams, rows) = (request.streams.len(), request.ts_ns.len());
        let request = AdmitRequest::from_wire(through("AdmitRequest", &request.to_wire())?)?;
        let admission = self.0.admit(request).await.map_err(|error| error_through(&error))?;
        let admission = Admission::from_wire(through("Admission", &admission.to_wire())?)?;
        ingester::fits(&admission, streams, rows)?;
        Ok(admission)
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let sent = through("AppendRequest", &ingester::append_request(&batches))
            .and_then(ingester::read_append_request);
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return Err(AppendError { error: error.into(), batches }),
        };
        let appended = match self.0.append(sent).await {
            Ok(appended) => appended,
            // What the other side gives back stays there.
            Err(failed) => {
                return Err(AppendError { error: error_through(&failed.error), batches });
            }
        };
        let answer = through("Appended", &appended.to_wire()).and_then(Appended::from_wire);
        let answer = answer.and_then(|appended| {
            ingester::answers_all(&appended, batches.len())?;
            Ok(appended)
        });
        answer.map_err(|error| AppendError { error: error.into(), batches })
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        let leaf = request.leaf.clone();
        let message = through("SelectRequest", &ingester::select_request(&request))?;
        let request = ingester::read_select_request(message, request.cancel)?;
        let answer = self.0.select(request).await.map_err(|error| error_through(&error))?;
        let message = through("SelectAnswer", &ingester::select_answer(&answer))?;
        ingester::read_select_answer(&leaf, message)
    }

    async fn tail(&self, request: TailRequest) -> Result<TailAnswer, IngesterError> {
        let leaf = request.leaf.clone();
        let message = through("TailRequest", &tail::tail_request(&request))?;
        let request = tail::read_tail_request(message, request.cancel)?;
        let answer = self.0.tail(request).await.map_err(|error| error_through(&error))?;
        tail::read_tail_answer(&leaf, through("TailAnswer", &tail::tail_answer(&answer))?)
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        let request = StreamsRequest::from_wire(through("StreamsRequest", &request.to_wire())?)?;
        let answer = self.0.streams(request).await.map_err(|error| error_through(&error))?;
        Ok(StreamsAnswer::from_wire(through("StreamsAnswer", &answer.to_wire())?)?)
    }
}

#[async_trait]
impl<T: QuerierApi + ?Sized> QuerierApi for Loopback<T> {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let leaf = job.leaf.clone();
        let job = querier::read_select_job(through("SelectJob", &querier::select_job(&job))?)?;
        let selected = self.0.select(job).await.map_err(|error| error_through(&error))?;
        querier::read_selected(&leaf, through("Selected", &querier::selected(&selected))?)
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        let leaf = job.leaf.clone();
        let job = tail::read_tail_job(through("TailJob", &tail::tail_job(&job))?)?;
        let tailed = self.0.tail(job).await.map_err(|error| error_through(&error))?;
        tail::read_tailed(&leaf, through("Tailed", &tail::tailed(&tailed))?)
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let job = ListJob::from_wire(through("ListJob", &job.to_wire())?)?;
        let listed = self.0.list(job).await.map_err(|error| error_through(&error))?;
        Ok(Listed::from_wire(through::<v1::Listed>("Listed", &listed.to_wire())?)?)
    }
}

#[async_trait]
impl<T: FrontendApi + ?Sized> FrontendApi for Loopback<T> {
    async fn work(
        &self,
        worker: Worker,
        querier: Arc<dyn QuerierApi>,
    ) -> Result<(), FrontendError> {
        let worker = Worker::from_wire(through("Hello", &worker.to_wire())?)?;
        let querier = Arc::new(Loopback::new(querier));
        self.0.work(worker, querier).await.map_err(|error| error_through(&error))
    }
}

#[cfg(test)]
mod tests;
