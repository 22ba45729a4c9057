//! The exhaustive sweep: one scripted run, broken at every write boundary in every way, restarted,
//! gone on with, power cut, restarted again. What was acked must be there exactly once each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::disk::sim::{Fault, Keep};
use base::disk::{Disk, SimDisk};
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{Batch, BatchId, ByteSize};

use crate::log::{Append, Knobs, Log, append_bytes};
use crate::replay::replay;
use crate::testing::{batch, id};
use crate::{Config, Env, Recovered, Verdict};

/// Steps left out, to see that the sweep notices.
#[derive(Clone, Copy, Default)]
struct Broken {
    knobs: Knobs,
    skip_sync_at_open: bool,
    /// Acks what is sent again because replay saw it.
    trust_replayed: bool,
}

/// What the outside world knows.
#[derive(Default)]
struct World {
    /// Highest acked attempt of each batch.
    acked: BTreeMap<BatchId, u32>,
    /// Everything that was ever sent.
    sent: BTreeMap<BatchId, Batch>,
    /// Claimed by a commit in the catalog.
    claimed: BTreeSet<BatchId>,
    /// The disk itself failed: bytes that were readable may be gone and are then named.
    disk_failed: bool,
}

struct Process {
    log: Log,
    /// In the log, by replay or by this process.
    held: BTreeMap<BatchId, u32>,
    /// What a sender may be told is safe.
    durable: BTreeMap<BatchId, u32>,
}

fn config() -> Config {
    Config { dir: PathBuf::from("wal"), segment_size: ByteSize(1_200), ..Config::default() }
}

/// Starts on `disk`. `Ok(None)`: the disk failed while it started.
fn start(disk: &SimDisk, world: &World, broken: Broken) -> Result<Option<Process>, String> {
    let env = Env {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::default()),
        random: Arc::new(SeededRandom::new(disk.operations())),
    };
    let config = config();
    let (mut held, mut wrong) = (BTreeMap::new(), None);
    let mut on_batch = |recovered| {
        let (is_new, batch) = match recovered {
            Recovered::Batch(batch, _) => (true, batch),
            Recovered::Attempt(batch) => (false, batch),
        };
        let id = batch.id;
        match world.sent.get(&id) {
            Some(sent) if sent.rows == batch.rows && sent.streams == batch.streams => {}
            Some(_) => wrong = Some(format!("{id} came back with other rows")),
            None => wrong = Some(format!("{id} is foreign")),
        }
        if world.claimed.contains(&id) {
            return Verdict::Release;
        }
        if is_new == held.contains_key(&id) {
            wrong = Some(format!("{id} was given twice as a batch, or never"));
        }
        let attempt = held.entry(id).or_insert(0);
        *attempt = batch.attempt.max(*attempt);
        Verdict::Keep
    };
    let opened = replay(&config.dir, &env, broken.skip_sync_at_open, &mut on_batch);
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let Ok(opened) = opened else {
        return Ok(None);
    };
    if !opened.replayed.corruptions.is_empty() && !world.disk_failed {
        return Err(format!("corruption without damage: {:?}", opened.replayed.corruptions));
    }
    for (id, attempt) in &world.acked {
        let there = held.get(id).is_some_and(|held| held >= attempt);
        if !world.claimed.contains(id) && !there {
            return Err(format!("{id} was acked (attempt {attempt}) and is lost"));
        }
    }
    let (index, next) = (opened.index, opened.next_sequence);
    let mut log = Log::new(config, env.disk, env.clock, opened.store, (index, next));
    log.knobs = broken.knobs;
    log.delete_free();
    let durable = if broken.trust_replayed { held.clone() } else { BTreeMap::new() };
    Ok(Some(Process { log, held, durable }))
}

impl Process {
    /// Sends batches as one group of single appends, as the ingester would after looking them up.
    fn send(&mut self, world: &mut World, batches: &[Batch]) {
        let acked = Arc::new(Mutex::new(Vec::new()));
        let mut group = Vec::new();
        for batch in batches {
            world.sent.entry(batch.id).or_insert_with(|| batch.clone());
            if self.durable.get(&batch.id).is_some_and(|&attempt| attempt >= batch.attempt) {
                world.acked.insert(batch.id, batch.attempt);
                continue;
            }
            let (id, attempt, acked) = (batch.id, batch.attempt, Arc::clone(&acked));
            let batches = Arc::new(vec![batch.clone()]);
            let bytes = append_bytes(&batches);
            let done = Box::new(move |result: Result<(), crate::Error>| {
                if result.is_ok() {
                    acked.lock().unwrap().push((id, attempt));
                }
            });
            group.push(Append { batches, bytes, done });
        }
        self.log.commit(group);
        for (id, attempt) in acked.lock().unwrap().drain(..) {
            world.acked.insert(id, attempt);
            self.held.insert(id, attempt);
            self.durable.insert(id, attempt);
        }
    }

    fn release(&mut self, world: &mut World, sequences: &[u64]) {
        let acked = sequences.iter().map(|&sequence| id(sequence));
        let ids: Vec<BatchId> = acked.filter(|id| world.acked.contains_key(id)).collect();
        world.claimed.extend(&ids);
        self.log.release(&ids);
        self.held.retain(|id, _| !world.claimed.contains(id));
    }
}

/// Groups over several segments, a second attempt, releases that free closed and open segments.
fn script(process: &mut Process, world: &mut World) {
    let some = |sequences: &[u64]| -> Vec<Batch> {
        sequences.iter().map(|&sequence| batch(sequence, sequence as usize)).collect()
    };
    process.send(world, &some(&[1]));
    process.send(world, &some(&[2, 3]));
    process.send(world, &some(&[4, 5]));
    // A client that got no answer sends again; what is held is acked without a record.
    process.send(world, &some(&[1, 2, 3, 4, 5]));
    process.release(world, &[1, 2]);
    let mut again = batch(4, 4);
    again.attempt = 2;
    process.send(world, &[again]);
    process.release(world, &[3, 5]);
    process.send(world, &some(&[6]));
    process.send(world, &some(&[7, 8]));
    process.release(world, &[6, 7, 8]);
    process.send(world, &some(&[9, 10]));
    process.send(world, &some(&[9, 10]));
}

/// One run with `faults`, then a restart that sees `keep`, more work, a power cut, a restart.
fn run(faults: &[(u64, Fault)], keep: Keep, broken: Broken) -> Result<u64, String> {
    let disk = SimDisk::new();
    for &(index, fault) in faults {
        disk.fail_at(index, fault);
    }
    let disk_failed = faults.iter().any(|(_, fault)| *fault == Fault::Eio);
    let mut world = World { disk_failed, ..World::default() };
    if let Some(mut process) = start(&disk, &world, broken)? {
        script(&mut process, &mut world);
    }
    let operations = disk.operations();
    let disk = disk.crash(keep);
    let mut process = start(&disk, &world, broken)?.ok_or("no fault is left")?;
    let unclaimed: Vec<Batch> =
        world.sent.values().filter(|batch| !world.claimed.contains(&batch.id)).cloned().collect();
    for batch in unclaimed {
        process.send(&mut world, &[batch]);
    }
    process.send(&mut world, &[batch(20, 3)]);
    let disk = disk.crash(Keep::Synced);
    let process = start(&disk, &world, broken)?.ok_or("no fault is left")?;
    let expected: BTreeSet<BatchId> =
        world.sent.keys().filter(|id| !world.claimed.contains(id)).copied().collect();
    let held: BTreeSet<BatchId> = process.held.keys().copied().collect();
    if held != expected {
        return Err(format!("at the end {held:?} is held, not {expected:?}"));
    }
    Ok(operations)
}

const KEEPS: [Keep; 3] = [Keep::Synced, Keep::Written, Keep::PageCache];

/// All single faults, and every EIO followed by a crash. Returns the number of runs.
fn sweep(broken: Broken) -> Result<u64, String> {
    let operations = run(&[], Keep::Synced, broken)?;
    let mut faults = vec![Fault::Crash, Fault::Eio, Fault::NoSpace];
    let torn = [0, 1, 30, 64, 70, 96, 200, 300, 500, 700, 1_000, 1 << 20];
    faults.extend(torn.map(|keep_bytes| Fault::TornCrash { keep_bytes }));
    let mut runs = 1;
    for first in 0..operations {
        for keep in KEEPS {
            for &fault in &faults {
                runs += 1;
                run(&[(first, fault)], keep, broken)
                    .map_err(|wrong| format!("{fault:?} at {first}, {keep:?}: {wrong}"))?;
            }
            for second in first + 1..operations + 6 {
                for fault in [Fault::Crash, Fault::TornCrash { keep_bytes: 300 }, Fault::Eio] {
                    runs += 1;
                    run(&[(first, Fault::Eio), (second, fault)], keep, broken).map_err(
                        |wrong| format!("EIO at {first}, {fault:?} at {second}, {keep:?}: {wrong}"),
                    )?;
                }
            }
        }
    }
    Ok(runs)
}

#[test]
fn whatever_breaks_at_any_write_everything_acked_is_there_exactly_once() {
    let runs = sweep(Broken::default()).unwrap();
    assert!(runs > 4_000, "only {runs} runs");
}

#[test]
fn the_sweep_notices_every_step_that_is_left_out() {
    let knobs = Knobs::default();
    let intact = Broken::default();
    let broken = |knobs| Broken { knobs, ..intact };
    for (name, broken) in [
        ("skip_fsync", broken(Knobs { skip_fsync: true, ..knobs })),
        ("skip_dir_sync", broken(Knobs { skip_dir_sync: true, ..knobs })),
        ("ack_before_sync", broken(Knobs { ack_before_sync: true, ..knobs })),
        ("retry_failed_fsync", broken(Knobs { retry_failed_fsync: true, ..knobs })),
        ("skip_sync_at_open", Broken { skip_sync_at_open: true, ..intact }),
        ("trust_replayed", Broken { trust_replayed: true, ..intact }),
    ] {
        assert!(sweep(broken).is_err(), "{name} went unnoticed");
    }
}

#[test]
fn after_the_disk_was_full_appends_go_on() {
    let disk = SimDisk::new();
    let mut world = World::default();
    let mut process = start(&disk, &world, Broken::default()).unwrap().unwrap();
    process.send(&mut world, &[batch(1, 4)]);
    disk.set_free_bytes(Some(100));
    for sequence in 2..12 {
        process.send(&mut world, &[batch(sequence, 4)]);
    }
    assert_eq!(world.acked.len(), 1);
    assert_eq!(disk.list(&config().dir).unwrap().len(), 2, "no segment without acks is left");
    disk.set_free_bytes(None);
    process.send(&mut world, &[batch(12, 4)]);
    assert_eq!(world.acked.len(), 2);
    drop(process);
    let process = start(&disk.crash(Keep::Synced), &world, Broken::default()).unwrap().unwrap();
    assert_eq!(process.held.keys().copied().collect::<Vec<_>>(), [id(1), id(12)]);
}

#[test]
fn a_segment_that_could_not_be_deleted_goes_with_the_next_release() {
    let disk = SimDisk::new();
    let mut world = World::default();
    let mut process = start(&disk, &world, Broken::default()).unwrap().unwrap();
    process.send(&mut world, &[batch(1, 4)]);
    disk.fail_at(disk.operations(), Fault::Eio);
    process.release(&mut world, &[1]);
    let segments = || {
        let names = disk.list(&config().dir).unwrap();
        names.iter().filter(|name| crate::segment::parse_name(name).is_some()).count()
    };
    assert_eq!(segments(), 1, "the disk failed");
    process.send(&mut world, &[batch(2, 4)]);
    process.release(&mut world, &[2]);
    assert_eq!(segments(), 0);
}
