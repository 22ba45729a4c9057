//! The durable path under every fault, one at a time: the real ingester and querier over a simulated
//! disk and a faulty store.
//!
//! One scripted run is repeated with a fault at each write boundary of the disk and at each PUT of
//! parts and commits. Whatever happens, for every query afterwards: rows that were acknowledged are
//! there exactly once (P1, P2), at once (P3), and after the loss of all local state what was flushed
//! is served by the bucket alone (P4).

mod broken;
mod cluster;
mod disk_sweep;
mod machine;
mod script;
mod store_sweep;
mod world;
