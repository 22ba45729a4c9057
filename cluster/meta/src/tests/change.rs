//! Growing, shrinking, replacing, moving.

use std::collections::BTreeSet;
use std::path::Path;

use base::StoreId;
use base::disk::sim::Keep;
use bytes::Bytes;
use ring::{Command, Expect, Outcome, Phase};
use ulid::Ulid;

use super::*;
use crate::{Error, MetaApi};

fn set(numbers: &[u64]) -> BTreeSet<StoreId> {
    numbers.iter().copied().map(store).collect()
}

fn has_voters(cluster: &Cluster, wanted: &[u64]) -> bool {
    let wanted = set(wanted);
    cluster.agree()
        && cluster
            .running()
            .filter(|&n| cluster.state(n).instance(store(n)).is_some())
            .all(|n| cluster.voters(n).into_iter().collect::<BTreeSet<_>>() == wanted)
}

#[test]
fn a_ring_grows_from_one_to_five_and_shrinks_to_three() {
    simulate(async {
        let mut cluster = Cluster::new(2, &[1]);
        cluster.start(1, "a").await;
        cluster.until("one votes", |c| has_voters(c, &[1])).await;
        cluster.start(2, "b").await;
        cluster.until("two are there", |c| c.agree() && c.placed(2) == 2).await;
        assert_eq!(cluster.voters(1), [store(1)], "two voters are worse than one");
        cluster.start(3, "c").await;
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        cluster.start(4, "a").await;
        cluster.start(5, "b").await;
        cluster.until("five vote", |c| c.placed(1) == 5 && has_voters(c, &[1, 2, 3, 4, 5])).await;
        for n in [1, 2] {
            let left = cluster.meta(3).propose(Command::Leave { store: store(n) }).await;
            assert!(matches!(left, Ok(Outcome::Done { .. })), "{left:?}");
        }
        // Both are cleared by all others and by themselves, and removed.
        cluster.until("three are left", |c| c.state(3).ingesters().count() == 3).await;
        cluster.until("three vote", |c| has_voters(c, &[3, 4, 5])).await;
        for n in [1, 2] {
            cluster.crash(n, Keep::Synced);
        }
        cluster.until("they go on", Cluster::agree).await;
        assert_eq!(cluster.state(4).retired.len(), 2);
    });
}

#[test]
fn three_founders_that_start_at_once_found_one_ring() {
    simulate(async {
        let mut cluster = Cluster::new(3, &[1, 2, 3]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("all vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
    });
}

#[test]
fn a_lost_voter_is_replaced_by_a_new_store_of_the_same_name() {
    simulate(async {
        let mut cluster = Cluster::new(4, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, ["a", "b", "c"][n as usize - 1]).await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        cluster.until("reads count on three", |c| c.state(1).read_factor() == 3).await;
        cluster.lose(2);
        // Node 102 has the name of node 2: its old store is gone.
        cluster.start(102, "b").await;
        cluster.until("it has the voice", |c| has_voters(c, &[1, 3, 102])).await;
        cluster
            .until("the old store is removed", |c| {
                c.state(1).instance(store(2)).is_none() && c.placed(1) == 3
            })
            .await;
        assert!(cluster.state(3).retired.contains_key(&store(2)));
    });
}

#[test]
fn a_store_that_stays_away_is_taken_as_gone_and_comes_back_or_is_cleared() {
    simulate(async {
        let mut cluster = Cluster::new(5, &[1]);
        for n in [1, 2, 3, 4] {
            cluster.start(n, "").await;
        }
        cluster.until("all are there", |c| c.placed(1) == 4 && c.agree()).await;
        cluster.until("reads count on three", |c| c.state(1).read_factor() == 3).await;
        let away = *cluster.voters(1).iter().find(|&&s| s != store(cluster.leader())).unwrap();
        let away = away.0.0 as u64;
        cluster.crash(away, Keep::Synced);
        let one = cluster.leader();
        cluster.until("it is down", |c| !c.state(one).instance(store(away)).unwrap().is_up).await;
        cluster
            .until("another votes", |c| {
                c.voters(one).len() == 3 && !c.voters(one).contains(&store(away))
            })
            .await;
        cluster.start(away, "").await;
        cluster.until("it is up", |c| c.state(one).instance(store(away)).unwrap().is_up).await;
        assert_eq!(cluster.state(one).instance(store(away)).unwrap().phase, Phase::Active);
        cluster.crash(away, Keep::Synced);
        cluster.until("it is removed", |c| c.state(one).instance(store(away)).is_none()).await;
    });
}

#[test]
fn a_voter_that_was_removed_while_it_was_away_learns_that_it_has_no_voice() {
    simulate(async {
        let mut cluster = Cluster::new(9, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        let away = [1, 2, 3].into_iter().find(|&n| n != cluster.leader()).unwrap();
        let one = cluster.leader();
        cluster.until("reads count on three", |c| c.state(one).read_factor() == 3).await;
        cluster.crash(away, Keep::Synced);
        cluster.until("it is removed", |c| c.state(one).instance(store(away)).is_none()).await;
        cluster.until("its voice is taken", |c| !c.voters(one).contains(&store(away))).await;
        cluster.start(away, "").await;
        cluster.until("it knows", |c| !c.meta(away).has_voice()).await;
        assert!(cluster.state(away).retired.contains_key(&store(away)));
        assert!(cluster.voters(away).contains(&store(away)), "its Raft will never hear of it");
        assert!(cluster.meta(one).has_voice());
    });
}

#[test]
fn all_come_back_at_other_addresses() {
    simulate(async {
        let mut cluster = Cluster::new(6, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        cluster.crash(2, Keep::Synced);
        cluster.start_at(2, "", &address(2, 1)).await.unwrap();
        let moved = |c: &Cluster, n, life| {
            let state = c.state(n);
            state.instance(store(n)).is_some_and(|i| i.grpc_address == address(n, life))
        };
        cluster.until("one has moved", |c| c.agree() && moved(c, 2, 1)).await;
        for n in [1, 2, 3] {
            cluster.crash(n, Keep::Synced);
        }
        for n in [1, 2, 3] {
            cluster.start_at(n, "", &address(n, 2)).await.unwrap();
        }
        cluster.until("all have moved", |c| c.agree() && (1..=3).all(|n| moved(c, n, 2))).await;
        assert_eq!(cluster.placed(1), 3);
    });
}

#[test]
fn who_was_away_for_long_gets_a_snapshot() {
    simulate(async {
        let mut cluster = Cluster::new(7, &[1]);
        cluster.snapshot_after = 20;
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        cluster.crash(3, Keep::Synced);
        let before = cluster.snapshots();
        let leader = cluster.leader();
        for n in 0..120 {
            let tenant = base::TenantId::new(&format!("t{}", n % 40)).unwrap();
            let bytes = Bytes::from(vec![b'x'; 40_000]);
            let put = Command::PutOverride { tenant, expect: Expect::Any, bytes };
            cluster.meta(leader).propose(put).await.unwrap();
        }
        cluster.start(3, "").await;
        cluster.until("it has all", Cluster::agree).await;
        assert_eq!(cluster.state(3).overrides.len(), 40);
        // It heard of the state from the leader at once; Raft brings it in more than one piece.
        cluster.until("a snapshot came", |c| c.snapshots() > before + 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        // And what it was given is on its disk.
        cluster.crash(3, Keep::Synced);
        cluster.cut(&[1, 2]);
        cluster.start(3, "").await;
        assert_eq!(cluster.state(3).overrides.len(), 40);
    });
}

#[test]
fn a_majority_that_is_lost_for_ever_is_recovered_from_one() {
    simulate(async {
        let mut cluster = Cluster::new(8, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        let version = cluster.state(3).version;
        cluster.lose(1);
        cluster.lose(2);
        cluster.crash(3, Keep::Synced);
        let disk = cluster.disk(3);
        let recover = |cluster: u128| {
            crate::recover(&disk, Path::new("raft"), Ulid(cluster), store(3), &address(3, 0))
        };
        assert!(matches!(recover(8), Err(Error::Foreign { .. })));
        let recovered = recover(7).unwrap();
        assert_eq!(recovered.voters, [store(1), store(2), store(3)]);
        assert!(recovered.version > version);
        cluster.start(3, "").await;
        cluster.until("it leads", |c| c.meta(3).is_leader()).await;
        assert_eq!(cluster.placed(3), 3);
        // The operator knows that no batch had its majority on these two.
        for lost in [store(1), store(2)] {
            for command in [Command::Gone { store: lost }, Command::Forget { store: lost }] {
                let outcome = cluster.meta(3).propose(command).await;
                assert!(matches!(outcome, Ok(Outcome::Done { .. })), "{outcome:?}");
            }
        }
        cluster.until("it is alone", |c| c.state(3).instances.len() == 1).await;
        cluster.start(101, "").await;
        cluster.start(102, "").await;
        cluster.until("three vote again", |c| has_voters(c, &[3, 101, 102])).await;
    });
}

#[test]
fn a_ring_whose_founder_was_lost_before_it_began_is_founded_by_another() {
    simulate(async {
        // Store 99 founded the cluster, and was lost before it had a ring.
        let mut cluster = Cluster::new(11, &[99]);
        for n in [1, 2] {
            cluster.start(n, "").await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(cluster.any_leader().is_none() && cluster.meta(1).leader().is_none());
        cluster.crash(1, Keep::Synced);
        let disk = cluster.disk(1);
        let done = crate::recover(&disk, Path::new("raft"), Ulid(7), store(1), &address(1, 0));
        assert!(done.unwrap().voters.is_empty());
        cluster.start(1, "").await;
        cluster.until("both are there", |c| c.agree() && c.placed(1) == 2).await;
    });
}

#[test]
fn a_voter_that_forgot_what_it_promised_does_not_start() {
    simulate(async {
        let mut cluster = Cluster::new(9, &[1]);
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
        }
        cluster.until("three vote", |c| c.placed(1) == 3 && has_voters(c, &[1, 2, 3])).await;
        for n in [1, 3] {
            cluster.lose(n);
            let again = cluster.start_at(n, "", &address(n, 0)).await;
            assert!(matches!(again, Err(Error::Amnesia(lost)) if lost == store(n)), "{again:?}");
            if n == 1 {
                cluster.start(4, "").await;
                cluster.until("another votes", |c| c.voters(2).contains(&store(4))).await;
            }
        }
    });
}

#[test]
fn messages_of_another_cluster_or_for_another_store_are_refused() {
    simulate(async {
        let mut cluster = Cluster::new(10, &[1]);
        cluster.start(1, "").await;
        cluster.until("it leads", |c| c.any_leader().is_some()).await;
        cluster.id = 8;
        cluster.start(2, "").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.state(2).version, 0, "it found nobody of its cluster");
        assert_eq!(cluster.state(1).instances.len(), 1);
        let from = crate::Contact { store: store(2), address: address(2, 0) };
        let envelope = crate::Envelope {
            cluster: Ulid(7),
            from: from.clone(),
            to: store(3),
            payload: Bytes::new(),
        };
        let meta = cluster.meta(1);
        let answer = MetaApi::raft(meta, envelope.clone()).await;
        assert!(matches!(answer, Err(Error::OtherStore { .. })));
        let garbage = crate::Envelope { to: store(1), ..envelope.clone() };
        assert!(matches!(MetaApi::raft(meta, garbage).await, Err(Error::Message(_))));
        let foreign = crate::Envelope { cluster: Ulid(8), ..envelope };
        assert!(matches!(MetaApi::raft(meta, foreign).await, Err(Error::ForeignCluster { .. })));
        let request =
            crate::WatchRequest { cluster: Ulid(8), from, known: 0, wait: Duration::ZERO };
        assert!(matches!(MetaApi::watch(meta, request).await, Err(Error::ForeignCluster { .. })));
    });
}
