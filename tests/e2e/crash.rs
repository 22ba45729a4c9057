//! `kill -9` of everything under load: what was acknowledged is there exactly once, and nothing
//! else.

use base::random::{Random, SeededRandom};

use crate::harness::{Shape, Site};
use crate::load::{CONNECTIONS, Load};

fn kill_everything(shape: Shape, rounds: u64) {
    let random = SeededRandom::new(20_241_101);
    let site = Site::new(shape);
    let mut loads: Vec<Load> = Vec::new();
    for round in 0..rounds {
        let cluster = site.start();
        if let Some(last) = loads.last() {
            last.check(&cluster);
        }
        let load = Load::new(round);
        let kill_after = 5 + random.next_u64() % 200;
        // Every third round a flush runs into the kill.
        let mut flush_after = (round % 3 == 2).then_some(kill_after / 2);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| load.push(cluster.push_address()));
            }
            while load.acks() < kill_after {
                if flush_after.is_some_and(|at| load.acks() >= at) {
                    flush_after = None;
                    cluster.start_flush();
                }
                std::thread::yield_now();
            }
            cluster.signal("-KILL");
        });
        cluster.wait();
        loads.push(load);
    }
    let cluster = site.start();
    loads.iter().for_each(|load| load.check(&cluster));
    cluster.flush();
    loads.iter().for_each(|load| load.check(&cluster));
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged_and_doubles_nothing() {
    kill_everything(Shape::One, 20);
}

#[test]
fn kill_9_of_every_process_loses_nothing_acknowledged_and_doubles_nothing() {
    kill_everything(Shape::Separate, 5);
}
