//! The streams of a log query: the winning rows, run through the whole pipeline.

use base::{Bitmap, HashMap, Labels, PageView, RowsBuilder};

use super::effective::{Effective, RowRef};
use super::entries::{Candidate, Entries, METADATA_MAX};
use super::overlap::MetadataPairs;
use super::pipeline::{NameList, Pipeline, Rooms, Runs, Stream as PipelineStream};
use super::tenants::{with_tenant, without_tenant};
use super::wanted::Wanted;
use super::{Entry, Origins, Stream};
use crate::plan::QueryError;
use crate::plan::leaf::LogLeaf;

/// Turns the candidates, sorted and cut by [`Entries::finish`], into streams.
pub(crate) fn render(
    leaf: &LogLeaf,
    entries: &Entries,
    categorize: bool,
) -> Result<Vec<Stream>, QueryError> {
    let mut out = Grouped::default();
    let mut rows = entries.rows().iter();
    each_row(&leaf.render, &leaf.names, entries, entries.rows(), &mut |ts_ns, effective, line| {
        let tenant = rows.next().and_then(|row| entries.tenant(row));
        let mut labels = effective.joined();
        let mut origins = categorize.then(|| effective.origins());
        if let Some(tenant) = tenant {
            labels = with_tenant(&labels, tenant);
            if let Some(Origins { metadata, parsed }) = &mut origins {
                (*metadata, *parsed) = (without_tenant(metadata), without_tenant(parsed));
            }
        }
        out.add(labels, origins, Entry { ts_ns, origins: 0, line: line.to_vec() });
    })?;
    Ok(out.sorted())
}

/// Rows are rendered in pages of about this many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// What is told of a row: its instant, its labels and its line.
type Visit<'v> = dyn FnMut(i64, Effective<'_>, &[u8]) + 'v;

/// Runs `pipeline` over some candidates of `entries` and tells `visit` of each, in their order, what
/// it has become. Fails if one of them is not selected.
pub(crate) fn each_row(
    pipeline: &Pipeline,
    names: &NameList,
    entries: &Entries,
    mut rows: &[Candidate],
    visit: &mut Visit<'_>,
) -> Result<(), QueryError> {
    let mut rooms = Rooms::new(names, true);
    let streams: Vec<PipelineStream> = entries
        .streams()
        .iter()
        .map(|labels| PipelineStream::new(labels, &mut rooms.names))
        .collect();
    let table: Vec<u32> = (0..streams.len() as u32).collect();
    // A page of rows at a time, so that no arena outgrows 32-bit offsets.
    while !rows.is_empty() {
        let mut builder = RowsBuilder::default();
        let (mut taken, mut pairs) = (0, 0);
        for row in rows {
            let full = builder.raw_bytes() > PAGE_BYTES || pairs > METADATA_MAX;
            if taken > 0 && full {
                break;
            }
            let (metadata, line) = entries.text(row);
            builder.push(row.stream, row.ts_ns, line);
            for (name, value) in MetadataPairs(metadata) {
                builder.metadata(name, value);
                pairs += 1;
            }
            taken += 1;
        }
        rows = &rows[taken..];
        each_of_page(pipeline, &builder.finish(), &table, &streams, &mut rooms, visit)?;
    }
    Ok(())
}

fn each_of_page(
    pipeline: &Pipeline,
    rows: &base::Rows,
    table: &[u32],
    streams: &[PipelineStream],
    rooms: &mut Rooms,
    visit: &mut Visit<'_>,
) -> Result<(), QueryError> {
    let views = rows.metadata_views();
    let page = rows.page(&views);
    let runs = Runs { runs: &rows.runs, table, streams };
    let mut selected = Bitmap::all(rows.len());
    rooms.begin_page(&page);
    pipeline.run(&page, &runs, rooms, &Wanted::All, &mut selected);
    if !selected.is_all() {
        // Only if another process gave rows away that the query does not select.
        return Err(QueryError::Internal("a line of a partial is not selected".to_owned()));
    }
    let lines = rooms.lines.take();
    let page = match &lines {
        Some(lines) => PageView { lines: lines.view(), ..page },
        None => page,
    };
    for (from, to, number) in runs.iter() {
        runs.enter(number, &mut rooms.columns, &mut rooms.names);
        let stream = &streams[number as usize];
        for row in from..to {
            let (columns, names) = (&rooms.columns, &rooms.names);
            let effective = RowRef { page: &page, stream, columns, names, row }.effective(&[]);
            visit(rows.ts_ns[row], effective, page.lines.get(row));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Grouped {
    index: HashMap<Labels, usize>,
    streams: Vec<Stream>,
}

impl Grouped {
    fn add(&mut self, labels: Labels, origins: Option<Origins>, mut entry: Entry) {
        let at = *self.index.entry(labels.clone()).or_insert_with(|| {
            self.streams.push(Stream { labels, origins: Vec::new(), entries: Vec::new() });
            self.streams.len() - 1
        });
        let stream = &mut self.streams[at];
        if let Some(origins) = origins {
            // Few per stream: the same labels come in one or two divisions.
            let known = stream.origins.iter().position(|known| *known == origins);
            entry.origins = known.unwrap_or_else(|| {
                stream.origins.push(origins);
                stream.origins.len() - 1
            }) as u32;
        }
        stream.entries.push(entry);
    }

    fn sorted(mut self) -> Vec<Stream> {
        self.streams.sort_by_cached_key(|stream| stream.labels.to_string());
        self.streams
    }
}
