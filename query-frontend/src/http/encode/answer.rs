//! The bodies of `query`, `query_range` and `/api/prom/query`, written a piece at a time: what was
//! written is let go of, so that an answer is never in memory twice.

use base::Labels;
use logql::engine::{Answer, Entry, Origins, Sample, Stream};

use super::pieces::{Left, Written};
use super::stats;
use super::{EncodingFlags, json, metric, sample};
use crate::query::Evaluated;

/// A body that is being written.
pub struct AnswerBody {
    /// What is around the list; taken apart as it is written.
    evaluated: Evaluated,
    flags: EncodingFlags,
    list: List,
    is_begun: bool,
}

/// What is left of the list.
enum List {
    Streams { left: Left<Stream>, open: Option<Open>, form: Form },
    Vector(Left<(Labels, Sample)>),
    Matrix { left: Left<(Labels, Vec<Sample>)>, open: Option<Left<Sample>> },
    Scalar(Sample),
}

/// How streams and entries look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pairs,
    /// With the origin of labels as a third element.
    Categorized,
    /// Of `/api/prom/query`.
    Legacy,
}

/// A stream whose entries are being written.
struct Open {
    entries: Left<Entry>,
    /// The third element is the same for most entries of a stream: it is written once and copied.
    thirds: Vec<Vec<u8>>,
}

impl AnswerBody {
    /// Of `query`, `query_range` and their like.
    pub fn new(mut evaluated: Evaluated, flags: EncodingFlags) -> AnswerBody {
        let nothing = Answer::Streams(Vec::new());
        let form = if flags.categorize() { Form::Categorized } else { Form::Pairs };
        let list = match std::mem::replace(&mut evaluated.answer, nothing) {
            Answer::Streams(list) => List::Streams { left: Left::of(list), open: None, form },
            Answer::Vector(list) => List::Vector(Left::of(list)),
            Answer::Matrix(list) => List::Matrix { left: Left::of(list), open: None },
            Answer::Scalar(value) => List::Scalar(value),
        };
        AnswerBody { evaluated, flags, list, is_begun: false }
    }

    /// Of `/api/prom/query`; `None` if the answer is no list of streams.
    pub fn legacy(evaluated: Evaluated) -> Option<AnswerBody> {
        let mut body = AnswerBody::new(evaluated, EncodingFlags::default());
        match &mut body.list {
            List::Streams { form, .. } => *form = Form::Legacy,
            List::Vector(_) | List::Matrix { .. } | List::Scalar(_) => return None,
        }
        Some(body)
    }

    /// What stands before the list. Loki puts warnings first for streams, last otherwise.
    fn begin(&self, out: &mut Vec<u8>) {
        let kind = match &self.list {
            List::Streams { form: Form::Legacy, .. } => {
                return out.extend_from_slice(b"{\"streams\":[");
            }
            List::Streams { .. } => &b"streams\""[..],
            List::Vector(_) => b"vector\"",
            List::Matrix { .. } => b"matrix\"",
            List::Scalar(_) => b"scalar\"",
        };
        out.extend_from_slice(b"{\"status\":\"success\"");
        let is_streams = matches!(self.list, List::Streams { .. });
        if is_streams {
            self.write_warnings(out);
        }
        out.extend_from_slice(b",\"data\":{\"resultType\":\"");
        out.extend_from_slice(kind);
        if is_streams && !self.flags.0.is_empty() {
            out.extend_from_slice(b",\"encodingFlags\":");
            json::strings(out, &self.flags.0);
        }
        out.extend_from_slice(b",\"result\":[");
    }

    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"stats\":");
        stats::write(out, &self.evaluated.stats, &self.evaluated.pieces);
        match &self.list {
            List::Streams { form: Form::Legacy, .. } => {}
            List::Streams { .. } => out.push(b'}'),
            List::Vector(_) | List::Matrix { .. } | List::Scalar(_) => {
                out.push(b'}');
                self.write_warnings(out);
            }
        }
        out.extend_from_slice(b"}\n");
    }

    fn write_warnings(&self, out: &mut Vec<u8>) {
        if !self.evaluated.warnings.is_empty() {
            out.extend_from_slice(b",\"warnings\":");
            json::strings(out, &self.evaluated.warnings);
        }
    }
}

impl Written for AnswerBody {
    fn write(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        if !self.is_begun {
            self.begin(out);
            self.is_begun = true;
        }
        if !self.list.write(out, enough) {
            return false;
        }
        self.end(out);
        true
    }
}

impl List {
    fn write(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        match self {
            List::Streams { left, open, form } => streams(left, open, *form, out, enough),
            List::Vector(left) => vector(left, out, enough),
            List::Matrix { left, open } => matrix(left, open, out, enough),
            List::Scalar(value) => {
                // Loki's frontend prints the milliseconds of a scalar as if they were seconds.
                json::int(out, value.ts_ms);
                out.push(b',');
                json::sample_value(out, value.value);
                true
            }
        }
    }
}

fn streams(
    left: &mut Left<Stream>,
    open: &mut Option<Open>,
    form: Form,
    out: &mut Vec<u8>,
    enough: usize,
) -> bool {
    loop {
        let now = match open {
            Some(now) => now,
            None => match left.next(out) {
                Some(stream) => open.insert(Open::begin(stream, form, out)),
                None => return true,
            },
        };
        if !now.write(form, out, enough) {
            return false;
        }
        out.extend_from_slice(b"]}");
        *open = None;
        if out.len() >= enough {
            return false;
        }
    }
}

impl Open {
    fn begin(stream: Stream, form: Form, out: &mut Vec<u8>) -> Open {
        let Stream { labels, origins, entries } = stream;
        match form {
            Form::Legacy => {
                out.extend_from_slice(b"{\"labels\":");
                json::string(out, labels.to_string().as_bytes());
                out.extend_from_slice(b",\"entries\":[");
            }
            Form::Pairs | Form::Categorized => {
                out.extend_from_slice(b"{\"stream\":");
                json::labels(out, &labels);
                out.extend_from_slice(b",\"values\":[");
            }
        }
        let thirds = match form {
            Form::Categorized => origins.iter().map(third).collect(),
            Form::Pairs | Form::Legacy => Vec::new(),
        };
        Open { entries: Left::of(entries), thirds }
    }

    fn write(&mut self, form: Form, out: &mut Vec<u8>, enough: usize) -> bool {
        while out.len() < enough {
            let Some(entry) = self.entries.next(out) else { return true };
            if form == Form::Legacy {
                out.extend_from_slice(b"{\"ts\":\"");
                out.extend_from_slice(rfc3339(entry.ts_ns).as_bytes());
                out.extend_from_slice(b"\",\"line\":");
                json::string(out, &entry.line);
                out.push(b'}');
                continue;
            }
            out.extend_from_slice(b"[\"");
            json::int(out, entry.ts_ns);
            out.extend_from_slice(b"\",");
            json::string(out, &entry.line);
            if form == Form::Categorized {
                match self.thirds.get(entry.origins as usize) {
                    Some(third) => out.extend_from_slice(third),
                    None => out.extend_from_slice(b",{}"),
                }
            }
            out.push(b']');
        }
        false
    }
}

fn vector(left: &mut Left<(Labels, Sample)>, out: &mut Vec<u8>, enough: usize) -> bool {
    while out.len() < enough {
        let Some((labels, value)) = left.next(out) else { return true };
        metric(out, &labels);
        out.extend_from_slice(b",\"value\":");
        sample(out, &value);
        out.push(b'}');
    }
    false
}

fn matrix(
    left: &mut Left<(Labels, Vec<Sample>)>,
    open: &mut Option<Left<Sample>>,
    out: &mut Vec<u8>,
    enough: usize,
) -> bool {
    loop {
        let now = match open {
            Some(now) => now,
            None => match left.next(out) {
                Some((labels, values)) => {
                    metric(out, &labels);
                    out.extend_from_slice(b",\"values\":[");
                    open.insert(Left::of(values))
                }
                None => return true,
            },
        };
        while let Some(value) = now.next(out) {
            sample(out, &value);
            if out.len() >= enough {
                return false;
            }
        }
        out.extend_from_slice(b"]}");
        *open = None;
        if out.len() >= enough {
            return false;
        }
    }
}

/// `,{"structuredMetadata":{..},"parsed":{..}}` with what is not empty.
pub(super) fn third(origins: &Origins) -> Vec<u8> {
    let mut out = b",{".to_vec();
    if !origins.metadata.is_empty() {
        out.extend_from_slice(b"\"structuredMetadata\":");
        json::labels(&mut out, &origins.metadata);
    }
    if !origins.parsed.is_empty() {
        if !origins.metadata.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"parsed\":");
        json::labels(&mut out, &origins.parsed);
    }
    out.push(b'}');
    out
}

/// `2006-01-02T15:04:05.999999999Z`, trailing zeros of the fraction dropped.
pub(super) fn rfc3339(ts_ns: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(ts_ns);
    let mut text = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
    if let Some(point) = text.find('.') {
        let kept = text.trim_end_matches('0').len().max(point);
        text.truncate(if kept == point + 1 { point } else { kept });
    }
    text.push('Z');
    text
}
