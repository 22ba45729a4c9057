//! An ingester that only remembers, and limits that a test sets.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::{Batch, StoreId, TenantId};
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, SelectAnswer,
    SelectRequest, StreamsAnswer, StreamsRequest,
};
use ulid::Ulid;

use crate::limits::{Limits, PushLimits};

/// Keeps what it is given; answers what it is told to.
#[derive(Default)]
pub struct FakeIngester {
    /// Batches appended, in order.
    pub batches: Mutex<Vec<Batch>>,
    /// Requests for admission, in order.
    pub admitted: Mutex<Vec<AdmitRequest>>,
    /// The answer to the next request for admission; afterwards everything is admitted.
    pub admission: Mutex<Option<Result<Admission, IngesterError>>>,
    /// The answer to the next append; afterwards every append succeeds.
    pub appended: Mutex<Option<Result<(), IngesterError>>>,
    /// Drop what is given instead of keeping it.
    pub forgets: bool,
}

/// The store of every [`FakeIngester`].
pub const STORE: StoreId = StoreId(Ulid(7));

#[async_trait]
impl IngesterApi for FakeIngester {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        Ok(Identity { store: STORE, zone: String::new() })
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let rows = request.ts_ns.len();
        assert_eq!(request.sizes.len(), rows, "a size per row");
        assert_eq!(request.runs.last().map_or(0, |run| run.end as usize), rows, "runs cover rows");
        if !self.forgets {
            lock(&self.admitted).push(request);
        }
        lock(&self.admission).take().unwrap_or_else(|| Ok(Admission::default()))
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        for batch in &batches {
            batch.rows.assert_consistent();
            assert_eq!(batch.members.first(), Some(&STORE), "the owner is first");
            for run in &batch.rows.runs {
                assert!((run.stream as usize) < batch.streams.len(), "runs name streams");
            }
        }
        if let Err(error) = lock(&self.appended).take().unwrap_or(Ok(())) {
            return Err(AppendError { error, batches });
        }
        let attempts = batches.iter().map(|batch| batch.attempt).collect();
        if !self.forgets {
            lock(&self.batches).extend(batches);
        }
        Ok(Appended { attempts })
    }

    async fn select(&self, _: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        Err(IngesterError::Unavailable("a fake ingester answers no queries".to_owned()))
    }

    async fn streams(&self, _: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        Err(IngesterError::Unavailable("a fake ingester answers no queries".to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The same limits for every tenant.
pub struct FakeLimits(pub Mutex<Arc<PushLimits>>);

impl FakeLimits {
    /// Limits as given.
    pub fn new(limits: PushLimits) -> FakeLimits {
        FakeLimits(Mutex::new(Arc::new(limits)))
    }

    /// Limits that refuse as little as possible.
    pub fn open() -> PushLimits {
        PushLimits {
            ingestion_rate_bytes: f64::INFINITY,
            reject_old_samples: false,
            ..PushLimits::default()
        }
    }
}

impl Limits for FakeLimits {
    fn push(&self, _: &TenantId) -> Arc<PushLimits> {
        lock(&self.0).clone()
    }
}
