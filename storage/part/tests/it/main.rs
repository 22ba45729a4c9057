//! The part crate from outside.

extern crate runelog_part as part;

mod model;
mod round_trip;
