//! A ring that changes between the looks of a job.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use base::{ErrorKind, StoreId, UnixNanos};
use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan};
use logql::syntax::parse;
use part::Options;
use ring::{Command, Registration, Roles, State};
use rpc::ingester::Peer;
use rpc::members::Members;
use store::Requests;

use super::*;
use crate::select::Leaf;
use crate::testing::{NOW, World, row};

const FOUNDER: StoreId = StoreId(ulid::Ulid(9));

/// A ring that moves on when a newer version is asked for, as long as there are any.
struct Moving {
    view: Mutex<Arc<View>>,
    newer: Mutex<VecDeque<Arc<View>>>,
    reached: Mutex<Vec<u64>>,
}

impl Moving {
    fn new(first: Arc<View>, newer: Vec<Arc<View>>) -> Arc<Moving> {
        let (view, newer) = (Mutex::new(first), Mutex::new(newer.into()));
        Arc::new(Moving { view, newer, reached: Mutex::default() })
    }
}

#[async_trait::async_trait]
impl Members for Moving {
    fn view(&self) -> Arc<View> {
        self.view.lock().unwrap().clone()
    }

    async fn reach(&self, version: u64) -> Arc<View> {
        self.reached.lock().unwrap().push(version);
        if let Some(newer) = self.newer.lock().unwrap().pop_front() {
            *self.view.lock().unwrap() = newer;
        }
        self.view()
    }

    async fn look(&self, _: Option<StoreId>) -> Arc<View> {
        self.view()
    }
}

/// The ring of these ingesters at `version`, with one copy of each row.
fn ring_of(world: &World, heads: &[usize], version: u64) -> Arc<View> {
    ring_with(world, heads, version, 1)
}

fn ring_with(world: &World, heads: &[usize], version: u64, factor: u8) -> Arc<View> {
    let mut state = State::new(ulid::Ulid(1));
    state.replication = factor;
    for &head in heads {
        let store = world.heads[head].store();
        let registration = Registration {
            store,
            id: format!("head-{head}"),
            grpc_address: format!("head-{head}:9095"),
            http_address: String::new(),
            zone: String::new(),
            roles: Roles::INGESTER,
            tokens: vec![head as u32],
        };
        ring::apply(&mut state, &Command::Register(registration));
        let version = state.version;
        for by in state.ingesters().map(|instance| instance.store).collect::<Vec<_>>() {
            ring::apply(&mut state, &Command::Seen { by, version });
        }
        ring::apply(&mut state, &Command::Activate { store });
    }
    assert_eq!(state.placed().count(), heads.len());
    (state.version, state.founder) = (version, Some(FOUNDER));
    let way = |instance: &ring::Instance| {
        let found = heads.iter().find(|&&head| world.heads[head].store() == instance.store);
        let head = *found.expect("one of them");
        Peer { address: instance.grpc_address.clone(), api: world.heads[head].clone() }
    };
    Arc::new(View::new(Arc::new(state), None, way))
}

fn named(version: u64) -> RingVersion {
    RingVersion { founder: FOUNDER, version }
}

#[tokio::test]
async fn a_ring_older_than_the_log_says_is_read_again_and_the_log_after_it() {
    let world = World::with(&["", ""], 1).await;
    let (old, new) = (ring_of(&world, &[0], 5), ring_of(&world, &[0, 1], 8));
    let ring = Moving::new(old, vec![new]);
    let querier = world.querier_of(ring.clone());
    assert_eq!(querier.look().await.unwrap().ring.version(), 5, "nothing is named");
    world.name_ring(RingVersion { founder: StoreId(ulid::Ulid(3)), version: 700 }).await;
    assert_eq!(querier.look().await.unwrap().ring.version(), 5, "another ring's version is none");
    world.name_ring(named(7)).await;
    let known = querier.look().await.unwrap();
    assert_eq!((known.ring.version(), known.log.ring()), (8, Some(named(7))));
    assert_eq!(*ring.reached.lock().unwrap(), [7]);
}

#[tokio::test]
async fn a_reader_that_cannot_have_the_ring_that_the_log_names_asks_nobody() {
    let world = World::new().await;
    let ring = Moving::new(ring_of(&world, &[0], 5), Vec::new());
    let querier = world.querier_of(ring.clone());
    world.name_ring(named(6)).await;
    let error = querier.look().await.err().unwrap();
    assert!(matches!(error, Error::OldRing { known: 5, newest: 6 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(ring.reached.lock().unwrap().len(), MAX_OUTDATED as usize);
    assert_eq!(world.head.selects.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn rows_of_a_store_that_left_after_the_log_was_read_are_found_where_it_flushed_them() {
    let world = World::with(&["", ""], 1).await;
    let at = NOW.0 - 60_000_000_000;
    world.heads[1].hold(&[row("stays", at, "x")]);
    let ring = Moving::new(ring_of(&world, &[0, 1], 5), Vec::new());
    let querier = world.querier_of(ring.clone());
    let known = querier.look().await.unwrap();
    // The other one flushes what it holds, and leaves.
    world.flush(&[row("left", at, "x")], &Options::flushed()).await;
    *ring.view.lock().unwrap() = ring_of(&world, &[1], 6);
    assert_eq!(streams_of(&world, &querier, known).await, 2, "of both");
    assert_eq!(world.heads[0].selects.load(Ordering::SeqCst), 0, "it is not there any more");
}

#[tokio::test]
async fn rows_of_a_store_that_is_needed_no_more_since_the_log_was_read_are_found_where_it_flushed_them()
 {
    let world = World::with(&["", "", ""], 1).await;
    let at = NOW.0 - 60_000_000_000;
    world.heads[1].hold(&[row("stays", at, "x")]);
    let ring = Moving::new(ring_of(&world, &[0, 1, 2], 5), Vec::new());
    let querier = world.querier_of(ring.clone());
    let known = querier.look().await.unwrap();
    // It flushes what has one copy, says so, and is silent: of three copies one may be.
    world.flush(&[row("flushed", at, "x")], &Options::flushed()).await;
    *ring.view.lock().unwrap() = ring_with(&world, &[0, 1, 2], 6, 3);
    world.heads[0].down.store(true, Ordering::SeqCst);
    assert_eq!(streams_of(&world, &querier, known).await, 2);
}

/// How many streams have rows in the last hour, by what is `known`.
async fn streams_of(world: &World, querier: &Querier, known: Known) -> usize {
    let (start, end) = (UnixNanos(NOW.0 - 3600 * 1_000_000_000), NOW);
    let params = Params {
        start,
        end,
        step_ns: 0,
        interval_ns: 0,
        limit: 10,
        direction: Direction::Forward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: NOW,
    };
    let plan = Plan::new(&parse("{app=~\".+\"}").unwrap(), &params).unwrap();
    let requests = Requests::default();
    let leaf = Leaf { leaf: &plan.leaves()[0], tenant: &world.tenant, requests: &requests };
    let selection = querier.select_leaf(leaf, known).await.unwrap();
    let Answer::Streams(streams) = plan.finish(vec![selection.partial]).unwrap() else {
        panic!("not streams")
    };
    streams.len()
}
