//! Calls over a network that fails: seeded delay, loss, duplication and lateness.
//!
//! [`Faulty`] implements whatever trait it wraps. What happens to a call is drawn from a
//! [`Random`] when it is made, so one seed gives one run; times are those of the runtime's clock,
//! which a simulation stops. Nobody here decides what an error means: a lost call is
//! `Unavailable` after [`Faults::timeout`], as over a real connection.

mod frontend;
mod ingester;
mod querier;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::random::Random;
use base::task;
use tokio::sync::watch;
use tokio::time::sleep;

/// How often what goes wrong: chances of a thousand, of each call. Those of one fate (all but
/// `delay`) exclude each other; together they are at most a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The call starts up to `delay_max` later. Calls overtake each other so.
    pub delay: u32,
    /// The longest delay, also of what happens again or late.
    pub delay_max: Duration,
    /// The request gets lost: nothing happens.
    pub lose_request: u32,
    /// The answer gets lost: the call happened.
    pub lose_answer: u32,
    /// The call happens twice: once as it should, once more after a delay of its own.
    pub double: u32,
    /// The caller hears that it is lost, and it happens after a delay.
    pub late: u32,
    /// After how long a lost call is given up by its caller.
    pub timeout: Duration,
}

/// How often what was done to calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Calls.
    pub calls: u64,
    /// See [`Faults::delay`].
    pub delayed: u64,
    /// See [`Faults::lose_request`]; also requests into a partition.
    pub lost_requests: u64,
    /// See [`Faults::lose_answer`]; also answers into a partition.
    pub lost_answers: u64,
    /// See [`Faults::double`].
    pub doubled: u64,
    /// See [`Faults::late`].
    pub late: u64,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    delayed: AtomicU64,
    lost_requests: AtomicU64,
    lost_answers: AtomicU64,
    doubled: AtomicU64,
    late: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The network between callers and one peer. May be shared by several [`Faulty`].
pub struct Network {
    random: Arc<dyn Random>,
    faults: Mutex<Faults>,
    partitioned: watch::Sender<bool>,
    counters: Counters,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Through,
    RequestLost,
    AnswerLost,
    Doubled(Duration),
    Late(Duration),
}

impl Network {
    /// A network with these faults, drawn from `random`.
    pub fn new(random: Arc<dyn Random>, faults: Faults) -> Arc<Network> {
        let network = Network {
            random,
            faults: Mutex::default(),
            partitioned: watch::Sender::new(false),
            counters: Counters::default(),
        };
        network.set_faults(faults);
        Arc::new(network)
    }

    /// Changes what goes wrong from the next call on. All zero heals, but for a partition.
    ///
    /// # Panics
    /// If the chances of fates are more than a thousand together, or a delay's is.
    pub fn set_faults(&self, faults: Faults) {
        let Faults { delay, lose_request, lose_answer, double, late, .. } = faults;
        assert!(delay <= 1000, "a chance is at most a thousand of a thousand");
        assert!(lose_request + lose_answer + double + late <= 1000, "one call has one fate");
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Cuts the peer off, or heals it. Calls that are under way lose their answers; streams break.
    pub fn set_partitioned(&self, partitioned: bool) {
        self.partitioned.send_replace(partitioned);
    }

    /// What happened so far.
    pub fn counts(&self) -> FaultCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FaultCounts {
            calls: of(&self.counters.calls),
            delayed: of(&self.counters.delayed),
            lost_requests: of(&self.counters.lost_requests),
            lost_answers: of(&self.counters.lost_answers),
            doubled: of(&self.counters.doubled),
            late: of(&self.counters.late),
        }
    }

    fn faults(&self) -> Faults {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_partitioned(&self) -> bool {
        *self.partitioned.borrow()
    }

    /// Returns when the peer is cut off.
    async fn cut_off(&self) {
        let mut partitioned = self.partitioned.subscribe();
        // The sender lives as long as `self`.
        let _ = partitioned.wait_for(|partitioned| *partitioned).await;
    }

    /// As many draws for every call, so that a fault that is switched off moves nothing else.
    fn draw(&self, faults: &Faults) -> (Duration, Fate) {
        let chance = || (self.random.next_u64() % 1000) as u32;
        let longest = u64::try_from(faults.delay_max.as_nanos()).unwrap_or(u64::MAX);
        let some = || Duration::from_nanos(self.random.next_u64() % longest.max(1));
        let (is_delayed, delay, fate, again) = (chance() < faults.delay, some(), chance(), some());
        let mut below = faults.lose_request;
        let fate = if fate < below {
            Fate::RequestLost
        } else if fate < {
            below += faults.lose_answer;
            below
        } {
            Fate::AnswerLost
        } else if fate < {
            below += faults.double;
            below
        } {
            Fate::Doubled(again)
        } else if fate < below + faults.late {
            Fate::Late(again)
        } else {
            Fate::Through
        };
        (if is_delayed { delay } else { Duration::ZERO }, fate)
    }

    /// One call; `None` = lost, after the timeout.
    async fn carry<Q, A, F>(
        self: &Arc<Self>,
        request: Q,
        call: impl Fn(Q) -> F + Send + 'static,
    ) -> Option<A>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let faults = self.faults();
        let (delay, fate) = self.draw(&faults);
        count(&self.counters.calls);
        if !delay.is_zero() {
            count(&self.counters.delayed);
            sleep(delay).await;
        }
        let answer = match fate {
            _ if self.is_partitioned() => self.lost_request(),
            Fate::RequestLost => self.lost_request(),
            Fate::Through => self.answered(call(request).await),
            Fate::AnswerLost => {
                call(request).await;
                self.lost_answer()
            }
            Fate::Doubled(after) => {
                count(&self.counters.doubled);
                let first = call(request.clone());
                self.happens_later(after, request, call);
                self.answered(first.await)
            }
            Fate::Late(after) => {
                count(&self.counters.late);
                self.happens_later(after, request, call);
                None
            }
        };
        if answer.is_none() {
            sleep(faults.timeout).await;
        }
        answer
    }

    fn answered<A>(&self, answer: A) -> Option<A> {
        if self.is_partitioned() { self.lost_answer() } else { Some(answer) }
    }

    fn lost_request<A>(&self) -> Option<A> {
        count(&self.counters.lost_requests);
        None
    }

    fn lost_answer<A>(&self) -> Option<A> {
        count(&self.counters.lost_answers);
        None
    }

    fn happens_later<Q, A, F>(
        self: &Arc<Self>,
        after: Duration,
        request: Q,
        call: impl Fn(Q) -> F + Send + 'static,
    ) where
        Q: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let network = self.clone();
        task::spawn("late call", async move {
            sleep(after).await;
            if !network.is_partitioned() {
                call(request).await;
            }
        });
    }
}

/// A trait's calls through a [`Network`].
#[derive(Clone)]
pub struct Faulty<T: ?Sized> {
    inner: Arc<T>,
    network: Arc<Network>,
    /// Names the peer in errors.
    peer: Arc<str>,
}

impl<T: ?Sized> Faulty<T> {
    /// Calls to `inner`, which errors call `peer`.
    pub fn new(inner: Arc<T>, network: Arc<Network>, peer: &str) -> Faulty<T> {
        Faulty { inner, network, peer: peer.into() }
    }

    fn lost(&self) -> String {
        format!("{}: no answer", self.peer)
    }
}

#[cfg(test)]
mod tests;
