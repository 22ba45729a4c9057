//! Every order of writers that stall, cleaners without courtesy and a reader that lags.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use catalog::{Catalog, Commit, IdSet};
use futures::FutureExt;
use store::testing::{Actor, Knobs, Schedules};
use store::{ClaimState, CommitObserver};

use super::harness::{Rig, batch, ruthless};

/// Nothing here waits for anything but its own turn.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let slot = RefCell::new(None);
    let actor: Actor<'_> = Box::pin(future.map(|value| *slot.borrow_mut() = Some(value)));
    Schedules::default().run(vec![actor], 0);
    slot.into_inner().unwrap()
}

/// Remembers what it was told is claimed: an ingester drops its WAL records for that.
#[derive(Default)]
struct Claims(Mutex<IdSet>);

impl CommitObserver for Claims {
    fn committed(&self, _number: u64, commit: &Commit) {
        self.0.lock().unwrap().extend(&commit.claims);
    }

    fn restarted(&self, catalog: &Catalog) {
        let mut claims = self.0.lock().unwrap();
        (1..10)
            .map(batch)
            .filter(|id| catalog.table().state(id) == ClaimState::Claimed)
            .for_each(|id| claims.insert(&id));
    }
}

async fn write(rig: &Rig, who: u64, knobs: Knobs, parts: &[&[u64]]) {
    let handle = rig.open_with(who, knobs).await;
    rig.flush(&handle, 1_000 + who, parts).await;
}

async fn clean(rig: &Rig, who: u64, passes: usize) {
    let cleaner = rig.compactor(who, ruthless()).await;
    for _ in 0..passes {
        // A pass that another one overtakes may find objects gone.
        let _next_time = cleaner.pass().await.is_err();
    }
}

async fn lag(rig: &Rig, claims: Arc<Claims>) {
    let handle = rig.open(7).await;
    handle.observe(claims).await;
    for _ in 0..2 {
        handle.follow().await.unwrap();
    }
}

/// Runs and the first violation.
fn sweep(
    knobs: Knobs,
    preemptions: usize,
    actors: impl for<'a> Fn(&'a Rig, Knobs, Arc<Claims>) -> Vec<Actor<'a>>,
) -> (u64, Option<String>) {
    let mut schedules = Schedules::default();
    let mut runs = 0;
    while schedules.next_order() {
        let rig = Rig::new();
        let claims = Arc::new(Claims::default());
        block_on(write(&rig, 3, Knobs::default(), &[&[2]]));
        schedules.run(actors(&rig, knobs, claims.clone()), preemptions);
        runs += 1;
        if let Some(violation) = block_on(rig.violation(&[1, 2, 3, 4])) {
            return (runs, Some(violation));
        }
        let told = claims.0.lock().unwrap();
        let handle = block_on(rig.open(98));
        for id in (1..10).map(batch).filter(|id| told.contains(id)) {
            if handle.claim_state(&id) != ClaimState::Claimed {
                return (runs, Some(format!("{id} was told to be claimed and is not")));
            }
        }
    }
    (runs, None)
}

/// A writer of a bundle that stalls anywhere, a cleaner, a reader.
fn stalled_writer<'a>(rig: &'a Rig, knobs: Knobs, claims: Arc<Claims>) -> Vec<Actor<'a>> {
    vec![
        Box::pin(write(rig, 1, knobs, &[&[1, 3], &[4]])),
        Box::pin(clean(rig, 5, 2)),
        Box::pin(lag(rig, claims)),
    ]
}

/// Two cleaners, each of which may stall before any request, and a writer.
fn two_cleaners<'a>(rig: &'a Rig, knobs: Knobs, claims: Arc<Claims>) -> Vec<Actor<'a>> {
    vec![
        Box::pin(write(rig, 1, knobs, &[&[1, 3], &[4]])),
        Box::pin(clean(rig, 5, 1)),
        Box::pin(async move {
            clean(rig, 6, 1).await;
            lag(rig, claims).await;
        }),
    ]
}

#[test]
fn a_stalled_writer_and_a_lagging_reader_survive_a_cleaner_in_every_order() {
    let (runs, violation) = sweep(Knobs::default(), 2, stalled_writer);
    assert_eq!(violation, None, "after {runs} runs");
    assert!(runs > 300, "only {runs} orders");
}

#[test]
fn cleaners_that_overtake_each_other_harm_nobody_in_any_order() {
    let (runs, violation) = sweep(Knobs::default(), 2, two_cleaners);
    assert_eq!(violation, None, "after {runs} runs");
    assert!(runs > 300, "only {runs} orders");
}

#[test]
fn without_the_floor_check_a_stalled_writer_loses_its_commit() {
    let knobs = Knobs { skip_floor_check: true, ..Knobs::default() };
    assert!(sweep(knobs, 2, stalled_writer).1.is_some(), "the sweep must notice");
}

#[test]
fn without_the_compare_a_cleaned_upload_is_committed() {
    let knobs = Knobs { skip_compare: true, ..Knobs::default() };
    assert!(sweep(knobs, 2, stalled_writer).1.is_some(), "the sweep must notice");
}

#[tokio::test(start_paused = true)]
async fn it_makes_passes_until_it_is_told_to_end() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    rig.flush(&writer, 1, &[&[1]]).await;
    let cleaner = Arc::new(rig.compactor(5, ruthless()).await);
    let shutdown = base::shutdown::Shutdown::new();
    let running = {
        let (cleaner, shutdown) = (cleaner.clone(), shutdown.clone());
        base::task::spawn("compactor", async move { cleaner.run(shutdown).await })
    };
    while writer.floor().await.unwrap() < 1 {
        tokio::time::advance(ruthless().interval).await;
    }
    rig.flush(&writer, 2, &[&[2]]).await;
    while writer.floor().await.unwrap() < 2 {
        tokio::time::advance(ruthless().interval).await;
    }
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(rig.violation(&[1, 2]).await, None);
}
