//! R1: who is asked with which V and with whom, and when the answer would be short.

use std::sync::atomic::Ordering;

use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan};
use logql::syntax::parse;
use part::Options;
use rpc::querier::{ListJob, Listed, Listing, QuerierApi, QuerierError, SelectJob};

use super::*;
use crate::testing::{NOW, World, row};

const S: i64 = 1_000_000_000;
const AT: i64 = NOW.0 - 60 * S;

fn plan() -> Plan {
    let params = Params {
        start: base::UnixNanos(NOW.0 - 3600 * S),
        end: NOW,
        step_ns: 3600 * S,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Forward,
        max_series: 500,
        max_memory_bytes: 0,
        categorize: false,
        now: base::UnixNanos(0),
    };
    Plan::new(&parse("sum(count_over_time({app=~\".+\"}[1h]))").unwrap(), &params).unwrap()
}

/// Rows of the last hour.
async fn count(world: &World) -> Result<f64, QuerierError> {
    let plan = plan();
    let job = SelectJob { tenant: world.tenant.clone(), leaf: plan.leaves()[0].clone() };
    let selected = world.querier.select(job).await?;
    let Answer::Matrix(series) = plan.finish(vec![selected.partial]).unwrap() else {
        panic!("not a matrix")
    };
    Ok(series.first().and_then(|(_, samples)| samples.last()).map_or(0.0, |sample| sample.value))
}

async fn apps(world: &World) -> Result<Vec<String>, QuerierError> {
    let (tenant, listing) = (world.tenant.clone(), Listing::Values("app".to_owned()));
    let (start, end) = (base::UnixNanos(NOW.0 - 3600 * S), NOW);
    let job = ListJob { tenant, listing, selectors: Vec::new(), start, end };
    match world.querier.list(job).await? {
        Listed::Texts(texts) => Ok(texts),
        Listed::Streams(_) => panic!("not texts"),
    }
}

/// Three ingesters with a row each.
async fn three(zones: [&str; 3], replication_factor: usize) -> World {
    let world = World::with(&zones, replication_factor).await;
    for (n, head) in world.heads.iter().enumerate() {
        head.hold(&[row(&format!("a{n}"), AT, "x")]);
    }
    world
}

/// V of all calls of an ingester, and who was asked with it; forgets them.
fn seen(world: &World, head: usize) -> Vec<(u64, Vec<StoreId>)> {
    std::mem::take(&mut *world.heads[head].seen.lock().unwrap())
}

/// The stores of these ingesters, as they are asked.
fn stores(world: &World, heads: &[usize]) -> Vec<StoreId> {
    let mut stores: Vec<StoreId> = heads.iter().map(|&head| world.heads[head].store()).collect();
    stores.sort_unstable();
    stores
}

fn set_down(world: &World, head: usize, down: bool) {
    world.heads[head].down.store(down, Ordering::SeqCst);
}

#[tokio::test]
async fn all_ingesters_are_asked_with_the_same_view_that_is_newer_than_the_job() {
    let world = three([""; 3], 1).await;
    assert_eq!(count(&world).await.unwrap(), 3.0);
    let before = seen(&world, 0);
    assert_eq!(before.len(), 1);
    assert!(before == seen(&world, 1) && before == seen(&world, 2));
    // Another process commits, and nobody tells.
    world.flush(&[row("b", AT, "x")], &Options::flushed()).await;
    assert_eq!(count(&world).await.unwrap(), 4.0);
    let after = seen(&world, 0);
    assert_eq!((after.len(), after[0].0), (1, before[0].0 + 1));
    assert!(after == seen(&world, 1) && after == seen(&world, 2));
}

#[tokio::test]
async fn an_ingester_that_dropped_rows_of_a_later_commit_makes_all_be_asked_again() {
    let world = three([""; 3], 1).await;
    assert_eq!(apps(&world).await.unwrap(), ["a0", "a1", "a2"]);
    let view = seen(&world, 0)[0].0;
    (1..3).for_each(|head| drop(seen(&world, head)));
    // The rows of head 2 are in a commit that comes after the querier has read the log.
    world.heads[2].floor.store(view + 1, Ordering::SeqCst);
    let (commit, committed) = tokio::sync::oneshot::channel();
    *world.heads[2].held_up.lock().unwrap() = Some(committed);
    let (asked, ()) = futures::join!(count(&world), async {
        // The first ask went out at the old view; the commit comes then.
        world.heads[2].called.notified().await;
        world.heads[2].hold(&[]);
        world.flush(&[row("a2", AT, "x")], &Options::flushed()).await;
        commit.send(()).unwrap();
    });
    assert_eq!(asked.unwrap(), 3.0);
    for head in 0..3 {
        let seen = seen(&world, head);
        let views: Vec<u64> = seen.into_iter().map(|(view, _)| view).collect();
        assert_eq!(views, [view, view + 1], "head {head}");
    }
}

#[tokio::test]
async fn with_one_copy_of_a_row_any_silent_ingester_fails_the_query_and_is_named() {
    let world = three([""; 3], 1).await;
    assert_eq!(count(&world).await.unwrap(), 3.0);
    set_down(&world, 1, true);
    let errors = [count(&world).await.unwrap_err(), apps(&world).await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.to_string();
        let loki = "at least 1 live replicas required, could only find 0 - unhealthy instances: \
                    head-1:9095";
        assert!(text.starts_with(loki) && text.contains("connection refused"), "{text}");
    }
    set_down(&world, 1, false);
    assert_eq!(count(&world).await.unwrap(), 3.0, "nothing is remembered of it");
}

#[tokio::test]
async fn a_silent_store_joins_the_gone_and_all_others_are_asked_again() {
    let world = three([""; 3], 3).await;
    assert_eq!(count(&world).await.unwrap(), 3.0);
    (0..3).for_each(|head| drop(seen(&world, head)));
    set_down(&world, 1, true);
    assert_eq!(count(&world).await.unwrap(), 2.0);
    let (all, rest) = (stores(&world, &[0, 1, 2]), stores(&world, &[0, 2]));
    for head in [0, 2] {
        let asked: Vec<Vec<StoreId>> =
            seen(&world, head).into_iter().map(|(_, asked)| asked).collect();
        assert_eq!(asked, [all.clone(), rest.clone()], "head {head}");
    }
    assert_eq!(seen(&world, 1).len(), 1, "who is gone is not asked again");
    assert_eq!(apps(&world).await.unwrap(), ["a0", "a2"]);
    assert_eq!(seen(&world, 2), [(0, rest)], "known to be gone from the start");
}

#[tokio::test]
async fn a_store_that_was_replaced_counts_as_gone_where_others_have_its_rows() {
    for replication_factor in [1, 3] {
        let world = three([""; 3], replication_factor).await;
        count(&world).await.unwrap();
        (0..3).for_each(|head| drop(seen(&world, head)));
        let before = world.heads[1].replace_store();
        set_down(&world, 1, true);
        assert_eq!(count(&world).await.is_ok(), replication_factor == 3);
        set_down(&world, 1, false);
        world.clock.advance(MARK_NS as i64);
        assert_eq!(count(&world).await.unwrap(), 3.0);
        let last = seen(&world, 0).pop().unwrap();
        assert_eq!(last.1, stores(&world, &[0, 1, 2]));
        assert!(!last.1.contains(&before), "who is not asked has not to answer first");
        assert_eq!(seen(&world, 1).pop(), Some(last), "all are asked with the same stores");
        // One more makes two copies that may be out of reach.
        set_down(&world, 0, true);
        let error = count(&world).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let named = error.to_string().contains("is not there any more");
        assert_eq!(named, replication_factor == 3, "{error}");
    }
}

#[tokio::test]
async fn more_gone_than_half_of_the_copies_fail_the_query_and_are_named() {
    let world = three([""; 3], 3).await;
    count(&world).await.unwrap();
    set_down(&world, 0, true);
    set_down(&world, 2, true);
    let error = count(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    let loki = "at least 2 live replicas required, could only find 1 - unhealthy instances: \
                head-0:9095,head-2:9095";
    assert!(text.starts_with(loki), "{text}");
    assert!(text.contains(&world.heads[0].store().to_string()), "{text}");
}

#[tokio::test]
async fn silent_stores_of_one_zone_are_one_copy() {
    let world = three(["x", "y", "x"], 3).await;
    count(&world).await.unwrap();
    set_down(&world, 0, true);
    set_down(&world, 2, true);
    assert_eq!(count(&world).await.unwrap(), 1.0);
    set_down(&world, 1, true);
    assert!(count(&world).await.is_err());
}

#[tokio::test]
async fn an_ingester_that_never_said_who_it_is_cannot_be_done_without() {
    let world = three([""; 3], 3).await;
    set_down(&world, 1, true);
    let error = count(&world).await.unwrap_err();
    assert!(error.to_string().contains("unhealthy instances: head-1:9095"), "{error}");
}

#[tokio::test]
async fn stores_are_identified_once_and_again_when_another_answers_in_their_place() {
    let world = three([""; 3], 3).await;
    let identified = || world.heads[1].identified.load(Ordering::SeqCst);
    assert_eq!(identified(), 0, "not before somebody asks");
    count(&world).await.unwrap();
    count(&world).await.unwrap();
    assert_eq!(identified(), 1);
    world.heads[1].misplaced.store(1, Ordering::SeqCst);
    assert_eq!(count(&world).await.unwrap(), 3.0, "asked again under its new name");
    assert_eq!(identified(), 2);
    world.heads[1].misplaced.store(100, Ordering::SeqCst);
    assert_eq!(count(&world).await.unwrap(), 2.0, "given up in the end");
}

#[tokio::test]
async fn however_many_stores_were_replaced_the_first_query_asks_the_new_ones() {
    let world = three([""; 3], 1).await;
    let identified = || world.heads.iter().map(|head| head.identified.load(Ordering::SeqCst));
    let replace = || {
        for head in &world.heads {
            head.replace_store();
        }
    };
    count(&world).await.unwrap();
    (0..3).for_each(|head| drop(seen(&world, head)));
    replace();
    assert_eq!(count(&world).await.unwrap(), 3.0);
    for head in 0..3 {
        let asked: Vec<_> = seen(&world, head).into_iter().map(|(_, asked)| asked).collect();
        assert_eq!((asked.len(), &asked[1]), (2, &stores(&world, &[0, 1, 2])), "head {head}");
    }
    assert!(identified().eq([2; 3]), "asked once more who it is");
    replace();
    assert_eq!(apps(&world).await.unwrap(), ["a0", "a1", "a2"]);
    assert!(identified().eq([3; 3]));
}

#[tokio::test]
async fn three_stores_that_are_others_at_every_look_fail_the_query_in_the_end() {
    let world = three([""; 3], 1).await;
    count(&world).await.unwrap();
    (0..3).for_each(|head| drop(seen(&world, head)));
    world.heads.iter().for_each(|head| head.misplaced.store(100, Ordering::SeqCst));
    let error = count(&world).await.unwrap_err().to_string();
    for head in 0..3 {
        assert!(error.contains(&format!("head-{head}:9095 (store ")), "{error}");
    }
    (0..3).for_each(|head| assert_eq!(seen(&world, head).len(), 3, "two looks are enough"));
}

#[tokio::test]
async fn a_store_that_was_silent_is_passed_over_for_a_while_where_it_can_be_done_without() {
    let world = three([""; 3], 3).await;
    count(&world).await.unwrap();
    set_down(&world, 1, true);
    count(&world).await.unwrap();
    (0..3).for_each(|head| drop(seen(&world, head)));
    set_down(&world, 1, false);
    assert_eq!(count(&world).await.unwrap(), 2.0);
    assert!(seen(&world, 1).is_empty());
    assert_eq!(seen(&world, 0), [(0, stores(&world, &[0, 2]))], "gone from the start");
    // Where it cannot, it is asked.
    set_down(&world, 0, true);
    assert_eq!(count(&world).await.unwrap(), 2.0, "it is back");
    set_down(&world, 0, false);
    world.clock.advance(MARK_NS as i64 - 1);
    assert_eq!(count(&world).await.unwrap(), 3.0, "two of three cannot be passed over");
    world.clock.advance(1);
    assert_eq!(count(&world).await.unwrap(), 3.0);
}

#[tokio::test]
async fn an_answer_of_a_newer_ring_is_no_answer_until_the_ring_is_read() {
    let world = three([""; 3], 3).await;
    count(&world).await.unwrap();
    world.heads[2].ring.store(u64::MAX, Ordering::SeqCst);
    let errors = [count(&world).await.unwrap_err(), apps(&world).await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains(&format!("version {} of the ring", u64::MAX)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn zones_of_missing_stores_are_named() {
    let world = three(["x", "y", "z"], 3).await;
    count(&world).await.unwrap();
    set_down(&world, 0, true);
    set_down(&world, 2, true);
    let text = count(&world).await.unwrap_err().to_string();
    assert!(text.contains("zone x): connection refused"), "{text}");
    assert!(text.contains("zone z): connection refused"), "{text}");
}

/// A ring whose state a test sets.
struct Ring(Mutex<Arc<View>>);

#[async_trait::async_trait]
impl Members for Ring {
    fn view(&self) -> Arc<View> {
        self.0.lock().unwrap().clone()
    }

    async fn reach(&self, _: u64) -> Arc<View> {
        self.view()
    }

    async fn look(&self, _: Option<StoreId>) -> Arc<View> {
        self.view()
    }
}

impl Versioned for StoreId {
    fn ring(&self) -> u64 {
        0
    }
}

/// Asks three ingesters of which the first never answers, and which the ring ceases to hear from
/// while it is waited for; who answered in the end, and how many calls there were.
async fn ask_while_one_hangs(factor: usize) -> Option<(Vec<StoreId>, usize)> {
    let world = World::with(&["", "", ""], factor).await;
    let peers: Vec<Peer> = (0..)
        .zip(&world.heads)
        .map(|(n, head)| Peer { address: format!("head-{n}:9095"), api: head.clone() })
        .collect();
    let view = rpc::members::Fixed::new(peers.clone(), factor).look(None).await;
    let hung = world.heads[0].store();
    let ring = Arc::new(Ring(Mutex::new(view.clone())));
    let asking = Peers::new(ring.clone(), Arc::new(world.clock.clone()));
    let (mut gone, calls) = (Gone::default(), std::sync::atomic::AtomicUsize::new(0));
    let ask = asking.ask(&mut gone, &view, |_, store, _| {
        if calls.fetch_add(1, Ordering::SeqCst) == 2 {
            let mut state = ring::State::clone(view.state());
            let instance = state.instances.get_mut(&hung).unwrap();
            Arc::make_mut(instance).is_up = false;
            *ring.0.lock().unwrap() =
                Arc::new(View::new(Arc::new(state), None, |_| peers[0].clone()));
        }
        Box::pin(async move {
            if store == hung {
                std::future::pending::<()>().await;
            }
            Ok(store)
        })
    });
    let answered = tokio::time::timeout(Duration::from_secs(3600), ask).await.ok()?.unwrap()?;
    Some((answered, calls.load(Ordering::SeqCst)))
}

#[tokio::test(start_paused = true)]
async fn a_store_that_the_ring_ceases_to_hear_from_is_waited_for_only_if_it_is_needed() {
    let (answered, calls) = ask_while_one_hangs(3).await.unwrap();
    assert_eq!((answered.len(), calls), (2, 5), "all others are asked again");
    assert_eq!(ask_while_one_hangs(1).await, None, "only it may have its rows");
}

#[tokio::test]
async fn where_nobody_is_asked_there_is_no_answer_because_nobody_would_tell_of_others() {
    let empty = View::new(Arc::new(ring::State::new(ulid::Ulid(1))), None, |_| unreachable!());
    let before = Arc::new(empty);
    let ring = Arc::new(Ring(Mutex::new(before.clone())));
    let clock = Arc::new(base::time::ManualClock::default());
    let peers = Peers::new(ring, clock);
    let mut gone = Gone::default();
    let asked = peers.ask(&mut gone, &before, |_, _, _| {
        Box::pin(async { Ok(rpc::ingester::SelectAnswer::Behind { floor: 0 }) })
    });
    let error = asked.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no ingester is there"), "{error}");
}

#[tokio::test]
async fn a_store_that_is_back_is_asked_when_another_one_is_silent() {
    let world = three([""; 3], 3).await;
    count(&world).await.unwrap();
    set_down(&world, 1, true);
    assert_eq!(count(&world).await.unwrap(), 2.0);
    // Its mark stands, for the clock stands still.
    set_down(&world, 1, false);
    assert_eq!(count(&world).await.unwrap(), 2.0);
    set_down(&world, 2, true);
    (0..3).for_each(|head| drop(seen(&world, head)));
    assert_eq!(count(&world).await.unwrap(), 2.0);
    let last = |head| seen(&world, head).pop().map(|(_, asked)| asked);
    assert_eq!((last(0), last(1)), (Some(stores(&world, &[0, 1])), Some(stores(&world, &[0, 1]))));
    set_down(&world, 0, true);
    assert_eq!(count(&world).await.unwrap_err().kind(), ErrorKind::Unavailable);
}
