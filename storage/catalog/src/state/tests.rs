//! Random histories of committers that flush the same batches, merge, clean orphans and delete.

use std::collections::{BTreeMap, BTreeSet};

use base::{BatchId, Day, Incarnation, StoreId, TenantId, UnixNanos};
use proptest::prelude::*;
use ulid::Ulid;

use crate::*;

const DAY_NS: i64 = base::time::DAY_NS;

fn tenant(n: u8) -> TenantId {
    TenantId::new(&format!("tenant-{}", n % 3)).unwrap()
}

fn batch(n: u8) -> BatchId {
    BatchId {
        incarnation: Incarnation(Ulid(u128::from(n / 16) + 1)),
        owner: StoreId(Ulid(u128::from(n / 8 % 2) + 1)),
        sequence: u64::from(n % 8) + 1,
    }
}

/// Who changes the catalog: a follower of the log with drafts of its own.
#[derive(Default)]
struct Committer {
    catalog: Catalog,
    drafts: Vec<Draft>,
}

/// The log, its committers, and which batches each part was built from.
struct World {
    log: Vec<Commit>,
    committers: Vec<Committer>,
    contents: BTreeMap<PartId, BTreeSet<BatchId>>,
    uploaded: BTreeSet<PartRef>,
    fresh: u128,
    compare: bool,
}

impl World {
    fn new(compare: bool) -> World {
        let committers = (0..3).map(|_| Committer::default()).collect();
        World {
            log: Vec::new(),
            committers,
            contents: BTreeMap::new(),
            uploaded: BTreeSet::new(),
            fresh: 0,
            compare,
        }
    }

    fn draw(&mut self) -> u128 {
        self.fresh += 1;
        self.fresh
    }

    fn record(&mut self, tenant: TenantId, day: Day, batches: BTreeSet<BatchId>) -> PartRecord {
        let id = PartId(Ulid(self.draw()));
        self.contents.insert(id, batches);
        let record = PartRecord {
            id,
            tenant,
            day,
            place: Place::Object,
            len_bytes: 1000,
            footer_bytes: 100,
            tail_bytes: 200,
            rows: 10,
            raw_bytes: 4000,
            streams: 1,
            min_ts: UnixNanos(day.start_ns()),
            max_ts: UnixNanos(day.start_ns() + 5),
            min_key: 0,
            max_key: u64::MAX,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        };
        self.uploaded.insert(record.reference());
        record
    }

    fn draft(&mut self, who: usize) -> Draft {
        let at = UnixNanos(self.log.len() as i64);
        Draft::new(self.draw(), self.committers[who].catalog.version(), at)
    }

    /// Batches `from..from + len` as two parts of one flush.
    fn begin_flush(&mut self, who: usize, from: u8, len: u8) {
        let mut draft = self.draft(who);
        for half in 0..2u8 {
            let ids = (from..from.saturating_add(len)).filter(|n| n % 2 == half);
            let ids: BTreeSet<BatchId> = ids.map(batch).collect();
            if ids.is_empty() {
                continue;
            }
            draft.claims.extend(&ids.iter().collect());
            draft.added.push(self.record(tenant(half), Day(i32::from(half) - 1), ids));
        }
        self.committers[who].drafts.push(draft);
    }

    /// All parts of one tenant and day become one.
    fn begin_merge(&mut self, who: usize, pick: u8) {
        let snapshot = self.committers[who].catalog.snapshot();
        let inputs = snapshot.parts(&tenant(pick), UnixNanos(-DAY_NS), UnixNanos(DAY_NS));
        let Some(first) = inputs.first() else { return };
        let mut draft = self.draft(who);
        let of_day = inputs.iter().filter(|part| part.day == first.day);
        draft.removed = of_day.map(|part| part.reference()).collect();
        let batches = draft.removed.iter().flat_map(|part| self.contents[&part.id].clone());
        let batches = batches.collect();
        draft.added = vec![self.record(first.tenant.clone(), first.day, batches)];
        draft.applied = self.committers[who].catalog.predicates.keys().copied().collect();
        self.committers[who].drafts.push(draft);
    }

    /// What is uploaded but not live is taken for an orphan.
    fn begin_cleaning(&mut self, who: usize) {
        let catalog = &self.committers[who].catalog;
        let orphans = self.uploaded.iter().filter(|part| !catalog.is_live(part));
        let orphans: Vec<Ulid> = orphans.take(3).map(|part| part.id.0).collect();
        let mut draft = self.draft(who);
        draft.orphans = orphans;
        self.committers[who].drafts.push(draft);
    }

    fn begin_delete(&mut self, who: usize, pick: u8) {
        let mut draft = self.draft(who);
        let standing = self.committers[who].catalog.predicates.keys().next().copied();
        match standing {
            Some(predicate) if pick.is_multiple_of(2) => draft.cancelled = vec![predicate],
            _ => draft.predicates.push(NewPredicate {
                request_id: format!("request-{pick}"),
                tenant: tenant(pick),
                query: r#"{app="x"} |= "secret""#.to_owned(),
                start: UnixNanos(0),
                end: UnixNanos(i64::from(pick)),
                created: UnixNanos(9),
                rest: vec![pick],
            }),
        }
        self.committers[who].drafts.push(draft);
    }

    fn follow(&mut self, who: usize, commits: usize) {
        let catalog = &mut self.committers[who].catalog;
        let from = catalog.version() as usize;
        for commit in self.log[from..].iter().take(commits) {
            assert_eq!(catalog.apply(commit).added_twice, []);
        }
    }

    /// Follows to the head, compares, puts: what `store::commit` does.
    fn finish(&mut self, who: usize) {
        let Some(draft) = self.committers[who].drafts.pop() else { return };
        if self.compare {
            self.follow(who, usize::MAX);
            match step(&self.committers[who].catalog, &draft) {
                Step::Put => {}
                Step::Done(_) | Step::Ended(_) => return,
                Step::Rebuild { claimed, upload_again, .. } => {
                    return self.rebuild(who, &draft, &claimed, &upload_again);
                }
            }
        }
        let gone = draft.orphans.iter().copied().collect::<BTreeSet<_>>();
        self.uploaded.retain(|part| !gone.contains(&part.id.0));
        let commit = draft.at_number(self.log.len() as u64 + 1, StoreId(Ulid(who as u128)));
        let bytes = commit.encode();
        assert_eq!(Commit::decode(commit.number, &bytes).as_ref(), Ok(&commit));
        self.log.push(commit);
    }

    fn rebuild(&mut self, who: usize, old: &Draft, claimed: &IdSet, again: &[PartId]) {
        assert!(!claimed.is_empty() || !again.is_empty());
        let mut draft = self.draft(who);
        draft.removed = old.removed.clone();
        draft.applied = old.applied.clone();
        for part in &old.added {
            let old = self.contents[&part.id].clone();
            let kept: BTreeSet<_> = old.into_iter().filter(|id| !claimed.contains(id)).collect();
            if draft.removed.is_empty() {
                draft.claims.extend(&kept.iter().collect());
            }
            if !kept.is_empty() {
                draft.added.push(self.record(part.tenant.clone(), part.day, kept));
            }
        }
        self.committers[who].drafts.push(draft);
    }

    fn act(&mut self, action: (u8, u8, u8, u8)) {
        let (what, who, a, b) = action;
        let who = usize::from(who) % self.committers.len();
        match what % 9 {
            0 | 1 => self.begin_flush(who, a % 32, b % 6 + 1),
            2 => self.begin_merge(who, a),
            3 => self.begin_cleaning(who),
            4 => self.begin_delete(who, a),
            5 => self.follow(who, usize::from(a % 4)),
            _ => self.finish(who),
        }
    }

    /// Every batch is in at most one live part, was claimed once, and every live part is there.
    fn violation(&self) -> Option<String> {
        let mut catalog = Catalog::new();
        for commit in &self.log {
            let applied = catalog.apply(commit);
            if applied != Applied::default() {
                return Some(format!("commit {}: {applied:?}", commit.number));
            }
        }
        let mut seen = BTreeSet::new();
        for part in catalog.snapshot().all_parts() {
            if !self.uploaded.contains(&part.reference()) {
                return Some(format!("{:?} is live and deleted", part.id));
            }
            for id in &self.contents[&part.id] {
                if !seen.insert(*id) {
                    return Some(format!("{id} is in two live parts"));
                }
                if catalog.table().state(id) != ClaimState::Claimed {
                    return Some(format!("{id} is live and not claimed"));
                }
            }
        }
        None
    }
}

fn run(compare: bool, actions: &[(u8, u8, u8, u8)]) -> World {
    let mut world = World::new(compare);
    actions.iter().for_each(|&action| world.act(action));
    world
}

/// The state as it would be loaded from a checkpoint, through the bytes of every object.
fn through_checkpoint(catalog: &Catalog) -> Catalog {
    let manifest = catalog.manifest(UnixNanos(1));
    let version = catalog.version();
    let manifest = Manifest::decode(version, &manifest.encode()).unwrap();
    let table = IdTable::decode(version, &catalog.table().encode(version)).unwrap();
    let days = manifest.days.iter().map(|entry| {
        let day = catalog.day_checkpoint(entry).unwrap();
        DayCheckpoint::decode(entry, &day.encode()).unwrap()
    });
    let days = days.collect();
    Catalog::from_checkpoint(&manifest, table, days, Vec::new())
}

/// What readers can see of a state.
fn visible(catalog: &Catalog) -> (Manifest, Vec<DayCheckpoint>, IdTable) {
    let manifest = catalog.manifest(UnixNanos(0));
    let days = manifest.days.iter().map(|entry| catalog.day_checkpoint(entry).unwrap());
    let days = days.collect();
    (manifest, days, catalog.table().clone())
}

fn actions() -> impl Strategy<Value = Vec<(u8, u8, u8, u8)>> {
    prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_batch_is_claimed_twice_and_no_live_part_is_deleted(actions in actions()) {
        prop_assert_eq!(run(true, &actions).violation(), None);
    }

    #[test]
    fn a_checkpoint_and_the_log_after_it_give_the_state_of_the_whole_log(
        actions in actions(),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = run(true, &actions).log;
        let cut = cut.index(log.len() + 1);
        let mut whole = Catalog::new();
        log[..cut].iter().for_each(|commit| assert_eq!(whole.apply(commit), Applied::default()));
        let mut short = through_checkpoint(&whole);
        for commit in &log[cut..] {
            whole.apply(commit);
            short.apply(commit);
        }
        prop_assert_eq!(visible(&short), visible(&whole));
    }

    #[test]
    fn a_snapshot_does_not_change_when_the_catalog_goes_on(actions in actions()) {
        let log = run(true, &actions).log;
        let mut catalog = Catalog::new();
        let mut kept = Vec::new();
        for commit in &log {
            catalog.apply(commit);
            let snapshot = catalog.snapshot();
            let parts: Vec<PartId> = snapshot.all_parts().map(|part| part.id).collect();
            kept.push((snapshot, parts));
        }
        for (snapshot, parts) in kept {
            prop_assert!(snapshot.all_parts().map(|part| part.id).eq(parts));
        }
    }
}

#[test]
fn histories_without_the_compare_are_noticed() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let bad = (0..200).filter(|_| {
        let tree = actions().new_tree(&mut runner).unwrap();
        let mut world = World::new(false);
        // Without the compare a follower may see a part added twice; count it, do not stop.
        for action in proptest::strategy::ValueTree::current(&tree) {
            if action.0 % 9 != 5 {
                world.act(action);
            }
        }
        world.violation().is_some()
    });
    let bad = bad.count();
    assert!(bad > 50, "only {bad} of 200 histories are bad");
}

#[test]
fn an_incarnation_is_forgotten_by_order_and_never_free_again() {
    let mut catalog = Catalog::new();
    let id = |n: u128| BatchId {
        incarnation: Incarnation(Ulid(n)),
        owner: StoreId(Ulid(9)),
        sequence: 1,
    };
    let mut commit = Draft::new(1, 0, UnixNanos(0));
    commit.claims.insert(&id(5));
    catalog.apply(&commit.at_number(1, StoreId(Ulid(9))));
    // Thirty days, ten minutes at a time, and the next look at what is to be forgotten.
    let last = (30 * 144_u64 + 2).next_multiple_of(64);
    for number in 2..=last {
        let at = UnixNanos(i64::from(number as u32) * DAY_NS);
        let mut later = Draft::new(u128::from(number), 0, at);
        later.claims.insert(&BatchId { sequence: number, ..id(7) });
        assert_eq!(catalog.table().state(&id(5)), ClaimState::Claimed, "before {number}");
        catalog.apply(&later.at_number(number, StoreId(Ulid(9))));
    }
    assert_eq!(catalog.table().state(&id(5)), ClaimState::Forgotten);
    assert_eq!(catalog.table().state(&id(4)), ClaimState::Forgotten, "may have been pruned too");
    assert_eq!(catalog.table().state(&id(6)), ClaimState::Free);
    assert_eq!(catalog.table().state(&BatchId { sequence: 64, ..id(7) }), ClaimState::Claimed);
    let late =
        Draft { claims: [id(5)].iter().collect(), ..Draft::new(1 << 40, last, UnixNanos(0)) };
    let Step::Rebuild { forgotten, claimed, .. } = step(&catalog, &late) else { panic!() };
    assert!(forgotten.contains(&id(5)) && claimed.is_empty());
}

#[test]
fn a_clock_that_is_wrong_has_nothing_forgotten_that_goes_on() {
    let mut catalog = Catalog::new();
    let id = |incarnation: u128, sequence: u64| BatchId {
        incarnation: Incarnation(Ulid(incarnation)),
        owner: StoreId(Ulid(9)),
        sequence,
    };
    // One commit in a hundred is of a committer that is a year ahead, one of one that is behind.
    for number in 1..=20_000 {
        let (incarnation, at) = match number % 100 {
            1 => (7, UnixNanos(365 * DAY_NS)),
            2 => (8, UnixNanos(-365 * DAY_NS)),
            _ => (5, UnixNanos(number as i64)),
        };
        let mut commit = Draft::new(u128::from(number), 0, at);
        commit.claims.insert(&id(incarnation, number));
        catalog.apply(&commit.at_number(number, StoreId(Ulid(9))));
    }
    assert_eq!(catalog.table().pruned_through(), None);
    for incarnation in [5, 7, 8] {
        assert_eq!(catalog.table().state(&id(incarnation, 99_999)), ClaimState::Free);
    }
    assert_eq!(catalog.table().state(&id(5, 19_999)), ClaimState::Claimed);
}

#[test]
fn a_draft_from_before_what_is_remembered_uploads_anew() {
    let mut catalog = Catalog::new();
    catalog.apply(&Draft::new(1, 0, UnixNanos(0)).at_number(1, StoreId(Ulid(1))));
    let restarted = through_checkpoint(&catalog);
    let mut world = World::new(true);
    let part = world.record(tenant(0), Day(0), BTreeSet::new());
    let before = Draft { added: vec![part.clone()], ..Draft::new(2, 0, UnixNanos(0)) };
    let after = Draft { began_at: 1, nonce: 3, ..before.clone() };
    assert_eq!(step(&catalog, &before), Step::Put, "every commit since is known");
    assert!(matches!(
        step(&restarted, &before),
        Step::Rebuild { upload_again, .. } if upload_again == [part.id]
    ));
    assert_eq!(step(&restarted, &after), Step::Put);
}

#[test]
fn a_skipped_commit_is_named_where_it_may_matter() {
    let mut catalog = Catalog::new();
    let damage = Damage { object: "log/1".into(), problem: "flipped".into(), scope: None };
    catalog.skip(1, damage.clone());
    let day = Damage { scope: Some((tenant(1), Day(3))), ..damage };
    let mut world = World::new(true);
    world.committers.clear();
    let snapshot = {
        let manifest = Catalog::new().manifest(UnixNanos(0));
        Catalog::from_checkpoint(&manifest, IdTable::default(), Vec::new(), vec![day]).snapshot()
    };
    let noon = UnixNanos(3 * DAY_NS + DAY_NS / 2);
    assert_eq!(catalog.snapshot().damage(&tenant(0), noon, noon).len(), 1);
    assert_eq!(snapshot.damage(&tenant(1), noon, noon).len(), 1);
    assert_eq!(snapshot.damage(&tenant(0), noon, noon).len(), 0);
    assert_eq!(snapshot.damage(&tenant(1), UnixNanos(0), UnixNanos(5)).len(), 0);
}

#[test]
fn what_the_log_names_of_the_ring_outlives_the_log() {
    let mut catalog = Catalog::new();
    let ring = |version| Some(RingVersion { founder: StoreId(Ulid(7)), version });
    for (number, named) in (1..).zip([None, ring(9), None, ring(4)]) {
        let draft = Draft { ring: named, ..Draft::new(u128::from(number), 0, UnixNanos(0)) };
        catalog.apply(&draft.at_number(number, StoreId(Ulid(1))));
    }
    assert_eq!(catalog.snapshot().ring(), ring(9));
    assert_eq!(through_checkpoint(&catalog).snapshot().ring(), ring(9));
}
