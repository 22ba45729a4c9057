//! Parts in, one part out.
//!
//! Rows are merged stream by stream. A page of one stream that lies before the next row of every
//! other input is copied as it is stored, sketches included; only what interleaves, is small, or is
//! compressed otherwise than the output shall be, is decoded and written anew.

mod cursor;

use base::{Day, Labels, TenantId};
use bytes::Bytes;

use crate::read::RangeRead;
use crate::rowhash::Instant;
use crate::write::Writer;
use crate::{Error, Footer, Image, Options, Summary};

use cursor::Cursor;

/// A part to merge.
pub struct Input<'a, E> {
    /// Its footer.
    pub footer: &'a Footer,
    /// Its bytes.
    pub reader: &'a dyn RangeRead<Error = E>,
}

/// Output is handed over when there is as much of it.
const CHUNK_BYTES: u64 = 1 << 20;
/// Line bytes that all inputs together read ahead.
const AHEAD_BYTES: u64 = 32 << 20;
/// An input reads at least this much at once, and not more than the other: requests cost, and
/// memory too.
const AHEAD_RANGE: (u64, u64) = (512 << 10, 4 << 20);

/// What a merge did with the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Pages that were copied as they are stored.
    pub pages: u64,
    /// Their line bytes.
    pub line_bytes: u64,
}

/// Merges sorted parts of one tenant and day into one, in memory, and drops rows that are in
/// several. `None` when there are no rows. See [`merge_into`].
pub fn merge<E: From<Error>>(
    tenant: &TenantId,
    day: Day,
    inputs: &[Input<'_, E>],
    options: &Options,
) -> Result<Option<Image>, E> {
    let mut bytes = Vec::new();
    let mut keep = |chunk: Bytes| {
        bytes.extend_from_slice(&chunk);
        Ok(())
    };
    let merged = merge_into(tenant, day, inputs, options, &mut keep)?;
    Ok(merged.map(|(summary, _)| Image { bytes: bytes.into(), summary }))
}

/// Merges sorted parts of one tenant and day and gives the bytes of the result to `sink`, in order,
/// about a megabyte at a time. Rows of one instant come in the order of `inputs`, and a row that is
/// in several comes once.
///
/// Holds, per input, the small columns and sketches of one row group, one page, and a few megabytes
/// of compressed lines; of the output the small columns of one row group, and its trigram tables and
/// directory.
pub fn merge_into<E: From<Error>>(
    tenant: &TenantId,
    day: Day,
    inputs: &[Input<'_, E>],
    options: &Options,
    sink: &mut dyn FnMut(Bytes) -> Result<(), E>,
) -> Result<Option<(Summary, Copies)>, E> {
    for input in inputs {
        if input.footer.tenant() != tenant || input.footer.day() != day {
            return Err(Error::Foreign {
                tenant: tenant.to_string(),
                day,
                found_tenant: input.footer.tenant().to_string(),
                found_day: input.footer.day(),
            }
            .into());
        }
    }
    let labels = union(inputs);
    let ahead = (AHEAD_BYTES / inputs.len().max(1) as u64).clamp(AHEAD_RANGE.0, AHEAD_RANGE.1);
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        cursors.push(Cursor::new(input, &labels, ahead)?);
    }
    let mut merge = Merge {
        writer: Writer::new(tenant, day, labels, options)?,
        cursors,
        active: Vec::new(),
        instant: Instant::default(),
        copies: Copies::default(),
        sink,
    };
    while merge.next_stream() {
        merge.stream()?;
    }
    let summary = merge.writer.finish()?;
    merge.hand_over(1)?;
    Ok(summary.map(|summary| (summary, merge.copies)))
}

/// All streams, ascending.
fn union<E>(inputs: &[Input<'_, E>]) -> Vec<Labels> {
    let all = inputs.iter().flat_map(|input| input.footer.labels().iter().cloned());
    let mut labels: Vec<Labels> = all.collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

enum Next {
    /// Several cursors stand at this instant.
    Tie(i64),
    /// This cursor's rows before the instant at which the next one stands.
    Before(usize, i64),
    /// The rest of the stream in this cursor.
    Alone(usize),
}

struct Merge<'a, 's, E> {
    writer: Writer,
    cursors: Vec<Cursor<'a, E>>,
    /// Cursors that stand in the lowest stream, in input order.
    active: Vec<usize>,
    instant: Instant,
    copies: Copies,
    sink: &'s mut dyn FnMut(Bytes) -> Result<(), E>,
}

impl<E: From<Error>> Merge<'_, '_, E> {
    /// Finds the lowest stream at which a cursor stands.
    fn next_stream(&mut self) -> bool {
        let lowest = self.cursors.iter().filter_map(Cursor::stream).min();
        self.active.clear();
        if lowest.is_some() {
            let stands = |&at: &usize| self.cursors[at].stream() == lowest;
            self.active.extend((0..self.cursors.len()).filter(stands));
        }
        lowest.is_some()
    }

    /// Moves all active cursors past their stream.
    fn stream(&mut self) -> Result<(), E> {
        let stream = self.cursors[self.active[0]].stream();
        let bytes = |&at: &usize| self.cursors[at].stream_bytes();
        self.writer.begin_stream(self.active.iter().map(bytes).sum())?;
        while !self.active.is_empty() {
            match self.next_rows() {
                Next::Tie(ts_ns) => self.instant(stream, ts_ns)?,
                // No other cursor has a row in between: no comparing, whole ranges.
                Next::Before(first, until) => self.rows(first, stream, Some(until))?,
                Next::Alone(only) => self.rows(only, stream, None)?,
            }
            self.active.retain(|&at| self.cursors[at].stream() == stream);
        }
        Ok(())
    }

    /// Takes the rows of a cursor that are in `stream` and before `until`.
    fn rows(&mut self, at: usize, stream: Option<u32>, until: Option<i64>) -> Result<(), E> {
        let is_before = |ts_ns: i64| until.is_none_or(|until| ts_ns < until);
        let cursor = &mut self.cursors[at];
        while cursor.stream() == stream && is_before(cursor.ts_ns()) {
            if self.writer.is_at_page()
                && cursor.is_page(&self.writer, until)
                && let Some(line_bytes) = cursor.copy_page(&mut self.writer)?
            {
                self.copies.pages += 1;
                self.copies.line_bytes += line_bytes;
            } else {
                cursor.decode()?;
                let to = cursor.reach(is_before);
                cursor.append(to, &mut self.writer)?;
            }
            if self.writer.output().open().len() as u64 >= CHUNK_BYTES {
                (self.sink)(self.writer.output().take().into())?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, least: u64) -> Result<(), E> {
        let output = self.writer.output();
        match output.open().len() as u64 >= least {
            true => (self.sink)(output.take().into()),
            false => Ok(()),
        }
    }

    /// Which rows of the active cursors come next.
    fn next_rows(&self) -> Next {
        if let [only] = self.active[..] {
            return Next::Alone(only);
        }
        let earliest = |&&at: &&usize| self.cursors[at].ts_ns();
        let first = *self.active.iter().min_by_key(earliest).expect("a cursor is active");
        let others = self.active.iter().filter(|&&at| at != first);
        let until = others.map(|&at| self.cursors[at].ts_ns()).min().expect("two are active");
        match self.cursors[first].ts_ns() == until {
            true => Next::Tie(until),
            false => Next::Before(first, until),
        }
    }

    /// Appends the rows of all active cursors at `ts_ns`, each row once.
    fn instant(&mut self, stream: Option<u32>, ts_ns: i64) -> Result<(), E> {
        self.instant.clear();
        for &at in &self.active {
            let cursor = &mut self.cursors[at];
            while cursor.stream() == stream && cursor.ts_ns() == ts_ns {
                cursor.decode()?;
                if cursor.insert_into(&mut self.instant) {
                    cursor.append_one(&mut self.writer)?;
                } else {
                    cursor.skip()?;
                }
            }
        }
        self.hand_over(CHUNK_BYTES)
    }
}
