//! Parts in, one part out.

use base::{Day, Labels, TenantId};

use crate::read::{Columns, Fetched, GroupReader, RangeRead};
use crate::rowhash::Instant;
use crate::write::{Mapping, Piece, Writer};
use crate::{Error, Footer, Image, Options};

/// A part to merge.
pub struct Input<'a, E> {
    /// Its footer.
    pub footer: &'a Footer,
    /// Its bytes.
    pub reader: &'a dyn RangeRead<Error = E>,
}

/// Merges sorted parts of one tenant and day into one, and drops rows that are in several.
///
/// Rows of one instant come in the order of `inputs`. Holds one page of lines and one row group of
/// compressed bytes and small columns per input, and the output. `None` when there are no rows.
pub fn merge<E: From<Error>>(
    tenant: &TenantId,
    day: Day,
    inputs: &[Input<'_, E>],
    options: &Options,
) -> Result<Option<Image>, E> {
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
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        cursors.push(Cursor::new(input, &labels)?);
    }
    let mut merge = Merge {
        writer: Writer::new(tenant, day, &labels, options)?,
        cursors,
        active: Vec::new(),
        instant: Instant::default(),
    };
    while merge.next_stream() {
        merge.stream()?;
    }
    Ok(merge.writer.finish()?)
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

struct Merge<'a, E> {
    writer: Writer<'a>,
    cursors: Vec<Cursor<'a, E>>,
    /// Cursors that stand in the lowest stream, in input order.
    active: Vec<usize>,
    instant: Instant,
}

impl<E: From<Error>> Merge<'_, E> {
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
        while !self.active.is_empty() {
            match self.next_rows() {
                Next::Tie(ts_ns) => self.instant(stream, ts_ns)?,
                // No other cursor has a row in between: no comparing, whole ranges.
                Next::Before(first, until) => {
                    let cursor = &mut self.cursors[first];
                    while cursor.stream() == stream && cursor.ts_ns() < until {
                        let to = cursor.reach(|ts_ns| ts_ns < until);
                        cursor.append(to, &mut self.writer)?;
                    }
                }
                Next::Alone(only) => {
                    let cursor = &mut self.cursors[only];
                    while cursor.stream() == stream {
                        let to = cursor.reach(|_| true);
                        cursor.append(to, &mut self.writer)?;
                    }
                }
            }
            self.active.retain(|&at| self.cursors[at].stream() == stream);
        }
        Ok(())
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
                let is_new = cursor.insert_into(&mut self.instant);
                if is_new {
                    let to = cursor.row + 1;
                    cursor.append(to, &mut self.writer)?;
                } else {
                    cursor.skip()?;
                }
            }
        }
        Ok(())
    }
}

/// Walks the rows of one part.
struct Cursor<'a, E> {
    footer: &'a Footer,
    source: &'a dyn RangeRead<Error = E>,
    reader: GroupReader,
    fetched: Fetched,
    /// Stream of the merged part for each stream of this one.
    streams: Vec<u32>,
    mapping: Mapping,
    group: usize,
    page: usize,
    /// Row in the page, run in the page.
    row: usize,
    run: usize,
}

impl<'a, E: From<Error>> Cursor<'a, E> {
    fn new(input: &Input<'a, E>, labels: &[Labels]) -> Result<Cursor<'a, E>, E> {
        let find = |own: &Labels| labels.binary_search(own).expect("in the union") as u32;
        let mut cursor = Cursor {
            footer: input.footer,
            source: input.reader,
            reader: GroupReader::default(),
            fetched: Fetched::default(),
            streams: input.footer.labels().iter().map(find).collect(),
            mapping: Mapping::default(),
            group: 0,
            page: 0,
            row: 0,
            run: 0,
        };
        cursor.enter()?;
        Ok(cursor)
    }

    /// Reads the row group and decodes the page at which the cursor stands.
    fn enter(&mut self) -> Result<(), E> {
        if self.group == self.footer.groups().len() {
            return Ok(());
        }
        if self.page == 0 {
            let columns = Columns { line_bytes: true, metadata: None };
            let mut ranges = Vec::new();
            self.footer.column_ranges(self.group, &columns, &mut ranges);
            self.footer.line_ranges(self.group, u64::MAX, &mut ranges);
            self.fetched = Fetched::read(self.source, ranges)?;
            self.reader.group(self.footer, self.group, &columns, &self.fetched)?;
            self.mapping.reset();
        }
        self.reader.decode(self.footer, self.page, Some(&self.fetched))?;
        (self.row, self.run) = (0, 0);
        Ok(())
    }

    /// The stream of the merged part in which the cursor stands; `None` at the end.
    fn stream(&self) -> Option<u32> {
        if self.group == self.footer.groups().len() {
            return None;
        }
        Some(self.streams[self.reader.runs()[self.run].stream as usize])
    }

    /// The instant at which the cursor stands.
    fn ts_ns(&self) -> i64 {
        self.reader.ts_ns()[self.row]
    }

    /// One past the last row of this run and page for which `holds`, which is true for earlier
    /// rows if it is for a later one.
    fn reach(&self, holds: impl Fn(i64) -> bool) -> usize {
        let end = self.reader.runs()[self.run].end as usize;
        let ts_ns = &self.reader.ts_ns()[self.row..end];
        self.row + ts_ns.partition_point(|&ts_ns| holds(ts_ns))
    }

    /// Appends rows up to `to` of this page, all of one run, and moves there.
    fn append(&mut self, to: usize, writer: &mut Writer<'_>) -> Result<(), E> {
        let decoded = self.reader.current(self.footer);
        let stream = self.streams[self.reader.runs()[self.run].stream as usize];
        let piece = Piece { page: &decoded.view(), from: self.row, to, stream };
        writer.append(&piece, &mut self.mapping)?;
        drop(decoded);
        self.move_to(to)
    }

    fn insert_into(&self, instant: &mut Instant) -> bool {
        instant.insert(&self.reader.current(self.footer).view(), self.row)
    }

    fn skip(&mut self) -> Result<(), E> {
        self.move_to(self.row + 1)
    }

    fn move_to(&mut self, row: usize) -> Result<(), E> {
        self.row = row;
        if row < self.reader.ts_ns().len() {
            if row == self.reader.runs()[self.run].end as usize {
                self.run += 1;
            }
            return Ok(());
        }
        self.page += 1;
        if self.page == self.footer.pages(self.group).len() {
            self.page = 0;
            self.group += 1;
        }
        self.enter()
    }
}
