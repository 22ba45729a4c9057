//! Those that follow without being members.

use base::disk::sim::Keep;
use base::random::SeededRandom;
use bytes::Bytes;
use ring::{Command, Expect, Outcome, Roles};

use super::*;
use crate::Watcher;

fn watcher(cluster: &Cluster, n: u64, join: Vec<String>) -> Watcher {
    let at = address(n, 9);
    let dialer = Arc::new(cluster.net.dialer(&at));
    let config = config(cluster.id, n, &at, join);
    Watcher::start(config, dialer, Arc::new(SeededRandom::new(n)))
}

fn querier(n: u64) -> Command {
    let mut new = registration(n, &address(n, 9), "");
    (new.roles, new.tokens) = (Roles::QUERIER, Vec::new());
    Command::Register(new)
}

#[test]
fn a_watcher_follows_proposes_and_is_seen_to_live_and_die() {
    simulate(async {
        let mut cluster = Cluster::new(30, &[1]);
        // It is there before anybody else.
        let watcher = watcher(&cluster, 50, vec!["10.9.9.9:1".to_owned(), address(2, 0)]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        let mut newest = watcher.watch();
        newest.wait_for(|state| state.placed().count() == 3).await;
        assert!(matches!(watcher.propose(querier(50)).await, Ok(Outcome::Done { .. })));
        let one = cluster.leader();
        let is_up = |c: &Cluster| c.state(one).instance(store(50)).map(|i| i.is_up);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(is_up(&cluster), Some(true));
        let tenant = base::TenantId::new("team").unwrap();
        let bytes = Bytes::from_static(b"a: 1");
        let put = Command::PutOverride { tenant, expect: Expect::Absent, bytes };
        let began = tokio::time::Instant::now();
        let Ok(Outcome::Done { version }) = cluster.meta(one).propose(put).await else { panic!() };
        newest.wait_for(|state| state.version >= version).await;
        assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());

        // Cut off from everybody, it keeps what it knows; the leader notices.
        cluster.cut_watcher(&address(50, 9));
        cluster.until("it is down", |c| is_up(c) == Some(false)).await;
        assert_eq!(newest.newest().placed().count(), 3);
        cluster.heal();
        cluster.until("it is up", |c| is_up(c) == Some(true)).await;
        watcher.stop();
        cluster.until("it is forgotten", |c| is_up(c).is_none()).await;
    });
}

#[test]
fn a_watcher_finds_the_next_leader() {
    simulate(async {
        let mut cluster = Cluster::new(31, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.agree() && c.voters(1).len() == 3).await;
        let watcher = watcher(&cluster, 50, vec![address(1, 0)]);
        assert!(matches!(watcher.propose(querier(50)).await, Ok(Outcome::Done { .. })));
        for round in 0..3 {
            let leader = cluster.leader();
            if round == 1 {
                cluster.cut(&[leader]);
            } else {
                cluster.crash(leader, Keep::Synced);
            }
            let command = Command::TakeLease { name: round.to_string(), holder: store(50) };
            let taken = watcher.propose(command).await;
            let Ok(Outcome::Done { version }) = taken else { panic!("{taken:?}") };
            watcher.watch().wait_for(|state| state.version >= version).await;
            if round != 1 {
                cluster.start(leader, "").await;
            }
            cluster.heal();
            cluster.until("all agree", Cluster::agree).await;
        }
    });
}
