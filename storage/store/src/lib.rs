//! Object storage: the bucket, the commit loop, part reads.

pub mod error;
pub mod scan;

pub use error::Error;
