//! Random schedules against the rules of the ring (`docs/adr/0029-ring-model.md`).
//!
//! The ring is the real one: [`crate::State`] changed by [`crate::apply`], [`crate::duties`],
//! [`crate::reads`], [`crate::Placement`]. Every change is a state in a list, and every process
//! follows it to a place of its own: late, or not at all while it is cut off. Everything else is as
//! small as it can be: a batch is a number, a store is what it holds and refuses, the bucket is a
//! list of commits, and a step is atomic where the other rules (B, W, C, R2) say that it is.
//!
//! What is checked: a query that is answered counts every batch that was acknowledged before it began,
//! but for those that an operator gave up; when faults have stopped, all is flushed, whoever went is
//! removed, and a query is answered and exact.
//!
//! `RUNELOG_MODEL_RUNS=N` runs N schedules of each kind and prints what was found, in the fewest steps:
//! `RUNELOG_MODEL_RUNS=100000 cargo test --release -p runelog-ring model -- --nocapture`

mod action;
mod chores;
mod dice;
mod knob;
mod query;
mod quiet;
mod schedule;
mod trials;
mod world;
mod writes;
