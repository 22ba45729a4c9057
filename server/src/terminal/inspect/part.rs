//! Parts, alone in their object or several in a bundle.

use bytes::Bytes;
use part::{Columns, Error, Fetched, GroupReader, Piece, RangeRead, Survey, What};

use super::report::{Cell, Report, Table};

/// What ends every part.
const MAGIC: &[u8] = b"RUNEPART";
/// Parts of a bundle begin at a multiple of this.
const ALIGNMENT: usize = 16;

/// The part or bundle in `bytes`, or a report that it is nothing that is known here.
pub fn parts(bytes: Vec<u8>, rows: usize) -> Report {
    let bytes = Bytes::from(bytes);
    let found = find(&bytes);
    let Some(&(_, last_end)) = found.last() else {
        // A trailer that is damaged itself still says that this is a part.
        if bytes.ends_with(MAGIC) {
            return one(&bytes, rows);
        }
        let mut report = Report::new("unknown");
        report.fact("size", Cell::Bytes(bytes.len() as u64));
        report.problem(
            0,
            "no part, log segment, store file, cluster.json or catalog object is known by these \
             bytes; a part or bundle is known by its end, which may have been cut off",
        );
        return report;
    };
    if found == [(0, bytes.len())] {
        return one(&bytes, rows);
    }
    let mut report = Report::new("bundle of parts");
    report.fact("size", Cell::Bytes(bytes.len() as u64));
    let mut at = 0;
    for &(start, end) in found.iter().chain([&(bytes.len(), bytes.len())]) {
        let gap = &bytes[at..start];
        if gap.len() >= ALIGNMENT || gap.iter().any(|&byte| byte != 0) {
            report.problem(at as u64, format!("{} bytes belong to no part", gap.len()));
        }
        at = end;
        if start < end {
            let mut part = one(&bytes.slice(start..end), rows);
            part.facts.insert(0, ("offset", Cell::Number(start as u64)));
            report.parts.push(part);
        }
    }
    debug_assert!(at >= last_end);
    report
}

/// Where parts lie, ascending: the last trailer counts first, so that bytes inside a part that look
/// like a trailer are passed over.
fn find(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut end = bytes.len();
    while let Some(at) = memchr::memmem::rfind(&bytes[..end], MAGIC) {
        let trailer_end = at + MAGIC.len();
        match Survey::part_ending_at(&bytes[..end], trailer_end) {
            Some(len) => {
                found.push((trailer_end - len, trailer_end));
                end = trailer_end - len;
            }
            None => end = trailer_end - 1,
        }
    }
    found.reverse();
    found
}

/// One part.
fn one(bytes: &Bytes, rows: usize) -> Report {
    let mut report = Report::new("part");
    report.fact("size", Cell::Bytes(bytes.len() as u64));
    let survey = match Survey::of(bytes) {
        Ok(survey) => survey,
        Err(error) => {
            tell(&mut report, &error);
            return report;
        }
    };
    let footer = &survey.footer;
    report.fact("version", Cell::Number(u64::from(survey.version)));
    if survey.summary {
        report.fact("tenant", Cell::text(footer.tenant()));
        report.fact("day", Cell::text(footer.day()));
        report.fact("rows", Cell::Number(footer.rows()));
        let (min_ns, max_ns) = footer.time_range();
        report.fact("oldest", Cell::Time(min_ns));
        report.fact("newest", Cell::Time(max_ns));
        report.fact("line bytes", Cell::Bytes(footer.line_bytes()));
        report.fact("compression", Cell::ratio(footer.line_bytes(), bytes.len() as u64));
    }
    report.fact("streams", Cell::count(footer.streams().len()));
    report.fact("row groups", Cell::count(footer.groups().len()));
    for problem in &survey.problems {
        tell(&mut report, problem);
    }
    for piece in &survey.pieces {
        if let Some(problem) = &piece.problem {
            report.problem(piece.offset, format!("{}: {}", name(&piece.what), why(problem)));
        }
    }
    if survey.streams {
        report.tables.push(streams(&survey));
    }
    report.tables.push(groups(&survey));
    report.tables.push(columns(&survey));
    report.tables.push(pieces(&survey));
    if rows > 0 {
        let shown = print_rows(&survey, bytes, rows, &mut report);
        report.tables.push(shown);
    }
    report
}

fn tell(report: &mut Report, error: &Error) {
    let offset = match error {
        Error::Corrupt { offset, .. } => *offset,
        _ => 0,
    };
    report.problem(offset, why(error));
}

/// The error without the place, which is said beside it.
fn why(error: &Error) -> String {
    match error {
        Error::Corrupt { what, .. } => (*what).to_owned(),
        error => error.to_string(),
    }
}

fn name(what: &What) -> String {
    match what {
        What::Section(name) => format!("section {name}"),
        What::UnknownSection(kind) => format!("section of unknown kind {kind}"),
        What::Lines { group, page } => format!("group {group} page {page} lines"),
        What::Times(group) => format!("group {group} timestamps"),
        What::Lengths(group) => format!("group {group} line lengths"),
        What::Metadata(group, key) => format!("group {group} metadata {key}"),
        What::Trigrams(group) => format!("group {group} trigram sketch"),
        What::Ids(group) => format!("group {group} id sketch"),
    }
}

fn streams(survey: &Survey) -> Table {
    let footer = &survey.footer;
    let mut all: Vec<_> = footer.streams().iter().zip(footer.labels().iter()).collect();
    all.sort_by_key(|(stream, _)| std::cmp::Reverse(stream.rows));
    let row = |(stream, labels): (&part::Stream, &base::Labels)| {
        vec![
            Cell::Number(stream.rows),
            Cell::Bytes(stream.line_bytes),
            Cell::Time(stream.min_ns),
            Cell::Time(stream.max_ns),
            Cell::text(labels),
        ]
    };
    Table {
        name: "streams by rows",
        columns: vec!["rows", "line bytes", "oldest", "newest", "labels"],
        rows: all.into_iter().map(row).collect(),
    }
}

/// The row group that a piece belongs to.
fn group_of(what: &What) -> Option<usize> {
    match what {
        What::Section(_) | What::UnknownSection(_) => None,
        What::Lines { group, .. } => Some(*group),
        What::Times(group)
        | What::Lengths(group)
        | What::Metadata(group, _)
        | What::Trigrams(group)
        | What::Ids(group) => Some(*group),
    }
}

fn groups(survey: &Survey) -> Table {
    let footer = &survey.footer;
    let mut stored = vec![0; footer.groups().len()];
    let mut sketches = vec![0; footer.groups().len()];
    for piece in &survey.pieces {
        if let Some(group) = group_of(&piece.what) {
            stored[group] += piece.stored_bytes;
            if matches!(piece.what, What::Trigrams(_) | What::Ids(_)) {
                sketches[group] += piece.stored_bytes;
            }
        }
    }
    let row = |(at, group): (usize, &part::Group)| {
        vec![
            Cell::count(at),
            Cell::Number(u64::from(group.rows)),
            Cell::count(footer.pages(at).len()),
            Cell::count(footer.runs(at).len()),
            Cell::Bytes(group.line_bytes),
            Cell::Bytes(stored[at]),
            Cell::ratio(group.line_bytes, stored[at]),
            Cell::Bytes(sketches[at]),
            Cell::Time(group.min_ns),
            Cell::Time(group.max_ns),
        ]
    };
    Table {
        name: "groups",
        columns: vec![
            "group",
            "rows",
            "pages",
            "streams",
            "line bytes",
            "stored",
            "ratio",
            "sketches",
            "oldest",
            "newest",
        ],
        rows: footer.groups().iter().enumerate().map(row).collect(),
    }
}

/// What all pieces of one kind take together.
fn columns(survey: &Survey) -> Table {
    let kind = |piece: &Piece| match &piece.what {
        What::Section(_) | What::UnknownSection(_) => "footer".to_owned(),
        What::Lines { .. } => "lines".to_owned(),
        What::Times(_) => "timestamps".to_owned(),
        What::Lengths(_) => "line lengths".to_owned(),
        What::Metadata(_, key) => format!("metadata {key}"),
        What::Trigrams(_) => "trigram sketch".to_owned(),
        What::Ids(_) => "id sketch".to_owned(),
    };
    let mut sums: Vec<(String, u64, u64, u64)> = Vec::new();
    let mut at_of = std::collections::BTreeMap::new();
    for piece in &survey.pieces {
        let name = kind(piece);
        let at = *at_of.entry(name.clone()).or_insert(sums.len());
        if at == sums.len() {
            sums.push((name, 0, 0, 0));
        }
        sums[at].1 += 1;
        sums[at].2 += piece.raw_bytes;
        sums[at].3 += piece.stored_bytes;
    }
    let row = |(name, pieces, raw, stored): (String, u64, u64, u64)| {
        vec![
            Cell::Text(name),
            Cell::Number(pieces),
            Cell::Bytes(raw),
            Cell::Bytes(stored),
            Cell::ratio(raw, stored),
        ]
    };
    Table {
        name: "columns",
        columns: vec!["column", "pieces", "raw", "stored", "ratio"],
        rows: sums.into_iter().map(row).collect(),
    }
}

fn pieces(survey: &Survey) -> Table {
    let row = |piece: &Piece| {
        let verdict = match &piece.problem {
            None => "ok".to_owned(),
            Some(problem) => why(problem),
        };
        vec![
            Cell::Number(piece.offset),
            Cell::Text(name(&piece.what)),
            Cell::text(format!("{:?}", piece.codec).to_lowercase()),
            Cell::Bytes(piece.raw_bytes),
            Cell::Bytes(piece.stored_bytes),
            Cell::Text(verdict),
        ]
    };
    Table {
        name: "pieces",
        columns: vec!["offset", "piece", "codec", "raw", "stored", "checksum"],
        rows: survey.pieces.iter().map(row).collect(),
    }
}

/// The first rows that can be read. What cannot is passed over page by page.
fn print_rows(survey: &Survey, bytes: &Bytes, limit: usize, report: &mut Report) -> Table {
    let mut table = Table {
        name: "first rows",
        columns: vec!["timestamp", "labels", "metadata", "line"],
        rows: Vec::new(),
    };
    for group in 0..survey.footer.groups().len() {
        for page in 0..survey.footer.pages(group).len() {
            if table.rows.len() >= limit {
                return table;
            }
            let left = limit - table.rows.len();
            if let Err(error) = page_rows(survey, bytes, (group, page), left, &mut table.rows) {
                report.problem(0, format!("group {group} page {page} has no rows: {error}"));
            }
        }
    }
    table
}

fn page_rows(
    survey: &Survey,
    bytes: &Bytes,
    (group, page): (usize, usize),
    limit: usize,
    out: &mut Vec<Vec<Cell>>,
) -> Result<(), Error> {
    let footer = &survey.footer;
    let columns = Columns { line_bytes: true, lengths: true, metadata: None };
    let mut ranges = Vec::new();
    footer.column_ranges(group, &columns, &mut ranges);
    footer.line_ranges(group, 1 << page, &mut ranges);
    let source: &dyn RangeRead<Error = Error> = bytes;
    let fetched = Fetched::read(source, ranges)?;
    let mut reader = GroupReader::default();
    reader.group(footer, group, &columns, &fetched)?;
    let decoded = reader.page(footer, page, Some(&fetched))?;
    let view = decoded.view();
    super::rows(&view, footer.labels(), limit, out);
    Ok(())
}
