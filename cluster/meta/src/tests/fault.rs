//! Leaders that die, networks that part.

use base::disk::sim::Keep;
use bytes::Bytes;
use ring::{Command, Expect, Outcome};

use super::*;
use crate::Error;

fn put(tenant: &str, text: &'static str) -> Command {
    Command::PutOverride {
        tenant: base::TenantId::new(tenant).unwrap(),
        expect: Expect::Any,
        bytes: Bytes::from_static(text.as_bytes()),
    }
}

async fn three(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, &[1]);
    for n in [1, 2, 3] {
        cluster.start(n, "").await;
    }
    cluster.until("three vote", |c| c.agree() && c.placed(1) == 3 && c.voters(1).len() == 3).await;
    cluster
}

#[test]
fn the_others_go_on_when_the_leader_dies_and_nothing_that_was_committed_is_lost() {
    simulate(async {
        for keep in [Keep::Synced, Keep::Written, Keep::PageCache] {
            let mut cluster = three(20).await;
            for round in 0..3 {
                let leader = cluster.leader();
                let other = cluster.running().find(|&n| n != leader).unwrap();
                let tenant = format!("t{round}");
                let done = cluster.meta(other).propose(put(&tenant, "a: 1")).await;
                let Ok(Outcome::Done { version }) = done else { panic!("{done:?}") };
                cluster.crash(leader, keep);
                let done = cluster.meta(other).propose(put("x", "b: 1")).await;
                assert!(matches!(done, Ok(Outcome::Done { .. })), "{done:?}");
                let found = cluster.state(other).overrides.clone();
                let tenant = base::TenantId::new(&tenant).unwrap();
                assert_eq!(found[&tenant].version, version);
                cluster.start(leader, "").await;
                cluster.until("all agree", Cluster::agree).await;
            }
        }
    });
}

#[test]
fn a_minority_commits_nothing_and_follows_when_it_is_back() {
    simulate(async {
        let mut cluster = three(21).await;
        let leader = cluster.leader();
        let other = cluster.running().find(|&n| n != leader).unwrap();
        let before = cluster.state(leader);
        cluster.cut(&[leader]);
        let alone = cluster.meta(leader).propose(put("alone", "a: 1")).await;
        let is_unsure = matches!(alone, Err(Error::Unanswered(_) | Error::NoLeader));
        assert!(is_unsure, "{alone:?}");
        assert_eq!(cluster.state(leader), before, "the last state is still there");
        assert!(!cluster.meta(leader).is_leader());
        let done = cluster.meta(other).propose(put("others", "b: 1")).await;
        assert!(matches!(done, Ok(Outcome::Done { .. })), "{done:?}");
        cluster.heal();
        cluster.until("all agree", Cluster::agree).await;
        let state = cluster.state(leader);
        let names: Vec<&str> = state.overrides.keys().map(|tenant| tenant.as_str()).collect();
        assert_eq!(names, ["others"]);
    });
}

#[test]
fn without_a_majority_everybody_keeps_the_last_state_also_over_a_restart() {
    simulate(async {
        let mut cluster = three(22).await;
        let before = cluster.state(1);
        cluster.crash(1, Keep::Synced);
        cluster.crash(2, Keep::Synced);
        cluster.crash(3, Keep::PageCache);
        cluster.start(3, "").await;
        assert_eq!(cluster.state(3), before);
        let done = cluster.meta(3).propose(put("x", "a: 1")).await;
        assert!(matches!(done, Err(Error::NoLeader | Error::Unreachable { .. })), "{done:?}");
        assert_eq!(cluster.state(3).placed().count(), 3);
    });
}

#[test]
fn a_proposal_whose_answer_is_lost_is_said_to_be_unanswered_and_not_repeated() {
    simulate(async {
        let mut cluster = three(23).await;
        let leader = cluster.leader();
        let other = cluster.running().find(|&n| n != leader).unwrap();
        cluster.lose_answers(leader);
        let done = cluster.meta(other).propose(put("x", "a: 1")).await;
        assert!(matches!(done, Err(Error::Unanswered(_))), "{done:?}");
        cluster.heal();
        cluster.until("all agree", Cluster::agree).await;
        assert_eq!(cluster.state(other).overrides.len(), 1);
    });
}

#[test]
fn a_leader_without_a_majority_does_not_say_that_it_leads() {
    simulate(async {
        let mut cluster = three(26).await;
        let leader = cluster.leader();
        let known = cluster.meta(leader).leader().map(|contact| contact.store);
        assert_eq!(known, Some(store(leader)));
        for n in [1, 2, 3].into_iter().filter(|&n| n != leader) {
            cluster.crash(n, Keep::Synced);
        }
        cluster.until("it says so", |c| c.meta(leader).leader().is_none()).await;
        assert!(!cluster.meta(leader).is_leader());
    });
}

#[test]
fn a_disk_that_fails_stops_its_node_and_no_other() {
    simulate(async {
        let mut cluster = three(24).await;
        let leader = cluster.leader();
        let other = cluster.running().find(|&n| n != leader).unwrap();
        cluster.disk(leader).set_free_bytes(Some(10));
        let done = cluster.meta(other).propose(put("x", "a: 1")).await;
        assert!(done.is_ok() || matches!(done, Err(Error::Unanswered(_) | Error::Stopped(_))));
        cluster.until("it has stopped", |c| c.meta(leader).failure().is_some()).await;
        cluster.crash(leader, Keep::Synced);
        cluster.disk(leader).heal();
        let done = cluster.meta(other).propose(put("y", "a: 1")).await;
        assert!(matches!(done, Ok(Outcome::Done { .. })), "{done:?}");
        cluster.start(leader, "").await;
        cluster.until("all agree", Cluster::agree).await;
        assert_eq!(cluster.state(leader).overrides.len(), cluster.state(other).overrides.len());
    });
}

#[test]
fn what_a_store_said_that_it_has_seen_it_knows_after_a_power_cut_on_its_own() {
    simulate(async {
        let mut cluster = three(25).await;
        let one = cluster.leader();
        let done = cluster.meta(one).propose(put("x", "a: 1")).await;
        let Ok(Outcome::Done { version }) = done else { panic!("{done:?}") };
        for n in [1, 2, 3] {
            cluster.meta(n).keep(version).await.unwrap();
        }
        for n in [1, 2, 3] {
            cluster.crash(n, Keep::Synced);
        }
        for n in [1, 2, 3] {
            cluster.start(n, "").await;
            assert!(cluster.state(n).version >= version);
            cluster.crash(n, Keep::Synced);
        }
    });
}

#[test]
fn what_raft_does_not_bring_is_not_waited_for_for_ever() {
    simulate(async {
        let mut cluster = three(26).await;
        let leader = cluster.leader();
        let newest = cluster.state(leader).version;
        let never = cluster.meta(leader).keep(newest + 1000).await;
        assert!(matches!(never, Err(Error::Unanswered(_))), "{never:?}");
        cluster.meta(leader).keep(newest).await.unwrap();
        cluster.until("all agree", Cluster::agree).await;
    });
}

/// Kills and parts at random for a while; then everything committed is everywhere.
#[test]
fn whatever_happens_to_a_minority_what_was_committed_stays() {
    for seed in 0..8 {
        simulate(async move {
            use base::random::{Random, SeededRandom};
            let mut cluster = three(100 + seed).await;
            let random = SeededRandom::new(seed);
            let mut committed = Vec::new();
            for round in 0..12 {
                let victim = 1 + random.next_u64() % 3;
                let keep = [Keep::Synced, Keep::Written, Keep::PageCache];
                let is_killed = random.next_u64().is_multiple_of(2);
                if is_killed {
                    cluster.crash(victim, keep[random.next_u64() as usize % 3]);
                } else {
                    cluster.cut(&[victim]);
                }
                let other = cluster.running().find(|&n| n != victim).unwrap();
                let tenant = format!("t{round}");
                let done = cluster.meta(other).propose(put(&tenant, "a: 1")).await;
                if let Ok(Outcome::Done { version }) = done {
                    committed.push((base::TenantId::new(&tenant).unwrap(), version));
                }
                if is_killed {
                    cluster.start(victim, "").await;
                }
                let pause = Duration::from_millis(random.next_u64() % 3000);
                tokio::time::sleep(pause).await;
                cluster.heal();
            }
            cluster.until("all agree", Cluster::agree).await;
            assert!(committed.len() > 8, "{committed:?}");
            for (tenant, version) in committed {
                assert_eq!(cluster.state(1).overrides[&tenant].version, version);
            }
        });
    }
}
