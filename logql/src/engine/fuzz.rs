//! Bodies of the fuzz targets for parsers of lines.

use base::{Bitmap, Labels, Run, UnixNanos};

use super::pipeline::{NameList, Pipeline, Rooms, Runs, Stream};
use super::wanted::Wanted;
use crate::syntax::{Extraction, Stage};

/// Runs a parser stage over one line, twice. Labels must have names that are labels, and values
/// that lie in the line or the scratch space; the second run must find the same.
pub(crate) fn parse_line(stages: &[Stage], line: &[u8]) {
    let mut names = NameList::new();
    let pipeline =
        Pipeline::new(stages, &mut names, UnixNanos(0)).expect("the stages are well-formed");
    let mut rooms = Rooms::new(&names, true);
    let labels = Labels::from_pairs([("a", "stream"), ("a_extracted", "too")]);
    let streams = [Stream::new(&labels, &mut rooms.names)];
    let runs = [Run { stream: 0, end: 2 }];
    let mut builder = base::RowsBuilder::default();
    builder.push(0, 1, line);
    builder.push(0, 2, line);
    let rows = builder.finish();
    let page = rows.page(&[]);
    rooms.begin_page(&page);
    let runs = Runs { runs: &runs, table: &[0], streams: &streams };
    pipeline.run(&page, &runs, &mut rooms, &Wanted::All, &mut Bitmap::all(2));
    // Labels lie in the lines as the last operator left them.
    let changed = rooms.lines.take();
    let lines = changed.as_ref().map_or(page.lines.bytes, |lines| &lines.bytes);
    let labels = |row: usize| -> Vec<(u32, Vec<u8>)> {
        let columns = &rooms.columns;
        let list = columns.parsed.of(row).iter();
        let bytes = |text: super::columns::Text| text.bytes(lines, &columns.scratch);
        let mut all: Vec<(u32, Vec<u8>)> =
            list.map(|&(name, text)| (name, bytes(text).to_vec())).collect();
        all.push((u32::MAX, bytes(columns.errors.of(row)).to_vec()));
        all
    };
    let first = labels(0);
    assert_eq!(first, labels(1), "the same line gives the same labels");
    for (name, _) in &first[..first.len() - 1] {
        let text = rooms.names.text(*name);
        assert!(!text.is_empty(), "a label has a name");
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{text}");
        assert!(!text.as_bytes()[0].is_ascii_digit(), "{text}");
    }
}

/// Builds a template out of the first line of `data` and runs it over the rest: it is refused, or
/// formats the line, or leaves it and says why.
pub(crate) fn format(data: &[u8]) {
    let end = memchr::memchr(0, data).unwrap_or(data.len());
    let (template, line) = (String::from_utf8_lossy(&data[..end]), &data[end..]);
    let stage = Stage::LineFormat(template.into_owned());
    let mut names = NameList::new();
    if Pipeline::new(std::slice::from_ref(&stage), &mut names, UnixNanos(0)).is_ok() {
        parse_line(&[stage], line);
    }
}

/// Stages whose parsers are run over arbitrary lines.
pub(crate) fn json_stages() -> Vec<Vec<Stage>> {
    let path = |name: &str, expression: &str| Extraction {
        name: name.to_owned(),
        expression: expression.to_owned(),
    };
    let paths = vec![path("a", "a"), path("b", "a.b[0].c"), path("c", "[1]"), path("d", "b[0][1]")];
    // Paths by keys alone: such lines may have a shape, by which the second is read.
    let by_keys =
        vec![vec![path("x", "c")], vec![path("x", "a.b")], vec![path("x", "a"), path("y", "a")]];
    let mut stages =
        vec![vec![Stage::Json(Vec::new())], vec![Stage::Json(paths), Stage::Json(Vec::new())]];
    stages.extend(by_keys.into_iter().map(|paths| vec![Stage::Json(paths)]));
    stages
}

/// The same for parsers made of expressions and templates.
pub(crate) fn packed_stages() -> Vec<Vec<Stage>> {
    let regexp = Stage::Regexp(r"(?P<a>\w+)=(?P<b>[^ ]*)( (?P<c>.))?".to_owned());
    let pattern = Stage::Pattern("<a>=<b> [<_>] <c>".to_owned());
    vec![
        vec![Stage::Unpack, regexp],
        vec![pattern, Stage::Decolorize, Stage::Unpack],
        vec![Stage::Decolorize, Stage::Json(Vec::new())],
    ]
}

/// The same for logfmt.
pub(crate) fn logfmt_stages() -> Vec<Vec<Stage>> {
    let key = |name: &str| Extraction { name: name.to_owned(), expression: name.to_owned() };
    let stage = |strict, keep_empty, extractions| Stage::Logfmt { strict, keep_empty, extractions };
    vec![
        vec![stage(false, false, Vec::new())],
        vec![stage(true, true, Vec::new())],
        vec![stage(false, true, vec![key("a"), key("b")]), stage(false, false, Vec::new())],
    ]
}
