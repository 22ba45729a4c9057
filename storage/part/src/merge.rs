//! Parts in, one part out.
//!
//! Rows are merged stream by stream. A page of one stream that lies before the next row of every
//! other input is copied as it is stored, sketches included; only what interleaves, is small, or is
//! compressed otherwise than the output shall be, is decoded and written anew.

mod cursor;

use std::sync::Arc;

use base::{Day, Labels, TenantId};
use bytes::Bytes;

use crate::read::RangeRead;
use crate::rowhash::Instant;
use crate::templates::Template;
use crate::write::Writer;
use crate::{Error, Footer, Image, Options, Summary};

use cursor::Cursor;

/// A part to merge.
pub struct Input<E> {
    /// Its footer.
    pub footer: Arc<Footer>,
    /// Its bytes.
    pub reader: Arc<dyn RangeRead<Error = E>>,
}

/// Output is handed over when there is as much of it.
const CHUNK_BYTES: usize = 1 << 20;
/// Stored line bytes that all inputs together read ahead.
const AHEAD_BYTES: u64 = 8 << 20;
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

/// Merges sorted parts of one tenant and day into one, in memory. `None` when there are no rows.
/// See [`Merge`].
pub fn merge<E: From<Error>>(
    tenant: &TenantId,
    day: Day,
    inputs: &[Input<E>],
    options: &Options,
) -> Result<Option<Image>, E> {
    let mut merge = Merge::new(tenant, day, inputs, options)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = merge.next()? {
        bytes.extend_from_slice(&chunk);
    }
    let image = |&summary: &Summary| Image { bytes: bytes.into(), summary };
    Ok(merge.summary().map(image))
}

/// Merges sorted parts of one tenant and day into one, and gives its bytes in order, about a
/// megabyte at a time. Rows of one instant come in the order of the inputs, and a row that is in
/// several comes once.
///
/// Holds, per input, the small columns and sketches of one row group, one page, and a few megabytes
/// of compressed lines; of the output the small columns of one row group, and its trigram tables and
/// directory.
pub struct Merge<E> {
    writer: Writer,
    cursors: Vec<Cursor<E>>,
    /// The stream that is merged.
    stream: Option<u32>,
    /// Cursors that stand in it, in input order.
    active: Vec<usize>,
    instant: Instant,
    copies: Copies,
    /// Of the finished part; `Some(None)` when it has no rows.
    summary: Option<Option<Summary>>,
}

impl<E: From<Error>> Merge<E> {
    /// Reads the first row groups of all inputs. Blocking, as all of this is.
    pub fn new(
        tenant: &TenantId,
        day: Day,
        inputs: &[Input<E>],
        options: &Options,
    ) -> Result<Merge<E>, E> {
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
        let templates = templates(inputs, &labels)?;
        let mut writer = Writer::new(tenant, day, labels, options)?;
        if let Some(templates) = templates {
            writer.know(&templates);
        }
        Ok(Merge {
            writer,
            cursors,
            stream: None,
            active: Vec::new(),
            instant: Instant::default(),
            copies: Copies::default(),
            summary: None,
        })
    }

    /// The next bytes of the part; `None` at its end.
    #[allow(clippy::should_implement_trait)] // it fails
    pub fn next(&mut self) -> Result<Option<Bytes>, E> {
        while self.summary.is_none() {
            if self.is_chunk() {
                return Ok(Some(self.writer.output().take().into()));
            }
            if self.active.is_empty() && !self.next_stream()? {
                self.summary = Some(self.writer.finish()?);
                break;
            }
            match self.next_rows() {
                Next::Tie(ts_ns) => self.instant(ts_ns)?,
                // No other cursor has a row in between: no comparing, whole ranges.
                Next::Before(first, until) => self.rows(first, Some(until))?,
                Next::Alone(only) => self.rows(only, None)?,
            }
            self.active.retain(|&at| self.cursors[at].stream() == self.stream);
        }
        let rest = self.writer.output().take();
        Ok(if rest.is_empty() { None } else { Some(rest.into()) })
    }

    /// What the catalog says about the part, after its last bytes; `None` if it has no rows.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()?.as_ref()
    }

    /// What was copied so far.
    pub fn copies(&self) -> Copies {
        self.copies
    }

    fn is_chunk(&mut self) -> bool {
        self.writer.output().open().len() >= CHUNK_BYTES
    }

    /// Goes to the lowest stream at which a cursor stands.
    fn next_stream(&mut self) -> Result<bool, E> {
        self.stream = self.cursors.iter().filter_map(Cursor::stream).min();
        if self.stream.is_none() {
            return Ok(false);
        }
        let stands = |&at: &usize| self.cursors[at].stream() == self.stream;
        self.active.extend((0..self.cursors.len()).filter(stands));
        let bytes = |&at: &usize| self.cursors[at].stream_bytes();
        self.writer.begin_stream(self.active.iter().map(bytes).sum())?;
        Ok(true)
    }

    /// Takes the rows of a cursor that are in the stream and before `until`, or many of them.
    fn rows(&mut self, at: usize, until: Option<i64>) -> Result<(), E> {
        let is_before = |ts_ns: i64| until.is_none_or(|until| ts_ns < until);
        while !self.is_chunk() {
            let cursor = &mut self.cursors[at];
            if cursor.stream() != self.stream || !is_before(cursor.ts_ns()) {
                break;
            }
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
    fn instant(&mut self, ts_ns: i64) -> Result<(), E> {
        self.instant.clear();
        for &at in &self.active {
            let cursor = &mut self.cursors[at];
            while cursor.stream() == self.stream && cursor.ts_ns() == ts_ns {
                cursor.decode()?;
                if cursor.insert_into(&mut self.instant) {
                    cursor.append_one(&mut self.writer)?;
                } else {
                    cursor.skip()?;
                }
            }
        }
        Ok(())
    }
}

enum Next {
    /// Several cursors stand at this instant.
    Tie(i64),
    /// This cursor's rows before the instant at which the next one stands.
    Before(usize, i64),
    /// The rest of the stream in this cursor.
    Alone(usize),
}

/// Those of all inputs, their streams by their numbers in `labels`. `None` if no input has any: then
/// rows that are decoded are looked at.
fn templates<E>(inputs: &[Input<E>], labels: &[Labels]) -> Result<Option<Vec<Template>>, Error> {
    let mut all = None;
    for input in inputs {
        let Some(templates) = input.footer.templates()? else { continue };
        let own = input.footer.labels();
        let number = |&stream: &u32| {
            let found = labels.binary_search(&own[stream as usize]);
            found.expect("the union has every stream") as u32
        };
        let numbered = templates.into_iter().map(|template| Template {
            streams: template.streams.iter().map(number).collect(),
            ..template
        });
        all.get_or_insert_with(Vec::new).extend(numbered);
    }
    Ok(all)
}

/// All streams, ascending.
fn union<E>(inputs: &[Input<E>]) -> Vec<Labels> {
    let all = inputs.iter().flat_map(|input| input.footer.labels().iter().cloned());
    let mut labels: Vec<Labels> = all.collect();
    // Stable, because it finds the ascending run that each input is and merges them.
    labels.sort();
    labels.dedup();
    labels
}
