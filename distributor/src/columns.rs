//! From metadata names as a body writes them to columns of a builder.

use base::RowsBuilder;
use base::hash::hash64;
use hashbrown::HashTable;

use crate::error::Error;
use crate::level::Fields;
use crate::metadata::{self, DETECTED_LEVEL, SEVERITY_NUMBER};

/// What a metadata name means to the distributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    None,
    /// Already holds a detected level.
    Detected,
    /// One of `log_level_fields`, with its place there.
    Level(usize),
    SeverityNumber,
}

/// A name seen in this builder.
#[derive(Debug)]
pub(crate) struct Column {
    raw: Vec<u8>,
    pub(crate) slot: usize,
    pub(crate) meaning: Meaning,
}

/// The names seen in one builder. Rows of a stream carry the same names in the same order, so the
/// name of the previous row at the same place is tried first.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    by_name: HashTable<u32>,
    by_place: Vec<u32>,
}

impl Columns {
    pub(crate) fn clear(&mut self) {
        self.columns.clear();
        self.by_name.clear();
        self.by_place.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The column of the name that stands at `place` in its row; made if it is new.
    #[inline]
    pub(crate) fn find(
        &mut self,
        place: usize,
        raw: &[u8],
        fields: &Fields,
        builder: &mut RowsBuilder,
    ) -> Result<&Column, Error> {
        if let Some(&at) = self.by_place.get(place)
            && self.columns[at as usize].raw == raw
        {
            return Ok(&self.columns[at as usize]);
        }
        self.find_by_name(place, raw, fields, builder)
    }

    fn find_by_name(
        &mut self,
        place: usize,
        raw: &[u8],
        fields: &Fields,
        builder: &mut RowsBuilder,
    ) -> Result<&Column, Error> {
        let hash = hash64(raw);
        let columns = &self.columns;
        let found = self.by_name.find(hash, |&at| columns[at as usize].raw == raw).copied();
        let at = match found {
            Some(at) => at,
            None => {
                let name = metadata::normalise_name(raw)?;
                let meaning = meaning_of(raw, &name, fields);
                let slot = builder.column(&name);
                let at = self.columns.len() as u32;
                self.columns.push(Column { raw: raw.to_vec(), slot, meaning });
                let columns = &self.columns;
                self.by_name.insert_unique(hash, at, |&at| hash64(&columns[at as usize].raw));
                at
            }
        };
        if self.by_place.len() <= place {
            self.by_place.resize(place + 1, at);
        }
        self.by_place[place] = at;
        Ok(&self.columns[at as usize])
    }
}

fn meaning_of(raw: &[u8], name: &str, fields: &Fields) -> Meaning {
    if name == DETECTED_LEVEL {
        return Meaning::Detected;
    }
    if let Some(rank) = fields.rank(raw).or_else(|| fields.rank(name.as_bytes())) {
        return Meaning::Level(rank);
    }
    if name == SEVERITY_NUMBER { Meaning::SeverityNumber } else { Meaning::None }
}
