//! What the lines of a part look like: as its writer found them, or from some of its pages.

use base::Bitmap;
use part::{Columns, Fetched, GroupReader, LEVEL, Sampler, Template};

use super::Scan;
use crate::Error;

/// Pages that are looked at in a part without templates.
const PAGES_MAX: usize = 8;
/// One row of about so many is looked at in them.
const STRIDE: u32 = 4;

impl Scan {
    /// Templates of the streams `selected` (one bit per stream of the part), about. A part that was
    /// written without templates gives those of some of its rows in `from_ns..to_ns`. Blocking.
    pub fn templates(
        &self,
        selected: &Bitmap,
        from_ns: i64,
        to_ns: i64,
    ) -> Result<Vec<Template>, Error> {
        let known = self.footer.templates().map_err(|error| self.named(error.into()))?;
        match known {
            Some(templates) => Ok(of_streams(templates, selected)),
            None => self.sampled(selected, from_ns, to_ns).map_err(|error| self.named(error)),
        }
    }

    fn sampled(&self, selected: &Bitmap, from_ns: i64, to_ns: i64) -> Result<Vec<Template>, Error> {
        let footer = &*self.footer;
        let mut pages = Vec::new();
        for group in 0..footer.groups().len() {
            let candidates = footer.candidates(group, selected, from_ns..to_ns);
            let of_group =
                (0..footer.pages(group).len()).filter(|page| candidates >> page & 1 == 1);
            pages.extend(of_group.map(|page| (group, page)));
        }
        let step = pages.len().div_ceil(PAGES_MAX).max(1);
        let mut sampler = Sampler::of_every(STRIDE);
        let mut reader = GroupReader::default();
        let levels = [LEVEL.to_owned()];
        let columns = Columns { line_bytes: true, lengths: true, metadata: Some(&levels) };
        for (group, page) in pages.into_iter().step_by(step) {
            let mut ranges = Vec::new();
            footer.column_ranges(group, &columns, &mut ranges);
            footer.line_ranges(group, 1 << page, &mut ranges);
            let fetched = Fetched::read(&*self.reader, ranges)?;
            reader.group(footer, group, &columns, &fetched)?;
            let decoded = reader.page(footer, page, Some(&fetched))?;
            sampler.page(&decoded.view(), |stream| selected.get(stream as usize));
        }
        Ok(sampler.finish())
    }
}

/// Those that may be of selected streams. A stream that no template names may have any: its rows
/// were not among those that were looked at.
fn of_streams(templates: Vec<Template>, selected: &Bitmap) -> Vec<Template> {
    let mut unnamed = selected.clone();
    for &stream in templates.iter().flat_map(|template| &template.streams) {
        unnamed.clear(stream as usize);
    }
    let is_wanted = |template: &Template| {
        let mut streams = template.streams.iter();
        template.streams.is_empty() || streams.any(|&stream| selected.get(stream as usize))
    };
    if unnamed.is_none() {
        return templates.into_iter().filter(is_wanted).collect();
    }
    let less = |template: Template| match is_wanted(&template) {
        true => template,
        false => Template { rows: 1, ..template },
    };
    templates.into_iter().map(less).collect()
}

#[cfg(test)]
mod tests;
