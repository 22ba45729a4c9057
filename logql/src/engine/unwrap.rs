//! `| unwrap x`, `| unwrap duration(x)`, `| unwrap bytes(x)`: a label becomes the sample
//! (contract 7.2).
//!
//! Takes the labels of a page and a bitmap, leaves a value per row and a bitmap. A row without the
//! label, or where it is empty, is no sample; one whose value cannot be read counts as 0 and has an
//! error, which fails the query unless a later filter drops it. Nothing to merge.

use base::{Bitmap, PageView};

use super::columns::ErrorKind;
use super::convert::{self, Unreadable};
use super::names::NameId;
use super::pipeline::{Rooms, Runs};
use crate::syntax::{self, UnwrapConversion};

/// A compiled `unwrap`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwrap {
    /// The label.
    pub name: NameId,
    conversion: Option<UnwrapConversion>,
}

impl Unwrap {
    pub(crate) fn new(unwrap: &syntax::Unwrap, name: NameId) -> Unwrap {
        Unwrap { name, conversion: unwrap.conversion }
    }

    fn read(self, value: &[u8]) -> Result<f64, Unreadable> {
        let text = String::from_utf8_lossy(value);
        match self.conversion {
            None => convert::parse_float(&text),
            Some(UnwrapConversion::Bytes) => convert::parse_bytes(&text).map(|bytes| bytes as f64),
            Some(UnwrapConversion::Duration | UnwrapConversion::DurationSeconds) => {
                convert::parse_duration(&text).map(convert::seconds)
            }
        }
    }

    /// Drops rows without the label from `selected` and sets the values of the others.
    pub(crate) fn apply(
        self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &mut Bitmap,
    ) {
        let Rooms { columns, names, values, .. } = rooms;
        values.clear();
        values.resize(page.len(), 0.0);
        for (from, to, stream) in runs.iter() {
            let mut at = from;
            if selected.next(from).is_none_or(|row| row >= to) {
                continue;
            }
            runs.enter(stream, columns, names);
            while let Some(row) = selected.next(at).filter(|&row| row < to) {
                at = row + 1;
                let value = columns.value(page, runs.labels(stream), row, self.name);
                let Some(value) = value.filter(|value| !value.is_empty()) else {
                    selected.clear(row);
                    continue;
                };
                match self.read(value) {
                    Ok(value) => values[row] = value,
                    Err(why) => columns.fail(row, ErrorKind::SampleExtraction, Some(&why.0)),
                }
            }
        }
    }
}
