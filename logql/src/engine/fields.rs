//! What fields lines have, as the `detected_fields` endpoints tell it (contract 2.11).
//!
//! Fields of an entry are its structured metadata, the labels the query's pipeline made, and what
//! `| json` finds in the line, or `| logfmt` where the line is no JSON. They are found by the same
//! operators as in queries, so that every name told here works in one.

use base::{Bitmap, HashMap, HashSet, Labels, PageView, Rows, RowsBuilder, Run, UnixNanos};

use super::convert::{parse_bytes, parse_duration, parse_float};
use super::effective::lossy;
use super::pipeline::{NameList, Pipeline, Rooms, Runs, Stream as PipelineStream};
use super::wanted::Wanted;
use super::{Origins, Stream};
use crate::syntax::Stage;

mod paths;

/// Most fields that are gathered: lines may bring arbitrary keys (P6).
const FIELDS_MAX: usize = 1 << 16;

/// What the values of a field look like; the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the answer
pub enum FieldType {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

impl FieldType {
    /// The type of a value.
    pub fn of(value: &str) -> FieldType {
        if value.parse::<i64>().is_ok() {
            FieldType::Int
        } else if parse_float(value).is_ok() {
            FieldType::Float
        } else if matches!(
            value,
            "1" | "t"
                | "T"
                | "TRUE"
                | "true"
                | "True"
                | "0"
                | "f"
                | "F"
                | "FALSE"
                | "false"
                | "False"
        ) {
            FieldType::Boolean
        } else if parse_duration(value).is_ok() {
            FieldType::Duration
        } else if parse_bytes(value).is_ok() {
            FieldType::Bytes
        } else {
            FieldType::String
        }
    }

    /// Its name in an answer.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Boolean => "boolean",
            FieldType::Duration => "duration",
            FieldType::Bytes => "bytes",
            FieldType::String => "string",
        }
    }
}

/// What finds a field in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the stages
pub enum FieldParser {
    Json,
    Logfmt,
}

impl FieldParser {
    /// The stage.
    pub fn name(self) -> &'static str {
        match self {
            FieldParser::Json => "json",
            FieldParser::Logfmt => "logfmt",
        }
    }
}

/// A field of some lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name as a label.
    pub name: String,
    /// Of the first value in the last stream that has it.
    pub field_type: FieldType,
    /// Its distinct values.
    pub values: HashSet<String>,
    /// What finds it; none = it is structured metadata.
    pub parsers: Vec<FieldParser>,
    /// The keys that lead to it in JSON; empty if it was not seen there.
    pub json_path: Vec<String>,
    /// The stream that gave the type.
    stream: usize,
    /// Its keys were looked for.
    traced: bool,
}

/// Gathers fields of the streams of a log query's answer.
pub struct FieldDetector {
    json: (Pipeline, NameList),
    logfmt: (Pipeline, NameList),
    fields: Vec<Field>,
    index: HashMap<String, usize>,
    most: usize,
    /// The only name that is gathered, if one is.
    only: Option<String>,
    streams: usize,
    /// Lines that were walked for the keys of fields.
    #[cfg(test)]
    walks: usize,
}

impl FieldDetector {
    /// Gathers this field alone.
    pub fn only(name: &str) -> FieldDetector {
        FieldDetector { only: Some(name.to_owned()), ..FieldDetector::new(1) }
    }

    /// Gathers at most `most` fields, and some ten thousand.
    pub fn new(most: usize) -> FieldDetector {
        let stage = |stage: Stage| {
            let mut names = NameList::new();
            let pipeline =
                Pipeline::new(&[stage], &mut names, UnixNanos(0)).expect("nothing to compile");
            (pipeline, names)
        };
        FieldDetector {
            json: stage(Stage::Json(Vec::new())),
            logfmt: stage(Stage::Logfmt {
                strict: false,
                keep_empty: false,
                extractions: Vec::new(),
            }),
            fields: Vec::new(),
            index: HashMap::default(),
            most: most.min(FIELDS_MAX),
            only: None,
            streams: 0,
            #[cfg(test)]
            walks: 0,
        }
    }

    /// Takes in a stream of an answer with the origins of its labels
    /// ([`crate::plan::Params::categorize`]).
    pub fn add(&mut self, stream: &Stream) {
        self.streams += 1;
        let plain = Origins { metadata: Labels::empty(), parsed: Labels::empty() };
        for (number, origins) in stream.origins.iter().chain([&plain]).enumerate() {
            let is_last = number == stream.origins.len();
            let of_origins = |entry: &&super::Entry| match stream.origins.is_empty() {
                true => is_last,
                false => entry.origins as usize == number,
            };
            let lines = stream.entries.iter().filter(of_origins).map(|entry| entry.line.as_slice());
            let lines: Vec<&[u8]> = lines.collect();
            if !lines.is_empty() {
                self.add_lines(&stream.labels, origins, &lines);
            }
        }
    }

    /// Lines whose labels are the same.
    fn add_lines(&mut self, labels: &Labels, origins: &Origins, lines: &[&[u8]]) {
        for (name, value) in origins.metadata.iter() {
            self.found(name, value, None);
        }
        let made =
            |name: &str| origins.metadata.get(name).is_some() || origins.parsed.get(name).is_some();
        let base = Labels::from_pairs(labels.iter().filter(|(name, _)| !made(name)));
        let mut rows = RowsBuilder::default();
        for line in lines {
            rows.push(0, 0, line);
            for (name, value) in origins.metadata.iter() {
                rows.metadata(name, value.as_bytes());
            }
        }
        let rows = rows.finish();
        let mut found = vec![None; lines.len()];
        parse(&self.json, &base, &rows, FieldParser::Json, &mut found);
        parse(&self.logfmt, &base, &rows, FieldParser::Logfmt, &mut found);
        for (line, found) in lines.iter().zip(found) {
            let (parser, pairs) = match found {
                Some((parser, pairs)) => (Some(parser), pairs),
                None => (None, Vec::new()),
            };
            let query_made = origins.parsed.iter().filter(|(name, _)| !name.starts_with("__error"));
            for (name, value) in query_made {
                self.found(name, value, parser);
            }
            let mut untraced = Vec::new();
            for (name, value) in pairs {
                let found = self.found(&name, &value, parser);
                untraced.extend(found.filter(|&at| !self.fields[at].traced));
            }
            if parser == Some(FieldParser::Json) && !untraced.is_empty() {
                self.trace(line, &untraced, |name| {
                    base.get(name).is_some() || origins.metadata.get(name).is_some()
                });
            }
        }
    }

    /// Looks for the keys that lead to these fields in a JSON line.
    fn trace(&mut self, line: &[u8], fields: &[usize], is_taken: impl Fn(&str) -> bool) {
        #[cfg(test)]
        {
            self.walks += 1;
        }
        let names: Vec<&str> = fields.iter().map(|&at| self.fields[at].name.as_str()).collect();
        let paths = paths::paths(line, &names, is_taken);
        for (&at, path) in fields.iter().zip(paths) {
            self.fields[at].json_path = path;
            self.fields[at].traced = true;
        }
    }

    /// Takes in a value. The index of its field, if that is gathered.
    fn found(&mut self, name: &str, value: &str, parser: Option<FieldParser>) -> Option<usize> {
        if value.is_empty() || self.only.as_ref().is_some_and(|only| only != name) {
            return None;
        }
        let at = match self.index.get(name) {
            Some(&at) => at,
            None if self.fields.len() >= self.most => return None,
            None => {
                self.index.insert(name.to_owned(), self.fields.len());
                self.fields.push(Field {
                    name: name.to_owned(),
                    field_type: FieldType::of(value),
                    values: HashSet::default(),
                    parsers: Vec::new(),
                    json_path: Vec::new(),
                    stream: self.streams,
                    traced: false,
                });
                self.fields.len() - 1
            }
        };
        let field = &mut self.fields[at];
        if field.stream != self.streams {
            field.stream = self.streams;
            field.field_type = FieldType::of(value);
        }
        if !field.values.contains(value) {
            field.values.insert(value.to_owned());
        }
        if let Some(parser) = parser.filter(|parser| !field.parsers.contains(parser)) {
            field.parsers.push(parser);
        }
        Some(at)
    }

    /// The fields in order of appearance.
    pub fn finish(self) -> Vec<Field> {
        self.fields
    }
}

/// What a parser finds in the lines that no earlier parser could read.
type Found = Option<(FieldParser, Vec<(String, String)>)>;

fn parse(
    (pipeline, names): &(Pipeline, NameList),
    labels: &Labels,
    rows: &Rows,
    parser: FieldParser,
    found: &mut [Found],
) {
    let mut rooms = Rooms::new(names, true);
    let streams = [PipelineStream::new(labels, &mut rooms.names)];
    let all = [Run { stream: 0, end: rows.len() as u32 }];
    let runs = Runs { runs: &all, table: &[0], streams: &streams };
    let metadata = rows.metadata_views();
    let page: PageView<'_> = PageView { runs: &all, ..rows.page(&metadata) };
    let mut selected = Bitmap::none(rows.len());
    for (row, found) in found.iter().enumerate() {
        if found.is_none() {
            selected.set(row);
        }
    }
    rooms.begin_page(&page);
    pipeline.run(&page, &runs, &mut rooms, &Wanted::All, &mut selected);
    let (columns, names) = (&rooms.columns, &rooms.names);
    for row in selected.iter() {
        if !columns.errors.of(row).is_empty() {
            continue;
        }
        let text = |text: super::columns::Text| {
            lossy(text.bytes(page.lines.bytes, &columns.scratch)).into_owned()
        };
        let pairs = columns.parsed.live(row);
        let pairs = pairs.map(|(name, value)| (names.text(name).to_owned(), text(value)));
        found[row] = Some((parser, pairs.collect()));
    }
}

/// A byte size in short human form: `1.5MB`, powers of 1000.
pub fn short_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let power = ((bytes as f64).ln() / 1000f64.ln()).floor().min(6.0);
    let value = (bytes as f64 / 1000f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS[power as usize];
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

impl Field {
    /// The values as an answer gives them: sizes in short form, each once, sorted.
    pub fn shown_values(&self) -> Vec<String> {
        let shown = self.values.iter().map(|value| match self.field_type {
            FieldType::Bytes => parse_bytes(value).map_or_else(|_| value.clone(), short_bytes),
            _ => value.clone(),
        });
        let mut shown: Vec<String> = shown.collect();
        shown.sort_unstable();
        shown.dedup();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Entry;

    fn entry(line: &str, origins: u32) -> Entry {
        Entry { ts_ns: 0, origins, line: line.as_bytes().to_vec() }
    }

    fn stream(labels: &[(&str, &str)], metadata: &[(&str, &str)], lines: &[&str]) -> Stream {
        let all = labels.iter().chain(metadata).copied();
        let metadata = Labels::from_pairs(metadata.iter().copied());
        Stream {
            labels: Labels::from_pairs(all),
            origins: vec![Origins { metadata, parsed: Labels::empty() }],
            entries: lines.iter().map(|line| entry(line, 0)).collect(),
        }
    }

    fn show(streams: &[Stream]) -> Vec<String> {
        let mut detector = FieldDetector::new(100);
        streams.iter().for_each(|stream| detector.add(stream));
        let show = |field: Field| {
            let parsers: Vec<&str> = field.parsers.iter().map(|parser| parser.name()).collect();
            let (name, count) = (&field.name, field.values.len());
            format!("{name} {} {count} {parsers:?} {:?}", field.field_type.name(), field.json_path)
        };
        detector.finish().into_iter().map(show).collect()
    }

    #[test]
    fn fields_come_from_metadata_json_and_logfmt() {
        let streams = [
            stream(
                &[("app", "a")],
                &[("trace", "t1")],
                &[
                    r#"{"app":"x","a b":{"c":1.5,"d":[1]},"ok":true,"none":null,"e":""}"#,
                    "app=y took=3ms size=5KB trace=inner x= plain",
                ],
            ),
            stream(&[("app", "a")], &[], &["took=n/a n=7"]),
        ];
        assert_eq!(
            show(&streams),
            [
                "trace string 1 [] []",
                r#"app_extracted string 2 ["json", "logfmt"] ["app"]"#,
                r#"a_b_c float 1 ["json"] ["a b", "c"]"#,
                r#"ok boolean 1 ["json"] ["ok"]"#,
                r#"took string 2 ["logfmt"] []"#,
                r#"size bytes 1 ["logfmt"] []"#,
                r#"trace_extracted string 1 ["logfmt"] []"#,
                r#"n int 1 ["logfmt"] []"#,
            ]
        );
    }

    #[test]
    fn lines_are_walked_for_keys_only_while_there_are_fields_without() {
        // The engine reads what stands before the mistake of a line, and any line that ends early.
        let member = |at: usize| format!("\"k{at}\":{{\"v\":{at}}}");
        let members: Vec<String> = (0..20).map(member).collect();
        let line = format!("{{{}}} and more", members.join(","));
        let mut lines = vec![line.as_str(); 50];
        lines.push(r#"{"k0":{"v":1},"other":1}"#);
        let mut detector = FieldDetector::new(usize::MAX);
        detector.add(&stream(&[("app", "a")], &[], &lines));
        assert_eq!(detector.walks, 2, "the first line, and the last for its new field");
        let fields = detector.finish();
        assert_eq!(fields.len(), 21);
        assert_eq!(fields[7].json_path, ["k7", "v"]);
        assert_eq!(fields[20].json_path, ["other"]);
    }

    #[test]
    fn one_field_alone_is_gathered() {
        let mut detector = FieldDetector::only("b");
        detector.add(&stream(&[], &[("b", "0")], &["a=1 c=2", "a=2 b=3"]));
        detector.add(&stream(&[], &[], &["a=1 b=2", "{\"a\":1,\"b\":3}"]));
        let fields = detector.finish();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].shown_values(), ["0", "2", "3"]);
        assert_eq!(fields[0].json_path, ["b"]);
    }

    #[test]
    fn no_more_fields_are_gathered_than_asked_for() {
        let mut detector = FieldDetector::new(2);
        detector.add(&stream(&[], &[], &["a=1 b=2 c=3", "c=4 a=5"]));
        let fields = detector.finish();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(fields[0].shown_values(), ["1", "5"]);
    }

    #[test]
    fn sizes_are_shown_short() {
        for (text, want) in [
            ("5KB", "5.0kB"),
            ("57 kb", "57kB"),
            ("9b", "9B"),
            ("1536KiB", "1.6MB"),
            ("12b", "12B"),
        ] {
            let mut detector = FieldDetector::new(1);
            detector.add(&stream(&[], &[], &[&format!("size=\"{text}\"")]));
            assert_eq!(detector.finish()[0].shown_values(), [want], "{text}");
        }
    }
}
