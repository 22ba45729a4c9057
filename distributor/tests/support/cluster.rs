//! Ingesters in memory behind calls that go wrong by script, and the rules that must hold of what
//! was sent to them.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use async_trait::async_trait;
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{Batch, BatchId, StoreId, TenantId, UnixNanos};
use bytes::Bytes;
use distributor::testing::FakeLimits;
use distributor::{Config, Distributor, Encoding, Error, Format, Payload, PushLimits};
use rpc::IngesterApi;
use rpc::http::body::Hold;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, Peer, SelectAnswer,
    SelectRequest, StreamsAnswer, StreamsRequest,
};
use rpc::members::{Fixed, Members};
use rpc::wire::error::WireErrorDetail;
use ulid::Ulid;

const NOON: i64 = 1_714_564_800_000_000_000;

/// What becomes of one append call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// It does not arrive.
    LostRequest,
    /// It arrives; the caller hears nothing.
    LostAnswer,
    /// The caller hears nothing; it arrives when [`Cluster::deliver_late`] is called.
    Late,
    /// The caller hears nothing; it arrives right after the next call.
    Overtaken,
    /// It arrives twice.
    Doubled,
    /// The receiver panics with the batches in its hands.
    Swallowed,
    /// The id table does not reach the batch.
    Forgotten,
    /// The batches can be stored nowhere.
    Invalid,
    /// It arrives; the answer bears this number.
    Answer(u32),
    /// It arrives; the answer comes when [`Cluster::answer_stuck`] is called.
    Stuck,
}

impl Fate {
    /// Whether the caller hears of no success.
    pub fn fails(self) -> bool {
        matches!(self, Fate::LostRequest | Fate::LostAnswer | Fate::Late | Fate::Overtaken)
    }
}

/// A batch at the highest attempt that arrived.
#[derive(Clone)]
pub struct Held {
    pub batch: Batch,
}

/// What all ingesters share.
#[derive(Default)]
struct Wire {
    fates: VecDeque<Fate>,
    /// Of the calls of single nodes, before those of anybody.
    fates_of: BTreeMap<usize, VecDeque<Fate>>,
    stuck: Arc<tokio::sync::Notify>,
    /// Every batch that was sent, whatever became of it.
    sent: Vec<Batch>,
    calls: usize,
    late: Vec<(usize, Vec<Batch>)>,
    overtaken: Vec<(Arc<Node>, Vec<Batch>)>,
}

/// One ingester: keeps the highest attempt of each batch.
pub struct Node {
    me: Weak<Node>,
    number: usize,
    wire: Arc<Mutex<Wire>>,
    state: Mutex<State>,
}

struct State {
    store: StoreId,
    held: Vec<Held>,
    admissions: VecDeque<Result<Admission, IngesterError>>,
    admits: u64,
    appends: u64,
    identified: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Node {
    fn new(number: usize, wire: Arc<Mutex<Wire>>) -> Arc<Node> {
        let state = State {
            store: StoreId(Ulid(100 + number as u128)),
            held: Vec::new(),
            admissions: VecDeque::new(),
            admits: 0,
            appends: 0,
            identified: 0,
        };
        Arc::new_cyclic(|me| Node { me: me.clone(), number, wire, state: Mutex::new(state) })
    }

    /// Admit and append calls that arrived or should have.
    pub fn calls(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.admits, state.appends)
    }

    pub fn identified(&self) -> u64 {
        lock(&self.state).identified
    }

    pub fn held(&self) -> Vec<Held> {
        lock(&self.state).held.clone()
    }

    /// The answer to the next request for admission that has none yet; then everything is admitted.
    pub fn admit_next(&self, answer: Result<Admission, IngesterError>) {
        lock(&self.state).admissions.push_back(answer);
    }

    /// A new directory.
    pub fn become_store(&self, store: StoreId) {
        lock(&self.state).store = store;
    }

    /// As a real ingester: refuses lists of others, keeps the highest attempt, answers its number.
    fn receive(&self, batches: &[Batch]) -> Result<Vec<u32>, IngesterError> {
        let mut state = lock(&self.state);
        if batches.iter().any(|batch| !batch.members.contains(&state.store)) {
            return Err(IngesterError::Misplaced("not my store".to_owned()));
        }
        let mut attempts = Vec::new();
        for batch in batches {
            batch.rows.assert_consistent();
            match state.held.iter_mut().find(|held| held.batch.id == batch.id) {
                Some(held) => {
                    if held.batch.attempt < batch.attempt {
                        held.batch = batch.clone();
                    }
                    attempts.push(held.batch.attempt);
                }
                None => {
                    state.held.push(Held { batch: batch.clone() });
                    attempts.push(batch.attempt);
                }
            }
        }
        Ok(attempts)
    }
}

#[async_trait]
impl IngesterApi for Node {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        let mut state = lock(&self.state);
        state.identified += 1;
        Ok(Identity { store: state.store, zone: String::new() })
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        assert_eq!(request.ts_ns.len(), request.sizes.len());
        assert_eq!(request.runs.last().map_or(0, |run| run.end as usize), request.ts_ns.len());
        let mut state = lock(&self.state);
        state.admits += 1;
        state.admissions.pop_front().unwrap_or_else(|| Ok(Admission::default()))
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        lock(&self.state).appends += 1;
        let overtaken = std::mem::take(&mut lock(&self.wire).overtaken);
        let fate = {
            let mut wire = lock(&self.wire);
            wire.calls += 1;
            wire.sent.extend(batches.iter().cloned());
            let own = wire.fates_of.get_mut(&self.number).and_then(VecDeque::pop_front);
            own.or_else(|| wire.fates.pop_front()).unwrap_or(Fate::Fine)
        };
        let lost = |batches| Err(AppendError { error: IngesterError::Cancelled, batches });
        let received = match fate {
            Fate::Overtaken => {
                let me = self.me.upgrade().unwrap();
                lock(&self.wire).overtaken.push((me, batches.clone()));
                return lost(batches);
            }
            Fate::LostRequest => return lost(batches),
            Fate::LostAnswer => {
                let _unheard = self.receive(&batches);
                return lost(batches);
            }
            Fate::Late => {
                lock(&self.wire).late.push((self.number, batches.clone()));
                return lost(batches);
            }
            Fate::Swallowed => {
                let error = IngesterError::Internal("panicked".to_owned());
                return Err(AppendError { error, batches: Vec::new() });
            }
            Fate::Forgotten => {
                let error = IngesterError::Forgotten("older than the id table".to_owned());
                return Err(AppendError { error, batches });
            }
            Fate::Invalid => {
                let error = IngesterError::limited("over the record limit".to_owned());
                return Err(AppendError { error, batches });
            }
            Fate::Doubled => {
                let _first = self.receive(&batches);
                self.receive(&batches)
            }
            Fate::Stuck => {
                let (received, stuck) = (self.receive(&batches), lock(&self.wire).stuck.clone());
                stuck.notified().await;
                received
            }
            Fate::Fine => self.receive(&batches),
            Fate::Answer(number) => {
                self.receive(&batches).map(|attempts| attempts.iter().map(|_| number).collect())
            }
        };
        for (node, earlier) in overtaken {
            let _unheard = node.receive(&earlier);
        }
        match received {
            Ok(attempts) => Ok(Appended { attempts }),
            Err(error) => Err(AppendError { error, batches }),
        }
    }

    async fn select(&self, _: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        Err(IngesterError::Unavailable("no queries here".to_owned()))
    }

    async fn streams(&self, _: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        Err(IngesterError::Unavailable("no queries here".to_owned()))
    }
}

/// A distributor in front of some ingesters.
pub struct Cluster {
    pub nodes: Vec<Arc<Node>>,
    pub clock: ManualClock,
    factor: usize,
    wire: Arc<Mutex<Wire>>,
    distributor: Arc<Distributor>,
}

impl Cluster {
    /// Each row at one of `nodes`.
    pub fn new(nodes: usize) -> Cluster {
        Cluster::with_factor(nodes, 1)
    }

    /// Each row at `factor` of `nodes`.
    pub fn with_factor(nodes: usize, factor: usize) -> Cluster {
        Cluster::with_limits(nodes, factor, FakeLimits::open())
    }

    /// The same for tenants with these limits.
    pub fn with_limits(nodes: usize, factor: usize, limits: PushLimits) -> Cluster {
        let fixed = |peers| Arc::new(Fixed::new(peers, factor)) as Arc<dyn Members>;
        Cluster::with_members(nodes, factor, limits, fixed)
    }

    /// The same, found by what `members` makes of them.
    pub fn with_members(
        nodes: usize,
        factor: usize,
        limits: PushLimits,
        members: impl FnOnce(Vec<Peer>) -> Arc<dyn Members>,
    ) -> Cluster {
        let wire = Arc::new(Mutex::new(Wire::default()));
        let nodes: Vec<Arc<Node>> =
            (0..nodes).map(|number| Node::new(number, wire.clone())).collect();
        let peer = |node: &Arc<Node>| Peer {
            address: format!("node-{}:9095", node.number),
            api: node.clone(),
        };
        let clock = ManualClock::new(UnixNanos(NOON));
        let distributor = Arc::new(Distributor::new(
            Config::default(),
            Arc::new(FakeLimits::new(limits)),
            members(nodes.iter().map(peer).collect()),
            Arc::new(clock.clone()),
            Arc::new(SeededRandom::new(1)),
        ));
        Cluster { nodes, clock, factor, wire, distributor }
    }

    /// Pushes `rows` rows of each stream.
    pub async fn push(&self, streams: &[usize], rows: usize) -> Result<(), Error> {
        self.push_as("acme", streams, rows).await
    }

    /// The same for another tenant.
    pub async fn push_as(&self, tenant: &str, streams: &[usize], rows: usize) -> Result<(), Error> {
        let mut body = Vec::new();
        for stream in streams {
            let values: Vec<String> = (0..rows)
                .map(|row| format!(r#"["{}","line {stream} {row}"]"#, NOON + row as i64))
                .collect();
            let values = values.join(",");
            body.push(format!(r#"{{"stream":{{"n":"{stream}"}},"values":[{values}]}}"#));
        }
        let body = Bytes::from(format!(r#"{{"streams":[{}]}}"#, body.join(",")));
        let payload = Payload {
            format: Format::Json,
            encoding: Encoding::Identity,
            body,
            hold: Hold::unlimited(),
        };
        self.distributor.push(&TenantId::new(tenant).unwrap(), payload).await
    }

    /// Fates of the next append calls, whoever gets them.
    pub fn script(&self, fates: &[Fate]) {
        lock(&self.wire).fates = fates.iter().copied().collect();
    }

    /// Fates of the next append calls of one node.
    pub fn script_of(&self, node: usize, fates: &[Fate]) {
        lock(&self.wire).fates_of.insert(node, fates.iter().copied().collect());
    }

    /// Stuck calls are answered now.
    pub fn answer_stuck(&self) {
        lock(&self.wire).stuck.notify_waiters();
    }

    /// The list of the last attempt of the newest batch, by number of node, and who holds that attempt.
    pub fn last_attempt(&self) -> (u32, Vec<usize>, Vec<usize>) {
        let sent = lock(&self.wire).sent.clone();
        let id = sent.last().unwrap().id;
        let last = sent.iter().filter(|batch| batch.id == id).max_by_key(|b| b.attempt).unwrap();
        let holds = |node: &&Arc<Node>| {
            let held = node.held();
            held.iter().any(|held| held.batch.id == id && held.batch.attempt == last.attempt)
        };
        let holders = self.nodes.iter().filter(holds).map(|node| node.number).collect();
        let number = |store: &StoreId| (store.0.0 - 100) as usize;
        (last.attempt, last.members.iter().map(number).collect(), holders)
    }

    /// Append calls so far.
    pub fn sent(&self) -> usize {
        lock(&self.wire).calls
    }

    /// Late calls arrive now.
    pub fn deliver_late(&self) {
        let late = std::mem::take(&mut lock(&self.wire).late);
        for (node, batches) in late {
            let _unheard = self.nodes[node].receive(&batches);
        }
    }

    /// The only ingester that holds something.
    pub fn holder(&self) -> usize {
        let holders = self.nodes.iter().filter(|node| !node.held().is_empty());
        let holders: Vec<usize> = holders.map(|node| node.number).collect();
        assert_eq!(holders.len(), 1);
        holders[0]
    }

    /// The batch with the newest id, where its attempt is highest.
    pub fn newest(&self) -> Option<Held> {
        let last = lock(&self.wire).sent.last().map(|batch| batch.id)?;
        let held = self.nodes.iter().flat_map(|node| node.held());
        held.filter(|held| held.batch.id == last).max_by_key(|held| held.batch.attempt)
    }

    /// Rows of different batches that somebody holds.
    pub fn rows_held(&self) -> usize {
        let held = self.nodes.iter().flat_map(|node| node.held());
        let by_id: BTreeMap<BatchId, usize> =
            held.map(|held| (held.batch.id, held.batch.rows.len())).collect();
        by_id.values().sum()
    }

    /// Rows never change under an id; its attempts count up from 1, each with one list.
    pub fn check(&self) {
        let mut attempts: BTreeMap<BatchId, Vec<Batch>> = BTreeMap::new();
        for batch in &lock(&self.wire).sent {
            let attempts = attempts.entry(batch.id).or_default();
            // Every member of a list gets the same.
            match attempts.iter().find(|known| known.attempt == batch.attempt) {
                Some(known) => assert_eq!(known, batch),
                None => attempts.push(batch.clone()),
            }
        }
        for (id, attempts) in attempts {
            for (number, batch) in (1..).zip(&attempts) {
                assert_eq!(batch.attempt, number, "{id}");
                assert!(batch.members.len() <= self.factor.min(self.nodes.len()), "{id}");
                assert!(batch.members.len() > self.factor / 2, "{id}");
                assert_eq!(usize::from(batch.factor), self.factor, "{id}");
                assert_eq!(batch.rows, attempts[0].rows, "{id}");
                assert_eq!(batch.streams, attempts[0].streams, "{id}");
                assert_eq!((&batch.tenant, batch.day), (&attempts[0].tenant, attempts[0].day));
            }
        }
    }
}
