//! The nodes of a cluster, their processes, and what outlives a process: disks, clocks, addresses.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::disk::sim::Keep;
use base::disk::{Disk, SimDisk};
use base::random::{Random, SeededRandom};
use base::shutdown::Shutdown;
use base::task::sim::Process;
use base::time::SimClock;
use base::{ByteSize, Clock, StoreId, TenantId};
use distributor::{Distributor, PushLimits};
use ingester::Ingester;
use querier::Querier;
use query_frontend::{Frontend, StaticLimits};
use rpc::ingester::Peer;
use rpc::members::{Fixed, Members, NoRing};
use rpc::{FrontendApi, IngesterApi, QuerierApi};
use store::testing::Knobs;
use store::{Bucket, CatalogConfig, CatalogHandle, Parts};

use super::breaks::{Break, Sight};
use super::bucket::Client;
use super::history::History;
use super::ledger::Ledger;
use super::network::{Link, Port};
use super::remote::{RemoteFrontend, RemoteIngester};
use super::ring::{Followed, Known, Serves, Truth};
use super::world::{World, event};
use crate::broken::{LyingDisk, Skip};

/// Log of a tight ingester: its hard limit, a segment that ended dead, store id and headers.
pub const MOST_DISK_BYTES: u64 = 16_000;

/// When the first of a list flushes a batch at the latest.
pub const MAX_CHUNK_AGE: Duration = Duration::from_secs(900);

/// What a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Distributor,
    Ingester,
    Querier,
    Frontend,
    Compactor,
}

pub struct Node {
    pub name: String,
    pub role: Role,
    pub clock: SimClock,
    state: Mutex<State>,
    /// Where its service is found.
    pub ingester: Arc<Port<dyn IngesterApi>>,
    pub distributor: Arc<Port<Distributor>>,
    pub querier: Arc<Port<dyn QuerierApi>>,
    pub frontend: Arc<Port<dyn FrontendApi>>,
    /// The query routes of a frontend.
    pub http: Arc<Port<axum::Router>>,
}

struct State {
    process: Option<Process>,
    disk: SimDisk,
    starts: u64,
    running: Option<Arc<Ingester>>,
    /// Whether there should be a process.
    is_wanted: bool,
}

pub struct Cluster {
    pub world: Arc<World>,
    pub history: Arc<History>,
    pub ledger: Arc<Ledger>,
    pub nodes: Vec<Arc<Node>>,
    pub broken: Break,
    /// The ring, where rows have several copies.
    pub truth: Option<Arc<Truth>>,
}

struct Unlimited;

impl ingester::Limits for Unlimited {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        Duration::ZERO
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        0
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        0
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        0
    }
}

impl distributor::Limits for Unlimited {
    fn push(&self, _: &TenantId) -> Arc<PushLimits> {
        Arc::new(PushLimits {
            ingestion_rate_bytes: f64::INFINITY,
            reject_old_samples: false,
            // Clocks are skewed on purpose.
            creation_grace_period: Duration::from_secs(1_000 * 3600),
            discover_service_name: Vec::new(),
            discover_log_levels: false,
            ..PushLimits::default()
        })
    }
}

impl Node {
    fn new(world: &World, name: String, role: Role) -> Arc<Node> {
        let disk = SimDisk::new();
        let state = State { process: None, disk, starts: 0, running: None, is_wanted: true };
        Arc::new(Node {
            ingester: Port::new(&name),
            distributor: Port::new(&name),
            querier: Port::new(&name),
            frontend: Port::new(&name),
            http: Port::new(&name),
            clock: world.clock.of_another_machine(),
            state: Mutex::new(state),
            name,
            role,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there should be a process: nobody starts one otherwise.
    pub fn is_wanted(&self) -> bool {
        self.state().is_wanted
    }

    pub fn set_wanted(&self, is_wanted: bool) {
        self.state().is_wanted = is_wanted;
    }

    /// The process that runs, if one does.
    pub fn process(&self) -> Option<Process> {
        self.state().process.clone().filter(|process| !process.is_dead())
    }

    pub fn disk(&self) -> SimDisk {
        self.state().disk.clone()
    }

    /// The running ingester.
    pub fn running(&self) -> Option<(Process, Arc<Ingester>)> {
        let state = self.state();
        let process = state.process.clone().filter(|process| !process.is_dead())?;
        Some((process, state.running.clone()?))
    }

    /// Ends its process, and does to the disk what `keep` says.
    pub fn kill(&self, keep: Keep) {
        let mut state = self.state();
        if let Some(process) = state.process.take() {
            process.kill();
        }
        state.running = None;
        state.disk.kill();
        state.disk = state.disk.crash(keep);
        drop(state);
        self.ingester.close();
        self.distributor.close();
        self.querier.close();
        self.frontend.close();
        self.http.close();
    }

    /// A new, empty disk.
    pub fn lose_disk(&self) {
        let mut state = self.state();
        assert!(state.process.is_none(), "only a dead process loses its disk");
        state.disk = SimDisk::new();
    }

    /// A new disk with nothing on it but the lost one's name.
    pub fn lose_disk_but_its_name(&self) {
        let before = self.disk();
        self.lose_disk();
        if let Err(error) = copy_store(&before, &self.disk()) {
            panic!("the name of {} could not be kept: {error}", self.name);
        }
    }
}

fn copy_store(from: &SimDisk, to: &SimDisk) -> std::io::Result<()> {
    let dir = std::path::Path::new("wal");
    let mut bytes = Vec::new();
    for name in from.list(dir)?.iter().filter(|name| name.starts_with("store")) {
        let file = from.open(&dir.join(name))?;
        bytes.resize(usize::try_from(file.len()?).expect("it is short"), 0);
        let read = file.read_at(0, &mut bytes)?;
        to.create_dir_all(dir)?;
        let mut copy = to.create(&dir.join(name))?;
        copy.append(&bytes[..read])?;
        copy.sync_data()?;
        to.sync_dir(dir)?;
    }
    Ok(())
}

/// What a process is made with.
struct Start {
    process: Process,
    number: u64,
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    /// How it sees the log, where that is broken.
    sight: Arc<Sight>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Cluster {
    pub fn new(world: Arc<World>, broken: Break) -> Arc<Cluster> {
        let history = History::new(world.clone(), broken != Break::DropOnNotice);
        let ledger = Ledger::new(world.clone());
        let profile = &world.profile;
        let mut nodes = Vec::new();
        for (role, name, count) in [
            (Role::Ingester, "ingester", profile.ingesters),
            (Role::Distributor, "distributor", profile.distributors),
            (Role::Frontend, "frontend", profile.frontends),
            (Role::Querier, "querier", profile.queriers),
            (Role::Compactor, "compactor", 1 + u64::from(profile.long)),
        ] {
            for number in 1..=count {
                nodes.push(Node::new(&world, format!("{name}-{number}"), role));
            }
        }
        if profile.scales {
            let late = |node: &&Arc<Node>| node.role == Role::Ingester;
            nodes.iter().filter(late).skip(1).for_each(|node: &Arc<Node>| node.set_wanted(false));
        }
        let truth = (profile.factor > 1).then(|| Truth::new(&world, broken));
        Arc::new(Cluster { world, history, ledger, nodes, broken, truth })
    }

    pub fn of(&self, role: Role) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// Starts the node's process, unless it runs.
    pub async fn start(self: &Arc<Self>, node: &Arc<Node>) -> Result<(), String> {
        if node.process().is_some() || !node.is_wanted() {
            return Ok(());
        }
        let start = {
            let mut state = node.state();
            state.starts += 1;
            let process = Process::new(format!("{}#{}", node.name, state.starts));
            state.process = Some(process.clone());
            let skip = Skip { data: self.broken == Break::AckBeforeSync, directory: false };
            let disk = LyingDisk { disk: state.disk.clone(), skip };
            let who = process.name().to_owned();
            let seed = self.world.chance(&who).below(u64::MAX);
            Start {
                process,
                number: state.starts,
                disk: Arc::new(disk),
                random: Arc::new(SeededRandom::new(seed)),
                clock: Arc::new(node.clock.clone()),
                sight: Arc::default(),
            }
        };
        let process = start.process.clone();
        event!(self.world, process.name(), "starts");
        let (this, of) = (self.clone(), node.clone());
        let started = process.spawn(async move { this.run(&of, start).await }).await;
        match started {
            Ok(Ok(())) => {
                event!(self.world, process.name(), "runs");
                Ok(())
            }
            Ok(Err(error)) => {
                event!(self.world, process.name(), "cannot start: {error}");
                node.kill(Keep::PageCache);
                Err(error)
            }
            Err(died) => {
                node.kill(Keep::PageCache);
                Err(format!("{} died while it started: {died}", process.name()))
            }
        }
    }

    /// Within the process: starts the service and opens its port.
    async fn run(&self, node: &Arc<Node>, start: Start) -> Result<(), String> {
        match node.role {
            Role::Ingester => self.run_ingester(node, start).await,
            Role::Distributor => self.run_distributor(node, &start),
            Role::Frontend => self.run_frontend(node, start),
            Role::Querier => self.run_querier(node, start).await,
            Role::Compactor => self.run_compactor(node, start).await,
        }
    }

    fn bucket(&self, node: &Node, start: &Start) -> Bucket {
        let client = Client {
            chance: self.world.chance(&format!("bucket of {}", start.process.name())),
            world: self.world.clone(),
            history: self.history.clone(),
            process: start.process.clone(),
            node: node.name.clone(),
            tells_early: self.broken == Break::DropOnNotice,
            hides_floor: self.broken == Break::NumberUsedTwice && node.role == Role::Ingester,
            drops_orphans: self.broken == Break::NoOrphanCommit && node.role == Role::Compactor,
            hides_ids: self.broken == Break::NoIdTable && node.role == Role::Ingester,
            sight: (self.broken == Break::OldView && node.role == Role::Querier)
                .then(|| start.sight.clone()),
        };
        let name = super::bucket::NAME.to_owned();
        Bucket::new(name, Arc::new(client), start.clock.clone())
    }

    async fn catalog(
        &self,
        node: &Node,
        start: &Start,
        committer: StoreId,
    ) -> Result<CatalogHandle, String> {
        let deps = store::Deps {
            bucket: self.bucket(node, start),
            committer,
            random: start.random.clone(),
            clock: start.clock.clone(),
        };
        let config = CatalogConfig { checkpoint_every: 3 };
        start.sight.open();
        let knobs = Knobs { skip_compare: self.broken == Break::NoCompare, ..Knobs::default() };
        CatalogHandle::open_with_knobs(deps, config, knobs).await.map_err(text)
    }

    fn members(&self, node: &Node, start: &Start) -> Arc<dyn Members> {
        let peer = |of: &Arc<Node>| {
            let link = Link::new(&self.world, &node.name, &of.ingester, start.number);
            let api = RemoteIngester { link, ledger: self.ledger.clone() };
            Peer { address: of.name.clone(), api: self.broken.peer(Arc::new(api), &start.sight) }
        };
        let ways: Vec<Peer> = self.of(Role::Ingester).map(peer).collect();
        let Some(truth) = &self.truth else { return Arc::new(Fixed::new(ways, 1)) };
        let chance = self.world.chance(&format!("ring of {}", start.process.name()));
        // A distributor that sees it otherwise would send other lists.
        let broken = if node.role == Role::Querier { self.broken } else { Break::Nothing };
        let known = Known::new(truth, &node.name, ways, chance, broken);
        known.keep_up(&start.process);
        known
    }

    async fn run_ingester(&self, node: &Arc<Node>, start: Start) -> Result<(), String> {
        let mut config = ingester::Config::default();
        config.wal.dir = PathBuf::from("wal");
        config.wal.segment_size = ByteSize(4_000);
        config.max_chunk_age = MAX_CHUNK_AGE;
        config.chunk_idle_period = Duration::from_secs(300);
        if self.broken == Break::OnlyFirstFlushes {
            // Nothing is old; what is idle, full or asked for its owner flushes.
            config.max_chunk_age = Duration::from_secs(365 * 86_400);
        }
        config.flushed_retain = Duration::from_secs(*self.world.chance("retain").pick(&[0, 5, 60]));
        if self.world.profile.tight {
            config.wal.soft_limit = ByteSize(4_000);
            config.wal.hard_limit = ByteSize(10_000);
            config.memory_limit = ByteSize(6_000);
        }
        let env = wal::Env {
            disk: start.disk.clone(),
            clock: start.clock.clone(),
            random: start.random.clone(),
        };
        let committer = wal::store_id(&config.wal, &env).map_err(text)?;
        let catalog = self.catalog(node, &start, committer).await?;
        let head = catalog.snapshot().version();
        let followed =
            self.truth.as_ref().map(|truth| Followed::new(truth, &node.name, self.broken));
        let log = catalog.clone();
        let deps = ingester::Deps {
            disk: start.disk,
            clock: start.clock,
            random: start.random,
            limits: Arc::new(Unlimited),
            catalog: catalog.clone(),
            ring: match &followed {
                Some(followed) => followed.clone(),
                None => Arc::new(NoRing::default()),
            },
        };
        let ingester = Ingester::start(config, deps).await.map_err(text)?;
        if let Some(followed) = followed {
            let chance = self.world.chance(&format!("duties of {}", start.process.name()));
            let number = self.of(Role::Ingester).position(|other| other.name == node.name);
            let (number, ingester) = (number.unwrap_or_default(), ingester.clone());
            let serves = Serves { node: node.clone(), number, ingester, catalog, chance };
            followed.serve(&start.process, serves);
        }
        node.state().running = Some(ingester.clone());
        node.ingester.open(&start.process, self.broken.service(ingester, log, head));
        Ok(())
    }

    fn run_distributor(&self, node: &Arc<Node>, start: &Start) -> Result<(), String> {
        let distributor = Distributor::new(
            distributor::Config::default(),
            Arc::new(Unlimited),
            self.members(node, start),
            start.clock.clone(),
            start.random.clone(),
        );
        node.distributor.open(&start.process, Arc::new(distributor));
        Ok(())
    }

    async fn run_querier(&self, node: &Arc<Node>, start: Start) -> Result<(), String> {
        let committer = StoreId(start.random.ulid(&*start.clock));
        let catalog = self.catalog(node, &start, committer).await?;
        let parts = Arc::new(Parts::new(self.bucket(node, &start), 1 << 20, 0));
        let members = self.members(node, &start);
        let deps = querier::Deps { members, catalog, parts, clock: start.clock.clone() };
        let config = querier::Config { scan_threads: 2, ..querier::Config::default() };
        let querier: Arc<dyn QuerierApi> = Arc::new(Querier::new(config, deps));
        node.querier.open(&start.process, querier.clone());
        for of in self.of(Role::Frontend) {
            let frontend = Arc::new(RemoteFrontend {
                link: Link::new(&self.world, &node.name, &of.frontend, start.number),
                own: node.querier.clone(),
                visits: AtomicU64::new(start.number << 32),
            });
            let name = start.process.name().to_owned();
            let attend =
                querier::workers::attend(frontend, querier.clone(), name, 2, Shutdown::new());
            drop(start.process.spawn(attend));
        }
        Ok(())
    }

    fn run_frontend(&self, node: &Arc<Node>, start: Start) -> Result<(), String> {
        let deps = query_frontend::Deps {
            limits: Arc::new(StaticLimits::default()),
            clock: start.clock,
            random: start.random,
        };
        let frontend = Arc::new(Frontend::new(query_frontend::Config::default(), deps));
        let policy = rpc::http::TenantPolicy {
            auth_enabled: true,
            no_auth_tenant: TenantId::new("fake").map_err(text)?,
            multi_tenant_queries: true,
        };
        let router = query_frontend::router(frontend.clone());
        node.http.open(&start.process, Arc::new(router.layer(axum::Extension(Arc::new(policy)))));
        node.frontend.open(&start.process, frontend);
        Ok(())
    }

    async fn run_compactor(&self, node: &Arc<Node>, start: Start) -> Result<(), String> {
        let committer = StoreId(start.random.ulid(&*start.clock));
        let catalog = self.catalog(node, &start, committer).await?;
        let limits = Arc::new(KeepAll);
        let deps = compactor::Deps { catalog, clock: start.clock, random: start.random, limits };
        // Times are courtesy: with an object deleted at once, queries under way repeat.
        let delays_s = [0, 60, 7_200];
        let delay_s = delays_s[(deps.random.next_u64() % delays_s.len() as u64) as usize];
        let defaults = compactor::Config::default();
        let config = compactor::Config {
            orphan_age: match self.broken {
                Break::NoOrphanCommit => Duration::from_secs(10),
                _ => defaults.orphan_age,
            },
            rules: eager(),
            delete_delay: Duration::from_secs(delay_s),
            look_every: Duration::from_secs(60),
            ..defaults
        };
        event!(self.world, start.process.name(), "merges, deletes after {delay_s} s");
        let compactor = compactor::Compactor::new(config, deps);
        start.process.spawn(async move { compactor.run(Shutdown::new()).await });
        Ok(())
    }
}

/// No row expires while a simulation runs.
struct KeepAll;

impl compactor::Limits for KeepAll {
    fn keep_for(&self, _: &TenantId) -> Duration {
        Duration::ZERO
    }
}

/// The few small parts of a simulation are merged all the time, every window as if it had ended.
fn eager() -> compactor::plan::Rules {
    compactor::plan::Rules {
        fan_in: 3,
        slack: Duration::ZERO,
        settle: Duration::from_secs(1),
        ..compactor::plan::Rules::default()
    }
}
