//! Batches and rows: what an append carries, so the cost of the wire is here.

use base::batch::Incarnation;
use base::rows::{DictColumn, Strings};
use base::time::{DAY_NS, Day};
use base::{Batch, BatchId, Rows, Run};
use bytes::Bytes;

use super::{Wire, label_sets, read_label_sets, required, tenant};
use crate::columns::{
    TextList, append, check_ends, chunks, column, exactly, read_stores, stores, texts, ulid,
    ulid_bytes, values,
};
use crate::error::WireError;
use crate::v1;

/// Most metadata columns of a batch.
const MAX_COLUMNS: usize = 1 << 16;

impl Wire for Batch {
    type Message = v1::Batch;

    fn to_wire(&self) -> v1::Batch {
        v1::Batch {
            incarnation: ulid_bytes(self.id.incarnation.0),
            owner: ulid_bytes(self.id.owner.0),
            sequence: self.id.sequence,
            attempt: self.attempt,
            members: stores(&self.members),
            factor: u32::from(self.factor),
            tenant: self.tenant.as_str().to_owned(),
            day: self.day.0,
            streams: Some(label_sets(&self.streams)),
            rows: Some(self.rows.to_wire()),
        }
    }

    fn from_wire(message: v1::Batch) -> Result<Batch, WireError> {
        const MESSAGE: &str = "Batch";
        let incarnation = Incarnation(ulid(MESSAGE, "incarnation", &message.incarnation)?);
        let mut owner = read_stores(MESSAGE, "owner", &message.owner)?;
        let (Some(owner), true) = (owner.pop(), owner.is_empty()) else {
            return Err(WireError::new(MESSAGE, "owner is not one store"));
        };
        let members = read_stores(MESSAGE, "members", &message.members)?;
        let few = (1..=usize::from(u16::MAX)).contains(&members.len());
        ensure!(few, MESSAGE, "{} members", members.len());
        let factor = u8::try_from(message.factor.max(1));
        let factor =
            factor.map_err(|_| WireError::new(MESSAGE, "a replication factor over 255"))?;
        let day = Day(message.day);
        let streams = read_label_sets(message.streams.as_ref())?;
        let rows = Rows::from_wire(required(MESSAGE, "rows", message.rows)?)?;
        let known = rows.runs.iter().all(|run| (run.stream as usize) < streams.len());
        ensure!(known, MESSAGE, "a run names a stream that is not in the table");
        let start = day.start_ns();
        let last = start.saturating_add(DAY_NS - 1);
        let in_day = rows.ts_ns.iter().fold(true, |all, ts| all & (start <= *ts && *ts <= last));
        ensure!(in_day, MESSAGE, "a row outside the batch's day");
        let id = BatchId { incarnation, owner, sequence: message.sequence };
        let tenant = tenant(MESSAGE, &message.tenant)?;
        Ok(Batch { id, attempt: message.attempt, members, factor, tenant, day, streams, rows })
    }
}

/// Which width the codes of a column have, by the number of its values.
fn code_bytes(values: usize) -> usize {
    match values {
        0..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4,
    }
}

impl Wire for Rows {
    type Message = v1::Rows;

    fn to_wire(&self) -> v1::Rows {
        let columns = &self.metadata;
        let mut codes = Vec::with_capacity(
            columns.iter().map(|column| code_bytes(column.values.len()) * self.len()).sum(),
        );
        let mut value_ends = Vec::new();
        let mut value_bytes = Vec::new();
        for column in columns {
            let of_row = column.codes.iter();
            match code_bytes(column.values.len()) {
                1 => append(&mut codes, of_row.map(|&code| code as u8)),
                2 => append(&mut codes, of_row.map(|&code| code as u16)),
                _ => append(&mut codes, of_row.copied()),
            }
            append(&mut value_ends, column.values.ends.iter().copied());
            value_bytes.extend_from_slice(&column.values.bytes);
        }
        let mut message = v1::Rows {
            run_streams: column(self.runs.iter().map(|run| run.stream)),
            run_ends: column(self.runs.iter().map(|run| run.end)),
            ts_ns: column(self.ts_ns.iter().copied()),
            line_ends: column(self.lines.ends.iter().copied()),
            lines: Bytes::copy_from_slice(&self.lines.bytes),
            metadata_names: Some(texts(columns.iter().map(|column| &*column.name))),
            metadata_value_counts: column(columns.iter().map(|column| column.values.len() as u32)),
            metadata_codes: codes.into(),
            metadata_value_ends: value_ends.into(),
            metadata_values: value_bytes.into(),
            crc32c: None,
        };
        message.crc32c = Some(checksum(&message));
        message
    }

    fn from_wire(message: v1::Rows) -> Result<Rows, WireError> {
        const MESSAGE: &str = "Rows";
        if let Some(want) = message.crc32c {
            let found = checksum(&message);
            ensure!(found == want, MESSAGE, "checksum {found:08x} instead of {want:08x}");
        }
        let ts_ns: Vec<i64> = values(MESSAGE, "ts_ns", &message.ts_ns)?;
        let line_ends: Vec<u32> = exactly(MESSAGE, "line_ends", &message.line_ends, ts_ns.len())?;
        check_ends(MESSAGE, "line_ends", &line_ends, message.lines.len())?;
        let runs = read_runs(MESSAGE, &message.run_streams, &message.run_ends, ts_ns.len())?;
        let metadata = read_metadata(&message, ts_ns.len())?;
        let lines = Strings { ends: line_ends, bytes: message.lines.into() };
        Ok(Rows { runs, ts_ns, lines, metadata })
    }
}

/// Reads runs that cover `rows` rows.
pub fn read_runs(
    message: &'static str,
    streams: &[u8],
    ends: &[u8],
    rows: usize,
) -> Result<Vec<Run>, WireError> {
    let streams: Vec<u32> = values(message, "run_streams", streams)?;
    let ends: Vec<u32> = exactly(message, "run_ends", ends, streams.len())?;
    let covered = ends.last().map_or(0, |&end| end as usize);
    ensure!(covered == rows, message, "runs cover {covered} of {rows} rows");
    let ascends = ends.windows(2).all(|pair| pair[0] < pair[1]);
    ensure!(ascends && ends.first() != Some(&0), message, "a run is empty");
    Ok(streams.into_iter().zip(ends).map(|(stream, end)| Run { stream, end }).collect())
}

fn read_metadata(message: &v1::Rows, rows: usize) -> Result<Vec<DictColumn>, WireError> {
    const MESSAGE: &str = "Rows";
    let names = TextList::new(MESSAGE, "metadata_names", message.metadata_names.as_ref())?;
    ensure!(names.len() <= MAX_COLUMNS, MESSAGE, "{} columns are too many", names.len());
    let counts = &message.metadata_value_counts;
    let counts: Vec<u32> = exactly(MESSAGE, "metadata_value_counts", counts, names.len())?;
    let mut codes = Cut { name: "metadata_codes", rest: &message.metadata_codes };
    let mut ends = Cut { name: "metadata_value_ends", rest: &message.metadata_value_ends };
    let mut bytes = Cut { name: "metadata_values", rest: &message.metadata_values };
    let mut columns: Vec<DictColumn> = Vec::with_capacity(names.len());
    for (name, count) in names.iter().zip(counts) {
        let sorted = columns.last().is_none_or(|last| &*last.name < name);
        ensure!(sorted, MESSAGE, "metadata columns are not sorted");
        let width = code_bytes(count as usize);
        let codes = codes.take(rows.saturating_mul(width))?;
        let codes: Vec<u32> = match width {
            1 => codes.iter().map(|&code| u32::from(code)).collect(),
            2 => chunks::<u16>(codes).map(u32::from).collect(),
            _ => chunks(codes).collect(),
        };
        let largest = codes.iter().fold(0, |most, &code| most.max(code));
        ensure!(largest <= count, MESSAGE, "code {largest} of {count} values of {name:?}");
        let ends: Vec<u32> = chunks(ends.take((count as usize).saturating_mul(4))?).collect();
        let length = ends.last().map_or(0, |&end| end as usize);
        check_ends(MESSAGE, "metadata_value_ends", &ends, length)?;
        let values = Strings { ends, bytes: bytes.take(length)?.to_vec() };
        columns.push(DictColumn { name: name.into(), codes, values });
    }
    for cut in [codes, ends, bytes] {
        ensure!(cut.rest.is_empty(), MESSAGE, "{} is too long", cut.name);
    }
    Ok(columns)
}

/// A field that is cut into the pieces of the columns.
struct Cut<'a> {
    name: &'static str,
    rest: &'a [u8],
}

impl<'a> Cut<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let Some((piece, rest)) = self.rest.split_at_checked(count) else {
            return Err(WireError::new("Rows", format_args!("{} is too short", self.name)));
        };
        self.rest = rest;
        Ok(piece)
    }
}

fn checksum(rows: &v1::Rows) -> u32 {
    let columns = [
        &rows.run_streams,
        &rows.run_ends,
        &rows.ts_ns,
        &rows.line_ends,
        &rows.lines,
        &rows.metadata_value_counts,
        &rows.metadata_codes,
        &rows.metadata_value_ends,
        &rows.metadata_values,
    ];
    columns.into_iter().fold(0, |crc, column| crc32c::crc32c_append(crc, column))
}
