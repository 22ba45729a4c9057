//! Object storage: the bucket, the commit loop, the followed catalog, part reads.
//!
//! The life of a flush, for its owner:
//! 1. `let mut draft = handle.draft()`: nonce, and the version from **before** the upload.
//! 2. [`put_parts`] uploads the parts (small ones share a bundle); `draft.added` and
//!    `draft.claims` are filled in.
//! 3. [`CatalogHandle::commit`] puts it at the head of the log, or says what to build anew.
//! 4. [`CatalogHandle::maybe_checkpoint`] writes a checkpoint when enough commits have passed.
//!
//! The life of a read: [`CatalogHandle::follow`] reads the log to its head, its [`Snapshot`] lists
//! the parts, [`Parts::open`] opens each of them as a [`scan::Scan`].
//!
//! Rules kept here (C2, C3; the pure half is in `catalog`):
//! 1. Before PUT n every commit up to n-1 has been compared with the draft.
//! 2. A lost answer is followed by the same PUT, until the store says what is there.
//! 3. A commit counts only after `log/floor` was read **after** its PUT, or after its GET, and is
//!    below its number.
//! 4. A reader takes "not found" for the head only after `log/floor` was read after it.
//! 5. `log/floor` never falls, and is raised only to a checkpoint that is whole.
//! 6. A part is uploaded before the commit that names it, and never deleted but after a commit
//!    that removes it.

pub mod bucket;
pub mod cache;
mod checkpoint;
pub mod cluster;
mod commit;
pub mod config;
mod disk_cache;
pub mod error;
mod floor;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod handle;
pub mod metrics;
mod pages;
pub mod read;
mod ring;
pub mod scan;
mod start;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod upload;

pub use bucket::{Bucket, Created};
pub use cache::Cache;
pub use catalog::{
    ClaimState, Draft, EndReason, IdSet, PartId, PartRecord, Place, RingVersion, Snapshot,
};
pub use cluster::Cluster;
pub use commit::Outcome;
pub use config::{AzureConfig, BucketConfig, CatalogConfig, GcsConfig, S3Config};
pub use disk_cache::{DiskCache, DiskCacheConfig};
pub use error::Error;
pub use handle::{CatalogHandle, CommitObserver, Deps};
pub use read::{PartReader, Parts, Requests};
pub use upload::{BUNDLE_BELOW_BYTES, Streamed, Upload, put_parts};
