//! One file per format and version under `golden/`: today's reader reads it, today's writer writes
//! it byte for byte. `GOLDEN=write` in the environment makes missing files.

use std::path::PathBuf;

use base::{BatchId, Day, Incarnation, StoreId, TenantId, UnixNanos};
use ulid::Ulid;

use crate::*;

fn check(name: &str, written: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") && !path.exists() {
        std::fs::write(&path, written).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(golden, written, "{name} is not what today's writer writes");
    golden
}

fn record(id: u128, place: Place) -> PartRecord {
    let start = UnixNanos(Day(20_000).start_ns());
    PartRecord {
        id: PartId(Ulid(id)),
        tenant: TenantId::new("team-a").unwrap(),
        day: Day(20_000),
        place,
        len_bytes: 123_456,
        footer_bytes: 789,
        tail_bytes: 1_500,
        rows: 70_000,
        raw_bytes: 9_876_543,
        streams: 50,
        min_ts: start,
        max_ts: UnixNanos(start.0 + 86_399_999_999_999),
        min_key: 17,
        max_key: u64::MAX - 1,
        level: 2,
        purged_through: 41,
        rest: vec![1, 2, 3],
    }
}

fn predicate() -> NewPredicate {
    NewPredicate {
        request_id: "f00d".to_owned(),
        tenant: TenantId::new("team-a").unwrap(),
        query: r#"{app="api"} |= "secret""#.to_owned(),
        start: UnixNanos(-5),
        end: UnixNanos(1_700_000_000_000_000_000),
        created: UnixNanos(1_700_000_000_000_000_001),
        rest: Vec::new(),
    }
}

fn commit() -> Commit {
    let mut claims = IdSet::default();
    let (incarnation, owner) = (Incarnation(Ulid(0xaa << 80)), StoreId(Ulid(0xbb << 80)));
    claims.insert_range(incarnation, owner, 1, 300);
    claims.insert(&BatchId { incarnation, owner, sequence: 302 });
    claims.insert_range(incarnation, owner, 400, 1 << 40);
    let reference = |id| PartRef {
        tenant: TenantId::new("team-b").unwrap(),
        day: Day(-1),
        id: PartId(Ulid(id)),
    };
    Commit {
        number: 42,
        nonce: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        committer: owner,
        at: UnixNanos(1_700_000_000_123_456_789),
        claims,
        added: vec![
            record(0xcc << 80, Place::Object),
            record(0xcd << 80, Place::Bundle { bundle: Ulid(0xdd << 80), offset: 4096 }),
        ],
        removed: vec![reference(7), reference(8)],
        predicates: vec![predicate()],
        cancelled: vec![PredicateId { commit: 12, index: 1 }],
        ring: None,
        rest: vec![9],
    }
}

#[test]
fn the_commit_of_version_1_reads_and_writes_the_same() {
    let golden = check("commit.v1", &commit().encode());
    assert_eq!(Commit::decode(42, &golden), Ok(commit()));
    assert!(Commit::decode(43, &golden).is_err(), "under another name it is another commit");
}

#[test]
fn the_day_checkpoint_of_version_1_reads_and_writes_the_same() {
    let parts = commit().added;
    let (tenant, day) = (parts[0].tenant.clone(), parts[0].day);
    let checkpoint = DayCheckpoint { tenant: tenant.clone(), day, changed_at: 42, parts };
    let golden = check("day-checkpoint.v1", &checkpoint.encode());
    let entry = DayEntry { tenant, day, changed_at: 42 };
    assert_eq!(DayCheckpoint::decode(&entry, &golden), Ok(checkpoint));
    let other = DayEntry { changed_at: 41, ..entry };
    assert!(DayCheckpoint::decode(&other, &golden).is_err());
}

#[test]
fn the_id_table_of_version_1_reads_and_writes_the_same() {
    let mut table = IdTable::default();
    table.apply(&commit());
    let golden = check("id-table.v1", &table.encode(42));
    assert_eq!(IdTable::decode(42, &golden), Ok(table));
    assert!(IdTable::decode(41, &golden).is_err());
}

#[test]
fn the_manifest_of_version_1_reads_and_writes_the_same() {
    let tenants = ["team-a", "team-b"].map(|name| TenantId::new(name).unwrap());
    let entry = |tenant: &TenantId, day, changed_at| DayEntry {
        tenant: tenant.clone(),
        day: Day(day),
        changed_at,
    };
    let manifest = Manifest {
        version: 42,
        at: UnixNanos(1_700_000_000_123_456_789),
        days: vec![entry(&tenants[0], -1, 7), entry(&tenants[0], 20_000, 42), {
            entry(&tenants[1], 20_000, 300)
        }],
        predicates: vec![Predicate {
            id: PredicateId { commit: 12, index: 0 },
            body: predicate().into(),
        }],
        ring: None,
        rest: Vec::new(),
    };
    let golden = check("manifest.v1", &manifest.encode());
    assert_eq!(Manifest::decode(42, &golden), Ok(manifest));
    assert!(Manifest::decode(1, &golden).is_err());
}

#[test]
fn the_commit_that_names_a_ring_reads_and_writes_the_same() {
    let ring = Some(RingVersion { founder: StoreId(Ulid(0xee << 80)), version: 300 });
    let commit = Commit { ring, ..commit() };
    let golden = check("commit-ring.v1", &commit.encode());
    assert_eq!(Commit::decode(42, &golden), Ok(commit));
}

#[test]
fn the_floor_of_version_1_reads_and_writes_the_same() {
    let golden = check("floor.v1", &Floor(1_000_000).encode());
    assert_eq!(Floor::decode(&golden), Ok(Floor(1_000_000)));
}

#[test]
fn an_object_of_a_later_version_is_refused_by_name() {
    let mut later = commit().encode();
    later[4] = 2;
    let later = crate::codec::with_checksum(&later);
    assert_eq!(Commit::decode(42, &later), Err(Error::Version { object: "commit", version: 2 }));
}
