//! A frontend behind gRPC: each worker's stream is a [`QuerierApi`] to the frontend.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use base::shutdown::Shutdown;
use base::{task, time::Clock};
use futures::Stream;
use proto::v1::{self as messages, from_worker, job, job_result, to_worker};
use proto::{Message, Wire};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::DropGuard;
use tonic::{Request, Response, Status, Streaming};

use super::config::Serving;
use super::observe::{self, InFlight};
use super::status::status_of;
use super::v1::frontend_server::{Frontend, FrontendServer};
use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use crate::tail::{TailJob, Tailed};
use crate::wire::error::WireErrorDetail;
use crate::wire::{querier as wire, tail};

pub(super) const WORK: &str = "/runelog.v1.Frontend/Work";
/// Messages to a worker that wait for the connection; its jobs wait with them.
const QUEUED_MESSAGES: usize = 4;

/// A frontend behind gRPC.
pub struct FrontendService {
    api: Arc<dyn FrontendApi>,
    clock: Arc<dyn Clock>,
    max_send: usize,
}

/// Puts a frontend on a port.
pub fn serve_frontend(
    api: Arc<dyn FrontendApi>,
    serving: &Serving,
) -> FrontendServer<FrontendService> {
    let max_send = serving.limits.max_send.0 as usize;
    FrontendServer::new(FrontendService { api, clock: serving.clock.clone(), max_send })
        .max_decoding_message_size(serving.limits.max_recv.0 as usize)
        .max_encoding_message_size(max_send)
}

#[async_trait]
impl Frontend for FrontendService {
    type WorkStream = WorkStream;

    async fn work(
        &self,
        request: Request<Streaming<messages::FromWorker>>,
    ) -> Result<Response<WorkStream>, Status> {
        let in_flight = InFlight::start(&self.clock, WORK);
        let mut from = request.into_inner();
        let hello = match from.message().await?.and_then(|message| message.message) {
            Some(from_worker::Message::Hello(hello)) => Worker::from_wire(hello),
            _ => Err(proto::WireError::new("FromWorker", "the first one is no hello")),
        };
        let worker = hello.map_err(|error| status_of(&FrontendError::from(error)))?;
        let (to, messages) = mpsc::channel(QUEUED_MESSAGES);
        let gone = Shutdown::new();
        let stay = Stay {
            link: Arc::new(Link::new(&worker, to, self.max_send)),
            gone: gone.clone(),
            in_flight,
        };
        task::spawn("frontend-worker", stay.run(self.api.clone(), worker, from));
        Ok(Response::new(WorkStream { messages, _gone: gone.drop_guard() }))
    }
}

/// Messages to one worker. When the connection drops it, the worker's stay ends.
pub struct WorkStream {
    messages: mpsc::Receiver<Result<messages::ToWorker, Status>>,
    _gone: DropGuard,
}

impl Stream for WorkStream {
    type Item = Result<messages::ToWorker, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(cx)
    }
}

/// One worker's stay, on the frontend's side.
struct Stay {
    link: Arc<Link>,
    /// The connection dropped the stream.
    gone: Shutdown,
    in_flight: InFlight,
}

impl Stay {
    async fn run(
        mut self,
        api: Arc<dyn FrontendApi>,
        worker: Worker,
        from: Streaming<messages::FromWorker>,
    ) {
        let ended = self.serve(api.work(worker, self.link.clone()), from).await;
        let to = self.link.break_off();
        match (ended, to) {
            (Ok(()), _) => self.in_flight.status = observe::SUCCESS,
            (Err(error), to) => {
                self.in_flight.status = observe::status_code(&error);
                if let Some(to) = to {
                    // Nobody may be there to hear it.
                    let _ = to.send(Err(status_of(&error))).await;
                }
            }
        }
    }

    /// Passes messages on until the frontend's `work` ends or the stream does. Then `work` is
    /// dropped, so that its job goes to another worker.
    async fn serve(
        &self,
        work: impl Future<Output = Result<(), FrontendError>>,
        mut from: Streaming<messages::FromWorker>,
    ) -> Result<(), FrontendError> {
        let link = &self.link;
        let mut work = pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                message = from.message() => match message {
                    Ok(Some(message)) => match message.message {
                        Some(from_worker::Message::Result(result)) => link.answered(result),
                        // A later version may have more to say.
                        Some(from_worker::Message::Hello(_)) | None => {}
                    },
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(FrontendError::Unavailable(status.to_string())),
                },
                () = link.cancels.notified() => {
                    for number in link.take_cancelled() {
                        link.send(to_worker::Message::Cancel(number)).await;
                    }
                }
                () = self.gone.cancelled() => return Ok(()),
            }
        }
    }
}

impl Drop for Stay {
    /// Whichever way the stay ends, also by a panic: nobody waits for ever.
    fn drop(&mut self) {
        self.link.break_off();
    }
}

/// A worker's stream as a querier.
struct Link {
    querier: String,
    max_send: usize,
    state: Mutex<Calls>,
    /// There are cancelled calls.
    cancels: Notify,
}

#[derive(Default)]
struct Calls {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<job_result::Result>>,
    /// Numbers whose callers went away, to be told to the worker. Each was waiting: no more of
    /// them than of those.
    cancelled: Vec<u64>,
    /// None: the stream is broken. The stream ends when the last sender is dropped.
    to: Option<ToWorkers>,
}

type ToWorkers = mpsc::Sender<Result<messages::ToWorker, Status>>;

impl Link {
    fn new(worker: &Worker, to: ToWorkers, max_send: usize) -> Link {
        let state = Mutex::new(Calls { to: Some(to), ..Calls::default() });
        Link { querier: worker.querier.clone(), max_send, state, cancels: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> QuerierError {
        QuerierError::Unavailable(format!("querier {} went away", self.querier))
    }

    /// Nobody may be there any more.
    async fn send(&self, message: to_worker::Message) {
        let to = self.lock().to.clone();
        if let Some(to) = to {
            let _ = to.send(Ok(messages::ToWorker { message: Some(message) })).await;
        }
    }

    /// One job and its result.
    async fn call(&self, job: job::Job) -> Result<job_result::Result, QuerierError> {
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut calls = self.lock();
            if calls.to.is_none() {
                return Err(self.gone());
            }
            calls.last += 1;
            let number = calls.last;
            calls.waiting.insert(number, answer);
            number
        };
        let _cancels_when_dropped = Waiting { link: self, number };
        let traceparent = crate::trace::traceparent();
        let job = messages::Job { number, traceparent, job: Some(job) };
        let length = job.encoded_len();
        if length > self.max_send {
            return Err(QuerierError::limited(format!(
                "a job of {length} bytes is over the limit of {} (grpc_server_max_send_msg_size)",
                self.max_send
            )));
        }
        // If the stream is broken the stay ends and so does this call. It does not fail at once: a
        // frontend that goes on to its next job would fail them all before it is told.
        self.send(to_worker::Message::Job(job)).await;
        match answered.await {
            Ok(job_result::Result::Error(detail)) => Err(QuerierError::from_detail(detail)),
            Ok(result) => Ok(result),
            Err(_) => Err(self.gone()),
        }
    }

    fn answered(&self, result: messages::JobResult) {
        // A result of a cancelled job may still have been under way.
        let waiting = self.lock().waiting.remove(&result.number);
        if let (Some(waiting), Some(result)) = (waiting, result.result) {
            let _ = waiting.send(result);
        }
    }

    fn take_cancelled(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().cancelled)
    }

    /// All calls fail, and those to come. Returns the last way to the worker.
    fn break_off(&self) -> Option<ToWorkers> {
        let mut calls = self.lock();
        calls.waiting.clear();
        calls.to.take()
    }
}

/// A call that waits. Dropped before its result, it tells the worker so.
struct Waiting<'a> {
    link: &'a Link,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut calls = self.link.lock();
        if calls.waiting.remove(&self.number).is_some() {
            calls.cancelled.push(self.number);
            self.link.cancels.notify_one();
        }
    }
}

fn unexpected(what: &str) -> QuerierError {
    QuerierError::Corrupt(format!("bad JobResult message: {what} for another kind of job"))
}

#[async_trait]
impl QuerierApi for Link {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        match self.call(job::Job::Select(wire::select_job(&job))).await? {
            job_result::Result::Selected(selected) => wire::read_selected(&job.leaf, selected),
            _ => Err(unexpected("something else")),
        }
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        match self.call(job::Job::List(job.to_wire())).await? {
            job_result::Result::Listed(listed) => Ok(Listed::from_wire(listed)?),
            _ => Err(unexpected("something else")),
        }
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        match self.call(job::Job::Tail(tail::tail_job(&job))).await? {
            job_result::Result::Tailed(tailed) => tail::read_tailed(&job.leaf, tailed),
            _ => Err(unexpected("something else")),
        }
    }
}
