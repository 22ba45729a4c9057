//! Ingesters as others find them who do not keep a rule.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Batch, BatchId, StoreId};
use logql::engine::Partial;
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, ReadStats,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use store::CatalogHandle;

use super::Break;

/// Whether a process looks for commits that it has not read, or takes what it knows for the newest.
#[derive(Default)]
pub struct Sight(AtomicBool);

impl Sight {
    /// It knows of something newer, or begins: it reads on, to the head.
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// It has read to the head.
    pub fn close(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// An ingester that looks away from what it should know of the log.
pub struct Served {
    pub api: Arc<dyn IngesterApi>,
    pub rule: Break,
    pub catalog: CatalogHandle,
    /// The head of the log that it read at its start.
    pub head: u64,
}

impl Served {
    /// The view at which it answers: it does not read the log for anybody.
    fn view(&self, wanted: u64) -> u64 {
        match self.rule {
            Break::NotFollowed => wanted.min(self.catalog.snapshot().version()),
            _ => wanted,
        }
    }

    /// Whether it would not know that it dropped something up to `floor`. What it holds it holds
    /// since its start: the same at the older view.
    fn has_forgotten(&self, floor: u64) -> bool {
        self.rule == Break::NoFloorAtStart && floor <= self.head
    }
}

#[async_trait]
impl IngesterApi for Served {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.api.identify().await
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        self.api.admit(request).await
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        self.api.append(batches).await
    }

    async fn select(&self, mut request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        request.view = self.view(request.view);
        match self.api.select(request.clone()).await? {
            SelectAnswer::Behind { floor } if self.has_forgotten(floor) => {
                self.api.select(SelectRequest { view: floor, ..request }).await
            }
            answer => Ok(answer),
        }
    }

    async fn streams(&self, mut request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        request.view = self.view(request.view);
        match self.api.streams(request.clone()).await? {
            StreamsAnswer::Behind { floor } if self.has_forgotten(floor) => {
                self.api.streams(StreamsRequest { view: floor, ..request }).await
            }
            answer => Ok(answer),
        }
    }
}

/// The way to an ingester of somebody who breaks a rule.
pub struct Broken {
    api: Arc<dyn IngesterApi>,
    rule: Break,
    /// How its process sees the log.
    sight: Arc<Sight>,
    /// Stores that were ever asked.
    seen: Mutex<BTreeSet<StoreId>>,
    /// Batches of which any attempt was ever acknowledged here.
    acked: Arc<Mutex<BTreeSet<BatchId>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broken {
    pub fn new(api: Arc<dyn IngesterApi>, rule: Break, sight: Arc<Sight>) -> Broken {
        Broken { api, rule, sight, seen: Mutex::default(), acked: Arc::default() }
    }

    /// The first of the lists hears of another order when nobody waits for it any more.
    fn attempt_again(&self, mut batches: Vec<Batch>) {
        for batch in &mut batches {
            batch.attempt += 1;
            batch.members.rotate_left(1);
        }
        let api = self.api.clone();
        base::task::sim::outside(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _unheard = api.append(batches).await.is_err();
        });
    }
}

fn is_silence(error: &IngesterError) -> bool {
    matches!(error, IngesterError::Unavailable(_))
}

fn nothing(partial: Partial) -> SelectAnswer {
    SelectAnswer::Rows { ranges: Vec::new(), partial, stats: ReadStats::default(), ring: 0 }
}

#[async_trait]
impl IngesterApi for Broken {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.api.identify().await
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        self.api.admit(request).await
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let sent: Vec<u32> = batches.iter().map(|batch| batch.attempt).collect();
        let ids: Vec<BatchId> = batches.iter().map(|batch| batch.id).collect();
        let again = (self.rule == Break::AttemptAfterAnswer).then(|| batches.clone());
        match self.api.append(batches).await {
            Ok(appended) => {
                lock(&self.acked).extend(ids);
                if let Some(again) = again.filter(|all| all.iter().all(|b| b.members.len() > 1)) {
                    self.attempt_again(again);
                }
                Ok(appended)
            }
            Err(_)
                if self.rule == Break::OldAcks
                    && ids.iter().all(|id| lock(&self.acked).contains(id)) =>
            {
                Ok(Appended { attempts: sent })
            }
            // The others of its list make up the majority.
            Err(failed) if self.rule == Break::AnyMajority && is_silence(&failed.error) => {
                Ok(Appended { attempts: sent })
            }
            answer => answer,
        }
    }

    async fn select(&self, mut request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        if self.rule == Break::NoGone {
            // As if everybody who was ever asked was asked.
            let mut seen = lock(&self.seen);
            seen.extend(request.asked.iter().copied());
            request.asked = seen.iter().copied().collect();
        }
        if self.rule == Break::AnyStore {
            request.store = None;
        }
        match self.api.select(request.clone()).await {
            Ok(SelectAnswer::Rows { partial, stats, ring, .. })
                if self.rule == Break::NoOverlaps =>
            {
                Ok(SelectAnswer::Rows { ranges: Vec::new(), partial, stats, ring })
            }
            Ok(SelectAnswer::Rows { ranges, partial, stats, .. })
                if self.rule == Break::NoRingVersion =>
            {
                Ok(SelectAnswer::Rows { ranges, partial, stats, ring: 0 })
            }
            Ok(SelectAnswer::Behind { floor }) if self.rule == Break::OtherView => {
                self.api.select(SelectRequest { view: floor, ..request }).await
            }
            Ok(SelectAnswer::Behind { floor }) => {
                self.sight.open();
                Ok(SelectAnswer::Behind { floor })
            }
            Err(IngesterError::Unavailable(_)) if self.rule == Break::ShortAnswer => {
                Ok(nothing(request.leaf.empty()))
            }
            answer => answer,
        }
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        let answer = self.api.streams(request).await;
        if matches!(answer, Ok(StreamsAnswer::Behind { .. })) {
            self.sight.open();
        }
        answer
    }
}
