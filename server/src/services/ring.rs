//! The ring of this process: a member where an ingester runs, a watcher elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use base::StoreId;
use base::disk::{Disk, OsDisk};
use base::random::SystemRandom;
use base::shutdown::Shutdown;
use base::task;
use base::time::{Clock, SystemClock};
use ingester::Ingester;
use meta::{Env, MemberConfig, Meta, Watcher};
use rpc::grpc::{RingDialer, RingDoor};
use store::{Bucket, Cluster};

use super::{Store, derive};
use crate::app::Shared;
use crate::config::Config;
use crate::config::targets::Target;
use crate::membership::attend::{Attendant, joined};
use crate::membership::chores::Chores;
use crate::membership::leave::{Leaving, Log};
use crate::membership::who::{Ports, registration};
use crate::membership::{Membership, raft_dir, tokens};
use crate::modules::{Stop, nothing_to_stop};
use crate::overrides::import::Import;
use crate::overrides::layers;

/// Whether this process is in a ring at all. An ingester whose cluster another store has founded is in
/// none until `ring.join` names somebody, unless the process needs one for its own pushes and queries.
pub fn is_wanted(config: &Config, store: &Option<Store>) -> bool {
    if !config.ring_join.is_empty() {
        return !config.targets.is_empty();
    }
    let Some(store) = store.as_ref().filter(|store| store.wal.is_some()) else { return false };
    let is_founder = store.cluster.first_voters.contains(&store.own);
    is_founder || is_whole(config)
}

/// Whether pushes or queries of this process go to the ingester in it.
fn is_whole(config: &Config) -> bool {
    let calls = [Target::Distributor, Target::Querier];
    let calls = calls.into_iter().any(|target| config.targets.contains(target));
    calls && config.ingester_addresses.is_empty()
}

/// Takes up the ring. A member answers others from here on; it waits for nobody. It ends with [`life`].
pub async fn ring(
    shared: &Shared,
    store: &Option<Store>,
    ports: Ports,
    door: &RingDoor,
) -> Result<(Membership, Stop)> {
    let config = &shared.config;
    let dialer = RingDialer::new(&derive::ingester_client(shared), shared.clock.clone());
    let dialer = Arc::new(dialer);
    let Some((store, (disk, wal))) = store.as_ref().and_then(|s| Some((s, s.wal.clone()?))) else {
        let cluster = match store {
            Some(store) => store.cluster.clone(),
            None => super::store::cluster(shared).await?,
        };
        let own = StoreId(shared.random.ulid(&*shared.clock));
        let own = store.as_ref().map_or(own, |store| store.own);
        let own = registration(config, ports, own, Vec::new());
        let part = part(config, &cluster, own.store, &own.grpc_address);
        let watcher = Watcher::start(part, dialer, shared.random.clone());
        return Ok((Membership::watcher(cluster.id, own, watcher), nothing_to_stop()));
    };
    let (dir, count) = (wal.dir.clone(), config.raw.ring.tokens as usize);
    let (reads, random) = (disk.clone(), shared.random.clone());
    let tokens = task::blocking("ring-tokens", move || {
        tokens::open(&*reads, &dir, &*random, count).with_context(|| dir.display().to_string())
    });
    let own = registration(config, ports, store.own, tokens.await.context("reading tokens")??);
    let part = part(config, &store.cluster, own.store, &own.grpc_address);
    let member = MemberConfig::new(raft(store, &disk, &wal).await?, founders(config, store));
    let env = Env { disk, dialer, clock: shared.clock.clone(), random: shared.random.clone() };
    let meta = Meta::start(part, member, env).await?;
    door.open(Arc::new(meta.clone()));
    Ok((Membership::member(store.cluster.id, own, meta), nothing_to_stop()))
}

/// The directory of the ring's log.
async fn raft(store: &Store, disk: &Arc<dyn Disk>, wal: &wal::Config) -> Result<PathBuf> {
    let (disk, wal_dir, cluster, own) =
        (disk.clone(), wal.dir.clone(), store.cluster.id, store.own);
    let find = move || raft_dir(&*disk, &wal_dir, cluster, own);
    task::blocking("ring-log", find).await.context("looking for the ring's log")
}

fn part(config: &Config, cluster: &Cluster, own: StoreId, address: &str) -> meta::Config {
    let mut part = meta::Config::new(cluster.id, own, address);
    part.join.clone_from(&config.ring_join);
    part
}

/// `cluster.json` decides who founds the ring (C6). One process on its own, whose store is not the
/// one that founded the cluster (that disk is lost, the bucket is not), founds a ring of itself.
fn founders(config: &Config, store: &Store) -> Vec<StoreId> {
    if config.ring_join.is_empty() { vec![store.own] } else { store.cluster.first_voters.clone() }
}

/// Makes the store in the log's directory the only voter of its ring: see [`meta::recover`]. Nothing
/// is made that is not there.
pub async fn recover(config: &Config) -> Result<(StoreId, meta::Recovered)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bucket = Bucket::open(&derive::bucket(config)?, clock.clone())?;
    let cluster = Cluster::find(&bucket).await?;
    let cluster = cluster.with_context(|| format!("{} has no cluster.json", bucket.name()))?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let wal = derive::wal(config, &*disk)?;
    let env = wal::Env { disk: disk.clone(), clock, random: Arc::new(SystemRandom) };
    let address = config.raw.ring.instance_addr.clone();
    let work = move || -> Result<(StoreId, meta::Recovered)> {
        let names = disk.list(&wal.dir).with_context(|| wal.dir.display().to_string())?;
        if !names.iter().any(|name| name == "raft") {
            bail!("{}: no member of a ring was ever here", wal.dir.display());
        }
        let own = wal::store_id(&wal, &env)?;
        let dir = raft_dir(&*disk, &wal.dir, cluster.id, own);
        Ok((own, meta::recover(&*disk, &dir, cluster.id, own, &address)?))
    };
    task::blocking("ring-recover", work).await.context("recovering")?
}

/// One process alone holds each row once, whatever its configuration asks for: it says so at start.
fn replication(config: &Config) -> Option<u8> {
    config.replication_factor.filter(|_| !config.ring_join.is_empty())
}

/// What lives as long as the services answer.
pub struct Life {
    /// For the route that ends an ingester.
    pub leaving: Arc<Leaving>,
    /// Cancelled when the ring has no place for the store of this process any more.
    pub removed: Shutdown,
}

/// Attends the ring from the time the services answer; returns when this process has its place. Its
/// end is the end of its part in the ring, which comes before that of any service.
pub async fn life(
    shared: &Shared,
    ring: &Option<Membership>,
    store: &Option<Store>,
    ingester: &Option<Arc<Ingester>>,
) -> Result<(Life, Stop)> {
    let ring = ring.clone().context("the ring was taken up")?;
    let log = store.as_ref().and_then(|store| store.wal.clone()).map(|(disk, config)| {
        let (clock, random) = (shared.clock.clone(), shared.random.clone());
        let env = wal::Env { disk: disk.clone(), clock, random };
        Log { disk, config, env }
    });
    let (removed, shutdown) = (Shutdown::new(), Shutdown::new());
    let is_leaving = Arc::new(AtomicBool::new(false));
    let attendant = Attendant {
        ring: ring.clone(),
        replication: replication(&shared.config),
        catalog: store.as_ref().map(|store| store.catalog.clone()),
        has_failed: false,
        is_leaving: is_leaving.clone(),
        removed: removed.clone(),
    };
    let attends = task::spawn("ring-attend", attendant.run(shutdown.clone()));
    let chores = ingester.clone().map(|ingester| {
        let chores = Chores { ring: ring.clone(), ingester };
        task::spawn("ring-chores", chores.run(shutdown.clone()))
    });
    let follow = layers::follow(shared.layers.clone(), ring.watch(), shutdown.clone());
    let follows = task::spawn("ring-overrides", follow);
    let imports = ring.is_member().then(|| {
        let import = Import::new(shared.layers.clone(), ring.clone());
        task::spawn("import-overrides", import.run(shutdown.clone()))
    });
    tokio::select! {
        biased;
        () = removed.cancelled() => {}
        () = shared.start.is_ended.cancelled() => {}
        () = joined(&ring, &shared.edge.readiness) => {}
    }
    shared.layers.set_ring(&ring.newest());
    let owned = ingester.clone().zip(log);
    let leaving = Arc::new(Leaving::new(ring, owned, is_leaving, removed.clone()));
    let ends = leaving.clone();
    let stop: Stop = Box::pin(async move {
        ends.end().await;
        shutdown.cancel();
        for task in [Some(attends), Some(follows), chores, imports].into_iter().flatten() {
            if task.await.is_err() {
                tracing::error!("what attends the ring had panicked");
            }
        }
    });
    Ok((Life { leaving, removed }, stop))
}
