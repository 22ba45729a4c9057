//! A lost request, a lost answer, a doubled and a late request at every PUT of parts and commits.

use std::collections::BTreeMap;

use base::disk::sim::Keep;
use store::testing::Fault;

use crate::machine::Machine;
use crate::script::{aftermath, block_on, run};
use crate::world::World;

fn case(puts: BTreeMap<u64, Fault>) -> Result<u64, String> {
    block_on(async {
        let mut machine = Machine::new();
        let mut world = World::default();
        machine.bucket.script(puts, BTreeMap::new());
        run(&mut machine, &mut world).await?;
        let (count, _) = machine.bucket.counts();
        aftermath(&mut machine, &mut world, Keep::Synced).await?;
        Ok(count)
    })
}

#[test]
fn every_put_may_be_lost_doubled_or_late() {
    let count = case(BTreeMap::new()).expect("the script without a fault");
    assert!(count >= 6, "parts, commits and checkpoints are put: {count}");
    for put in 0..count {
        let faults = [Fault::LostRequest, Fault::LostAnswer, Fault::Doubled, Fault::Late(3)];
        for fault in faults {
            if let Err(broken) = case(BTreeMap::from([(put, fault)])) {
                panic!("{fault:?} at PUT {put} of {count}: {broken}");
            }
        }
    }
}

#[test]
fn two_puts_in_a_row_may_be_lost() {
    let count = case(BTreeMap::new()).expect("the script without a fault");
    for put in 0..count {
        for (first, second) in [
            (Fault::LostRequest, Fault::LostRequest),
            (Fault::LostAnswer, Fault::LostAnswer),
            (Fault::LostAnswer, Fault::Late(2)),
            (Fault::Late(1), Fault::LostAnswer),
        ] {
            if let Err(broken) = case(BTreeMap::from([(put, first), (put + 1, second)])) {
                panic!("{first:?}, {second:?} from PUT {put} of {count}: {broken}");
            }
        }
    }
}
