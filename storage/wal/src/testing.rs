//! Batches for tests.

use base::batch::Incarnation;
use base::{Batch, BatchId, Day, Labels, RowsBuilder, StoreId, TenantId};
use ulid::Ulid;

/// A store by number.
pub fn store(number: u128) -> StoreId {
    StoreId(Ulid(number))
}

/// The id of batch `sequence`.
pub fn id(sequence: u64) -> BatchId {
    BatchId { incarnation: Incarnation(Ulid(77)), owner: store(1), sequence }
}

/// Batch `sequence` with `rows` rows of three streams; every content depends on the sequence.
pub fn batch(sequence: u64, rows: usize) -> Batch {
    let day = Day(20_000);
    let mut builder = RowsBuilder::default();
    for row in 0..rows {
        let line = format!("batch {sequence} row {row} {}", "x".repeat(row % 11));
        let stream = (row * 3 / rows) as u32;
        builder.push(
            stream,
            day.start_ns() + (sequence as i64) * 1_000 + row as i64,
            line.as_bytes(),
        );
        if row % 3 == 0 {
            builder.metadata("trace", format!("t{}", row % 4).as_bytes());
        }
        if row % 4 == 1 {
            builder.metadata("level", b"info");
        }
    }
    let stream = |app| Labels::from_pairs([("app", app), ("env", "prod \u{fc}")]);
    Batch {
        id: id(sequence),
        attempt: 1,
        members: vec![store(1)],
        factor: 1,
        tenant: TenantId::new("acme").expect("a valid id"),
        day,
        streams: vec![stream("a"), stream("b"), stream("c")],
        rows: builder.finish(),
    }
}
