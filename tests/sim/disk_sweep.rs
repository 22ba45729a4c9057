//! A crash, a torn write, lost unsynced bytes and a failing disk at every write boundary.

use base::disk::sim::{Fault, Keep};

use crate::broken::Skip;
use crate::machine::Machine;
use crate::script::{aftermath, block_on, run};
use crate::world::World;

/// Runs the script with one fault. Gives the number of write boundaries.
fn case(fault: Option<(u64, Fault)>, keep: Keep) -> Result<u64, String> {
    case_with(Skip::default(), fault, keep)
}

fn case_with(skip: Skip, fault: Option<(u64, Fault)>, keep: Keep) -> Result<u64, String> {
    block_on(async {
        let mut machine = Machine::new();
        machine.skip = skip;
        let mut world = World::default();
        if let Some((at, fault)) = fault {
            machine.disk.fail_at(at, fault);
        }
        run(&mut machine, &mut world).await?;
        let operations = machine.disk.operations();
        aftermath(&mut machine, &mut world, keep).await?;
        Ok(operations)
    })
}

fn sweep(faults: &[Fault]) {
    let count = case(None, Keep::Synced).expect("the script without a fault");
    assert!(count >= 10, "the script writes: {count}");
    for at in 0..count {
        for &fault in faults {
            for keep in [Keep::Synced, Keep::Written, Keep::PageCache] {
                if let Err(broken) = case(Some((at, fault)), keep) {
                    panic!("{fault:?} at write {at} of {count}, then {keep:?}: {broken}");
                }
            }
        }
    }
}

#[test]
fn the_process_may_die_at_every_write() {
    sweep(&[Fault::Crash, Fault::TornCrash { keep_bytes: 1 }, Fault::TornCrash { keep_bytes: 40 }]);
}

#[test]
fn every_write_and_sync_may_fail() {
    sweep(&[Fault::Eio, Fault::NoSpace]);
}

#[test]
fn the_sweep_notices_a_missing_fsync() {
    for skip in [Skip { data: true, directory: false }, Skip { data: false, directory: true }] {
        let broken = case_with(skip, None, Keep::Synced).expect_err("acknowledged rows are lost");
        assert!(broken.contains("acknowledged and not found"), "{skip:?}: {broken}");
        case_with(skip, None, Keep::PageCache).expect("a kill alone shows nothing");
    }
}
