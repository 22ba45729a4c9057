//! Faults of the store at every request, and of the disk at every write: what was acked is found
//! exactly once, by the process that goes on and by one that starts after a power cut.

use std::collections::BTreeMap;

use base::disk::sim::Fault as DiskFault;
use rpc::IngesterApi;
use store::testing::{Fault, Knobs};

use super::harness::{Machine, assert_found, check_found, held_rows};

type Faults = BTreeMap<u64, Fault>;

/// Appends and flushes, some of which may fail; then restarts, goes on and checks. Returns the
/// PUTs and GETs that the script saw.
async fn run(knobs: Knobs, puts: Faults, gets: Faults) -> Result<(u64, u64), String> {
    let mut machine = Machine::new();
    machine.knobs = knobs;
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    machine.store.script(puts, gets);
    for round in 0..3 {
        let batch = machine.batch(&ingester, 3 + round);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
        // May fail; its rows are kept.
        let _failed = ingester.flush_all().await.is_err();
        let batch = machine.batch(&ingester, 2);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
    }
    let counts = machine.store.counts();
    drop(ingester);
    // Requests of the dead process may still arrive while the next one starts, or after.
    let machine = machine.power_cut();
    let ingester = match machine.try_start().await {
        Ok(ingester) => ingester,
        Err(_) => {
            machine.store.settle().await;
            machine.start().await
        }
    };
    machine.store.settle().await;
    machine.store.script(Faults::new(), Faults::new());
    let batch = machine.batch(&ingester, 4);
    ingester.append(vec![batch.clone()]).await.unwrap();
    acked.push(batch);
    ingester.flush_all().await.unwrap();
    check_found(&ingester, &acked, &[]).await?;
    Ok(counts)
}

async fn sweep(knobs: Knobs) -> Result<u64, String> {
    let (puts, gets) = run(knobs, Faults::new(), Faults::new()).await?;
    let mut scripts: Vec<(Faults, Faults)> = Vec::new();
    let every = |from: u64, fault| (from..from + 40).map(|number| (number, fault)).collect();
    for number in 0..puts {
        for fault in
            [Fault::LostRequest, Fault::LostAnswer, Fault::Doubled, Fault::Late(1), Fault::Late(30)]
        {
            scripts.push((Faults::from([(number, fault)]), Faults::new()));
        }
        // The store is away, or its answers are, or it is very slow.
        for fault in [Fault::LostRequest, Fault::LostAnswer, Fault::Late(1_000)] {
            scripts.push((every(number, fault), Faults::new()));
        }
    }
    for number in 0..gets {
        scripts.push((Faults::new(), Faults::from([(number, Fault::LostAnswer)])));
    }
    let count = scripts.len() as u64;
    for (puts, gets) in scripts {
        let script = format!("puts {puts:?}, gets {gets:?}");
        run(knobs, puts, gets).await.map_err(|wrong| format!("{script}: {wrong}"))?;
    }
    Ok(count)
}

#[tokio::test(start_paused = true)]
async fn whatever_request_to_the_store_goes_wrong_rows_are_found_once() {
    let runs = sweep(Knobs::default()).await.unwrap();
    assert!(runs > 50, "only {runs} runs");
}

#[tokio::test(start_paused = true)]
async fn the_sweep_notices_when_claims_are_not_compared() {
    let knobs = Knobs { skip_compare: true, ..Knobs::default() };
    assert!(sweep(knobs).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_arrives_after_its_process_died_takes_its_rows_out_of_the_next_one() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let first = machine.batch(&ingester, 7);
    ingester.append(vec![first.clone()]).await.unwrap();
    let late = (0..20).map(|number| (number, Fault::Late(1_000))).collect();
    machine.store.script(late, Faults::new());
    assert!(ingester.flush_all().await.is_err());
    drop(ingester);
    let machine = machine.power_cut();
    let ingester = machine.start().await;
    let second = machine.batch(&ingester, 5);
    ingester.append(vec![second.clone()]).await.unwrap();
    let acked = [first, second];
    assert_found(&ingester, &acked, &[]).await;
    assert_eq!(held_rows(&ingester, u64::MAX).concat().len(), 12);

    machine.store.settle().await;
    ingester.core.deps.catalog.follow().await.unwrap();
    ingester.flush_all().await.unwrap();
    assert_found(&ingester, &acked, &[]).await;
    assert_eq!(held_rows(&ingester, u64::MAX).concat().len(), 0);
    assert_eq!(ingester.core.usage.held_bytes(), 0);
    ingester.core.release_queued();
    assert!(ingester.core.wal().unwrap().oldest_batches(|_| true).is_empty());
}

/// Appends under one fault of the disk; then a power cut, a restart, a flush.
async fn run_disk(fault: Option<(u64, DiskFault)>) -> u64 {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let before = machine.disk.operations();
    if let Some((at, fault)) = fault {
        machine.disk.fail_at(before + at, fault);
    }
    let (mut acked, mut unanswered) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let batch = machine.batch(&ingester, 3 + round);
        match ingester.append(vec![batch.clone()]).await {
            Ok(_) => acked.push(batch),
            Err(_) => unanswered.push(batch),
        }
        if round == 2 {
            ingester.flush_all().await.unwrap();
        }
    }
    assert_found(&ingester, &acked, &[]).await;
    let operations = machine.disk.operations() - before;
    drop(ingester);
    let machine = machine.power_cut();
    let ingester = machine.start().await;
    assert_found(&ingester, &acked, &unanswered).await;
    ingester.flush_all().await.unwrap();
    assert_found(&ingester, &acked, &unanswered).await;
    operations
}

#[tokio::test]
async fn whatever_write_of_the_disk_goes_wrong_acked_rows_are_found_once() {
    let operations = run_disk(None).await;
    for at in 0..operations {
        for fault in [
            DiskFault::Crash,
            DiskFault::TornCrash { keep_bytes: 80 },
            DiskFault::TornCrash { keep_bytes: 1 << 20 },
            DiskFault::Eio,
            DiskFault::NoSpace,
        ] {
            run_disk(Some((at, fault))).await;
        }
    }
}
