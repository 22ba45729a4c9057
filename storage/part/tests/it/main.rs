//! The part crate from outside.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

extern crate runelog_part as part;

mod fuzz;
mod golden;
mod merge;
mod model;
mod round_trip;
mod sketches;
mod survey;
