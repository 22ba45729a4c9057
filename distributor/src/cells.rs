//! Structured metadata of an entry becomes cells of the row pushed last.

use crate::columns::Meaning;
use crate::decode::Pairs;
use crate::error::Error;
use crate::level::Level;
use crate::metadata::clean_value;
use crate::part::Part;
use crate::tenants::Tenant;

/// What the metadata of an entry says about its level.
pub(crate) enum Given {
    Nothing,
    /// `detected_level` itself; stored already.
    Detected,
    /// The pair at this place.
    Level(usize),
    Number(Level),
}

/// The columns of pairs that entries share, and the codes of their values, in one part: names are
/// sought and values hashed once, however many entries share them.
#[derive(Debug, Default)]
pub(crate) struct SharedCells {
    /// The number of the pairs and the part.
    of: Option<(u64, usize)>,
    cells: Vec<SharedCell>,
    /// Pairs that were looked at.
    #[cfg(test)]
    pub(crate) looked_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct SharedCell {
    slot: usize,
    meaning: Meaning,
    /// 0: no row has it yet.
    code: u32,
}

impl SharedCells {
    pub(crate) fn clear(&mut self) {
        self.of = None;
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.cells.capacity() * size_of::<SharedCell>()
    }

    /// Seeks the columns of the pairs that `metadata` shares, in part number `at`.
    #[cold]
    fn seek(
        &mut self,
        at: usize,
        part: &mut Part,
        tenant: &Tenant,
        metadata: &Pairs<'_>,
    ) -> Result<(), Error> {
        self.of = None;
        self.cells.clear();
        for (place, (name, _)) in metadata.shared().enumerate() {
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            let fields = &tenant.detector.fields;
            let column = part.columns.find(place, name, fields, &mut part.builder)?;
            let (slot, meaning) = (column.slot, column.meaning);
            self.cells.push(SharedCell { slot, meaning, code: 0 });
        }
        self.of = Some((metadata.shared_number(), at));
        Ok(())
    }
}

/// What is being stored of one entry.
struct Storing<'a> {
    part: &'a mut Part,
    tenant: &'a Tenant,
    given: Given,
    best: usize,
}

/// Stores the metadata of the row pushed last, into part number `at`. Of names that become equal the
/// first is kept; an empty value is no value.
#[inline]
pub(crate) fn store_metadata(
    at: usize,
    part: &mut Part,
    tenant: &Tenant,
    metadata: Pairs<'_>,
    shared: &mut SharedCells,
    scratch: &mut Vec<u8>,
) -> Result<Given, Error> {
    let mut storing = Storing { part, tenant, given: Given::Nothing, best: usize::MAX };
    let mut place = 0;
    for (name, value) in metadata.own() {
        let Storing { part, .. } = &mut storing;
        let column = part.columns.find(place, name, &tenant.detector.fields, &mut part.builder)?;
        let (slot, meaning) = (column.slot, column.meaning);
        place += 1;
        if value.is_empty() {
            continue;
        }
        let value = clean_value(value, scratch);
        if storing.is_wanted(place - 1, slot, meaning, value) {
            storing.part.builder.set(slot, value);
        }
    }
    if metadata.shared_number() != 0 {
        storing.store_shared(at, place, &metadata, shared, scratch)?;
    }
    Ok(storing.given)
}

impl Storing<'_> {
    fn store_shared(
        &mut self,
        at: usize,
        first: usize,
        metadata: &Pairs<'_>,
        shared: &mut SharedCells,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if shared.of != Some((metadata.shared_number(), at)) {
            shared.seek(at, self.part, self.tenant, metadata)?;
        }
        for (place, (cell, (_, value))) in
            (first..).zip(shared.cells.iter_mut().zip(metadata.shared()))
        {
            if value.is_empty() {
                continue;
            }
            // Only what a level is told by is looked at.
            let plain = matches!(cell.meaning, Meaning::None | Meaning::Level(_));
            let value = match plain && cell.code != 0 {
                true => value,
                false => clean_value(value, scratch),
            };
            if self.is_wanted(place, cell.slot, cell.meaning, value) {
                if cell.code == 0 {
                    cell.code = self.part.builder.intern(cell.slot, value);
                }
                self.part.builder.set_code(cell.slot, cell.code);
            }
        }
        Ok(())
    }

    /// Takes in what a clean value says about the level; whether its cell is to be set.
    #[inline]
    fn is_wanted(&mut self, place: usize, slot: usize, meaning: Meaning, value: &[u8]) -> bool {
        match meaning {
            Meaning::None => {}
            Meaning::Detected => {
                if self.tenant.limits.discover_log_levels && !self.part.builder.is_set(slot) {
                    self.part.set_level_text(value);
                    self.given = Given::Detected;
                    return false;
                }
            }
            Meaning::Level(rank) => {
                if rank < self.best && !matches!(self.given, Given::Detected) {
                    (self.given, self.best) = (Given::Level(place), rank);
                }
            }
            Meaning::SeverityNumber => {
                if matches!(self.given, Given::Nothing) {
                    self.given = Given::Number(Level::of_severity_number(value));
                }
            }
        }
        !self.part.builder.is_set(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{Rows, TenantId};

    use super::*;
    use crate::decode::{Common, Shared, Span, Spans};
    use crate::tenants::Tenants;
    use crate::testing::FakeLimits;

    /// 100 rows in two parts, whose metadata is `own` and then `shared`; pairs that were sought.
    fn rows(body: &[u8], own: &Spans, shared: Shared<'_>) -> (Vec<Rows>, usize) {
        let tenants = Tenants::new(Arc::new(FakeLimits::new(FakeLimits::open())));
        let tenant = tenants.get(&TenantId::new("t").unwrap());
        let (mut cells, mut scratch) = (SharedCells::default(), Vec::new());
        let mut parts = [Part::new(), Part::new()];
        parts.iter_mut().for_each(|part| part.begin(0));
        for row in 0..100 {
            let at = usize::from(row >= 60);
            let part = &mut parts[at];
            part.builder.push(0, row, b"");
            let pairs = Pairs::new(body, &[], own, shared);
            store_metadata(at, part, &tenant, pairs, &mut cells, &mut scratch).unwrap();
        }
        (parts.map(|mut part| part.builder.take()).to_vec(), cells.looked_at)
    }

    #[test]
    fn shared_pairs_are_stored_as_own_ones_and_sought_once_in_a_part() {
        let body = "abcdefgh\u{fffd}detected_levelwarnseverity_number17";
        let span = |text: &str| {
            let from = body.find(text).unwrap();
            Span::body(from, from + text.len())
        };
        let empty = Span::body(0, 0);
        let pairs = [
            [span("a"), span("bcd")],
            [span("b"), span("h\u{fffd}")],
            [span("detected_level"), span("warn")],
            [span("c"), empty],
            [span("severity_number"), span("17")],
            // A second value of a name.
            [span("a"), span("h")],
        ];
        let (mut first, mut all, mut common) =
            (Spans::default(), Spans::default(), Common::default());
        first.push(pairs[0]);
        all.push(pairs[0]);
        let start = common.mark();
        for &pair in &pairs[1..] {
            all.push(pair);
            common.spans().push(pair);
        }
        common.added(start);
        let (of_own, sought) = rows(body.as_bytes(), &all, Shared::none());
        assert_eq!(sought, 0);
        let (of_shared, sought) = rows(body.as_bytes(), &first, common.shared());
        assert_eq!(of_shared, of_own);
        assert_eq!(sought, 2 * 5, "for 100 rows in two parts");
        let names: Vec<&str> = of_own[1].metadata.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["a", "b", "detected_level", "severity_number"]);
        assert_eq!(of_own[1].metadata[0].values.len(), 1, "no row has the second value");
    }
}
