//! [`IngesterApi`] over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use base::Batch;
use base::shutdown::Shutdown;
use base::time::Clock;
use proto::{Wire, v1 as messages};
use tonic::{Request, Response, Status};

use super::config::{ClientConfig, Serving};
use super::connection::{Call, Connection};
use super::v1::ingester_client::IngesterClient as Stub;
use super::v1::ingester_server::{Ingester, IngesterServer};
use super::{AddressError, metrics, observe};
use crate::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use crate::tail::{TailAnswer, TailRequest};
use crate::wire::{ingester as wire, tail};

const IDENTIFY: &str = "/runelog.v1.Ingester/Identify";
const ADMIT: &str = "/runelog.v1.Ingester/Admit";
const APPEND: &str = "/runelog.v1.Ingester/Append";
const SELECT: &str = "/runelog.v1.Ingester/Select";
const STREAMS: &str = "/runelog.v1.Ingester/Streams";
const TAIL: &str = "/runelog.v1.Ingester/Tail";

/// Calls to an ingester in another process.
#[derive(Clone)]
pub struct IngesterClient(Arc<Connection>);

impl IngesterClient {
    /// Nothing is connected before the first call.
    pub fn new(
        address: &str,
        config: &ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<IngesterClient, AddressError> {
        Ok(IngesterClient(Arc::new(Connection::new(address, config, clock)?)))
    }

    /// As configured.
    pub fn address(&self) -> &str {
        self.0.address()
    }

    fn write(&self, operation: &'static str) -> Call {
        let histogram = Some(metrics::INGESTER_CLIENT_DURATION);
        Call { operation, timeout: self.0.config.remote_timeout, idempotent: false, histogram }
    }

    fn read(&self, operation: &'static str) -> Call {
        let histogram = Some(metrics::INGESTER_CLIENT_DURATION);
        Call { operation, timeout: self.0.config.query_timeout, idempotent: true, histogram }
    }

    fn stub(&self, channel: tonic::transport::Channel) -> Stub<tonic::transport::Channel> {
        let limits = self.0.config.limits;
        Stub::new(channel)
            .max_decoding_message_size(limits.max_recv.0 as usize)
            .max_encoding_message_size(limits.max_send.0 as usize)
    }
}

#[async_trait]
impl IngesterApi for IngesterClient {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        let call = Call { timeout: self.0.config.remote_timeout, ..self.read(IDENTIFY) };
        let message = messages::IdentifyRequest {};
        let send = async |channel, request| self.stub(channel).identify(request).await;
        let identity: Result<_, IngesterError> = self.0.unary(call, message, send).await;
        Ok(Identity::from_wire(identity?)?)
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let (streams, rows) = (request.streams.len(), request.ts_ns.len());
        let message = request.to_wire();
        let send = async |channel, request| self.stub(channel).admit(request).await;
        let answer: Result<_, IngesterError> = self.0.unary(self.write(ADMIT), message, send).await;
        let admission = Admission::from_wire(answer?)?;
        wire::fits(&admission, streams, rows)?;
        Ok(admission)
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let message = wire::append_request(&batches);
        let send = async |channel, request| self.stub(channel).append(request).await;
        let answer = self.0.unary(self.write(APPEND), message, send).await;
        let appended = answer.and_then(|message| {
            let appended = Appended::from_wire(message)?;
            wire::answers_all(&appended, batches.len())?;
            Ok(appended)
        });
        appended.map_err(|error: IngesterError| AppendError { error, batches })
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        let message = wire::select_request(&request);
        let send = async |channel, request| self.stub(channel).select(request).await;
        let answer = self.0.unary(self.read(SELECT), message, send);
        let answer: Result<_, IngesterError> = tokio::select! {
            answer = answer => answer,
            // Dropping the call resets its stream.
            () = request.cancel.cancelled() => return Err(IngesterError::Cancelled),
        };
        wire::read_select_answer(&request.leaf, answer?)
    }

    async fn tail(&self, request: TailRequest) -> Result<TailAnswer, IngesterError> {
        let message = tail::tail_request(&request);
        let send = async |channel, request| self.stub(channel).tail(request).await;
        let answer: Result<_, IngesterError> = self.0.unary(self.read(TAIL), message, send).await;
        tail::read_tail_answer(&request.leaf, answer?)
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        let send = async |channel, request| self.stub(channel).streams(request).await;
        let answer: Result<_, IngesterError> =
            self.0.unary(self.read(STREAMS), request.to_wire(), send).await;
        Ok(StreamsAnswer::from_wire(answer?)?)
    }
}

/// An ingester behind gRPC: decode, call, encode.
pub struct IngesterService {
    api: Arc<dyn IngesterApi>,
    clock: Arc<dyn Clock>,
}

/// Puts an ingester on a port.
pub fn serve_ingester(
    api: Arc<dyn IngesterApi>,
    serving: &Serving,
) -> IngesterServer<IngesterService> {
    IngesterServer::new(IngesterService { api, clock: serving.clock.clone() })
        .max_decoding_message_size(serving.limits.max_recv.0 as usize)
        .max_encoding_message_size(serving.limits.max_send.0 as usize)
}

#[async_trait]
impl Ingester for IngesterService {
    async fn identify(
        &self,
        request: Request<messages::IdentifyRequest>,
    ) -> Result<Response<messages::Identity>, Status> {
        let answer = async |_| Ok::<_, IngesterError>(self.api.identify().await?.to_wire());
        observe::answer(&self.clock, IDENTIFY, request, answer).await
    }

    async fn admit(
        &self,
        request: Request<messages::AdmitRequest>,
    ) -> Result<Response<messages::Admission>, Status> {
        let answer = async |message| {
            let request = AdmitRequest::from_wire(message)?;
            Ok::<_, IngesterError>(self.api.admit(request).await?.to_wire())
        };
        observe::answer(&self.clock, ADMIT, request, answer).await
    }

    async fn append(
        &self,
        request: Request<messages::AppendRequest>,
    ) -> Result<Response<messages::Appended>, Status> {
        let answer = async |message| {
            let batches = wire::read_append_request(message)?;
            // The caller has kept the batches it sent.
            let appended = self.api.append(batches).await.map_err(|failed| failed.error)?;
            Ok::<_, IngesterError>(appended.to_wire())
        };
        observe::answer(&self.clock, APPEND, request, answer).await
    }

    async fn select(
        &self,
        request: Request<messages::SelectRequest>,
    ) -> Result<Response<messages::SelectAnswer>, Status> {
        let answer = async |message| {
            let cancel = Shutdown::new();
            // When the caller goes away this future is dropped, and the work ends.
            let _ends_with_the_call = cancel.clone().drop_guard();
            let request = wire::read_select_request(message, cancel)?;
            let answer = self.api.select(request).await?;
            Ok::<_, IngesterError>(wire::select_answer(&answer))
        };
        observe::answer(&self.clock, SELECT, request, answer).await
    }

    async fn tail(
        &self,
        request: Request<messages::TailRequest>,
    ) -> Result<Response<messages::TailAnswer>, Status> {
        let answer = async |message| {
            let cancel = Shutdown::new();
            let _ends_with_the_call = cancel.clone().drop_guard();
            let request = tail::read_tail_request(message, cancel)?;
            Ok::<_, IngesterError>(tail::tail_answer(&self.api.tail(request).await?))
        };
        observe::answer(&self.clock, TAIL, request, answer).await
    }

    async fn streams(
        &self,
        request: Request<messages::StreamsRequest>,
    ) -> Result<Response<messages::StreamsAnswer>, Status> {
        let answer = async |message| {
            let request = StreamsRequest::from_wire(message)?;
            Ok::<_, IngesterError>(self.api.streams(request).await?.to_wire())
        };
        observe::answer(&self.clock, STREAMS, request, answer).await
    }
}
