//! Where jobs wait for queriers: fair between tenants, first come first served within one, bounded
//! for each.
//!
//! Workers pull ([`Queue::next`]). A job whose requester is gone leaves the queue at once: its
//! [`Ticket`] was dropped. What is counted as outstanding is what waits here; what runs is bounded
//! by the workers.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::hash::hash64;
use base::{Clock, HashMap, TenantId};
use metrics::{counter, gauge, histogram};
use rpc::frontend::Worker;
use tokio::sync::{Notify, oneshot};
use tracing::Span;

use crate::error::Error;
use crate::metrics::{CONNECTED, DISCARDED, QUEUE_DURATION, QUEUE_LENGTH};
use crate::query::{Done, Job};

/// Jobs that wait.
pub struct Queue {
    state: Mutex<State>,
    /// Somebody should look again: a job came, a worker came or went, the queue closed.
    changed: Notify,
    clock: Arc<dyn Clock>,
}

/// A job on its way back.
pub struct Reply {
    /// What the querier said.
    pub result: Result<Done, Error>,
    /// How long the job waited.
    pub waited_ns: u64,
}

/// A job that a worker took. Dropped without an answer, its requester learns that the worker is
/// lost.
pub struct Taken {
    /// What to do.
    pub job: Job,
    /// Where the answer goes; closed when nobody waits for it any more.
    pub reply: oneshot::Sender<Reply>,
    /// How long it waited.
    pub waited_ns: u64,
    /// Says that it runs.
    pub running: Running,
    /// Of the query that it is a piece of: the job belongs to its trace and its log lines.
    pub span: Span,
}

/// Counts a job that runs; dropped, it does not any more.
pub struct Running {
    queue: Arc<Queue>,
}

/// A place in the queue; dropped, the job leaves it.
pub struct Ticket {
    queue: Arc<Queue>,
    tenant: TenantId,
    number: u64,
    answer: oneshot::Receiver<Reply>,
}

/// One worker's presence; dropped, it is gone.
pub struct Stay {
    queue: Arc<Queue>,
    worker: Worker,
}

/// What a tenant may do with the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Jobs that may wait.
    pub outstanding: usize,
    /// Queriers that may serve the tenant: from 1 a number, below 1 a share of all, 0 = all.
    pub queriers: f64,
}

#[derive(Default)]
struct State {
    /// Only tenants with jobs.
    tenants: HashMap<TenantId, Line>,
    /// Tenants with jobs, in the order in which they are served.
    turns: VecDeque<TenantId>,
    /// Workers of each querier.
    queriers: BTreeMap<String, usize>,
    next_number: u64,
    running: usize,
    closed: bool,
}

/// The jobs of one tenant, by number.
struct Line {
    jobs: BTreeMap<u64, Waiting>,
    queriers: f64,
}

struct Waiting {
    job: Job,
    reply: oneshot::Sender<Reply>,
    since_ns: u64,
    span: Span,
}

impl Queue {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Queue> {
        Arc::new(Queue { state: Mutex::default(), changed: Notify::new(), clock })
    }

    /// Puts a job at the end of its tenant's line.
    pub fn push(
        self: &Arc<Queue>,
        tenant: &TenantId,
        share: Share,
        job: Job,
    ) -> Result<Ticket, Error> {
        let since_ns = self.clock.monotonic_ns();
        let (reply, answer) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Stopping);
        }
        let number = state.next_number;
        state.next_number += 1;
        let State { tenants, turns, .. } = &mut *state;
        let line = tenants.entry(tenant.clone()).or_insert_with(|| {
            turns.push_back(tenant.clone());
            Line { jobs: BTreeMap::new(), queriers: 0.0 }
        });
        // Limits may have changed since the last job.
        line.queriers = share.queriers;
        if line.jobs.len() >= share.outstanding.max(1) {
            counter!(DISCARDED, "user" => tenant.as_str().to_owned()).increment(1);
            return Err(Error::TooManyOutstanding);
        }
        line.jobs.insert(number, Waiting { job, reply, since_ns, span: Span::current() });
        report(tenant, line.jobs.len());
        drop(state);
        self.changed.notify_waiters();
        Ok(Ticket { queue: self.clone(), tenant: tenant.clone(), number, answer })
    }

    /// A worker is here and will ask for jobs.
    pub fn join(self: &Arc<Queue>, worker: Worker) -> Stay {
        let mut state = self.lock();
        *state.queriers.entry(worker.querier.clone()).or_default() += 1;
        state.report_workers();
        drop(state);
        self.changed.notify_waiters();
        Stay { queue: self.clone(), worker }
    }

    /// Waits for the next job that this querier may run; none when the queue has closed and nothing
    /// waits any more.
    pub async fn next(self: &Arc<Queue>, querier: &str) -> Option<Taken> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed, also one between the look and the wait.
            changed.as_mut().enable();
            if let Some(found) = self.look(querier) {
                return found;
            }
            changed.await;
        }
    }

    /// A job, or that there will be none, or neither yet.
    fn look(self: &Arc<Queue>, querier: &str) -> Option<Option<Taken>> {
        let mut state = self.lock();
        match state.take(querier) {
            Some(Waiting { job, reply, since_ns, span }) => {
                state.running += 1;
                drop(state);
                let running = Running { queue: self.clone() };
                let waited_ns = self.clock.monotonic_ns().saturating_sub(since_ns);
                histogram!(QUEUE_DURATION).record(waited_ns as f64 / 1e9);
                Some(Some(Taken { job, reply, waited_ns, running, span }))
            }
            None if state.closed && state.tenants.is_empty() => Some(None),
            None => None,
        }
    }

    /// Takes no more jobs. Those that wait are still run; without a worker they are given up.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let given_up = state.give_up();
        drop(state);
        drop(given_up);
        self.changed.notify_waiters();
    }

    /// Waits until no job waits or runs.
    pub async fn drained(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let idle = {
                let state = self.lock();
                state.running == 0 && state.tenants.is_empty()
            };
            if idle {
                return;
            }
            changed.await;
        }
    }

    /// Workers that are here.
    pub fn workers(&self) -> usize {
        self.lock().queriers.values().sum()
    }

    /// Workers that neither run a job nor will take one that waits.
    pub fn idle(&self) -> usize {
        let state = self.lock();
        let waiting: usize = state.tenants.values().map(|line| line.jobs.len()).sum();
        state.queriers.values().sum::<usize>().saturating_sub(state.running + waiting)
    }

    /// Querier processes that are here.
    pub fn queriers(&self) -> usize {
        self.lock().queriers.len()
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.lock().tenants.values().map(|line| line.jobs.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one that leaves the maps fitting together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest job of the first tenant in turn that `querier` may serve. The tenant goes to the
    /// end of the turns; those it jumped over keep their place.
    fn take(&mut self, querier: &str) -> Option<Waiting> {
        let at = self.turns.iter().position(|tenant| {
            let queriers = self.tenants.get(tenant).map_or(0.0, |line| line.queriers);
            serves(&self.queriers, queriers, tenant, querier)
        })?;
        let tenant = self.turns.remove(at)?;
        let line = self.tenants.get_mut(&tenant)?;
        let (_, waiting) = line.jobs.pop_first()?;
        report(&tenant, line.jobs.len());
        if line.jobs.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        Some(waiting)
    }

    fn remove(&mut self, tenant: &TenantId, number: u64) -> Option<Waiting> {
        let line = self.tenants.get_mut(tenant)?;
        let waiting = line.jobs.remove(&number)?;
        report(tenant, line.jobs.len());
        if line.jobs.is_empty() {
            self.tenants.remove(tenant);
            self.turns.retain(|other| other != tenant);
        }
        Some(waiting)
    }

    /// Jobs that nobody will ever take.
    fn give_up(&mut self) -> Vec<Line> {
        if !self.closed || !self.queriers.is_empty() {
            return Vec::new();
        }
        self.turns.clear();
        self.tenants.drain().map(|(_, line)| line).collect()
    }

    fn report_workers(&self) {
        gauge!(CONNECTED).set(self.queriers.values().sum::<usize>() as f64);
    }
}

/// Whether `querier` is one of the `most` that serve `tenant`: those whose hash with the tenant is
/// highest. So each tenant keeps most of its queriers when others come and go.
fn serves(queriers: &BTreeMap<String, usize>, most: f64, tenant: &TenantId, querier: &str) -> bool {
    let most = if most < 1.0 { most * queriers.len() as f64 } else { most };
    // A share of few is one of them; the cast saturates.
    let most = most.ceil() as usize;
    if most == 0 || queriers.len() <= most {
        return true;
    }
    let rank =
        |querier: &str| (hash64(format!("{tenant}/{querier}").as_bytes()), querier.to_owned());
    let own = rank(querier);
    queriers.keys().filter(|other| rank(other) > own).count() < most
}

fn report(tenant: &TenantId, waiting: usize) {
    gauge!(QUEUE_LENGTH, "user" => tenant.as_str().to_owned()).set(waiting as f64);
}

impl Ticket {
    /// The answer; `None` when the worker went away without one.
    pub async fn answer(mut self) -> Option<Reply> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let removed = self.queue.lock().remove(&self.tenant, self.number);
        if removed.is_some() {
            // A closed queue may be empty now.
            self.queue.changed.notify_waiters();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.running -= 1;
        let closed = state.closed;
        drop(state);
        if closed {
            self.queue.changed.notify_waiters();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(workers) = state.queriers.get_mut(&self.worker.querier) {
            *workers -= 1;
            if *workers == 0 {
                state.queriers.remove(&self.worker.querier);
            }
        }
        state.report_workers();
        let given_up = state.give_up();
        drop(state);
        drop(given_up);
        // Others may serve its tenants now.
        self.queue.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
