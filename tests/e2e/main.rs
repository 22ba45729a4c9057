//! The real binary, seen through the door a user comes in by: HTTP, signals, files.
//!
//! Every test has a server of its own on port 0 with a folder of its own, and stops it by its
//! process id. Nothing here asserts a time; what has to be waited for is polled.

mod bucket;
mod cluster;
mod corruption;
mod crash;
mod disconnect;
mod disk_full;
mod first_minute;
mod grafana;
mod harness;
mod hostile;
mod load;
mod metrics;
mod otlp;
mod patterns;
mod ring;
mod routes;
mod tail;
mod tenants;
mod terminal;
mod tls;
mod traces;

use runelog_tests::{http, process};
