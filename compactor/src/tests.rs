//! The cleaner on a store in memory, alone and against writers and readers in every order.

mod harness;
mod log;
mod merging;
mod objects;
mod orders;
