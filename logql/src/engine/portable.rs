//! A partial as plain columns: how it leaves a process.
//!
//! [`Partial::to_portable`] gives columns whose order depends on nothing but what the partial
//! holds; [`Partial::from_portable`] believes nothing: whatever the columns say, the outcome is a
//! partial of the leaf or an error, memory stays within a small multiple of theirs, and nothing
//! panics. What the leaf or the rows themselves tell (panes of rows, hashes of lines, what is cut
//! off) is not sent.

mod cells;
mod entries;
mod samples;

use base::Labels;
use base::rows::Strings;

use super::Stats;
use super::partial::{Held, Partial};
use crate::plan::leaf::LeafKind;
use crate::plan::{Leaf, QueryError};

/// A partial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortablePartial {
    /// What was looked at to get here.
    pub stats: Stats,
    /// The result; `None` = no rows were looked at.
    pub held: Option<PortableHeld>,
}

/// By kind of leaf.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one per partial")]
pub enum PortableHeld {
    /// Of a metric leaf.
    Samples(PortableSamples),
    /// Of a log query.
    Entries(PortableEntries),
}

/// Label sets one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortableLabels {
    /// Number of labels of each set.
    pub lengths: Vec<u32>,
    /// Name and value of each label in turn, names of a set ascending; UTF-8.
    pub texts: Strings,
}

/// Candidates of a log query in the order of the answer. The columns have one element per row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortableEntries {
    /// The streams that rows refer to.
    pub streams: PortableLabels,
    /// Nanoseconds since 1970.
    pub ts_ns: Vec<i64>,
    /// Index into `streams`.
    pub stream: Vec<u32>,
    /// [`super::StreamSource::order`] of the source the row came from.
    pub order: Vec<u64>,
    /// Number of the row in its source.
    pub row: Vec<u64>,
    /// Lines as stored.
    pub lines: Strings,
    /// Number of metadata pairs.
    pub metadata_lengths: Vec<u32>,
    /// Name and value of each metadata pair in turn; names are UTF-8.
    pub metadata: Strings,
}

/// Series of a metric leaf, and rows of overlaps kept apart.
#[derive(Clone, Debug, PartialEq)]
pub struct PortableSamples {
    /// Labels of each series.
    pub series: PortableLabels,
    /// Number of cells of each series: panes of time in which it has samples.
    pub cells: Vec<u32>,
    /// Which pane each cell is of, ascending within a series.
    pub panes: Vec<u32>,
    /// What the cells hold.
    pub values: PortableCells,
    /// Rows kept apart (R2).
    pub apart: PortableRows,
}

/// What the cells of all series hold, by what the range function needs. The columns have one
/// element per cell unless they say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum PortableCells {
    /// `count_over_time`, `rate` of lines, `absent_over_time`: number of samples.
    Counts {
        /// Samples; at least 1, as everywhere below.
        samples: Vec<u64>,
    },
    /// `bytes_over_time`, `bytes_rate`.
    Lengths {
        /// Lines.
        samples: Vec<u64>,
        /// Their bytes.
        bytes: Vec<u64>,
    },
    /// Volumes of streams.
    Volumes {
        /// Rows.
        samples: Vec<u64>,
        /// What they take, with their metadata.
        bytes: Vec<u64>,
        /// The oldest, nanoseconds since 1970.
        oldest_ns: Vec<i64>,
        /// The newest.
        newest_ns: Vec<i64>,
    },
    /// `sum_over_time`, `avg_over_time`, `rate` of values: a sum in two doubles, so that the order
    /// in which it is added up does not show.
    Sums {
        /// Samples.
        samples: Vec<u64>,
        /// The sum, rounded.
        high: Vec<f64>,
        /// What the rounding left.
        low: Vec<f64>,
    },
    /// `stddev_over_time`, `stdvar_over_time`.
    Moments {
        /// Samples.
        samples: Vec<u64>,
        /// Their sum, rounded.
        high: Vec<f64>,
        /// What the rounding left.
        low: Vec<f64>,
        /// The sum of their squares, rounded.
        square_high: Vec<f64>,
        /// What the rounding left.
        square_low: Vec<f64>,
    },
    /// `min_over_time`, `max_over_time`: the extreme value.
    Extremes {
        /// The value; NaN only if there is nothing else.
        values: Vec<f64>,
    },
    /// `quantile_over_time`: the values as a multiset (R5).
    Multisets {
        /// Number of distinct values of each cell.
        lengths: Vec<u32>,
        /// Values, one after the other, ascending within a cell (`f64::total_cmp`).
        values: Vec<f64>,
        /// How often each value occurs.
        counts: Vec<u64>,
    },
    /// `first_over_time`, `last_over_time` (one point per cell), `rate_counter` (all of them).
    Points {
        /// Number of points of each cell.
        lengths: Vec<u32>,
        /// Where each stands in time and its value.
        points: PortableRows,
    },
}

/// Rows with what tells them apart and puts them in order. One element per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortableRows {
    /// Index into the series. Empty for points of cells, whose series is that of the cell.
    pub series: Vec<u32>,
    /// Key of the stream.
    pub stream: Vec<u64>,
    /// Nanoseconds since 1970.
    pub ts_ns: Vec<i64>,
    /// Upper half of the row hash. Empty for points of cells.
    pub hash_high: Vec<u64>,
    /// Lower half of the row hash. Empty for points of cells.
    pub hash_low: Vec<u64>,
    /// [`super::StreamSource::order`] of the source the row came from.
    pub order: Vec<u64>,
    /// Number of the row in its source.
    pub row: Vec<u64>,
    /// The sample: a count or a length as integer, a value as the bits of its double.
    pub sample: Vec<u64>,
}

/// Why columns are not a partial of the leaf.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PortableError {
    /// They contradict themselves or the leaf; says where.
    #[error("malformed partial: {0}")]
    Malformed(&'static str),
    /// They hold more than the query may.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl PortableError {
    /// Who may do what about it.
    pub fn kind(&self) -> base::ErrorKind {
        match self {
            PortableError::Malformed(_) => base::ErrorKind::Corrupt,
            PortableError::Query(error) => error.kind(),
        }
    }
}

impl Partial {
    /// As columns.
    pub fn to_portable(&self) -> PortablePartial {
        let held = match &self.held {
            Held::Nothing => None,
            Held::Samples(samples) => Some(PortableHeld::Samples(samples::write(samples))),
            Held::Entries(entries) => Some(PortableHeld::Entries(entries::write(entries))),
        };
        PortablePartial { stats: self.stats, held }
    }

    /// From columns that anybody may have sent: the partial of `leaf` that
    /// [`Partial::to_portable`] wrote, or an error.
    pub fn from_portable(leaf: &Leaf, portable: PortablePartial) -> Result<Partial, PortableError> {
        let held = match (portable.held, &leaf.program.kind) {
            (None, _) => Held::Nothing,
            (Some(PortableHeld::Samples(columns)), LeafKind::Metric(metric)) => {
                Held::Samples(samples::read(leaf, metric, columns)?)
            }
            (Some(PortableHeld::Entries(columns)), LeafKind::Log(log)) => {
                Held::Entries(entries::read(leaf, log, &columns)?)
            }
            _ => return Err(PortableError::Malformed("not of this kind of leaf")),
        };
        Ok(Partial { held, stats: portable.stats })
    }
}

/// Label sets as columns.
fn write_labels<'a>(sets: impl Iterator<Item = &'a Labels>) -> PortableLabels {
    let mut out = PortableLabels::default();
    for labels in sets {
        out.lengths.push(labels.len() as u32);
        for (name, value) in labels.iter() {
            out.texts.push(name.as_bytes());
            out.texts.push(value.as_bytes());
        }
    }
    out
}

/// The label sets that columns hold.
fn read_labels(columns: &PortableLabels) -> Result<Vec<Labels>, PortableError> {
    let malformed = PortableError::Malformed("label sets");
    check_strings(&columns.texts)?;
    let pairs = columns.lengths.iter().map(|&length| length as usize).sum::<usize>();
    if pairs.checked_mul(2) != Some(columns.texts.len()) {
        return Err(malformed);
    }
    let mut sets = Vec::with_capacity(columns.lengths.len());
    let mut at = 0;
    let mut set: Vec<(&str, &str)> = Vec::new();
    for &length in &columns.lengths {
        set.clear();
        for _ in 0..length {
            let text = |at: usize| std::str::from_utf8(columns.texts.get(at));
            let (Ok(name), Ok(value)) = (text(at), text(at + 1)) else {
                return Err(malformed);
            };
            if set.last().is_some_and(|last| last.0 >= name) {
                return Err(malformed);
            }
            set.push((name, value));
            at += 2;
        }
        sets.push(Labels::from_sorted(set.iter().copied()));
    }
    Ok(sets)
}

/// That every string lies within the bytes.
fn check_strings(strings: &Strings) -> Result<(), PortableError> {
    let ends = &strings.ends;
    let ascending = ends.windows(2).all(|pair| pair[0] <= pair[1]);
    let last = ends.last().copied().unwrap_or(0) as usize;
    if ascending && last == strings.bytes.len() {
        Ok(())
    } else {
        Err(PortableError::Malformed("ends of strings"))
    }
}

/// That columns have as many elements as they should.
fn check_lengths(lengths: &[usize], want: usize) -> Result<(), PortableError> {
    if lengths.iter().all(|&length| length == want) {
        Ok(())
    } else {
        Err(PortableError::Malformed("lengths of columns"))
    }
}
