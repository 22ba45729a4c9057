//! Objects of the catalog, and `cluster.json`.

use base::time::UnixNanos;
use catalog::{
    Commit, DayCheckpoint, IdTable, Manifest, NewPredicate, Object, PartRecord, Ranges, RingVersion,
};
use store::Cluster;

use super::report::{Cell, Report, Table};

/// Bytes of the checksum at an object's end.
const CHECKSUM_BYTES: u64 = 4;
/// Where the fields of an object begin.
const BODY_AT: u64 = 12;

/// The object in `bytes`; [`None`] if they begin with another magic.
pub fn object(bytes: &[u8]) -> Option<Report> {
    let found = catalog::inspect(bytes)?;
    let mut report = Report::new(found.kind);
    report.fact("size", Cell::Bytes(bytes.len() as u64));
    report.fact("version", Cell::Number(u64::from(found.version)));
    if let Some(error) = &found.frame {
        let at = match error {
            catalog::Error::Checksum { .. } => (bytes.len() as u64).saturating_sub(CHECKSUM_BYTES),
            _ => 0,
        };
        report.problem(at, format!("{error}; what is shown may be wrong"));
    }
    match found.object {
        Ok(Object::Commit(commit)) => show_commit(&commit, &mut report),
        Ok(Object::Floor(floor)) => report.fact("floor", Cell::Number(floor.0)),
        Ok(Object::Day(day)) => show_day(&day, &mut report),
        Ok(Object::Ids(version, table)) => show_ids(version, &table, &mut report),
        Ok(Object::Manifest(manifest)) => show_manifest(&manifest, &mut report),
        // The frame's own error was told.
        Err(error) if found.frame.as_ref() == Some(&error) => {}
        Err(error) => report.problem(BODY_AT, error),
    }
    Some(report)
}

fn show_commit(commit: &Commit, report: &mut Report) {
    report.fact("number", Cell::Number(commit.number));
    report.fact("nonce", Cell::text(format!("{:032x}", commit.nonce)));
    report.fact("committer", Cell::text(commit.committer));
    report.fact("time", time(commit.at));
    report.fact("batch count", Cell::Number(commit.claims.count()));
    report.fact("rows added", Cell::Number(commit.added.iter().map(|part| part.rows).sum()));
    show_ring(commit.ring, report);
    if !commit.rest.is_empty() {
        report.fact("bytes of a later version", Cell::Bytes(commit.rest.len() as u64));
    }
    let claim = |(incarnation, owner, ranges): (base::Incarnation, base::StoreId, &Ranges)| {
        vec![Cell::text(incarnation), Cell::text(owner), sequences(ranges)]
    };
    report.tables.push(Table {
        name: "batches",
        columns: vec!["incarnation", "owner", "sequences"],
        rows: commit.claims.iter().map(claim).collect(),
    });
    report.tables.push(parts("parts added", &commit.added));
    let removed = commit.removed.iter();
    report.tables.push(Table {
        name: "parts removed",
        columns: vec!["tenant", "day", "part"],
        rows: removed
            .map(|part| vec![Cell::text(&part.tenant), Cell::text(part.day), Cell::text(part.id.0)])
            .collect(),
    });
    let added = commit.predicates.iter().enumerate();
    let id = |index| format!("{}.{index}", commit.number);
    report.tables.push(predicates(
        "predicates added",
        added.map(|(index, predicate)| predicate_row(id(index), predicate)).collect(),
    ));
    report.tables.push(Table {
        name: "predicates cancelled",
        columns: vec!["predicate"],
        rows: commit.cancelled.iter().map(|id| vec![Cell::text(id)]).collect(),
    });
}

fn show_ring(ring: Option<RingVersion>, report: &mut Report) {
    let Some(ring) = ring else { return };
    report.fact("ring founder", Cell::text(ring.founder));
    report.fact("ring version", Cell::Number(ring.version));
}

fn show_day(day: &DayCheckpoint, report: &mut Report) {
    report.fact("tenant", Cell::text(&day.tenant));
    report.fact("day", Cell::text(day.day));
    report.fact("changed at commit", Cell::Number(day.changed_at));
    report.fact("rows", Cell::Number(day.parts.iter().map(|part| part.rows).sum()));
    report.tables.push(parts("parts", &day.parts));
}

fn show_ids(version: u64, table: &IdTable, report: &mut Report) {
    report.fact("through commit", Cell::Number(version));
    report.fact("newest commit", time(table.newest_at()));
    report.fact("forgotten through", table.pruned_through().map_or(Cell::None, Cell::text));
    report.fact("ranges", Cell::count(table.range_count()));
    let row = |(incarnation, last_at, owner, ranges): (_, UnixNanos, _, &Ranges)| {
        let (incarnation, owner): (base::Incarnation, base::StoreId) = (incarnation, owner);
        vec![Cell::text(incarnation), Cell::text(owner), time(last_at), sequences(ranges)]
    };
    report.tables.push(Table {
        name: "batches",
        columns: vec!["incarnation", "owner", "last commit", "sequences"],
        rows: table.iter().map(row).collect(),
    });
}

fn show_manifest(manifest: &Manifest, report: &mut Report) {
    report.fact("through commit", Cell::Number(manifest.version));
    report.fact("time", time(manifest.at));
    show_ring(manifest.ring, report);
    let day = |entry: &catalog::DayEntry| {
        vec![Cell::text(&entry.tenant), Cell::text(entry.day), Cell::Number(entry.changed_at)]
    };
    report.tables.push(Table {
        name: "days",
        columns: vec!["tenant", "day", "changed at commit"],
        rows: manifest.days.iter().map(day).collect(),
    });
    let standing = manifest.predicates.iter();
    let rows = standing.map(|predicate| predicate_row(predicate.id.to_string(), &predicate.body));
    report.tables.push(predicates("predicates", rows.collect()));
}

fn time(at: UnixNanos) -> Cell {
    Cell::Time(at.0)
}

/// `1-7, 9`.
fn sequences(ranges: &Ranges) -> Cell {
    let one = |(first, last): (u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    Cell::Text(ranges.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn parts(name: &'static str, parts: &[PartRecord]) -> Table {
    let row = |part: &PartRecord| {
        vec![
            Cell::text(&part.tenant),
            Cell::text(part.day),
            Cell::Number(part.rows),
            Cell::Number(u64::from(part.streams)),
            Cell::Bytes(part.raw_bytes),
            Cell::Bytes(part.len_bytes),
            Cell::ratio(part.raw_bytes, part.len_bytes),
            Cell::Number(u64::from(part.level)),
            time(part.min_ts),
            time(part.max_ts),
            Cell::text(part.id.0),
            Cell::text(part.path()),
            Cell::Number(part.offset()),
        ]
    };
    Table {
        name,
        columns: vec![
            "tenant", "day", "rows", "streams", "raw", "stored", "ratio", "level", "oldest",
            "newest", "part", "object", "offset",
        ],
        rows: parts.iter().map(row).collect(),
    }
}

fn predicates(name: &'static str, rows: Vec<Vec<Cell>>) -> Table {
    let columns = vec!["predicate", "tenant", "from", "to", "requested", "request", "query"];
    Table { name, columns, rows }
}

fn predicate_row(id: String, predicate: &NewPredicate) -> Vec<Cell> {
    vec![
        Cell::Text(id),
        Cell::text(&predicate.tenant),
        time(predicate.start),
        time(predicate.end),
        time(predicate.created),
        Cell::text(&predicate.request_id),
        Cell::text(&predicate.query),
    ]
}

/// `cluster.json`.
pub fn cluster(bytes: &[u8]) -> Report {
    let mut report = Report::new("cluster.json");
    report.fact("size", Cell::Bytes(bytes.len() as u64));
    match Cluster::parse(bytes) {
        Ok(cluster) => {
            report.fact("cluster", Cell::text(cluster.id));
            report.tables.push(Table {
                name: "first voters",
                columns: vec!["store"],
                rows: cluster.first_voters.iter().map(|store| vec![Cell::text(store)]).collect(),
            });
        }
        Err(problem) => report.problem(0, problem),
    }
    report
}
