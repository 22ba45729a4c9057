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

/// A watcher in a ring of three, and the number of the one that leads.
async fn watched(seed: u64) -> (Cluster, Watcher, u64) {
    let mut cluster = Cluster::new(seed, &[1]);
    for n in [1, 2, 3] {
        cluster.start(n, "").await;
    }
    cluster.until("three vote", |c| c.agree() && c.voters(1).len() == 3).await;
    let watcher = watcher(&cluster, 50, vec![address(1, 0)]);
    assert!(matches!(watcher.propose(querier(50)).await, Ok(Outcome::Done { .. })));
    let leader = cluster.leader();
    (cluster, watcher, leader)
}

fn leads(contact: Option<crate::Contact>) -> Option<u64> {
    contact.map(|contact| contact.store.0.0 as u64)
}

#[test]
fn nobody_holds_on_to_a_leader_whose_log_has_failed() {
    simulate(async {
        let (mut cluster, watcher, old) = watched(32).await;
        cluster.disk(old).set_free_bytes(Some(10));
        // Whether it was committed nobody can say.
        let command = Command::TakeLease { name: "a".to_owned(), holder: store(50) };
        let _ = watcher.propose(command).await;
        cluster.until("it has stopped", |c| c.meta(old).failure().is_some()).await;
        assert!(!cluster.meta(old).is_leader());
        let is_other = |leader: Option<u64>| leader.is_some_and(|leader| leader != old);
        cluster.until("another leads", |c| is_other(c.any_leader())).await;
        let new = cluster.leader();
        // The one without a log follows the others.
        let all_know = |c: &Cluster| c.running().all(|n| leads(c.meta(n).leader()) == Some(new));
        cluster.until("all know", all_know).await;
        cluster.until("the watcher knows", |_| leads(watcher.leader()) == Some(new)).await;
        let command = Command::TakeLease { name: "b".to_owned(), holder: store(50) };
        let taken = watcher.propose(command).await;
        let Ok(Outcome::Done { version }) = taken else { panic!("{taken:?}") };
        cluster.until("it is seen there", |c| c.state(old).version >= version).await;
    });
}

#[test]
fn a_leader_that_stops_is_let_go_and_not_asked_in_a_loop() {
    simulate(async {
        let (mut cluster, watcher, old) = watched(33).await;
        cluster.stop(old).await;
        let before = cluster.questions(old);
        let others: Vec<u64> = [1, 2, 3].into_iter().filter(|&n| n != old).collect();
        let is_other = |c: &Cluster, n: &u64| c.meta(*n).is_leader();
        // Its port is still open.
        cluster.until("another leads", |c| others.iter().any(|n| is_other(c, n))).await;
        let new = *others.iter().find(|n| is_other(&cluster, n)).unwrap();
        let all_know = |c: &Cluster| others.iter().all(|&n| leads(c.meta(n).leader()) == Some(new));
        cluster.until("all know", all_know).await;
        cluster.until("the watcher knows", |_| leads(watcher.leader()) == Some(new)).await;
        let asked = cluster.questions(old) - before;
        assert!(asked < 200, "{asked} questions within an election");
        cluster.crash(old, Keep::Synced);
        let command = Command::TakeLease { name: "b".to_owned(), holder: store(50) };
        assert!(matches!(watcher.propose(command).await, Ok(Outcome::Done { .. })));
        cluster.until("all know", all_know).await;
        cluster.start(old, "").await;
        cluster.until("all agree", Cluster::agree).await;
    });
}

#[test]
fn of_strangers_as_many_are_remembered_as_a_ring_has_until_a_state_says_who_is_there() {
    let net = Arc::new(Net::default());
    let own = crate::Contact { store: store(1), address: address(1, 0) };
    let dialer = Arc::new(net.dialer(&own.address));
    let peers = crate::peers::Peers::new(ulid::Ulid(7), own, Vec::new(), dialer);
    let strangers = 2..ring::MAX_INGESTERS as u64 + 100;
    for n in strangers.clone() {
        peers.learn(&crate::Contact { store: store(n), address: address(n, 0) });
    }
    let known = || strangers.clone().filter(|&n| peers.address(store(n)).is_some());
    assert_eq!(known().count(), ring::MAX_INGESTERS);
    peers.hear_leader(store(5));
    let mut state = ring::State::new(ulid::Ulid(7));
    peers.follow(&state);
    assert_eq!(known().count(), ring::MAX_INGESTERS, "nobody has registered");
    ring::apply(&mut state, &Command::Register(registration(3, &address(3, 4), "")));
    peers.follow(&state);
    assert_eq!(known().collect::<Vec<u64>>(), [3, 5]);
    assert_eq!(peers.address(store(3)), Some(address(3, 4)), "as the state says");
}

#[test]
fn hearsay_does_not_change_what_the_own_raft_says() {
    let net = Arc::new(Net::default());
    let own = crate::Contact { store: store(1), address: address(1, 0) };
    let dialer = Arc::new(net.dialer(&own.address));
    let peers = crate::peers::Peers::new(ulid::Ulid(7), own, Vec::new(), dialer);
    let contact = |n| crate::Contact { store: store(n), address: address(n, 0) };
    peers.learn(&contact(2));
    peers.learn(&contact(3));
    peers.hear_leader(store(2));
    assert_eq!(leads(peers.leader()), Some(2));
    peers.set_own_leader(Some(store(1)));
    peers.hear_leader(store(2));
    peers.forget_leader(store(2));
    assert_eq!(leads(peers.leader()), Some(1), "it leads, whatever others say");
    // A node that was removed hears nothing of Raft any more: what it knows is given up when the
    // one that it knows of denies it.
    peers.set_own_leader(Some(store(3)));
    peers.hear_leader(store(2));
    assert_eq!(leads(peers.leader()), Some(3));
    peers.forget_leader(store(3));
    assert_eq!(leads(peers.leader()), Some(2));
    peers.hear_leader(store(1));
    assert_eq!(leads(peers.leader()), None, "of itself it knows better");
}
