//! Rules that are broken on purpose, each at a seam, to see that the simulation notices.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base::{Batch, StoreId};
use logql::engine::Partial;
use ring::State;
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, ReadStats,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};

/// Which rule is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    #[default]
    Nothing,
    /// W1: a disk that only says that it synced stands for an ack before the fsync.
    AckBeforeSync,
    /// W2: a commit is believed when its notice comes, before it is in the log.
    DropOnNotice,
    /// C2: a flush is put without being compared with other commits.
    NoCompare,
    /// C3: ingesters find no floor: a number that was cleaned is used again, and believed.
    NumberUsedTwice,
    /// R1: an ingester that has dropped rows of a later commit answers all the same, at its own view.
    OtherView,
    /// R1: an ingester that does not answer is taken for one that has nothing.
    ShortAnswer,
    /// B3: any majority of a list acknowledges, also one without its first.
    AnyMajority,
    /// R1: a follower answers without looking at who is asked.
    NoGone,
    /// R1: a query is answered however many stores are gone.
    ManyGone,
    /// R1b: a store is cleared before what names it is flushed and refused.
    ClearUnseen,
}

impl Break {
    /// The way of a querier or distributor to an ingester.
    pub fn peer(self, api: Arc<dyn IngesterApi>) -> Arc<dyn IngesterApi> {
        match self {
            Break::OtherView | Break::ShortAnswer | Break::AnyMajority | Break::NoGone => {
                Arc::new(Broken { api, rule: self, seen: Mutex::default() })
            }
            _ => api,
        }
    }

    /// The ring as a querier has it.
    pub fn state(self, state: Arc<State>) -> Arc<State> {
        if self != Break::ManyGone {
            return state;
        }
        // As if rows were at so many stores that any number of them may be missing.
        let mut many = State::clone(&state);
        for instance in many.instances.values_mut() {
            Arc::make_mut(instance).factor = 9;
        }
        many.replication = 9;
        Arc::new(many)
    }
}

struct Broken {
    api: Arc<dyn IngesterApi>,
    rule: Break,
    /// Stores that were ever asked.
    seen: Mutex<BTreeSet<StoreId>>,
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
        match self.api.append(batches).await {
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
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.extend(request.asked.iter().copied());
            request.asked = seen.iter().copied().collect();
        }
        match self.api.select(request.clone()).await {
            Ok(SelectAnswer::Behind { floor }) if self.rule == Break::OtherView => {
                self.api.select(SelectRequest { view: floor, ..request }).await
            }
            Err(IngesterError::Unavailable(_)) if self.rule == Break::ShortAnswer => {
                Ok(nothing(request.leaf.empty()))
            }
            answer => answer,
        }
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.api.streams(request).await
    }
}
