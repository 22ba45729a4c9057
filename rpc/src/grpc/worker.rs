//! A querier's side of a worker's stream: jobs come down, results go up.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use base::shutdown::Shutdown;
use base::time::Clock;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use proto::v1::{self as messages, from_worker, job, job_result, to_worker};
use proto::{Message, Wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tracing::Instrument;

use super::AddressError;
use super::config::ClientConfig;
use super::connection::Connection;
use super::observe::{self, InFlight};
use super::querier::{LIST, SELECT, TAIL};
use super::status::failure_of;
use super::v1::frontend_client::FrontendClient as Stub;
use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::querier::{ListJob, QuerierApi, QuerierError};
use crate::wire::error::WireErrorDetail;
use crate::wire::{querier as wire, tail};

/// Jobs that run or whose results wait for the connection, on one stream. A frontend sends one at
/// a time.
const MAX_JOBS: usize = 64;

/// A frontend in another process, as a worker sees it.
#[derive(Clone)]
pub struct FrontendClient {
    connection: Arc<Connection>,
    clock: Arc<dyn Clock>,
}

impl FrontendClient {
    /// Nothing is connected before the first stay.
    pub fn new(
        address: &str,
        config: &ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<FrontendClient, AddressError> {
        let connection = Arc::new(Connection::new(address, config, clock.clone())?);
        Ok(FrontendClient { connection, clock })
    }

    fn error(&self, status: &tonic::Status) -> FrontendError {
        failure_of(self.connection.address(), status).into_error()
    }
}

#[async_trait]
impl FrontendApi for FrontendClient {
    async fn work(
        &self,
        worker: Worker,
        querier: Arc<dyn QuerierApi>,
    ) -> Result<(), FrontendError> {
        let (to, out) = mpsc::channel(1);
        let hello = from_worker::Message::Hello(worker.to_wire());
        to.try_send(messages::FromWorker { message: Some(hello) })
            .map_err(|error| FrontendError::Internal(error.to_string()))?;
        let limits = self.connection.config.limits;
        let send = async |channel, request| {
            Stub::new(channel)
                .max_decoding_message_size(limits.max_recv.0 as usize)
                .max_encoding_message_size(limits.max_send.0 as usize)
                .work(request)
                .await
        };
        let request = Request::new(ReceiverStream::new(out));
        let answer = self.connection.send(request, send).await;
        let mut from = answer.map_err(|status| self.error(&status))?.into_inner();
        let mut desk = Desk::new(querier, self.clock.clone(), limits.max_send.0 as usize);
        loop {
            tokio::select! {
                message = from.message() => match message {
                    Ok(Some(message)) => desk.take(message),
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(self.error(&status)),
                },
                Some((number, result)) = desk.running.next() => desk.done(number, result),
                permit = to.reserve(), if !desk.results.is_empty() => match (permit, desk.results.pop_front()) {
                    (Ok(permit), Some(result)) => permit.send(result),
                    _ => return Err(FrontendError::Unavailable(format!(
                        "{}: the stream is closed", self.connection.address()
                    ))),
                },
            }
        }
    }
}

type Running = futures::future::BoxFuture<'static, (u64, Option<job_result::Result>)>;

/// The jobs of one stream.
struct Desk {
    querier: Arc<dyn QuerierApi>,
    clock: Arc<dyn Clock>,
    max_send: usize,
    running: FuturesUnordered<Running>,
    cancels: BTreeMap<u64, Shutdown>,
    results: VecDeque<messages::FromWorker>,
}

impl Desk {
    fn new(querier: Arc<dyn QuerierApi>, clock: Arc<dyn Clock>, max_send: usize) -> Desk {
        let (running, cancels) = (FuturesUnordered::new(), BTreeMap::new());
        Desk { querier, clock, max_send, running, cancels, results: VecDeque::new() }
    }

    fn take(&mut self, message: messages::ToWorker) {
        match message.message {
            Some(to_worker::Message::Job(job)) => self.start(job),
            Some(to_worker::Message::Cancel(number)) => {
                if let Some(cancel) = self.cancels.remove(&number) {
                    cancel.cancel();
                }
            }
            // A later version may have more to say.
            None => {}
        }
    }

    fn start(&mut self, message: messages::Job) {
        let number = message.number;
        if self.running.len() + self.results.len() >= MAX_JOBS {
            let error = QuerierError::Unavailable(format!("{MAX_JOBS} jobs are running already"));
            return self.done(number, Some(job_result::Result::Error(error.to_detail())));
        }
        let cancel = Shutdown::new();
        self.cancels.insert(number, cancel.clone());
        let span = tracing::info_span!("job", number, traceID = tracing::field::Empty);
        crate::trace::follow_traceparent(&span, &message.traceparent);
        crate::trace::record_id(&span);
        let work = run(self.querier.clone(), self.clock.clone(), self.max_send, message.job);
        let work = async move {
            let result = tokio::select! {
                result = AssertUnwindSafe(work).catch_unwind() => Some(result),
                // Dropping the job's future ends its work.
                () = cancel.cancelled() => None,
            };
            let result = result.map(|result| match result {
                Ok(result) => result,
                Err(_) => {
                    ::metrics::counter!(crate::http::metrics::PANICS).increment(1);
                    tracing::error!(number, "a job panicked");
                    let error = QuerierError::Internal("internal error".to_owned());
                    job_result::Result::Error(error.to_detail())
                }
            });
            (number, result)
        };
        self.running.push(work.instrument(span).boxed());
    }

    fn done(&mut self, number: u64, result: Option<job_result::Result>) {
        self.cancels.remove(&number);
        if result.is_some() {
            let result = from_worker::Message::Result(messages::JobResult { number, result });
            self.results.push_back(messages::FromWorker { message: Some(result) });
        }
    }
}

/// Runs one job: decode, call, encode.
async fn run(
    querier: Arc<dyn QuerierApi>,
    clock: Arc<dyn Clock>,
    max_send: usize,
    job: Option<job::Job>,
) -> job_result::Result {
    let route = match &job {
        Some(job::Job::List(_)) => LIST,
        Some(job::Job::Tail(_)) => TAIL,
        Some(job::Job::Select(_)) | None => SELECT,
    };
    let mut in_flight = InFlight::start(&clock, route);
    let result = match job {
        Some(job::Job::Select(job)) => select(&*querier, job).await,
        Some(job::Job::List(job)) => list(&*querier, job).await,
        Some(job::Job::Tail(job)) => tailed(&*querier, job).await,
        None => Err(QuerierError::Internal("a kind of job that is not known here".to_owned())),
    };
    let result = result.and_then(|result| {
        let length = messages::JobResult { number: u64::MAX, result: Some(result.clone()) };
        let length = length.encoded_len();
        if length <= max_send {
            return Ok(result);
        }
        Err(QuerierError::limited(format!(
            "a result of {length} bytes is over the limit of {max_send} \
             (grpc_client_config.max_send_msg_size)"
        )))
    });
    match result {
        Ok(result) => {
            in_flight.status = observe::SUCCESS;
            result
        }
        Err(error) => {
            in_flight.status = observe::status_code(&error);
            job_result::Result::Error(error.to_detail())
        }
    }
}

async fn select(
    querier: &dyn QuerierApi,
    job: messages::SelectJob,
) -> Result<job_result::Result, QuerierError> {
    let selected = querier.select(wire::read_select_job(job)?).await?;
    Ok(job_result::Result::Selected(wire::selected(&selected)))
}

async fn tailed(
    querier: &dyn QuerierApi,
    job: messages::TailJob,
) -> Result<job_result::Result, QuerierError> {
    let tailed = querier.tail(tail::read_tail_job(job)?).await?;
    Ok(job_result::Result::Tailed(tail::tailed(&tailed)))
}

async fn list(
    querier: &dyn QuerierApi,
    job: messages::ListJob,
) -> Result<job_result::Result, QuerierError> {
    let listed = querier.list(ListJob::from_wire(job)?).await?;
    Ok(job_result::Result::Listed(listed.to_wire()))
}
