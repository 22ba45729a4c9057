//! [`QuerierApi`] over gRPC, for whoever knows a querier's address. Frontends do not: queriers
//! come to them.

use std::sync::Arc;

use async_trait::async_trait;
use base::time::Clock;
use proto::{Wire, v1 as messages};
use tonic::{Request, Response, Status};

use super::config::{ClientConfig, Serving};
use super::connection::{Call, Connection};
use super::v1::querier_client::QuerierClient as Stub;
use super::v1::querier_server::{Querier, QuerierServer};
use super::{AddressError, observe};
use crate::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use crate::tail::{TailJob, Tailed};
use crate::wire::{querier as wire, tail};

pub(super) const SELECT: &str = "/runelog.v1.Querier/Select";
pub(super) const LIST: &str = "/runelog.v1.Querier/List";
pub(super) const TAIL: &str = "/runelog.v1.Querier/Tail";

/// Calls to a querier in another process.
#[derive(Clone)]
pub struct QuerierClient(Arc<Connection>);

impl QuerierClient {
    /// Nothing is connected before the first call.
    pub fn new(
        address: &str,
        config: &ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<QuerierClient, AddressError> {
        Ok(QuerierClient(Arc::new(Connection::new(address, config, clock)?)))
    }

    fn read(&self, operation: &'static str) -> Call {
        let timeout = self.0.config.query_timeout;
        Call { operation, timeout, idempotent: true, histogram: None }
    }

    fn stub(&self, channel: tonic::transport::Channel) -> Stub<tonic::transport::Channel> {
        let limits = self.0.config.limits;
        Stub::new(channel)
            .max_decoding_message_size(limits.max_recv.0 as usize)
            .max_encoding_message_size(limits.max_send.0 as usize)
    }
}

#[async_trait]
impl QuerierApi for QuerierClient {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let message = wire::select_job(&job);
        let send = async |channel, request| self.stub(channel).select(request).await;
        let selected: Result<_, QuerierError> =
            self.0.unary(self.read(SELECT), message, send).await;
        wire::read_selected(&job.leaf, selected?)
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        let send = async |channel, request| self.stub(channel).tail(request).await;
        let tailed: Result<_, QuerierError> =
            self.0.unary(self.read(TAIL), tail::tail_job(&job), send).await;
        tail::read_tailed(&job.leaf, tailed?)
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let send = async |channel, request| self.stub(channel).list(request).await;
        let listed: Result<_, QuerierError> =
            self.0.unary(self.read(LIST), job.to_wire(), send).await;
        Ok(Listed::from_wire(listed?)?)
    }
}

/// A querier behind gRPC: decode, call, encode.
pub struct QuerierService {
    api: Arc<dyn QuerierApi>,
    clock: Arc<dyn Clock>,
}

/// Puts a querier on a port.
pub fn serve_querier(api: Arc<dyn QuerierApi>, serving: &Serving) -> QuerierServer<QuerierService> {
    QuerierServer::new(QuerierService { api, clock: serving.clock.clone() })
        .max_decoding_message_size(serving.limits.max_recv.0 as usize)
        .max_encoding_message_size(serving.limits.max_send.0 as usize)
}

#[async_trait]
impl Querier for QuerierService {
    async fn select(
        &self,
        request: Request<messages::SelectJob>,
    ) -> Result<Response<messages::Selected>, Status> {
        let answer = async |message| {
            let job = wire::read_select_job(message)?;
            Ok::<_, QuerierError>(wire::selected(&self.api.select(job).await?))
        };
        observe::answer(&self.clock, SELECT, request, answer).await
    }

    async fn tail(
        &self,
        request: Request<messages::TailJob>,
    ) -> Result<Response<messages::Tailed>, Status> {
        let answer = async |message| {
            let job = tail::read_tail_job(message)?;
            Ok::<_, QuerierError>(tail::tailed(&self.api.tail(job).await?))
        };
        observe::answer(&self.clock, TAIL, request, answer).await
    }

    async fn list(
        &self,
        request: Request<messages::ListJob>,
    ) -> Result<Response<messages::Listed>, Status> {
        let answer = async |message| {
            let job = ListJob::from_wire(message)?;
            Ok::<_, QuerierError>(self.api.list(job).await?.to_wire())
        };
        observe::answer(&self.clock, LIST, request, answer).await
    }
}
