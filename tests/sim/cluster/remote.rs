//! The services as other nodes see them.

use std::sync::Arc;

use async_trait::async_trait;
use base::Batch;
use base::shutdown::Shutdown;
use rpc::frontend::{FrontendError, Worker};
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, SelectAnswer,
    SelectRequest, StreamsAnswer, StreamsRequest,
};
use rpc::querier::{ListJob, Listed, QuerierError, SelectJob, Selected};
use rpc::{FrontendApi, IngesterApi, QuerierApi};

use super::ledger::Ledger;
use super::network::{Link, Port};
use super::world::event;

/// An ingester on another node.
pub struct RemoteIngester {
    pub link: Link<dyn IngesterApi>,
    pub ledger: Arc<Ledger>,
}

fn unavailable(text: String) -> IngesterError {
    IngesterError::Unavailable(text)
}

#[async_trait]
impl IngesterApi for RemoteIngester {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        let asked = self.link.call("identify", |api| async move { api.identify().await });
        asked.await.map_err(unavailable)?
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let asked = self.link.call("admit", move |api| {
            let request = request.clone();
            async move { api.admit(request).await }
        });
        asked.await.map_err(unavailable)?
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        self.ledger.sent(&self.link.from, &self.link.port.node, &batches);
        let sent = batches.clone();
        let (ledger, node) = (self.ledger.clone(), self.link.port.node.clone());
        let asked = self.link.call("append", move |api| {
            let (batches, ledger, node) = (sent.clone(), ledger.clone(), node.clone());
            async move {
                let appended = api.append(batches).await;
                let store = api.identify().await.ok().map(|identity| identity.store);
                (appended, ledger.disk(&node), store)
            }
        });
        let refused = |text| AppendError { error: unavailable(text), batches: batches.clone() };
        let (answer, disk, store) = asked.await.map_err(refused)?;
        if let Ok(appended) = &answer {
            self.ledger.answered(&self.link.port.node, store, disk, &batches, appended);
        }
        answer
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        let view = request.view;
        self.link.world.pass(&self.link.from).await;
        let asked = self.link.call("select", move |api| {
            let request = request.clone();
            async move { api.select(request).await }
        });
        let answer = asked.await.map_err(unavailable)?;
        if let Ok(SelectAnswer::Behind { floor }) = &answer {
            let Link { world, from, port, .. } = &self.link;
            event!(world, from, "view {view} is behind the floor {floor} of {}", port.node);
        }
        answer
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.link.world.pass(&self.link.from).await;
        let asked = self.link.call("streams", move |api| {
            let request = request.clone();
            async move { api.streams(request).await }
        });
        asked.await.map_err(unavailable)?
    }
}

/// A query frontend on another node.
pub struct RemoteFrontend {
    pub link: Link<dyn FrontendApi>,
    /// The querier that comes for work.
    pub own: Arc<Port<dyn QuerierApi>>,
    /// Times it came.
    pub visits: std::sync::atomic::AtomicU64,
}

#[async_trait]
impl FrontendApi for RemoteFrontend {
    /// The stay is a connection: it ends when either side dies, and at the first call that fails.
    async fn work(&self, worker: Worker, _: Arc<dyn QuerierApi>) -> Result<(), FrontendError> {
        let (world, port) = (&self.link.world, &self.link.port);
        let unavailable = |text: String| Err(FrontendError::Unavailable(text));
        let is_cut =
            world.is_cut(&self.link.from, &port.node) || world.is_cut(&port.node, &self.link.from);
        let Some((process, api)) = port.server().filter(|_| !is_cut) else {
            return unavailable(format!("{} refuses connections", port.node));
        };
        let visit = self.visits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let broken = Shutdown::new();
        let _hangs_up = broken.clone().drop_guard();
        let querier = RemoteQuerier {
            link: Link::new(world, &port.node, &self.own, visit),
            broken: broken.clone(),
        };
        let stay = process.spawn(async move {
            tokio::select! {
                biased;
                () = broken.cancelled() => unavailable("the connection broke".to_owned()),
                ended = api.work(worker, Arc::new(querier)) => ended,
            }
        });
        match stay.await {
            Ok(ended) => ended,
            Err(_) => unavailable(format!("{} died", port.node)),
        }
    }
}

/// The querier at the other end of a worker's stay.
struct RemoteQuerier {
    link: Link<dyn QuerierApi>,
    broken: Shutdown,
}

impl RemoteQuerier {
    fn lost(&self, text: String) -> QuerierError {
        self.broken.cancel();
        QuerierError::Unavailable(text)
    }
}

#[async_trait]
impl QuerierApi for RemoteQuerier {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let asked = self.link.call("job", move |api| {
            let job = job.clone();
            async move { api.select(job).await }
        });
        asked.await.map_err(|text| self.lost(text))?
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let asked = self.link.call("list", move |api| {
            let job = job.clone();
            async move { api.list(job).await }
        });
        asked.await.map_err(|text| self.lost(text))?
    }
}
