//! What distributors take from the ring while it changes: where stores are, and how many of
//! themselves share a tenant's rate.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/cluster.rs"]
mod cluster;

use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use base::{Batch, StoreId};
use cluster::{Cluster, Fate};
use distributor::PushLimits;
use distributor::testing::FakeLimits;
use ring::{Instance, Phase, Roles, State, tokens};
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, Peer, SelectAnswer,
    SelectRequest, StreamsAnswer, StreamsRequest,
};
use rpc::members::{Members, View};
use ulid::Ulid;

/// Three stores; the first of them is about to be known elsewhere.
struct Moving {
    me: Weak<Moving>,
    peers: Vec<Peer>,
    view: Mutex<Arc<View>>,
}

/// What is left where a store was: whoever calls it finds out, and soon everybody knows.
struct Left(Weak<Moving>);

impl Left {
    fn found(&self) -> IngesterError {
        self.0.upgrade().unwrap().show(2, "node-0:9095");
        IngesterError::Unavailable("connection refused".to_owned())
    }
}

#[async_trait]
impl IngesterApi for Left {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        Err(self.found())
    }

    async fn admit(&self, _: AdmitRequest) -> Result<Admission, IngesterError> {
        // It was there when it admitted.
        Ok(Admission::default())
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        Err(AppendError { error: self.found(), batches })
    }

    async fn select(&self, _: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        Err(self.found())
    }

    async fn streams(&self, _: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        Err(self.found())
    }
}

const LEFT: &str = "where-it-was:9095";

impl Moving {
    fn new(peers: Vec<Peer>) -> Arc<Moving> {
        let nobody = View::new(Arc::new(State::new(Ulid(1))), None, |_| unreachable!());
        let view = Mutex::new(Arc::new(nobody));
        let moving = Arc::new_cyclic(|me| Moving { me: me.clone(), peers, view });
        moving.show(1, LEFT);
        moving
    }

    /// From now on the first store is known to be at `address`.
    fn show(&self, version: u64, address: &str) {
        let mut state = State::new(Ulid(1));
        (state.version, state.placement_version, state.replication) = (version, 1, 3);
        for number in 0..3u64 {
            let own = format!("node-{number}:9095");
            let instance = Instance {
                store: StoreId(Ulid(100 + u128::from(number))),
                id: own.clone(),
                grpc_address: if number == 0 { address.to_owned() } else { own },
                http_address: String::new(),
                zone: String::new(),
                has_moved: false,
                roles: Roles::INGESTER,
                phase: Phase::Active,
                is_up: true,
                registered: 0,
                seen: 0,
                factor: 3,
                tokens: tokens::generate(number, tokens::TOKENS),
                departure: None,
            };
            state.instances.insert(instance.store, Arc::new(instance));
        }
        let way = |instance: &Instance| {
            let address = instance.grpc_address.clone();
            match self.peers.iter().find(|peer| peer.address == address) {
                Some(peer) => peer.clone(),
                None => Peer { address, api: Arc::new(Left(self.me.clone())) },
            }
        };
        for (number, is_up) in [(10, true), (11, true), (12, false)] {
            let one = state.instances.values().next().unwrap();
            let mut watcher = Instance::clone(one);
            (watcher.store, watcher.is_up) = (StoreId(Ulid(number)), is_up);
            (watcher.roles, watcher.tokens) = (Roles::DISTRIBUTOR, Vec::new());
            state.instances.insert(watcher.store, Arc::new(watcher));
        }
        *self.view.lock().unwrap() = Arc::new(View::new(Arc::new(state), None, way));
    }
}

#[async_trait]
impl Members for Moving {
    fn view(&self) -> Arc<View> {
        self.view.lock().unwrap().clone()
    }

    async fn reach(&self, _: u64) -> Arc<View> {
        self.view()
    }

    async fn look(&self, _: Option<StoreId>) -> Arc<View> {
        self.view()
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_under_way_finds_a_store_where_it_is_now() {
    for stream in 0..20 {
        let cluster = Cluster::with_members(3, 3, FakeLimits::open(), |peers| Moving::new(peers));
        // With one more away the one that moved is needed for a majority.
        cluster.script_of(1, &[Fate::LostRequest; 20]);
        cluster.push(&[stream], 2).await.unwrap();
        let (attempt, mut list, mut holders) = cluster.last_attempt();
        list.sort_unstable();
        holders.sort_unstable();
        assert!(attempt > 1);
        assert_eq!((list, holders), (vec![0, 2], vec![0, 2]), "stream {stream}");
        cluster.check();
    }
}

#[tokio::test(start_paused = true)]
async fn distributors_that_are_up_share_a_rate_that_is_global() {
    for (is_rate_global, expected) in [(true, "(limit: 450 bytes/sec)"), (false, "(limit: 900 ")] {
        let (ingestion_rate_bytes, ingestion_burst_bytes) = (900.0, 1);
        let open = FakeLimits::open();
        let limits =
            PushLimits { ingestion_rate_bytes, ingestion_burst_bytes, is_rate_global, ..open };
        let cluster = Cluster::with_members(3, 3, limits, |peers| Moving::new(peers));
        let refused = cluster.push(&[1], 1).await.unwrap_err();
        assert!(refused.status == 429 && refused.text.contains(expected), "{}", refused.text);
    }
}
