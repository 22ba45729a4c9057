//! Files of the write-ahead log.

use base::{Batch, PageView};
use wal::Found;

use super::report::{Cell, Report, Table};

/// What every segment begins with.
pub const MAGIC: &[u8] = b"RLWALSEG";

/// A segment; `name` is that of its file.
pub fn segment(bytes: &[u8], name: Option<&str>, rows: usize) -> Report {
    let mut report = Report::new("segment of the write-ahead log");
    report.fact("size", Cell::Bytes(bytes.len() as u64));
    let named = name.and_then(|name| name.strip_suffix(".wal")?.parse().ok());
    let mut records = Table {
        name: "records",
        columns: vec![
            "offset",
            "bytes",
            "tenant",
            "day",
            "rows",
            "streams",
            "line bytes",
            "attempt",
            "members",
            "id",
        ],
        rows: Vec::new(),
    };
    let mut first = Table {
        name: "first rows",
        columns: vec!["timestamp", "labels", "metadata", "line"],
        rows: Vec::new(),
    };
    let (mut row_count, mut problems) = (0, Vec::new());
    let header = wal::inspect(bytes, named, &mut |found| match found {
        Found::Record { offset, bytes, batch: Ok(batch) } => {
            row_count += batch.rows.len();
            records.rows.push(record(offset, bytes, &batch));
            let left = rows.saturating_sub(first.rows.len());
            batch_rows(&batch, left, &mut first.rows);
        }
        Found::Record { offset, batch: Err(problem), .. } => problems.push((offset, problem)),
        Found::Damage { offset, what } => problems.push((offset, what.to_owned())),
        Found::Torn { offset, bytes } => problems.push((
            offset,
            format!(
                "no record can be read in the last {bytes} bytes: a write that was torn and never \
                 acknowledged, unless the header of the next segment says otherwise"
            ),
        )),
    });
    match header {
        Ok(header) => {
            report.fact("store", Cell::text(header.store));
            report.fact("number", Cell::Number(header.sequence));
            let of_name = named.is_none_or(|named| named == header.sequence);
            if !of_name {
                report.problem(28, format!("its name says another number: {name:?}"));
            }
            if header.previous > 0 {
                report.fact("previous segment", Cell::Number(header.previous));
                report.fact("previous ends at byte", Cell::Number(header.previous_end));
            }
        }
        Err(what) => report.problem(0, what),
    }
    report.fact("rows", Cell::count(row_count));
    report.problems.append(&mut problems);
    report.tables = vec![records, first];
    report
}

fn record(offset: u64, bytes: u64, batch: &Batch) -> Vec<Cell> {
    let members: Vec<String> = batch.members.iter().map(ToString::to_string).collect();
    vec![
        Cell::Number(offset),
        Cell::Bytes(bytes),
        Cell::text(&batch.tenant),
        Cell::text(batch.day),
        Cell::count(batch.rows.len()),
        Cell::count(batch.streams.len()),
        Cell::Bytes(batch.rows.lines.bytes.len() as u64),
        Cell::Number(u64::from(batch.attempt)),
        Cell::Text(members.join(",")),
        Cell::text(batch.id),
    ]
}

fn batch_rows(batch: &Batch, limit: usize, out: &mut Vec<Vec<Cell>>) {
    let metadata = batch.rows.metadata_views();
    let view: PageView<'_> = batch.rows.page(&metadata);
    super::rows(&view, &batch.streams, limit, out);
}

/// The file that says which store a directory is; [`None`] if `bytes` do not look like one.
pub fn store(bytes: &[u8]) -> Option<Report> {
    let mut report = Report::new("store file of the write-ahead log");
    if let Some(store) = wal::store_of(bytes) {
        report.fact("store", Cell::text(store));
        return Some(report);
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let (id, checksum) = text.trim_end().split_once(' ')?;
    let looks_so = id.len() == 26
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && checksum.len() <= 8;
    if !looks_so {
        return None;
    }
    report.fact("says it is", Cell::text(id));
    report.problem(27, "the checksum of the id is wrong");
    Some(report)
}
