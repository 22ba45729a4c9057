//! The ingester as a whole, on a simulated disk and a store in memory.

mod answers;
mod faults;
mod followers;
pub(crate) mod harness;
mod lifecycle;
mod open;
mod replicas;
mod two;
