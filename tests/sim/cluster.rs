//! The whole system on one thread in virtual time, everything that can go wrong going wrong, and a
//! checker that knows only what clients know.
//!
//! One seed is one run: processes are sets of tasks ([`base::task::sim`]) that share nothing but the
//! simulated network and bucket; each has its own disk, clock and randomness. The same seed gives
//! the same event log, byte for byte.

mod ask;
mod breaks;
mod bucket;
mod history;
mod ledger;
mod network;
mod nodes;
mod noticed;
mod profile;
mod push;
mod record;
mod remote;
mod ring;
mod scale;
mod scripts;
mod seeds;
mod stage;
mod trouble;
mod world;

use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use base::disk::Disk;
use base::disk::sim::Keep;
use base::task::JoinHandle;
use base::task::sim::outside;

use ask::{Ask, Shape};
use breaks::Break;
use nodes::{Cluster, Role};
use profile::Profile;
use push::{Push, TENANTS};
use record::Record;
use stage::Script;
use world::{World, event};

/// Longer than any message is late.
const EVERYTHING_ARRIVES: Duration = Duration::from_secs(1_300);

/// How much later than the store before it one flushes what it follows (W3).
const RANK: Duration = Duration::from_secs(60);

/// What became of a seed.
pub struct Report {
    pub log: String,
    pub events: u64,
    pub violation: Option<String>,
    pub summary: String,
}

/// Runs one seed to its end or to the first broken promise.
pub fn run(seed: u64, broken: Break, echo: bool) -> Report {
    let course = |cluster, record| async move { simulate(&cluster, &record).await };
    run_course((seed, Profile::of(seed)), broken, echo, course)
}

/// The same of a script, whose seed says when its steps come.
pub fn play(script: &Script, seed: u64, broken: Break, echo: bool) -> Report {
    let course = |cluster, record| stage::perform(script, cluster, record);
    run_course((seed, script.profile()), broken, echo, course)
}

fn run_course<Done: Future<Output = ()>>(
    (seed, profile): (u64, Profile),
    broken: Break,
    echo: bool,
    course: impl FnOnce(Arc<Cluster>, Arc<Record>) -> Done,
) -> Report {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let report = runtime.block_on(async {
        let world = World::new(seed, profile, echo);
        let cluster = Cluster::new(world.clone(), broken);
        let record = Arc::new(Record::default());
        event!(world, "seed", "{seed} {:?}", world.profile);
        course(cluster.clone(), record.clone()).await;
        for node in &cluster.nodes {
            node.kill(Keep::Synced);
        }
        report(&cluster, &record)
    });
    drop(runtime);
    report
}

fn report(cluster: &Cluster, record: &Record) -> Report {
    let world = &cluster.world;
    let (promised, sent) = record.counts();
    let counts = cluster.history.counts();
    let summary = format!(
        "{}: {} events, {sent} rows sent, {promised} promised, {} batches, {counts:?}, {} s",
        world.profile.name,
        world.events(),
        cluster.ledger.count(),
        world.now_ns() / 1_000_000_000,
    );
    Report { log: world.log(), events: world.events(), violation: world.violation(), summary }
}

/// Starts everybody who should be there, and keeps starting them.
async fn start(cluster: &Arc<Cluster>) -> Vec<JoinHandle<()>> {
    for node in cluster.nodes.iter().filter(|node| node.is_wanted()) {
        // A fault may strike already: the supervisor tries again.
        let _failed = cluster.start(node).await.is_err();
    }
    let keeper = |node: &Arc<nodes::Node>| trouble::supervise(cluster.clone(), node.clone());
    cluster.nodes.iter().map(|node| outside(keeper(node))).collect()
}

/// Clients and troubles side by side; then everything must heal.
async fn simulate(cluster: &Arc<Cluster>, record: &Arc<Record>) {
    let world = &cluster.world;
    if world.profile.factor > 1 {
        // Stores have to find each other first.
        world.fault(Duration::from_secs(30));
    }
    let keepers = start(cluster).await;
    let mut actors = vec![
        outside(trouble::trouble(cluster.clone(), record.clone())),
        outside(scale::scale(cluster.clone())),
    ];
    for number in 1..=3 {
        let name = format!("pusher {number}");
        let client = push::client(cluster.clone(), record.clone(), name);
        actors.push(outside(client));
    }
    for number in 1..=2 {
        let name = format!("asker {number}");
        actors.push(outside(asker(cluster.clone(), record.clone(), name)));
    }
    for actor in actors {
        if actor.await.is_err() {
            world.violate("an actor of the simulation panicked".to_owned());
        }
    }
    if world.violation().is_none() {
        heal(cluster, record).await;
    }
    for keeper in keepers {
        keeper.abort();
    }
}

async fn asker(cluster: Arc<Cluster>, record: Arc<Record>, name: String) {
    let world = cluster.world.clone();
    let chance = world.chance(&name);
    let readers: Vec<_> = cluster.of(Role::Frontend).cloned().collect();
    for _ in 0..world.profile.queries {
        tokio::time::sleep(chance.seconds(0, 18)).await;
        let query = Ask::random(&chance);
        let reader: &Arc<nodes::Node> = chance.pick(&readers);
        ask::ask(&cluster, &record, reader, &query).await;
        check_processes(&cluster);
        if world.violation().is_some() {
            return;
        }
    }
}

fn check_processes(cluster: &Cluster) {
    for node in &cluster.nodes {
        if let Some(process) = node.process()
            && process.panics() > 0
        {
            cluster.world.violate(format!("a task of {} panicked", process.name()));
        }
        let used_bytes = node.disk().used_bytes();
        if cluster.world.profile.tight && used_bytes > nodes::MOST_DISK_BYTES {
            cluster.world.violate(format!("P6: {} has {used_bytes} bytes of log", node.name));
        }
        if let Some((_, ingester)) = node.running()
            && ingester.held_bytes() > ingester.config().memory_limit.0
        {
            let held = ingester.held_bytes();
            cluster.world.violate(format!("P6: {} holds {held} bytes of rows", node.name));
        }
    }
}

/// Faults stop: everything works, everything promised is there, logs drain, and the bucket alone
/// serves what was flushed (P4).
async fn heal(cluster: &Arc<Cluster>, record: &Arc<Record>) {
    let world = &cluster.world;
    event!(world, "world", "faults end");
    world.end_faults();
    for node in &cluster.nodes {
        if let Some(process) = node.process() {
            process.wake();
        }
        node.disk().heal();
    }
    tokio::time::sleep(EVERYTHING_ARRIVES).await;
    for node in &cluster.nodes {
        if node.disk().is_dead() {
            world.violate(format!("the simulation left {} on a dead disk", node.name));
        }
    }
    let chance = world.chance("end");
    for node in cluster.of(Role::Distributor) {
        let push = Push::random(&chance, record, "last", 0);
        if !push::send(cluster, record, node, &push).await {
            world.violate(format!("{} refuses a push after all faults", node.name));
        }
    }
    everything(cluster, record, "after all faults").await;
    for node in cluster.of(Role::Ingester).filter(|node| node.is_wanted()) {
        if !trouble::flush(cluster, node).await {
            world.violate(format!("{} cannot flush after all faults", node.name));
        }
    }
    everything(cluster, record, "after the last flush").await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    if !undrained(cluster).is_empty() && world.profile.factor > 1 {
        // A batch that came late and only to a follower is nobody's but the follower's, who takes its
        // turn behind the stores of the list that never had it (W3).
        event!(world, "world", "logs are left: {:?}", undrained(cluster));
        let turns = RANK * world.profile.factor as u32;
        tokio::time::sleep(nodes::MAX_CHUNK_AGE + turns).await;
    }
    for (name, left) in undrained(cluster) {
        world.violate(format!("the log of {name} does not drain: {left:?}"));
    }
    if let Some(truth) = &cluster.truth
        && !truth.is_whole(cluster.of(Role::Ingester).filter(|node| node.is_wanted()).count())
    {
        world.violate(format!("the ring does not settle: {:?}", truth.state()));
    }
    if world.violation().is_some() {
        return;
    }
    event!(world, "world", "all local state is lost");
    for node in &cluster.nodes {
        node.kill(Keep::Synced);
        node.lose_disk();
    }
    if let Some(truth) = &cluster.truth {
        truth.forget_all();
    }
    world.fault(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(300)).await;
    everything(cluster, record, "on the bucket alone").await;
    if let Err(broken) = cluster.history.check_objects().await {
        world.violate(broken);
    }
    check_processes(cluster);
    event!(world, "world", "ends at {}", world.clock.now().0);
}

/// The segments that are left, of each ingester that has any.
fn undrained(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let left = cluster.of(Role::Ingester).map(|node| {
        let mut files = node.disk().list(std::path::Path::new("wal")).unwrap_or_default();
        files.retain(|name| name.ends_with(".wal"));
        (node.name.clone(), files)
    });
    left.filter(|(_, files)| !files.is_empty()).collect()
}

/// Every reader tells the same truth on every path.
async fn everything(cluster: &Arc<Cluster>, record: &Arc<Record>, when: &str) {
    let world = &cluster.world;
    event!(world, "world", "{when}");
    for reader in cluster.of(Role::Frontend) {
        for tenant in TENANTS {
            let log = Shape::Log { limit: 5_000, forward: true };
            for shape in [log, Shape::Count, Shape::Counts { step_s: 3_600 }, Shape::Apps] {
                let query = Ask::everything(tenant, shape);
                if !ask::ask(cluster, record, reader, &query).await {
                    world.violate(format!("{} gives no answer {when}", reader.name));
                }
            }
        }
    }
}
