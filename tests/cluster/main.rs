//! A cluster of real processes, broken in one way after the other while clients push and query:
//! three copies of a row in three zones, and one of everything may be missing at any time.
//!
//! Clients keep their own record of what was acknowledged and compare it all the time, and at the
//! end line by line. What happens is counted, never timed. `RUNELOG_CLUSTER_ROUNDS` repeats every
//! scenario so many times; 1 is what CI runs.

mod address;
mod disk;
mod factor;
mod kill;
mod load;
mod majority;
mod net;
mod restart;
mod scale;
mod site;
mod stop;
mod zone;

/// How many times a scenario does what it does.
fn rounds() -> usize {
    let rounds = std::env::var("RUNELOG_CLUSTER_ROUNDS").ok();
    rounds.map_or(1, |rounds| rounds.parse().expect("RUNELOG_CLUSTER_ROUNDS is a number"))
}
