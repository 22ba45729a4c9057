//! What an ingester does for distributors and queriers.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Batch, ErrorKind, Labels, Run, StoreId, TenantId};
use logql::engine::Partial;
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::plan::{Leaf, QueryError};
use logql::syntax::Matcher;

use crate::tail::{TailAnswer, TailRequest};

/// Calls to one ingester. `Clone`-able behind an `Arc`.
#[async_trait]
pub trait IngesterApi: Send + Sync + 'static {
    /// Which store this ingester writes to; fixed while its process runs (B6).
    async fn identify(&self) -> Result<Identity, IngesterError>;

    /// Asks the owner which rows it will take (B5). Consumes rate tokens for the admitted rows and
    /// registers their streams.
    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError>;

    /// Stores the batches verbatim. Returns after every one is fsynced (W1) and visible to
    /// queries, or gives all of them back: then any number may be stored all the same.
    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError>;

    /// Evaluates a leaf over the rows held here that are in no commit at or before `view` (R1).
    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError>;

    /// Rows that came after what the request names, for a tail.
    async fn tail(&self, request: TailRequest) -> Result<TailAnswer, IngesterError> {
        drop(request);
        Err(IngesterError::Unavailable("this ingester serves no tails".to_owned()))
    }

    /// Streams with rows held here that are in no commit at or before `view` (R1).
    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError>;
}

/// Who an ingester is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its store.
    pub store: StoreId,
    /// Its availability zone; empty where there are none.
    pub zone: String,
}

/// An ingester by the address it is known under.
#[derive(Clone)]
pub struct Peer {
    /// `host:port`, or `in-process`. Names it in errors and metrics.
    pub address: String,
    /// The way to it.
    pub api: Arc<dyn IngesterApi>,
}

/// Answer to [`IngesterApi::append`]: every batch is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The highest attempt held of each batch, in the order of the request (B3). Only an equal
    /// number acknowledges the attempt that was sent. `u32::MAX`: a commit claims the batch already.
    pub attempts: Vec<u32>,
}

/// An append that is not acknowledged.
#[derive(Debug)]
pub struct AppendError {
    /// Why.
    pub error: IngesterError,
    /// What was sent, for the next attempt. Empty if the receiver died with them.
    pub batches: Vec<Batch>,
}

/// Rows offered to the owner, as columns, without their bytes.
#[derive(Clone, Debug)]
pub struct AdmitRequest {
    /// Whose rows.
    pub tenant: TenantId,
    /// Labels of the streams that `runs` name.
    pub streams: Vec<Labels>,
    /// Streams of the rows.
    pub runs: Vec<Run>,
    /// Timestamps.
    pub ts_ns: Vec<i64>,
    /// Line and metadata bytes of each row.
    pub sizes: Vec<u32>,
}

/// The owner's answer: all rows are admitted but those rejected.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// One entry per stream with rejected rows, in the order of the request.
    pub rejected: Vec<Rejection>,
}

/// Rows of one stream that are not admitted.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Index into [`AdmitRequest::streams`].
    pub stream: u32,
    /// Rows of the request, ascending, with the reason for each.
    pub rows: Vec<(u32, RejectReason)>,
}

/// Why the owner does not take a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RejectReason {
    /// Before the out-of-order window; the oldest acceptable timestamp, nanoseconds.
    TooFarBehind {
        /// Oldest acceptable timestamp, nanoseconds.
        oldest_ns: i64,
    },
    /// Over the per-stream rate.
    StreamRate {
        /// Limit in bytes per second.
        limit_bytes: u64,
        /// Bytes of the stream in this request.
        request_bytes: u64,
    },
    /// A new stream over the tenant's number of active streams.
    StreamLimit,
}

/// What to evaluate, and against which view of the catalog.
#[derive(Clone)]
pub struct SelectRequest {
    /// Whose rows.
    pub tenant: TenantId,
    /// The leaf of the plan.
    pub leaf: Arc<Leaf>,
    /// V: the commit the querier read the catalog to.
    pub view: u64,
    /// All stores that are asked at this view. Whoever is not among them answers for nothing: G of
    /// R1 is everybody else, also those of whom only one side knows.
    pub asked: Vec<StoreId>,
    /// Instants to be answered as rows.
    pub overlaps: Arc<Overlaps>,
    /// The store that is asked: another one at the same address must not answer in its place.
    /// `None`: whichever is there.
    pub store: Option<StoreId>,
    /// Ends the work within a page or two.
    pub cancel: base::shutdown::Shutdown,
}

/// Answer to [`SelectRequest`].
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // one per query and ingester, moved a few times
pub enum SelectAnswer {
    /// V is below the commit up to which this ingester dropped rows: read the catalog, ask again.
    Behind {
        /// At least this commit must be read.
        floor: u64,
    },
    /// The rows held here, evaluated.
    Rows {
        /// Every stream that is included, with the range of its included rows.
        ranges: Vec<StreamRange>,
        /// The result.
        partial: Partial,
        /// What was read, for the answer's statistics.
        stats: ReadStats,
        /// Version of the ring that the ingester follows: with an older one the caller may not
        /// know of all who must be asked.
        ring: u64,
    },
}

/// Which streams.
#[derive(Clone, Debug)]
pub struct StreamsRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Any of these matcher lists must match; empty = all streams.
    pub selectors: Vec<Vec<Matcher>>,
    /// Rows with `from_ns <= ts < to_ns`.
    pub from_ns: i64,
    /// See `from_ns`.
    pub to_ns: i64,
    /// V.
    pub view: u64,
    /// As in [`SelectRequest`].
    pub asked: Vec<StoreId>,
    /// As in [`SelectRequest`].
    pub store: Option<StoreId>,
    /// Say what the lines of the streams look like, too.
    pub templates: bool,
}

/// What some lines look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTemplate {
    /// Their `detected_level`; empty = none.
    pub level: String,
    /// A line pattern (`|>`).
    pub text: String,
    /// About how many of them there are.
    pub rows: u64,
}

/// Answer to [`StreamsRequest`].
#[derive(Clone, Debug)]
pub enum StreamsAnswer {
    /// As in [`SelectAnswer::Behind`].
    Behind {
        /// At least this commit must be read.
        floor: u64,
    },
    /// What is held here.
    Streams {
        /// Each once, in no order.
        streams: Vec<Labels>,
        /// If they were asked for; in no order.
        templates: Vec<LineTemplate>,
        /// As in [`SelectAnswer::Rows`].
        ring: u64,
    },
}

/// What an evaluation read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Rows looked at.
    pub rows: u64,
    /// Raw line bytes looked at.
    pub line_bytes: u64,
    /// Raw metadata bytes looked at.
    pub metadata_bytes: u64,
    /// Stored (compressed) bytes read.
    pub stored_bytes: u64,
    /// Pages looked at.
    pub pages: u64,
    /// Pages that sketches or ranges ruled out.
    pub pages_pruned: u64,
    /// Rows left after the pipeline.
    pub rows_selected: u64,
}

/// Why an ingester does not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngesterError {
    /// What was asked fails by itself, here and anywhere: the query, or an append too large for a
    /// message or for a record of the log.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The list of a batch does not name this store, or names one that is cleared; or a query is
    /// meant for another store. Whoever sent it must ask who is who again (B6). None of the call's
    /// batches was stored by it.
    #[error("{0}")]
    Misplaced(String),
    /// The id table does not reach back to a batch, so nobody can say whether it is stored (B2).
    /// None of the call's batches was stored by it: whoever knows that of every earlier attempt
    /// may send the rows under a new id.
    #[error("{0}")]
    Forgotten(String),
    /// Not now: shutting down, disk full, memory or WAL limit. The text names which.
    #[error("{0}")]
    Unavailable(String),
    /// Stored bytes are damaged; names the file.
    #[error("{0}")]
    Corrupt(String),
    /// The caller went away or the deadline passed.
    #[error("the request was cancelled")]
    Cancelled,
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl IngesterError {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            IngesterError::Query(QueryError::Internal(_)) | IngesterError::Internal(_) => {
                ErrorKind::Internal
            }
            IngesterError::Query(_) => ErrorKind::Invalid,
            IngesterError::Misplaced(_) | IngesterError::Forgotten(_) => ErrorKind::Conflict,
            IngesterError::Unavailable(_) => ErrorKind::Unavailable,
            IngesterError::Corrupt(_) => ErrorKind::Corrupt,
            IngesterError::Cancelled => ErrorKind::Timeout,
        }
    }
}
