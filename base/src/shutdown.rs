//! One signal that tells every task to finish.

pub use tokio_util::sync::CancellationToken as Shutdown;
