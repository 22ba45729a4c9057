//! The sink of the decoders: validates what comes and lays it into rows.
//!
//! One collector serves one push at a time and is reused. Nothing in it is allocated per entry.

use std::sync::Arc;

use base::hash::hash64;
use base::{Day, HashMap, Labels, Run, UnixNanos};
use hashbrown::HashTable;
use rpc::http::body::{BodyError, Hold};

use crate::cells::{Given, SharedCells, store_metadata};
use crate::charge::Charge;
use crate::decode::{Entry, Fault, Pairs, RawLabels, Sink};
use crate::error::Error;
use crate::metadata::clean_value;
use crate::part::Part;
use crate::problems::{Discards, Problems, Reason};
use crate::streams::{self, LabelLevel, Refusal, Stream, StreamCache};
use crate::tenants::Tenant;
use crate::validate::{self, Window};

/// Lines and bytes of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) lines: u64,
    pub(crate) line_bytes: u64,
    pub(crate) metadata_bytes: u64,
}

/// Valid rows of a push in the order of the body, and what was wrong with the others.
pub(crate) struct Collector {
    tenant: Arc<Tenant>,
    cache: Arc<StreamCache>,
    window: Window,
    now: UnixNanos,

    current: Current,
    /// Streams with valid rows.
    pub(crate) streams: Vec<Labels>,
    stream_index: HashTable<u32>,
    /// The rows, without their bytes.
    pub(crate) runs: Vec<Run>,
    pub(crate) ts_ns: Vec<i64>,
    pub(crate) sizes: Vec<u32>,
    /// The rows; the first `parts_used` count.
    pub(crate) parts: Vec<Part>,
    pub(crate) parts_used: usize,
    /// The newest part of each day: the only one that may have room.
    by_day: HashMap<Day, usize>,
    /// Which part the rows went to: (part, one past the last row).
    pub(crate) order: Vec<(u32, u32)>,

    pub(crate) received: Volume,
    pub(crate) valid_bytes: u64,
    pub(crate) truncated: (u64, u64),
    pub(crate) blocked: bool,
    pub(crate) problems: Problems,
    pub(crate) discards: Discards,
    /// The first label text that does not parse; fails the push if the body decodes.
    labels_error: Option<Error>,
    /// The first metadata name that cannot be stored; fails the push if all labels parse.
    name_error: Option<Error>,
    /// Why the rows cannot all be held; fails the push whatever else is wrong with it.
    too_much: Option<Error>,
    /// One of the three is set: nothing more is taken.
    has_failed: bool,
    charge: Charge,
    /// Rows whose timestamps and sizes are charged.
    charged_rows: usize,
    pub(crate) shared_cells: SharedCells,
    scratch: Vec<u8>,
    cut_line: Vec<u8>,
    expected_rows: usize,
}

/// The stream whose entries come.
#[derive(Default)]
struct Current {
    stream: Option<Arc<Stream>>,
    /// Its index in `streams`, once it has a row.
    index: Option<u32>,
    refusal: Option<Refusal>,
    /// Whether the refusal was told.
    told: bool,
    /// The part of the last row.
    part: usize,
    /// Timestamps of the last row: as sent at the beginning of a series of equals, and as stored.
    last_ts: Option<(i64, i64)>,
}

impl Collector {
    pub(crate) fn new(tenant: Arc<Tenant>, cache: Arc<StreamCache>) -> Collector {
        Collector {
            tenant,
            cache,
            window: Window::default(),
            now: UnixNanos(0),
            current: Current::default(),
            streams: Vec::new(),
            stream_index: HashTable::new(),
            runs: Vec::new(),
            ts_ns: Vec::new(),
            sizes: Vec::new(),
            parts: Vec::new(),
            parts_used: 0,
            by_day: HashMap::default(),
            order: Vec::new(),
            received: Volume::default(),
            valid_bytes: 0,
            truncated: (0, 0),
            blocked: false,
            problems: Problems::default(),
            discards: Discards::default(),
            labels_error: None,
            name_error: None,
            too_much: None,
            has_failed: false,
            charge: Charge::nobody(),
            charged_rows: 0,
            shared_cells: SharedCells::default(),
            scratch: Vec::new(),
            cut_line: Vec::new(),
            expected_rows: 0,
        }
    }

    /// Begins a push of `tenant` at `now`. `expected_rows` and `body_bytes` are hints. The rows are
    /// paid for by `charge`.
    pub(crate) fn begin(
        &mut self,
        tenant: Arc<Tenant>,
        now: UnixNanos,
        expected_rows: usize,
        body_bytes: usize,
        charge: Charge,
    ) {
        self.tenant = tenant;
        self.charge = charge;
        self.now = now;
        self.window = Window::new(&self.tenant.limits, now);
        self.expected_rows = expected_rows;
        self.reset();
        if self.parts.is_empty() {
            self.parts.push(Part::new());
        }
        self.ts_ns.reserve(expected_rows);
        self.sizes.reserve(expected_rows);
        // Lines are never longer than the body they come from.
        self.parts[0].builder.reserve(expected_rows, body_bytes.min(MAX_RESERVED_BYTES));
    }

    /// What pays for the rows, which must be kept as long as they are. They are taken or dropped.
    pub(crate) fn end(&mut self) -> Hold {
        self.reset();
        std::mem::replace(&mut self.charge, Charge::nobody()).into_hold()
    }

    /// Drops all rows, as before the first stream.
    fn reset(&mut self) {
        self.current = Current::default();
        self.drop_rows();
        self.charge.restart();
        self.received = Volume::default();
        self.valid_bytes = 0;
        self.truncated = (0, 0);
        self.blocked = false;
        self.problems.clear();
        self.discards.clear();
        self.labels_error = None;
        self.name_error = None;
        self.too_much = None;
        self.has_failed = false;
    }

    fn drop_rows(&mut self) {
        self.streams.clear();
        self.stream_index.clear();
        self.runs.clear();
        self.ts_ns.clear();
        self.sizes.clear();
        for part in &mut self.parts[..self.parts_used] {
            if !part.builder.is_empty() {
                drop(part.builder.take());
            }
        }
        self.parts_used = 0;
        self.shared_cells.clear();
        self.charged_rows = 0;
        self.by_day.clear();
        self.order.clear();
    }

    /// The push takes more than may be held: what there is of it goes, and nothing more comes.
    #[cold]
    fn give_up(&mut self, error: &BodyError) {
        let text = format!("the rows of the push and their metadata: {error}");
        self.fail(Error::new(error.status(), text));
    }

    #[cold]
    fn fail(&mut self, error: Error) {
        self.drop_rows();
        self.too_much.get_or_insert(error);
        self.has_failed = true;
    }

    /// The error that fails the push as a whole, although its body decodes.
    pub(crate) fn fatal(&mut self, streams: usize) -> Option<Error> {
        if let Some(error) = self.too_much.take().or_else(|| self.labels_error.take()) {
            return Some(error);
        }
        if streams == 0 {
            let text = "error at least one valid stream is required for ingestion";
            return Some(Error::new(422, text));
        }
        self.name_error.take()
    }

    /// Bytes allocated for reuse.
    pub(crate) fn capacity(&self) -> usize {
        self.parts.len() * size_of::<Part>()
            + self.scratch.capacity()
            + self.shared_cells.capacity()
            + self.cut_line.capacity()
            + self.order.capacity() * size_of::<(u32, u32)>()
            + self.by_day.capacity() * size_of::<(Day, usize)>()
            + self.stream_index.capacity() * 8
    }

    /// An entry of a stream that is refused or blocked. A refusal is told once per stream.
    fn discard(&mut self, bytes: u64) {
        match &self.current.refusal {
            Some(refusal) => {
                self.discards.add(refusal.reason, 1, bytes);
                if !self.current.told {
                    self.current.told = true;
                    let key = hash64(refusal.text.as_bytes());
                    self.problems.add(key, || refusal.text.clone());
                }
            }
            None => {
                self.blocked = true;
                self.discards.add(Reason::BlockedIngestion, 1, bytes);
            }
        }
    }

    /// Go's rule: equal timestamps with different lines move on by a nanosecond each.
    fn incremented(&mut self, ts_ns: i64, line: &[u8]) -> i64 {
        let stored = match self.current.last_ts {
            Some((sent, stored)) if ts_ns == sent || ts_ns == stored => {
                let lines = &self.parts[self.current.part].builder.peek().lines;
                if lines.get(lines.len() - 1) != line {
                    self.current.last_ts = Some((sent, stored.saturating_add(1)));
                    return stored.saturating_add(1);
                }
                ts_ns
            }
            _ => ts_ns,
        };
        self.current.last_ts = Some((ts_ns, stored));
        stored
    }

    /// The part a row of `ts_ns` goes to.
    #[inline]
    fn part_for(&mut self, ts_ns: i64) -> Option<usize> {
        let last = self.order.last().map(|&(part, _)| part as usize);
        if let Some(last) = last
            && self.parts[last].covers(ts_ns)
            && !self.parts[last].is_full()
        {
            return Some(last);
        }
        self.other_part(ts_ns)
    }

    /// `None`: the push has too many days.
    fn other_part(&mut self, ts_ns: i64) -> Option<usize> {
        let day = Day::of(UnixNanos(ts_ns));
        if let Some(&found) = self.by_day.get(&day)
            && !self.parts[found].is_full()
        {
            return Some(found);
        }
        self.by_day.insert(day, self.parts_used);
        if self.by_day.len() > MAX_DAYS {
            return None;
        }
        if self.parts.len() == self.parts_used {
            self.parts.push(Part::new());
        }
        self.parts[self.parts_used].begin(ts_ns);
        self.parts_used += 1;
        Some(self.parts_used - 1)
    }

    fn stream_number(&mut self, labels: &Labels) -> u32 {
        if let Some(index) = self.current.index {
            return index;
        }
        let hash = labels.key().0;
        let streams = &self.streams;
        let found = self.stream_index.find(hash, |&at| streams[at as usize] == *labels).copied();
        let index = found.unwrap_or_else(|| {
            let index = self.streams.len() as u32;
            self.streams.push(labels.clone());
            let streams = &self.streams;
            self.stream_index.insert_unique(hash, index, |&at| streams[at as usize].key().0);
            index
        });
        self.current.index = Some(index);
        index
    }

    fn push(&mut self, stream: &Stream, ts_ns: i64, line: &[u8], metadata: Pairs<'_>, size: u64) {
        let number = self.stream_number(&stream.labels);
        let Some(at) = self.part_for(ts_ns) else {
            let text = format!("a push may have rows of at most {MAX_DAYS} days");
            return self.fail(Error::new(400, text));
        };
        let part = &mut self.parts[at];
        let runs = part.builder.peek().runs.len();
        part.builder.push(number, ts_ns, line);
        if part.builder.peek().runs.len() > runs {
            part.add_labels(STREAM_BYTES + stream.labels.text_bytes());
        }
        let (shared, scratch) = (&mut self.shared_cells, &mut self.scratch);
        let given = match store_metadata(at, part, &self.tenant, metadata, shared, scratch) {
            Ok(given) => given,
            Err(error) => {
                self.name_error.get_or_insert(error);
                self.has_failed = true;
                return;
            }
        };
        if self.tenant.limits.discover_log_levels {
            match (given, &stream.level) {
                (Given::Detected, _) => {}
                (_, Some(LabelLevel::Known(level))) => part.set_level(*level),
                (_, Some(LabelLevel::Text(level))) => part.set_level_text(level),
                (Given::Level(place), None) => {
                    let value = metadata.iter().nth(place).map_or(&b""[..], |(_, value)| value);
                    part.set_level_text(clean_value(value, &mut self.scratch));
                }
                (Given::Number(level), None) => part.set_level(level),
                (Given::Nothing, None) => part.set_level(self.tenant.detector.line(line)),
            }
        }
        if part.is_heavier(size) {
            let rows = self.ts_ns.len() + 1;
            let grown = part.weigh() + (rows - self.charged_rows) * ROW_BYTES;
            self.charged_rows = rows;
            if let Err(error) = self.charge.add(grown) {
                return self.give_up(&error);
            }
        }
        self.current.part = at;
        self.ts_ns.push(ts_ns);
        self.sizes.push(u32::try_from(size).unwrap_or(u32::MAX));
        self.valid_bytes += size;
        let end = self.ts_ns.len() as u32;
        match self.runs.last_mut() {
            Some(run) if run.stream == number => run.end = end,
            _ => self.runs.push(Run { stream: number, end }),
        }
        match self.order.last_mut() {
            Some((part, last)) if *part == at as u32 => *last = end,
            _ => self.order.push((at as u32, end)),
        }
    }
}

/// Days whose rows one push may have: each becomes a batch, and a part, of its own.
const MAX_DAYS: usize = 4096;
/// What a row takes beside its part: timestamp and size.
const ROW_BYTES: usize = size_of::<i64>() + size_of::<u32>();
/// What a stream takes in a part beside its labels, and the run of its rows.
const STREAM_BYTES: usize = 64;
/// Rows that are made room for at once: a body may announce what it does not hold.
const MAX_EXPECTED_ROWS: usize = 1 << 20;
/// A part that expects more than this grows as it fills.
const MAX_RESERVED_BYTES: usize = 33 << 20;

impl Sink for Collector {
    fn stream(&mut self, raw: RawLabels<'_>) -> Result<(), Fault> {
        self.current = Current::default();
        let (bytes, owner) = match raw {
            RawLabels::Text(bytes) => (bytes, self.tenant.owner),
            RawLabels::Json(bytes) => (bytes, self.tenant.owner + 1),
            RawLabels::Named(bytes) => (bytes, self.tenant.owner + 2),
        };
        if let Some(stream) = self.cache.get(owner, bytes) {
            self.current.stream = Some(stream);
            return Ok(());
        }
        let pairs = match streams::read(raw)? {
            Ok(pairs) => pairs,
            Err(error) => {
                self.labels_error.get_or_insert(error);
                self.has_failed = true;
                return Ok(());
            }
        };
        let Tenant { id, limits, detector, .. } = &*self.tenant;
        let is_named = matches!(raw, RawLabels::Named(_));
        match streams::admit(pairs, is_named, id, limits, detector) {
            Ok(stream) => {
                let stream = Arc::new(stream);
                self.cache.insert(owner, bytes, &stream);
                self.current.stream = Some(stream);
            }
            Err(refusal) => self.current.refusal = Some(refusal),
        }
        Ok(())
    }

    fn expect(&mut self, entries: usize) {
        let entries = entries.min(MAX_EXPECTED_ROWS);
        if entries > self.expected_rows {
            self.expected_rows = entries;
            self.ts_ns.reserve(entries);
            self.sizes.reserve(entries);
            self.parts[0].builder.reserve(entries, 0);
        }
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) {
        let metadata_bytes = entry.metadata.bytes();
        let line_bytes = entry.line.len() as u64 + entry.line_rest;
        self.received.lines += 1;
        self.received.line_bytes += line_bytes;
        self.received.metadata_bytes += metadata_bytes;
        if self.has_failed {
            return;
        }
        let blocked = self.window.blocked;
        let Some(stream) = self.current.stream.take().filter(|_| !blocked) else {
            return self.discard(line_bytes + metadata_bytes);
        };
        let limits = &*self.tenant.limits;
        let mut buffer = std::mem::take(&mut self.cut_line);
        let cut = validate::cut(entry.line, limits, &mut buffer);
        let line = cut.unwrap_or(entry.line);
        let length = if cut.is_some() { line.len() as u64 } else { line_bytes };
        let size = length + metadata_bytes;
        let cause = validate::entry(entry, length, metadata_bytes, &self.window, limits);
        let increment = limits.increment_duplicate_timestamp;
        if cut.is_some() {
            self.truncated.0 += 1;
            self.truncated.1 += line_bytes.saturating_sub(line.len() as u64);
        }
        match cause {
            Some(cause) => {
                self.discards.add(cause.reason(), 1, size);
                let key = cause.key(&stream.labels);
                self.problems.add(key, || cause.text(&self.window, &stream.labels));
            }
            None => {
                let ts_ns =
                    if increment { self.incremented(entry.ts_ns, line) } else { entry.ts_ns };
                self.push(&stream, ts_ns, line, entry.metadata, size);
            }
        }
        self.cut_line = buffer;
        self.current.stream = Some(stream);
    }

    fn restart(&mut self) {
        self.reset();
    }
}
