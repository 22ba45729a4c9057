//! The small columns of a row group: timestamps, line lengths, metadata.
//!
//! Each is a frame of its own whose content is cut into one chunk per page, so that a page is
//! decoded without its neighbours: the end of each chunk (u32, counted from the first chunk's
//! start), then the chunks. A metadata column has its distinct values before that.

use base::Run;

use crate::Error;
use crate::pack::{BLOCK, Unpack, put_packed};
use crate::wire::{Cursor, put_varint, put_zigzag};

/// Column kinds in the directory. A reader that does not know a kind leaves the column alone,
/// unless [`REQUIRED`] is set in its flags: then rows cannot be rendered without it.
pub(crate) mod kind {
    /// Timestamps.
    pub(crate) const TIMES: u8 = 1;
    /// Line lengths.
    pub(crate) const LENGTHS: u8 = 2;
    /// Structured metadata of one key, dictionary coded.
    pub(crate) const METADATA: u8 = 3;
}

/// Flag of a column without which a reader must not render rows.
pub(crate) const REQUIRED: u8 = 1;

/// Senders stamp in seconds, milli- or microseconds: what all timestamps of a page are multiples
/// of is divided out before they are packed.
const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Appends the chunk table and chunks; `chunk(page, out)` appends the chunk of a page.
pub(crate) fn put_chunks(
    out: &mut Vec<u8>,
    pages: usize,
    mut chunk: impl FnMut(usize, &mut Vec<u8>),
) {
    let table = out.len();
    out.resize(table + pages * 4, 0);
    let start = out.len();
    for page in 0..pages {
        chunk(page, out);
        let end = (out.len() - start) as u32;
        out[table + page * 4..table + page * 4 + 4].copy_from_slice(&end.to_le_bytes());
    }
}

/// The chunks of a column that is being written, page by page.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuilder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl ChunkBuilder {
    /// Adds the chunk of the next page, which `chunk` appends.
    pub(crate) fn push(&mut self, chunk: impl FnOnce(&mut Vec<u8>)) {
        chunk(&mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Appends the chunk table and chunks to `out` and starts over.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend(self.ends.iter().flat_map(|end| end.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Where the chunks of a decompressed column lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    /// Start of the first chunk, then the end of each, in the column's raw bytes.
    bounds: Vec<u32>,
    /// The frame's place in the part, for errors.
    offset: u64,
}

impl Chunks {
    /// Reads the chunk table at `cursor`, which goes over the whole raw column.
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        pages: usize,
        offset: u64,
    ) -> Result<(), Error> {
        self.offset = offset;
        self.bounds.clear();
        let table = cursor.take(pages * 4)?;
        let start = cursor.position();
        let mut before = start as u32;
        self.bounds.push(before);
        for entry in table.chunks_exact(4) {
            let end = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let end = u64::from(end) + start as u64;
            if end < u64::from(before) || end > (start + cursor.remaining()) as u64 {
                return Err(cursor.corrupt());
            }
            before = end as u32;
            self.bounds.push(before);
        }
        Ok(())
    }

    /// The chunk of `page`.
    pub(crate) fn get<'a>(&self, raw: &'a [u8], page: usize, what: &'static str) -> Cursor<'a> {
        Cursor::new(self.bytes(raw, page), what, self.offset)
    }

    /// The bytes of the chunk of `page`.
    pub(crate) fn bytes<'a>(&self, raw: &'a [u8], page: usize) -> &'a [u8] {
        let (from, to) = (self.bounds[page] as usize, self.bounds[page + 1] as usize);
        &raw[from..to]
    }
}

/// Appends the timestamps of a page. Inside a run they ascend; `runs` are relative to the page.
pub(crate) fn put_times(out: &mut Vec<u8>, ts_ns: &[i64], runs: &[Run], scratch: &mut Vec<u64>) {
    let divides = |unit: &i64| ts_ns.iter().all(|ts| ts % unit == 0);
    let unit = UNITS.iter().rposition(divides).expect("one divides everything");
    let scale = UNITS[unit];
    out.push(unit as u8);
    // Division is slow, and nanosecond stamps need none.
    let value = |ts: i64| if scale == 1 { ts } else { ts / scale };
    put_zigzag(out, value(ts_ns[0]));
    scratch.clear();
    let steps = ts_ns.windows(2).map(|pair| value(pair[1]).wrapping_sub(value(pair[0])) as u64);
    scratch.extend(steps);
    for run in &runs[..runs.len() - 1] {
        let step = &mut scratch[run.end as usize - 1];
        put_zigzag(out, *step as i64);
        *step = 0;
    }
    put_packed(out, scratch);
}

/// Decodes the timestamps of a page of `rows` rows.
pub(crate) fn get_times(
    mut chunk: Cursor<'_>,
    rows: usize,
    runs: &[Run],
    jumps: &mut Vec<i64>,
    out: &mut Vec<i64>,
) -> Result<(), Error> {
    out.clear();
    let Some(&scale) = UNITS.get(usize::from(chunk.u8()?)) else { return Err(chunk.corrupt()) };
    let mut at = chunk.zigzag()?;
    jumps.clear();
    for _ in 1..runs.len() {
        jumps.push(chunk.zigzag()?);
    }
    out.reserve(rows);
    out.push(at);
    let mut unpack = Unpack::new(chunk, rows - 1);
    loop {
        let count = unpack.block()?;
        if count == 0 {
            break;
        }
        out.extend(unpack.values[..count].iter().map(|&step| {
            at = at.wrapping_add(step as i64);
            at
        }));
    }
    unpack.rest().finish()?;
    let mut shift = 0i64;
    for (run, jump) in runs.windows(2).zip(jumps.iter()) {
        shift = shift.wrapping_add(*jump);
        for ts in &mut out[run[0].end as usize..run[1].end as usize] {
            *ts = ts.wrapping_add(shift);
        }
    }
    if scale > 1 {
        out.iter_mut().for_each(|ts| *ts = ts.wrapping_mul(scale));
    }
    Ok(())
}

/// Appends small numbers of a page: line lengths or metadata codes.
pub(crate) fn put_numbers(out: &mut Vec<u8>, numbers: &[u32], scratch: &mut Vec<u64>) {
    scratch.clear();
    scratch.extend(numbers.iter().map(|&number| u64::from(number)));
    put_packed(out, scratch);
}

/// Appends the line lengths of a page.
pub(crate) fn put_lengths(out: &mut Vec<u8>, lines: &base::StrView<'_>, scratch: &mut Vec<u64>) {
    scratch.clear();
    scratch.extend((0..lines.len()).map(|index| lines.length(index) as u64));
    put_packed(out, scratch);
}

/// Decodes line lengths into end offsets; they must add up to `line_bytes`.
pub(crate) fn get_ends(
    chunk: Cursor<'_>,
    rows: usize,
    line_bytes: u32,
    out: &mut Vec<u32>,
) -> Result<(), Error> {
    out.clear();
    out.reserve(rows);
    let mut end = 0u64;
    let mut unpack = Unpack::new(chunk, rows);
    loop {
        let count = unpack.block()?;
        if count == 0 {
            break;
        }
        out.extend(unpack.values[..count].iter().map(|&length| {
            end = end.saturating_add(length);
            end as u32
        }));
    }
    let rest = unpack.rest();
    if end != u64::from(line_bytes) {
        return Err(rest.corrupt());
    }
    rest.finish()
}

/// Decodes metadata codes, each at most `limit`.
pub(crate) fn get_codes(
    chunk: Cursor<'_>,
    rows: usize,
    limit: u32,
    out: &mut Vec<u32>,
) -> Result<(), Error> {
    out.clear();
    out.reserve(rows);
    let mut highest = 0u64;
    let mut unpack = Unpack::new(chunk, rows);
    loop {
        let count = unpack.block()?;
        if count == 0 {
            break;
        }
        out.extend(unpack.values[..count].iter().map(|&code| {
            highest = highest.max(code);
            code as u32
        }));
    }
    let rest = unpack.rest();
    if highest > u64::from(limit) {
        return Err(rest.corrupt());
    }
    rest.finish()
}

/// Appends the distinct values of a metadata column: count, packed lengths, bytes.
pub(crate) fn put_values(out: &mut Vec<u8>, values: &base::rows::Strings, scratch: &mut Vec<u64>) {
    put_varint(out, values.len() as u64);
    let view = values.view();
    scratch.clear();
    scratch.extend((0..view.len()).map(|index| view.length(index) as u64));
    put_packed(out, scratch);
    out.extend_from_slice(&values.bytes);
}

/// Reads the distinct values of a metadata column; `ends` are offsets into the cursor's bytes and
/// the start of the first value is returned.
pub(crate) fn get_values(cursor: &mut Cursor<'_>, ends: &mut Vec<u32>) -> Result<u32, Error> {
    ends.clear();
    // A block of 128 equal lengths takes two bytes, and every value past the first in a block may
    // be empty: so the count is bounded by 128 per two bytes.
    let count = cursor.varint()?;
    if count > (cursor.remaining() as u64 / 2 + 1) * BLOCK as u64 {
        return Err(cursor.corrupt());
    }
    ends.reserve(count as usize);
    let mut unpack = Unpack::new(cursor.clone(), count as usize);
    let mut end = 0u64;
    loop {
        let count = unpack.block()?;
        if count == 0 {
            break;
        }
        ends.extend(unpack.values[..count].iter().map(|&length| {
            end = end.saturating_add(length);
            end as u32
        }));
    }
    *cursor = unpack.rest();
    let start = cursor.position();
    if end > cursor.remaining() as u64 {
        return Err(cursor.corrupt());
    }
    cursor.take(end as usize)?;
    ends.iter_mut().for_each(|end| *end += start as u32);
    Ok(start as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs_of(cuts: &[usize], rows: usize) -> Vec<Run> {
        let mut ends: Vec<u32> =
            cuts.iter().map(|cut| (cut % rows) as u32).filter(|&c| c > 0).collect();
        ends.push(rows as u32);
        ends.sort_unstable();
        ends.dedup();
        ends.iter().enumerate().map(|(stream, &end)| Run { stream: stream as u32, end }).collect()
    }

    proptest! {
        #[test]
        fn timestamps_come_back(
            mut ts in prop::collection::vec(any::<i64>(), 1..400),
            cuts in prop::collection::vec(any::<usize>(), 0..5),
            unit in 0usize..4,
            near in any::<bool>(),
        ) {
            let runs = runs_of(&cuts, ts.len());
            for value in &mut ts {
                if near { *value %= 1_000_000_000_000; }
                *value -= *value % UNITS[unit];
            }
            let mut from = 0;
            for run in &runs {
                ts[from..run.end as usize].sort_unstable();
                from = run.end as usize;
            }
            let mut out = Vec::new();
            put_times(&mut out, &ts, &runs, &mut Vec::new());
            let mut back = vec![7];
            let cursor = Cursor::new(&out, "test", 0);
            get_times(cursor, ts.len(), &runs, &mut Vec::new(), &mut back).unwrap();
            prop_assert_eq!(back, ts);
        }

        #[test]
        fn dictionaries_come_back(words in prop::collection::vec(".{0,9}", 0..300)) {
            let mut values = base::rows::Strings::default();
            words.iter().for_each(|word| values.push(word.as_bytes()));
            let mut out = vec![1, 2, 3];
            put_values(&mut out, &values, &mut Vec::new());
            out.push(9);
            let mut cursor = Cursor::new(&out, "test", 0);
            cursor.take(3).unwrap();
            let mut ends = Vec::new();
            let start = get_values(&mut cursor, &mut ends).unwrap();
            prop_assert_eq!(cursor.remaining(), 1);
            let view = base::StrView { start, ends: &ends, bytes: &out };
            prop_assert_eq!(view.len(), words.len());
            for (index, word) in words.iter().enumerate() {
                prop_assert_eq!(view.get(index), word.as_bytes());
            }
        }
    }
}
