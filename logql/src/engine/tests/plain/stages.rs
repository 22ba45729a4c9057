//! Pipelines, one row and one stage after the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base::Labels;
use regex_automata::meta::Regex;

use super::super::TestRow;
use super::templates;
use crate::engine::convert::{parse_bytes, parse_duration, parse_float};
use crate::engine::matcher::ValueMatcher;
use crate::syntax::*;

pub(super) type Map = BTreeMap<String, String>;

/// A row on its way: its line, its labels by origin, its error.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub line: String,
    stream: Map,
    metadata: Map,
    /// What stages made of labels: a value or that it is gone, and whether a parser found it.
    made: BTreeMap<String, (Option<String>, bool)>,
    pub error: String,
    details: Option<String>,
}

impl Row {
    pub fn get(&self, name: &str) -> Option<&str> {
        if name == "__error__" {
            return Some(self.error.as_str()).filter(|error| !error.is_empty());
        }
        if let Some((value, _)) = self.made.get(name) {
            return value.as_deref();
        }
        self.metadata.get(name).or(self.stream.get(name)).map(String::as_str)
    }

    /// The name that a parser gives what it finds under `name`.
    fn free(&self, name: &str) -> String {
        let metadata = self.metadata.contains_key(name) && !self.made.contains_key(name);
        let taken = metadata || self.stream.contains_key(name);
        if taken { format!("{name}_extracted") } else { name.to_owned() }
    }

    /// A parser found a value; one that was found before stays.
    fn extract(&mut self, name: &str, value: &str) {
        let name = self.free(name);
        if !self.made.get(&name).is_some_and(|(_, found)| *found) {
            self.made.insert(name, (Some(value.to_owned()), true));
        }
    }

    /// A parser of requested keys found a value.
    fn request(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => {
                self.made.insert(self.free(name), (Some(value.to_owned()), true));
            }
            None if self.free(name) == name => self.extract(name, ""),
            None => {}
        }
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        let found = self.made.get(name).is_some_and(|(_, found)| *found);
        self.made.insert(name.to_owned(), (value, found));
    }

    pub fn fail(&mut self, kind: &str, details: Option<&str>) {
        (self.error, self.details) = (kind.to_owned(), details.map(str::to_owned));
    }

    /// The metadata it still has.
    pub fn metadata(&self) -> Map {
        let left = self.metadata.iter().filter(|(name, _)| !self.made.contains_key(*name));
        left.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub fn all(&self) -> Map {
        let mut all = self.stream.clone();
        all.extend(self.metadata.clone());
        for (name, (value, _)) in &self.made {
            match value {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        if !self.error.is_empty() {
            all.insert("__error__".to_owned(), self.error.clone());
        }
        if let Some(details) = self.details.clone().filter(|details| !details.is_empty()) {
            all.insert("__error_details__".to_owned(), details);
        }
        all
    }

    pub fn labels(&self) -> Labels {
        Labels::from_pairs(self.all())
    }

    /// Without the label that became the sample.
    pub fn labels_without(&self, name: &str) -> Labels {
        Labels::from_pairs(self.all().into_iter().filter(|label| label.0 != name))
    }
}

/// The row after the pipeline, if its stream is selected and it passes.
pub(super) fn run(
    matchers: &[Matcher],
    stages: &[Stage],
    streams: &[Labels],
    row: &TestRow,
) -> Option<Row> {
    let labels = &streams[row.stream];
    let selected = matchers.iter().all(|matcher| {
        let compiled = ValueMatcher::new(matcher.op, &matcher.value).unwrap();
        compiled.is_match(labels.get(&matcher.name).unwrap_or_default().as_bytes())
    });
    if !selected {
        return None;
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut out = Row { stream: labels.iter().map(owned).collect(), ..Row::default() };
    out.line.clone_from(&row.line);
    for (name, value) in &row.metadata {
        let taken = out.stream.contains_key(name);
        let name = if taken { format!("{name}_extracted") } else { name.clone() };
        out.metadata.insert(name, value.clone());
    }
    in_order(stages).into_iter().all(|stage| stage_passes(stage, &mut out)).then_some(out)
}

/// A line filter runs before what stands between it and the `line_format`, `unpack` or filter before
/// it.
fn in_order(stages: &[Stage]) -> Vec<&Stage> {
    let mut ordered: Vec<&Stage> = Vec::new();
    for stage in stages {
        let stays = |stage: &&Stage| {
            use Stage::*;
            matches!(stage, LineFormat(_) | Unpack | LabelFilter(_) | LineFilter(_))
        };
        let at = match stage {
            Stage::LineFilter(_) => ordered.iter().rposition(stays).map_or(0, |at| at + 1),
            _ => ordered.len(),
        };
        ordered.insert(at, stage);
    }
    ordered
}

fn stage_passes(stage: &Stage, row: &mut Row) -> bool {
    match stage {
        Stage::LineFilter(filter) => return line_passes(filter, &row.line),
        Stage::LabelFilter(filter) => return label_passes(filter, row),
        Stage::Json(paths) if paths.is_empty() => json(row),
        Stage::Json(paths) => json_paths(paths, row),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            logfmt(*strict, *keep_empty, extractions, row);
        }
        Stage::Regexp(expression) => regexp(expression, row),
        Stage::Pattern(template) => pattern_parser(template, row),
        Stage::Unpack => unpack(row),
        Stage::Decolorize => {
            while let Some(from) = row.line.find("\u{1b}[") {
                let end = from + row.line[from..].find('m').expect("only colours are tested");
                row.line.replace_range(from..=end, "");
            }
        }
        Stage::LineFormat(template) => match templates::run("line", template, row) {
            Ok(line) => row.line = line,
            Err(why) => row.fail("TemplateFormatErr", Some(&why)),
        },
        Stage::LabelFormat(formats) => label_format(formats, row),
        Stage::Drop(names) => drop_labels(names, row),
        Stage::Keep(names) => keep_labels(names, row),
    }
    true
}

fn sanitised(key: &str) -> String {
    let mut out: String =
        key.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

const NO_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";

fn json(row: &mut Row) {
    match serde_json::from_str(&row.line) {
        Ok(value @ serde_json::Value::Object(_)) => json_leaves("", &value, row),
        _ => row.fail("JSONParserErr", Some(NO_OBJECT)),
    }
}

fn json_leaves(prefix: &str, value: &serde_json::Value, row: &mut Row) {
    for (key, value) in value.as_object().expect("an object") {
        let name =
            if prefix.is_empty() { sanitised(key) } else { format!("{prefix}_{}", sanitised(key)) };
        match value {
            serde_json::Value::Object(_) => json_leaves(&name, value, row),
            serde_json::Value::Null | serde_json::Value::Array(_) => {}
            serde_json::Value::String(text) => row.extract(&name, text),
            other => row.extract(&name, &other.to_string()),
        }
    }
}

fn json_paths(paths: &[Extraction], row: &mut Row) {
    if row.line.is_empty() {
        return;
    }
    if !row.line.starts_with(['"', '{', '[']) {
        return row.fail("JSONParserErr", None);
    }
    let value: serde_json::Value = serde_json::from_str(&row.line).unwrap();
    for path in paths {
        let pointer = path.expression.replace(['.', '['], "/").replace(']', "");
        let text = value.pointer(&format!("/{pointer}")).map(|found| match found {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        row.request(&path.name, text.as_deref());
    }
}

fn logfmt(strict: bool, keep_empty: bool, requested: &[Extraction], row: &mut Row) {
    let line = row.line.clone();
    let odd = |text: &str| text.contains('"') || text.contains('=');
    // Everything up to the space parts pairs, escape characters too.
    for pair in line.split(|c: char| c <= ' ').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key.is_empty() || odd(key) || odd(value) {
            if strict {
                assert!(key.contains('"'), "the only mistake that is tested");
                let position = line.find('"').unwrap() + 1;
                let details = format!("logfmt syntax error at pos {position} : unexpected '\"'");
                row.fail("LogfmtParserErr", Some(&details));
                break;
            }
            continue;
        }
        if requested.is_empty() {
            if keep_empty || !value.is_empty() {
                row.extract(&sanitised(key), value);
            }
            continue;
        }
        for wanted in requested.iter().filter(|wanted| sanitised(key) == wanted.expression) {
            row.request(&wanted.name, Some(value));
        }
    }
    requested.iter().for_each(|wanted| row.request_missing(&wanted.name));
}

impl Row {
    fn request_missing(&mut self, name: &str) {
        self.request(name, None);
    }
}

fn regexp(expression: &str, row: &mut Row) {
    let regex = Regex::new(expression).unwrap();
    let mut captures = regex.create_captures();
    let line = row.line.clone();
    regex.captures(&line, &mut captures);
    if !captures.is_match() {
        return;
    }
    let names: Vec<String> =
        regex.group_info().all_names().filter_map(|n| n.2).map(str::to_owned).collect();
    for name in names {
        let span = captures.get_group_by_name(&name);
        row.extract(&name, span.map_or("", |span| &line[span.range()]));
    }
}

/// Captures `<a>` and the literals between them, where both are plain.
fn pattern_pieces(template: &str) -> Vec<(bool, String)> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('<') {
        if open > 0 {
            pieces.push((false, rest[..open].to_owned()));
        }
        let close = open + rest[open..].find('>').unwrap();
        pieces.push((true, rest[open + 1..close].to_owned()));
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        pieces.push((false, rest.to_owned()));
    }
    pieces
}

fn pattern_parser(template: &str, row: &mut Row) {
    let line = row.line.clone();
    let pieces = pattern_pieces(template);
    let mut rest = line.as_str();
    let mut at = 0;
    if let (false, literal) = &pieces[0] {
        let Some(after) = rest.strip_prefix(literal.as_str()) else { return };
        (rest, at) = (after, 1);
    }
    if line.is_empty() {
        return;
    }
    while at < pieces.len() {
        let name = &pieces[at].1;
        let found = pieces.get(at + 1).and_then(|next| Some((rest.find(&next.1)?, next.1.len())));
        let value = found.map_or(rest, |(end, _)| &rest[..end]);
        if name != "_" {
            row.extract(name, value);
        }
        let Some((end, length)) = found else { return };
        rest = &rest[end + length..];
        at += 2;
    }
}

fn unpack(row: &mut Row) {
    if !row.line.starts_with('{') {
        if !row.line.is_empty() {
            let details = "expecting json object(6), but it is not";
            row.fail("JSONParserErr", Some(details));
        }
        return;
    }
    let value: serde_json::Value = serde_json::from_str(&row.line).unwrap();
    let Some(entry) = value.get("_entry").and_then(|entry| entry.as_str()) else { return };
    for (key, value) in value.as_object().unwrap() {
        if let (true, Some(text)) = (key != "_entry", value.as_str()) {
            row.request(&sanitised(key), Some(text));
        }
    }
    row.line = entry.to_owned();
}

fn label_format(formats: &[LabelFormat], row: &mut Row) {
    let before = row.clone();
    for LabelFormat { name, value } in formats {
        match value {
            LabelFormatValue::Rename(source) => {
                if let Some(value) = row.get(source).map(str::to_owned) {
                    row.put(name, Some(value));
                    row.put(source, None);
                }
            }
            LabelFormatValue::Template(template) => {
                match templates::run("label", template, &before) {
                    Ok(value) => row.put(name, Some(value)),
                    Err(why) => row.fail("TemplateFormatErr", Some(&why)),
                }
            }
        }
    }
}

fn named(item: &NamedMatcher) -> (&str, Option<&Matcher>) {
    match item {
        NamedMatcher::Name(name) => (name, None),
        NamedMatcher::Matcher(matcher) => (&matcher.name, Some(matcher)),
    }
}

fn matches(matcher: Option<&Matcher>, value: &str) -> bool {
    matcher.is_none_or(|matcher| {
        ValueMatcher::new(matcher.op, &matcher.value).unwrap().is_match(value.as_bytes())
    })
}

fn drop_labels(items: &[NamedMatcher], row: &mut Row) {
    for (name, matcher) in items.iter().map(named) {
        match name {
            "__error__" if matches(matcher, &row.error) => row.error.clear(),
            "__error_details__" if matches(matcher, row.details.as_deref().unwrap_or("")) => {
                row.details = None;
            }
            name if name.starts_with("__error") => {}
            name => {
                if row.get(name).is_some_and(|value| matches(matcher, value)) {
                    row.put(name, None);
                }
            }
        }
    }
}

fn keep_labels(items: &[NamedMatcher], row: &mut Row) {
    for (name, value) in row.all() {
        let kept = |item: &NamedMatcher| {
            let (known, matcher) = named(item);
            known == name && matches(matcher, &value)
        };
        if !name.starts_with("__error") && !items.iter().any(kept) {
            row.put(&name, None);
        }
    }
}

/// The address that `text` is, as `ip` reads it.
fn is_meant(pattern: &str, text: &str) -> bool {
    let Ok(address) = text.parse::<IpAddr>() else { return false };
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u32::from(ip),
        IpAddr::V6(_) => panic!("not evaluated here"),
    };
    let number_of = |text: &str| number(text.parse().unwrap());
    if let Some((network, bits)) = pattern.split_once('/') {
        let shift = 32 - bits.parse::<u32>().unwrap();
        return number(address) >> shift == number_of(network) >> shift;
    }
    let (from, to) = pattern.split_once('-').unwrap_or((pattern, pattern));
    (number_of(from)..=number_of(to)).contains(&number(address))
}

fn has_address(pattern: &str, text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit() && c != '.').any(|part| is_meant(pattern, part))
}

fn line_passes(filter: &LineFilter, line: &str) -> bool {
    let hit = filter.operands.iter().any(|operand| {
        let text = match operand {
            LineOperand::Ip(pattern) => return has_address(pattern, line),
            LineOperand::Text(text) => std::str::from_utf8(text).unwrap(),
        };
        match filter.op {
            LineOp::Contains | LineOp::NotContains => line.contains(text),
            LineOp::Regex | LineOp::NotRegex => Regex::new(text).unwrap().is_match(line),
            LineOp::Pattern | LineOp::NotPattern => has_pattern(text, line),
        }
    });
    hit == matches!(filter.op, LineOp::Contains | LineOp::Regex | LineOp::Pattern)
}

/// Each literal where it first occurs behind the one before it; a wildcard takes at least a byte.
fn has_pattern(template: &str, line: &str) -> bool {
    let (mut rest, mut gap) = (line, false);
    for (wildcard, literal) in pattern_pieces(template) {
        if wildcard {
            gap = true;
            continue;
        }
        let Some(at) = rest.find(&literal) else { return false };
        if gap && at == 0 {
            return false;
        }
        (rest, gap) = (&rest[at + literal.len()..], false);
    }
    rest.is_empty() != gap
}

fn compare<T: PartialOrd>(op: CompareOp, left: T, right: T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterOrEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessOrEqual => left <= right,
    }
}

pub(super) fn label_passes(filter: &LabelFilter, row: &mut Row) -> bool {
    let (name, verdict) = match filter {
        LabelFilter::And(left, right) => {
            let left = label_passes(left, row);
            return label_passes(right, row) && left;
        }
        LabelFilter::Or(left, right) => {
            return label_passes(left, row) || label_passes(right, row);
        }
        LabelFilter::Match(matcher) => {
            return matches(Some(matcher), row.get(&matcher.name).unwrap_or_default());
        }
        LabelFilter::Ip { name, equal, pattern } => {
            let found = row.get(name).map(|value| has_address(pattern, value) == *equal);
            return !row.error.is_empty() || found.unwrap_or(false);
        }
        LabelFilter::Number { name, op, value } => {
            (name, row.get(name).map(|text| parse_float(text).map(|l| compare(*op, l, *value))))
        }
        LabelFilter::Duration { name, op, value_ns } => {
            let judge = |text| parse_duration(text).map(|left| compare(*op, left, *value_ns));
            (name, row.get(name).map(judge))
        }
        LabelFilter::Bytes { name, op, value } => {
            (name, row.get(name).map(|text| parse_bytes(text).map(|l| compare(*op, l, *value))))
        }
    };
    assert!(!name.starts_with("__error"), "not evaluated here");
    match verdict {
        None => false,
        Some(Ok(passes)) => passes,
        Some(Err(why)) => {
            if row.error.is_empty() {
                row.fail("LabelFilterErr", Some(&why.0));
            }
            true
        }
    }
}

/// The value of a row, if it has one.
pub(super) fn unwrapped(unwrap: &Unwrap, row: &mut Row) -> Option<f64> {
    let text = row.get(&unwrap.label).filter(|text| !text.is_empty())?.to_owned();
    let read = match unwrap.conversion {
        None => parse_float(&text),
        Some(UnwrapConversion::Bytes) => parse_bytes(&text).map(|bytes| bytes as f64),
        Some(_) => parse_duration(&text).map(|ns| ns as f64 / 1e9),
    };
    let value = read.unwrap_or_else(|why| {
        row.fail("SampleExtractionErr", Some(&why.0));
        0.0
    });
    unwrap.filters.iter().all(|filter| label_passes(filter, row)).then_some(value)
}
