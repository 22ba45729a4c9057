//! The vocabulary every crate shares, and nothing that has a domain verb.
//!
//! A thing is admitted here only when three crates use it. Columns of rows ([`rows`]) are the one
//! shape in which log lines exist anywhere in Runelog: the push decoder fills them, the WAL writes
//! them, the head holds them, a part's pages decode into them and LogQL evaluates over views of them.
//!
//! **Invariant:** floor 0; nothing here depends on another crate of the workspace, and this is the
//! only crate that may read a clock, draw randomness, spawn a task or touch a file directly.

pub mod batch;
pub mod bitmap;
pub mod disk;
pub mod error;
pub mod hash;
pub mod labels;
pub mod quote;
pub mod random;
pub mod rows;
pub mod shutdown;
pub mod task;
pub mod tenant;
pub mod time;
pub mod units;

pub use batch::{Batch, BatchId, Incarnation, StoreId};
pub use bitmap::Bitmap;
pub use error::ErrorKind;
pub use hash::{HashMap, HashSet};
pub use labels::{Labels, LabelsBuilder, StreamKey};
pub use rows::{DictView, PageView, Rows, RowsBuilder, Run, StrView};
pub use tenant::TenantId;
pub use time::{Clock, Day, UnixNanos};
pub use units::ByteSize;
