//! The part crate from outside.

extern crate runelog_part as part;

mod fuzz;
mod golden;
mod model;
mod round_trip;
mod sketches;
