//! The service: start, the calls of [`rpc::IngesterApi`], drain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base::shutdown::Shutdown;
use base::{Batch, StoreId};
use logql::plan::Leaf;
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, SelectAnswer,
    SelectRequest, StreamsAnswer, StreamsRequest,
};
use rpc::tail::{TailAnswer, TailRequest};

use crate::append::{STOPPING, refuse};
use crate::core::{Core, Deps, Observer};
use crate::flush::Reason;
use crate::limits::Divided;
use crate::marker::Marker;
use crate::{Config, Error};

/// One ingester.
pub struct Ingester {
    pub(crate) core: Arc<Core>,
    store: StoreId,
    terminate: Shutdown,
    background: Mutex<Option<base::task::JoinHandle<()>>>,
    /// The drain has ended, and a commit claims every batch of the WAL.
    is_emptied: AtomicBool,
    pub(crate) marker: Marker,
}

impl Ingester {
    /// Opens the WAL, rebuilds the heads from it and starts the background work. Returns when all
    /// acknowledged rows can be queried again. The catalog must have been opened just before.
    pub async fn start(config: Config, deps: Deps) -> Result<Arc<Ingester>, Error> {
        let marker = Marker::open(config.shutdown_marker_path.clone());
        let core = Core::new(config, deps);
        let observer = Observer(Arc::downgrade(&core));
        core.deps.catalog.observe(Arc::new(observer)).await;
        core.replay().await?;
        let store = core.wal().map(wal::Wal::store).ok_or(wal::Error::Closed)?;
        let background = base::task::spawn("ingester", Arc::clone(&core).background());
        Ok(Arc::new(Ingester {
            core,
            store,
            terminate: Shutdown::new(),
            background: Mutex::new(Some(background)),
            is_emptied: AtomicBool::new(false),
            marker,
        }))
    }

    /// Flushes everything that is held now; returns when it is committed.
    pub async fn flush_all(&self) -> Result<(), Error> {
        self.core.flush(self.core.days(None), Reason::Forced).await
    }

    /// Flushes everything of one tenant; returns when it is committed.
    pub async fn flush_tenant(&self, tenant: &base::TenantId) -> Result<(), Error> {
        self.core.flush(self.core.days(Some(tenant)), Reason::Forced).await
    }

    /// Flushes the days of one tenant on which streams that `selector` selects have rows; returns
    /// when they are committed.
    pub async fn flush_streams(
        &self,
        tenant: &base::TenantId,
        selector: &Leaf,
    ) -> Result<(), Error> {
        let mut days = self.core.days(Some(tenant));
        days.retain(|day| day.lock().has_unflushed(|labels| selector.selects(labels)));
        self.core.flush(days, Reason::Forced).await
    }

    /// Ends this ingester. Returns `false` if somebody else did already.
    ///
    /// 1. New appends are refused; those under way finish.
    /// 2. The background work ends after the flushes that run.
    /// 3. With `flush`, or as the configuration or a prepared shutdown says, everything is flushed,
    ///    but for what others have the rows of and live to flush (W3). What cannot be flushed stays
    ///    in the WAL.
    /// 4. The WAL writes out what it has and closes.
    pub async fn drain(&self, flush: bool) -> bool {
        if !self.core.begin_stopping() {
            return false;
        }
        // Appends under way hold it for reading.
        let gate = self.core.gate.write().await;
        self.core.stop.cancel();
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(background) = background
            && background.await.is_err()
        {
            tracing::error!("the ingester's background task had panicked");
        }
        if (flush || self.flushes_at_the_end())
            && let Err(error) = self.core.flush_for_the_last_time().await
        {
            tracing::error!(%error, "not everything could be flushed; the rest is in the WAL");
        }
        let core = Arc::clone(&self.core);
        let closed = base::task::blocking("close-wal", move || {
            core.release_queued();
            let Some(wal) = core.wal() else { return false };
            let is_empty = wal.oldest_batches(|_| true).is_empty();
            wal.close();
            is_empty
        });
        match closed.await {
            Ok(is_empty) => self.is_emptied.store(is_empty, Ordering::SeqCst),
            Err(_) => tracing::error!("closing the write-ahead log panicked"),
        }
        drop(gate);
        true
    }

    /// Whether the next drain flushes, by configuration or because a shutdown was prepared.
    pub fn flushes_at_the_end(&self) -> bool {
        self.core.config.flush_on_shutdown || self.marker.is_set()
    }

    /// Whether a drain has ended that left nothing in the WAL that no commit claims.
    pub fn is_emptied(&self) -> bool {
        self.is_emptied.load(Ordering::SeqCst)
    }

    /// Whether a drain has begun.
    pub fn is_stopping(&self) -> bool {
        self.core.is_stopping()
    }

    /// Cancelled when `/ingester/shutdown` asked the process to end: the server waits for it as it
    /// does for SIGTERM.
    pub fn terminate_requested(&self) -> Shutdown {
        self.terminate.clone()
    }

    /// Starts a flush of everything and does not wait for it.
    pub(crate) fn start_flush(self: &Arc<Self>) {
        let core = Arc::clone(&self.core);
        base::task::spawn("flush-all", async move {
            // An error was logged and counted; the background tries again by age.
            let _failed = core.flush(core.days(None), Reason::Forced).await.is_err();
        });
    }

    /// Bytes of rows in memory that no commit holds, appends under way included: what
    /// [`Config::memory_limit`] limits.
    pub fn held_bytes(&self) -> u64 {
        self.core.usage.held_bytes()
    }

    /// The store it writes to (B6).
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.core.config
    }
}

#[async_trait]
impl IngesterApi for Ingester {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        Ok(Identity { store: self.store, zone: self.core.config.zone.clone() })
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        if self.is_stopping() {
            return Err(refuse("stopping", STOPPING.to_owned()));
        }
        let limits = self.core.deps.limits.clone();
        let ingesters = self.core.deps.ring.state().placed().count();
        let limits = &Divided { limits, ingesters };
        Ok(self.core.lock_admitter().admit(&request, limits, self.core.now_ns()))
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        // A caller that goes away must not leave a batch in the WAL and not in the head.
        let core = Arc::clone(&self.core);
        let append = base::task::spawn("append", async move { core.append(batches).await });
        match append.await {
            Ok(result) => result,
            Err(_) => {
                let error = IngesterError::Internal("the append panicked".to_owned());
                Err(AppendError { error, batches: Vec::new() })
            }
        }
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        self.core.select(request).await
    }

    async fn tail(&self, request: TailRequest) -> Result<TailAnswer, IngesterError> {
        self.core.tail(request).await
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.core.streams(request).await
    }
}

impl Ingester {
    /// Drains, then asks the process to end if `terminate`. `false`: already stopping.
    pub(crate) async fn shut_down(&self, flush: bool, terminate: bool) -> bool {
        let drained = self.drain(flush).await;
        if drained && terminate {
            self.terminate.cancel();
        }
        drained
    }
}
