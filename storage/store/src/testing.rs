//! A store that fails on purpose, rules that can be switched off, and a scheduler that tries every
//! order. For tests of this crate and of its users (feature "testing").

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::config::CatalogConfig;
use crate::error::Error;
use crate::handle::{CatalogHandle, Deps};

/// Rules that a test switches off to see that it would notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Put without comparing the draft with earlier commits (C2).
    pub skip_compare: bool,
    /// Believe a PUT without reading `log/floor` after it (C3).
    pub skip_floor_check: bool,
}

impl CatalogHandle {
    /// As [`CatalogHandle::open`], with some rules switched off.
    pub async fn open_with_knobs(
        deps: Deps,
        config: CatalogConfig,
        knobs: Knobs,
    ) -> std::result::Result<CatalogHandle, Error> {
        let handle = CatalogHandle::unopened(deps, config, knobs);
        handle.start().await?;
        Ok(handle)
    }
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; an error comes back.
    LostRequest,
    /// It is done; an error comes back.
    LostAnswer,
    /// It is done twice; the second answer comes back (a client that retries by itself).
    Doubled,
    /// An error comes back; it is done before the given number of later requests has been served.
    Late(u64),
}

/// An in-memory store whose requests fail by script. Every request lets other futures run first,
/// so that a scheduler decides who is next.
pub struct FaultyStore {
    inner: InMemory,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Faults by number of the PUT, from 0.
    puts: BTreeMap<u64, Fault>,
    /// Faults by number of the GET, from 0; anything but `Doubled` loses the answer.
    gets: BTreeMap<u64, Fault>,
    put_count: u64,
    get_count: u64,
    served: u64,
    late: Vec<LatePut>,
    /// Requests of any kind.
    requests: u64,
    dies_at: Option<u64>,
    /// Whether the last request is done before nothing is answered any more.
    last_is_done: bool,
}

/// What becomes of a request of somebody who may be dead.
enum Life {
    Alive,
    /// It is done, and nobody hears of it.
    Last,
    Dead,
}

struct LatePut {
    due: u64,
    path: Path,
    payload: PutPayload,
    options: PutOptions,
}

impl FaultyStore {
    /// An empty store without faults.
    pub fn new() -> Arc<FaultyStore> {
        Arc::new(FaultyStore { inner: InMemory::new(), state: Mutex::default() })
    }

    /// From now on, counting from 0: faults of PUTs and of GETs by their numbers.
    pub fn script(&self, puts: BTreeMap<u64, Fault>, gets: BTreeMap<u64, Fault>) {
        *self.state() = State { puts, gets, ..State::default() };
    }

    /// From now on, counting requests of any kind from 0: number `at` and all after it fail, as for a
    /// process that dies there; with `last_is_done` the first of them is done first.
    pub fn die_at(&self, at: u64, last_is_done: bool) {
        *self.state() = State { dies_at: Some(at), last_is_done, ..State::default() };
    }

    /// Requests of any kind since a script was set.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    fn life(&self) -> Life {
        let mut state = self.state();
        let number = state.requests;
        state.requests += 1;
        match state.dies_at {
            Some(at) if number == at && state.last_is_done => Life::Last,
            Some(at) if number >= at => Life::Dead,
            _ => Life::Alive,
        }
    }

    /// PUTs and GETs since the script was set.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.put_count, state.get_count)
    }

    /// Serves every late request now and ends the script.
    pub async fn settle(&self) {
        let late = std::mem::take(&mut *self.state()).late;
        for put in late {
            let _ = self.inner.put_opts(&put.path, put.payload, put.options).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others run, then serves late requests that are due.
    async fn turn(&self) {
        yield_once().await;
        let due = {
            let mut state = self.state();
            state.served += 1;
            let served = state.served;
            let (due, later) = state.late.drain(..).partition(|put| put.due <= served);
            state.late = later;
            due
        };
        let due: Vec<LatePut> = due;
        for put in due {
            let _ = self.inner.put_opts(&put.path, put.payload, put.options).await;
        }
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the answer is lost".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.turn().await;
        match self.life() {
            Life::Alive => {}
            Life::Last => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                return Err(lost());
            }
            Life::Dead => return Err(lost()),
        }
        let fault = {
            let mut state = self.state();
            let number = state.put_count;
            state.put_count += 1;
            state.puts.get(&number).copied()
        };
        match fault {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::LostRequest) => Err(lost()),
            Some(Fault::LostAnswer) => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(lost())
            }
            Some(Fault::Doubled) => {
                let _ = self.inner.put_opts(location, payload.clone(), opts.clone()).await;
                self.inner.put_opts(location, payload, opts).await
            }
            Some(Fault::Late(by)) => {
                let mut state = self.state();
                let due = state.served + by;
                let path = location.clone();
                state.late.push(LatePut { due, path, payload, options: opts });
                Err(lost())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await;
        if !matches!(self.life(), Life::Alive) {
            return Err(lost());
        }
        let fault = {
            let mut state = self.state();
            let number = state.get_count;
            state.get_count += 1;
            state.gets.get(&number).copied()
        };
        match fault {
            None | Some(Fault::Doubled) => self.inner.get_opts(location, options).await,
            Some(_) => Err(lost()),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.turn().await;
        match self.life() {
            Life::Alive => self.inner.get_ranges(location, ranges).await,
            Life::Last | Life::Dead => Err(lost()),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let first = futures::stream::once(yield_once()).filter_map(async |()| None);
        let deleted = first.chain(self.inner.delete_stream(locations));
        match self.life() {
            Life::Alive => deleted.boxed(),
            Life::Last => deleted.map(|_| Err(lost())).boxed(),
            Life::Dead => futures::stream::once(async { Err(lost()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if !matches!(self.life(), Life::Alive) {
            return futures::stream::once(async { Err(lost()) }).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

/// Pending once: the scheduler may poll somebody else.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// One actor of a schedule.
pub type Actor<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Enumerates the orders in which actors take their steps: depth first, with at most a given
/// number of pre-emptions (switches away from an actor that could have gone on).
#[derive(Debug, Default)]
pub struct Schedules {
    /// The choice made at each step and the number of choices there were.
    path: Vec<(usize, usize)>,
    started: bool,
}

impl Schedules {
    /// The next order, if there is one; then [`Schedules::run`] follows it.
    pub fn next_order(&mut self) -> bool {
        if !std::mem::replace(&mut self.started, true) {
            return true;
        }
        while let Some((choice, count)) = self.path.pop() {
            if choice + 1 < count {
                self.path.push((choice + 1, count));
                return true;
            }
        }
        false
    }

    /// Polls the actors to their ends, one step at a time, in this order. An actor whose step was
    /// only to wait for another one is polled again when its turn comes.
    pub fn run(&mut self, mut actors: Vec<Actor<'_>>, preemptions: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let mut alive: Vec<usize> = (0..actors.len()).collect();
        let (mut current, mut left, mut step) = (0, preemptions, 0);
        while !alive.is_empty() {
            let may_go_on = alive.contains(&current);
            let mut options = alive.clone();
            if may_go_on {
                // Going on is the first choice; the others cost a pre-emption.
                options.retain(|&actor| actor != current);
                options.insert(0, current);
                options.truncate(if left == 0 { 1 } else { options.len() });
            }
            if step == self.path.len() {
                self.path.push((0, options.len()));
            }
            assert_eq!(self.path[step].1, options.len(), "the run is not deterministic");
            let chosen = options[self.path[step].0];
            left -= usize::from(may_go_on && chosen != current);
            current = chosen;
            step += 1;
            assert!(step < 100_000, "the actors wait for each other");
            if actors[chosen].as_mut().poll(&mut context).is_ready() {
                alive.retain(|&actor| actor != chosen);
            }
        }
    }
}
