//! Whole rings in one thread, in virtual time: a seed is a run.

mod change;
mod fault;
mod net;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use net::*;

/// Runs `test` as a simulation.
fn simulate<F: Future>(test: F) -> F::Output {
    let _entered = base::task::sim::enter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

#[test]
fn one_process_is_a_ring_of_one_at_once_and_keeps_it() {
    simulate(async {
        let mut cluster = Cluster::new(1, &[1]);
        let began = tokio::time::Instant::now();
        cluster.start(1, "").await;
        cluster.until("it is active", |c| c.placed(1) == 1).await;
        assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
        let version = cluster.state(1).version;
        assert!(cluster.meta(1).is_leader());
        for keep in [base::disk::sim::Keep::Synced, base::disk::sim::Keep::PageCache] {
            cluster.crash(1, keep);
            let began = tokio::time::Instant::now();
            cluster.start(1, "").await;
            cluster.until("it leads again", |c| c.meta(1).is_leader()).await;
            assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
            cluster.until("it knows", |c| c.state(1).version >= version).await;
            assert_eq!(cluster.placed(1), 1);
        }
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        simulate(async move {
            let mut cluster = Cluster::new(seed, &[1]);
            for n in 1..=5 {
                cluster.start(n, "").await;
            }
            cluster.until("all are there", |c| c.placed(1) == 5 && c.voters(1).len() == 5).await;
            let leader = cluster.leader();
            cluster.crash(leader, base::disk::sim::Keep::Synced);
            cluster.until("another leads", |c| c.any_leader().is_some()).await;
            cluster.start(leader, "").await;
            cluster.until("all agree", Cluster::agree).await;
            cluster.log()
        })
    };
    let first = run(7);
    assert!(first.len() > 20, "{first:#?}");
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
}

/// A runtime of threads, the system's disk and clock.
#[test]
fn three_processes_on_real_disks_and_threads_commit() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let net = Arc::new(Net::default());
        let mut metas = Vec::new();
        for n in 1..=3 {
            let config = config(7, n, &address(n, 0), vec![address(1, 0)]);
            let member = crate::MemberConfig::new(dir.path().join(n.to_string()), vec![store(1)]);
            let env = crate::Env {
                disk: Arc::new(base::disk::OsDisk),
                dialer: Arc::new(net.dialer(&address(n, 0))),
                clock: Arc::new(base::time::SystemClock),
                random: Arc::new(base::random::SystemRandom),
            };
            let meta = crate::Meta::start(config, member, env).await.unwrap();
            net.add(&address(n, 0), None, meta.clone());
            base::task::spawn("attend", attend(meta.clone(), n, address(n, 0), String::new()));
            metas.push(meta);
        }
        for meta in &metas {
            let mut newest = meta.watch();
            newest.wait_for(|state| state.placed().count() == 3).await;
        }
        while metas[0].voters().len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for meta in &metas {
            meta.stop().await;
        }
        let config = config(7, 2, &address(2, 0), Vec::new());
        let member = crate::MemberConfig::new(dir.path().join("2"), vec![store(1)]);
        let env = crate::Env {
            disk: Arc::new(base::disk::OsDisk),
            dialer: Arc::new(net.dialer(&address(2, 0))),
            clock: Arc::new(base::time::SystemClock),
            random: Arc::new(base::random::SystemRandom),
        };
        let meta = crate::Meta::start(config, member, env).await.unwrap();
        assert_eq!(meta.watch().newest().placed().count(), 3, "the last state without a leader");
        meta.stop().await;
    });
}
