//! Names of the metrics this crate writes, with their labels beside them.
