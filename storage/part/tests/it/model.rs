//! Rows as plain structs, and the part's rows read back into them.

use std::collections::BTreeMap;

use base::{Day, Labels, Rows, RowsBuilder, TenantId};
use bytes::Bytes;
use part::{Columns, Error, Fetched, Footer, GroupReader, Image, Options, RangeRead, Source};

/// A row of the model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub labels: Labels,
    pub ts_ns: i64,
    pub line: Vec<u8>,
    pub metadata: BTreeMap<String, Vec<u8>>,
}

pub fn tenant() -> TenantId {
    TenantId::new("team-a").unwrap()
}

pub const DAY: Day = Day(20_413);

/// Tiny pages and groups, so that a few rows have many of both.
pub fn tiny(codec: part::Codec) -> Options {
    Options { codec, page_bytes: 64, own_page_bytes: 40, group_rows: 20, group_pages: 3 }
}

/// Cuts rows into pages of `page_rows` with one stream table.
pub fn pages_of(rows: &[Row], page_rows: usize) -> (Vec<Labels>, Vec<Rows>) {
    let mut streams: Vec<Labels> = Vec::new();
    let mut pages = Vec::new();
    for chunk in rows.chunks(page_rows) {
        let mut builder = RowsBuilder::default();
        for row in chunk {
            let known = streams.iter().position(|labels| *labels == row.labels);
            let stream = known.unwrap_or_else(|| {
                streams.push(row.labels.clone());
                streams.len() - 1
            });
            builder.push(stream as u32, row.ts_ns, &row.line);
            for (name, value) in &row.metadata {
                builder.metadata(name, value);
            }
        }
        pages.push(builder.finish());
    }
    (streams, pages)
}

/// Seals sources, each a list of rows in arrival order.
pub fn seal_rows(sources: &[Vec<Row>], options: &Options) -> Option<Image> {
    let cut: Vec<_> = sources.iter().map(|rows| pages_of(rows, 7)).collect();
    let views: Vec<Vec<_>> = cut
        .iter()
        .map(|(_, pages)| pages.iter().map(Rows::metadata_views).collect::<Vec<_>>())
        .collect();
    let sources: Vec<Source<'_>> = cut
        .iter()
        .zip(&views)
        .map(|((streams, pages), views)| Source {
            streams,
            pages: pages.iter().zip(views).map(|(page, view)| page.page(view)).collect(),
        })
        .collect();
    part::seal(&tenant(), DAY, &sources, options).unwrap()
}

/// Sorted by (labels, timestamp), stable, equal rows once: what a part must hold.
pub fn expected(sources: &[Vec<Row>]) -> Vec<Row> {
    let mut rows: Vec<Row> = sources.iter().flatten().cloned().collect();
    rows.sort_by(|a, b| (&a.labels, a.ts_ns).cmp(&(&b.labels, b.ts_ns)));
    let mut out: Vec<Row> = Vec::new();
    for row in rows {
        let instant = out.iter().rev();
        let mut instant =
            instant.take_while(|seen| seen.labels == row.labels && seen.ts_ns == row.ts_ns);
        if !instant.any(|seen| *seen == row) {
            out.push(row);
        }
    }
    out
}

/// All rows of a part.
pub fn read_rows(part: &Bytes) -> Result<Vec<Row>, Error> {
    let footer = Footer::open(part, part.len() as u64)?;
    let mut reader = GroupReader::default();
    let mut rows = Vec::new();
    let columns = Columns { line_bytes: true, lengths: true, metadata: None };
    for group in 0..footer.groups().len() {
        let fetched = fetch(&footer, part, group, &columns)?;
        reader.group(&footer, group, &columns, &fetched)?;
        for page in 0..footer.pages(group).len() {
            let decoded = reader.page(&footer, page, Some(&fetched))?;
            let view = decoded.view();
            let mut from = 0;
            for run in view.runs {
                for row in from..run.end as usize {
                    let present = view.metadata.iter().filter_map(|column| {
                        Some((column.name.to_owned(), column.get(row)?.to_vec()))
                    });
                    rows.push(Row {
                        labels: footer.labels()[run.stream as usize].clone(),
                        ts_ns: view.ts_ns[row],
                        line: view.lines.get(row).to_vec(),
                        metadata: present.collect(),
                    });
                }
                from = run.end as usize;
            }
        }
    }
    Ok(rows)
}

/// Everything of a row group.
pub fn fetch(
    footer: &Footer,
    part: &Bytes,
    group: usize,
    columns: &Columns<'_>,
) -> Result<Fetched, Error> {
    let mut ranges = Vec::new();
    footer.column_ranges(group, columns, &mut ranges);
    footer.line_ranges(group, u64::MAX, &mut ranges);
    let reader: &dyn RangeRead<Error = Error> = part;
    Fetched::read(reader, ranges)
}
