//! One batch as bytes: fixed counts, then its columns copied as they are.
//!
//! The layout is drawn in `docs/formats/wal.md`. All integers are little-endian. The decoder trusts
//! nothing: every count is checked against the bytes that are left before anything is allocated,
//! and every column is checked against the others, so that a batch that decodes can be appended.

use base::batch::Incarnation;
use base::labels::LabelsBuilder;
use base::rows::{DictColumn, Strings};
use base::time::{DAY_NS, Day};
use base::{Batch, BatchId, HashMap, Labels, Rows, Run, StoreId, TenantId};
use ulid::Ulid;

/// The payload version written.
const VERSION: u16 = 1;
/// Bytes of the fixed fields at the start of a payload.
const FIXED_BYTES: usize = 80;
/// Most bytes of one record's payload: a batch is cut from one request body, and replay holds one
/// record in memory.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 256 << 20;
/// Label sets that a decoder remembers; more are forgotten all at once.
const MAX_KNOWN_LABELS: usize = 1 << 16;

/// Bytes that [`encode`] appends for `batch`.
pub(crate) fn encoded_bytes(batch: &Batch) -> usize {
    let rows = &batch.rows;
    let metadata: usize = rows.metadata.iter().map(|column| column_bytes(column, rows.len())).sum();
    FIXED_BYTES
        + batch.members.len() * 16
        + batch.tenant.as_str().len()
        + stream_table_bytes(&batch.streams)
        + rows.runs.len() * 8
        + rows.len() * 12
        + rows.lines.bytes.len()
        + metadata
}

fn stream_table_bytes(streams: &[Labels]) -> usize {
    streams.iter().map(|labels| 4 + labels.len() * 8 + labels.text_bytes()).sum()
}

fn column_bytes(column: &DictColumn, rows: usize) -> usize {
    12 + column.name.len() + rows * 4 + column.values.len() * 4 + column.values.bytes.len()
}

/// Panics unless the batch is one that [`decode`](Decoder::decode) gives back. Called on the
/// thread that appends, so that a bug there cannot kill the writer.
pub(crate) fn assert_encodable(batch: &Batch) {
    batch.rows.assert_consistent();
    assert!(!batch.members.is_empty(), "a batch has members");
    assert!(batch.factor > 0, "a batch is acknowledged by somebody");
    assert!(batch.members.len() <= usize::from(u16::MAX), "too many members");
    let streams = batch.streams.len();
    let known = batch.rows.runs.iter().all(|run| (run.stream as usize) < streams);
    assert!(known, "a run names a stream that is not in the table");
    assert!(in_day(&batch.rows.ts_ns, batch.day), "a row of batch {} is not of its day", batch.id);
}

fn in_day(ts_ns: &[i64], day: Day) -> bool {
    let start = day.start_ns();
    let last = start.saturating_add(DAY_NS - 1);
    ts_ns.iter().all(|&ts| start <= ts && ts <= last)
}

/// Appends the payload of `batch` to `out`.
pub(crate) fn encode(batch: &Batch, out: &mut Vec<u8>) {
    let rows = &batch.rows;
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(batch.members.len() as u16).to_le_bytes());
    put_u32(out, batch.attempt as usize);
    out.extend_from_slice(&batch.id.incarnation.0.0.to_le_bytes());
    out.extend_from_slice(&batch.id.owner.0.0.to_le_bytes());
    out.extend_from_slice(&batch.id.sequence.to_le_bytes());
    out.extend_from_slice(&batch.day.0.to_le_bytes());
    put_u32(out, batch.streams.len());
    put_u32(out, rows.runs.len());
    put_u32(out, rows.len());
    put_u32(out, rows.lines.bytes.len());
    put_u32(out, rows.metadata.len());
    put_u32(out, stream_table_bytes(&batch.streams));
    out.extend_from_slice(&(batch.tenant.as_str().len() as u16).to_le_bytes());
    out.extend_from_slice(&[if batch.factor == 1 { 0 } else { batch.factor }, 0]);
    for member in &batch.members {
        out.extend_from_slice(&member.0.0.to_le_bytes());
    }
    out.extend_from_slice(batch.tenant.as_str().as_bytes());
    for labels in &batch.streams {
        put_labels(out, labels);
    }
    let at = grow(out, rows.runs.len() * 8);
    for (to, run) in out[at..].chunks_exact_mut(8).zip(&rows.runs) {
        to[..4].copy_from_slice(&run.stream.to_le_bytes());
        to[4..].copy_from_slice(&run.end.to_le_bytes());
    }
    let at = grow(out, rows.len() * 8);
    for (to, ts) in out[at..].chunks_exact_mut(8).zip(&rows.ts_ns) {
        to.copy_from_slice(&ts.to_le_bytes());
    }
    put_u32s(out, &rows.lines.ends);
    out.extend_from_slice(&rows.lines.bytes);
    for column in &rows.metadata {
        put_u32(out, column.name.len());
        put_u32(out, column.values.len());
        put_u32(out, column.values.bytes.len());
        out.extend_from_slice(column.name.as_bytes());
        put_u32s(out, &column.codes);
        put_u32s(out, &column.values.ends);
        out.extend_from_slice(&column.values.bytes);
    }
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    let value = u32::try_from(value).expect("counts and arenas of rows are u32");
    out.extend_from_slice(&value.to_le_bytes());
}

/// Lengthens `out` by `bytes` and returns where they begin.
fn grow(out: &mut Vec<u8>, bytes: usize) -> usize {
    let at = out.len();
    out.resize(at + bytes, 0);
    at
}

fn put_u32s(out: &mut Vec<u8>, values: &[u32]) {
    let at = grow(out, values.len() * 4);
    for (to, value) in out[at..].chunks_exact_mut(4).zip(values) {
        to.copy_from_slice(&value.to_le_bytes());
    }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_u32(out, labels.len());
    for (name, value) in labels.iter() {
        put_u32(out, name.len());
        put_u32(out, value.len());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

/// Why a payload is not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DecodeError(&'static str);

/// Reads payloads. Remembers label sets, because the same streams come in every batch.
#[derive(Default)]
pub(crate) struct Decoder {
    known: HashMap<Box<[u8]>, Labels>,
}

impl Decoder {
    /// Reads one payload, which must be used up exactly.
    pub(crate) fn decode(&mut self, payload: &[u8]) -> Result<Batch, DecodeError> {
        let mut input = Input(payload);
        let version = input.u16()?;
        if version != VERSION {
            return Err(DecodeError("unknown payload version"));
        }
        let members = usize::from(input.u16()?);
        let attempt = input.u32()?;
        let incarnation = Incarnation(input.ulid()?);
        let owner = StoreId(input.ulid()?);
        let sequence = input.u64()?;
        let day = Day(input.u32()? as i32);
        let streams = input.u32()? as usize;
        let runs = input.u32()? as usize;
        let rows = input.u32()? as usize;
        let line_bytes = input.u32()? as usize;
        let columns = input.u32()? as usize;
        let stream_bytes = input.u32()? as usize;
        let tenant_bytes = usize::from(input.u16()?);
        let [factor, reserved] = input.u16()?.to_le_bytes();
        if reserved != 0 {
            return Err(DecodeError("a reserved byte is set"));
        }
        let factor = factor.max(1);
        if members == 0 {
            return Err(DecodeError("no members"));
        }
        let members = input.take(members * 16)?.chunks_exact(16);
        let members = members.map(|bytes| StoreId(Ulid(u128_at(bytes)))).collect();
        let tenant = std::str::from_utf8(input.take(tenant_bytes)?)
            .ok()
            .and_then(|text| TenantId::new(text).ok())
            .ok_or(DecodeError("bad tenant id"))?;
        let mut table = Input(input.take(stream_bytes)?);
        let streams = self.streams(&mut table, streams)?;
        if !table.0.is_empty() {
            return Err(DecodeError("stream table is longer than its streams"));
        }
        let rows = decode_rows(&mut input, [runs, rows, line_bytes, columns])?;
        if !input.0.is_empty() {
            return Err(DecodeError("bytes after the last column"));
        }
        if rows.runs.iter().any(|run| run.stream as usize >= streams.len()) {
            return Err(DecodeError("a run names no stream"));
        }
        if !in_day(&rows.ts_ns, day) {
            return Err(DecodeError("a row outside the batch's day"));
        }
        let id = BatchId { incarnation, owner, sequence };
        Ok(Batch { id, attempt, members, factor, tenant, day, streams, rows })
    }

    fn streams(&mut self, input: &mut Input<'_>, count: usize) -> Result<Vec<Labels>, DecodeError> {
        // A label set has at least its count of four bytes.
        if count > input.0.len() / 4 {
            return Err(DecodeError("more streams than bytes"));
        }
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let whole = input.0;
            let mut rest = Input(whole);
            let labels = rest.u32()? as usize;
            for _ in 0..labels {
                let (name, value) = (rest.u32()? as usize, rest.u32()? as usize);
                rest.take(name.saturating_add(value))?;
            }
            let bytes = input.take(whole.len() - rest.0.len())?;
            streams.push(self.labels(bytes)?);
        }
        Ok(streams)
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<Labels, DecodeError> {
        if let Some(labels) = self.known.get(bytes) {
            return Ok(labels.clone());
        }
        let mut input = Input(bytes);
        let count = input.u32()? as usize;
        let mut builder = LabelsBuilder::default();
        let mut last: &[u8] = &[];
        for index in 0..count {
            let (name, value) = (input.u32()? as usize, input.u32()? as usize);
            let (name, value) = (input.take(name)?, input.take(value)?);
            if index > 0 && name <= last {
                return Err(DecodeError("labels are not sorted"));
            }
            last = name;
            match (std::str::from_utf8(name), std::str::from_utf8(value)) {
                (Ok(name), Ok(value)) => builder.set(name, value),
                _ => return Err(DecodeError("a label is not UTF-8")),
            }
        }
        let labels = builder.build();
        if self.known.len() >= MAX_KNOWN_LABELS {
            self.known.clear();
        }
        self.known.insert(bytes.into(), labels.clone());
        Ok(labels)
    }
}

/// `counts`: runs, rows, line bytes, metadata columns.
fn decode_rows(input: &mut Input<'_>, counts: [usize; 4]) -> Result<Rows, DecodeError> {
    let [run_count, row_count, line_bytes, columns] = counts;
    let runs: Vec<Run> = input
        .take(run_count * 8)?
        .chunks_exact(8)
        .map(|bytes| Run { stream: u32_at(bytes), end: u32_at(&bytes[4..]) })
        .collect();
    let covers = runs.last().map_or(0, |run| run.end as usize) == row_count;
    if !covers || !runs.windows(2).all(|pair| pair[0].end < pair[1].end) {
        return Err(DecodeError("runs do not cover the rows"));
    }
    if runs.first().is_some_and(|run| run.end == 0) {
        return Err(DecodeError("an empty run"));
    }
    let ts_ns = input.take(row_count * 8)?.chunks_exact(8);
    let ts_ns = ts_ns.map(|bytes| u64_at(bytes) as i64).collect();
    let lines = input.strings(row_count, line_bytes)?;
    // A column has at least its three counts.
    if columns > input.0.len() / 12 {
        return Err(DecodeError("more metadata columns than bytes"));
    }
    let mut metadata: Vec<DictColumn> = Vec::with_capacity(columns);
    for _ in 0..columns {
        let name = input.u32()? as usize;
        let value_count = input.u32()? as usize;
        let value_bytes = input.u32()? as usize;
        let name = std::str::from_utf8(input.take(name)?);
        let name = name.map_err(|_| DecodeError("a metadata name is not UTF-8"))?;
        if metadata.last().is_some_and(|last| &*last.name >= name) {
            return Err(DecodeError("metadata columns are not sorted"));
        }
        let codes = input.u32s(row_count)?;
        if codes.iter().any(|&code| code as usize > value_count) {
            return Err(DecodeError("a metadata code has no value"));
        }
        let values = input.strings(value_count, value_bytes)?;
        metadata.push(DictColumn { name: name.into(), codes, values });
    }
    Ok(Rows { runs, ts_ns, lines, metadata })
}

/// What is left of a payload.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(DecodeError("payload is short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take(4).map(u32_at)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take(8).map(u64_at)
    }

    fn ulid(&mut self) -> Result<Ulid, DecodeError> {
        self.take(16).map(|bytes| Ulid(u128_at(bytes)))
    }

    fn u32s(&mut self, count: usize) -> Result<Vec<u32>, DecodeError> {
        Ok(self.take(count * 4)?.chunks_exact(4).map(u32_at).collect())
    }

    fn strings(&mut self, count: usize, bytes: usize) -> Result<Strings, DecodeError> {
        let ends = self.u32s(count)?;
        let ascending = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        if !ascending || ends.last().map_or(0, |&end| end as usize) != bytes {
            return Err(DecodeError("string ends do not fit the bytes"));
        }
        Ok(Strings { ends, bytes: self.take(bytes)?.to_vec() })
    }
}

pub(crate) fn u32_at(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

pub(crate) fn u128_at(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(bytes[..16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests;
