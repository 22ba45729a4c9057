//! Answers as Loki's JSON, written straight into one byte buffer.

use base::Labels;
use logql::engine::fields::Field;
use logql::engine::{Answer, Origins, Sample, Stream};

use super::index_stats::IndexStats;
use super::json;
use crate::query::{Evaluated, PieceStats};
use rpc::stats::QueryStats;

mod stats;
mod tail;

pub use tail::tail_frame;

/// Body of a query answer.
pub const CONTENT_TYPE: &str = "application/json; charset=UTF-8";

/// What `X-Loki-Response-Encoding-Flags` asks for. Unknown flags are only echoed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodingFlags(Vec<String>);

impl EncodingFlags {
    /// Reads the header's value.
    pub fn parse(header: &str) -> EncodingFlags {
        if header.is_empty() {
            return EncodingFlags::default();
        }
        let mut flags: Vec<String> = header.split(',').map(str::to_owned).collect();
        flags.sort_unstable();
        flags.dedup();
        EncodingFlags(flags)
    }

    /// Whether entries say where their labels come from.
    pub fn categorize(&self) -> bool {
        self.0.iter().any(|flag| flag == "categorize-labels")
    }
}

/// The body of `query` and `query_range`. Loki puts warnings first for streams, last otherwise.
pub fn answer(evaluated: &Evaluated, flags: &EncodingFlags) -> Vec<u8> {
    let Evaluated { answer, stats, pieces, warnings } = evaluated;
    let mut out = Vec::with_capacity(size_hint(answer));
    out.extend_from_slice(b"{\"status\":\"success\"");
    let first = matches!(answer, Answer::Streams(_));
    if first {
        write_warnings(&mut out, warnings);
    }
    out.extend_from_slice(b",\"data\":{\"resultType\":\"");
    match answer {
        Answer::Streams(list) => {
            out.extend_from_slice(b"streams\"");
            if !flags.0.is_empty() {
                out.extend_from_slice(b",\"encodingFlags\":");
                json::strings(&mut out, &flags.0);
            }
            out.extend_from_slice(b",\"result\":");
            let categorize = flags.categorize();
            array(&mut out, list, |out, item| stream(out, item, categorize));
        }
        Answer::Vector(series) => {
            out.extend_from_slice(b"vector\",\"result\":");
            array(&mut out, series, |out, (labels, value)| {
                metric(out, labels);
                out.extend_from_slice(b",\"value\":");
                sample(out, value);
                out.push(b'}');
            });
        }
        Answer::Matrix(series) => {
            out.extend_from_slice(b"matrix\",\"result\":");
            array(&mut out, series, |out, (labels, values)| {
                metric(out, labels);
                out.extend_from_slice(b",\"values\":");
                array(out, values, sample);
                out.push(b'}');
            });
        }
        Answer::Scalar(value) => {
            // Loki's frontend prints the milliseconds of a scalar as if they were seconds.
            out.extend_from_slice(b"scalar\",\"result\":[");
            json::int(&mut out, value.ts_ms);
            out.push(b',');
            json::sample_value(&mut out, value.value);
            out.push(b']');
        }
    }
    out.extend_from_slice(b",\"stats\":");
    self::stats::write(&mut out, stats, pieces);
    out.push(b'}');
    if !first {
        write_warnings(&mut out, warnings);
    }
    out.extend_from_slice(b"}\n");
    out
}

fn write_warnings(out: &mut Vec<u8>, warnings: &[String]) {
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        json::strings(out, warnings);
    }
}

/// The body of `/api/prom/query`.
pub fn legacy_streams(list: &[Stream], stats: &QueryStats, pieces: &PieceStats) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"streams\":");
    array(&mut out, list, |out, stream| {
        out.extend_from_slice(b"{\"labels\":");
        json::string(out, stream.labels.to_string().as_bytes());
        out.extend_from_slice(b",\"entries\":");
        array(out, &stream.entries, |out, entry| {
            out.extend_from_slice(b"{\"ts\":\"");
            out.extend_from_slice(rfc3339(entry.ts_ns).as_bytes());
            out.extend_from_slice(b"\",\"line\":");
            json::string(out, &entry.line);
            out.push(b'}');
        });
        out.push(b'}');
    });
    out.extend_from_slice(b",\"stats\":");
    self::stats::write(&mut out, stats, pieces);
    out.extend_from_slice(b"}\n");
    out
}

/// The body of the label endpoints: `data` is left out when there is none.
pub fn label_list<T: AsRef<str>>(values: &[T]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + values.len() * 16);
    out.extend_from_slice(b"{\"status\":\"success\"");
    if !values.is_empty() {
        out.extend_from_slice(b",\"data\":");
        json::strings(&mut out, values);
    }
    out.extend_from_slice(b"}\n");
    out
}

/// The body of `/index/stats`.
pub fn index_stats(stats: &IndexStats) -> Vec<u8> {
    let IndexStats { streams, chunks, bytes, entries } = stats;
    let body = format!(
        "{{\"streams\":{streams},\"chunks\":{chunks},\"bytes\":{bytes},\"entries\":{entries}}}\n"
    );
    body.into_bytes()
}

/// The body of `/detected_labels`: names and numbers of values.
pub fn detected_labels(list: &[(String, usize)]) -> Vec<u8> {
    if list.is_empty() {
        return b"{}\n".to_vec();
    }
    let mut out = b"{\"detectedLabels\":".to_vec();
    array(&mut out, list, |out, (name, values)| {
        out.extend_from_slice(b"{\"label\":");
        json::string(out, name.as_bytes());
        out.extend_from_slice(b",\"cardinality\":");
        json::uint(out, *values as u64);
        out.push(b'}');
    });
    out.extend_from_slice(b"}\n");
    out
}

/// The body of `/detected_fields`.
pub fn detected_fields(list: &[Field], limit: usize) -> Vec<u8> {
    if list.is_empty() {
        return b"{}\n".to_vec();
    }
    let mut out = b"{\"fields\":".to_vec();
    array(&mut out, list, |out, field| {
        out.extend_from_slice(b"{\"label\":");
        json::string(out, field.name.as_bytes());
        out.extend_from_slice(b",\"type\":");
        json::string(out, field.field_type.name().as_bytes());
        out.extend_from_slice(b",\"cardinality\":");
        json::uint(out, field.values.len() as u64);
        out.extend_from_slice(b",\"parsers\":");
        match field.parsers.is_empty() {
            true => out.extend_from_slice(b"null"),
            false => json::strings(out, field.parsers.iter().map(|parser| parser.name())),
        }
        if !field.json_path.is_empty() {
            out.extend_from_slice(b",\"jsonPath\":");
            json::strings(out, &field.json_path);
        }
        out.push(b'}');
    });
    end_with_limit(out, limit)
}

/// The body of `/detected_field/{name}/values`.
pub fn detected_values(values: &[String], limit: usize) -> Vec<u8> {
    if values.is_empty() {
        return b"{}\n".to_vec();
    }
    let mut out = b"{\"values\":".to_vec();
    json::strings(&mut out, values);
    end_with_limit(out, limit)
}

fn end_with_limit(mut out: Vec<u8>, limit: usize) -> Vec<u8> {
    out.extend_from_slice(b",\"limit\":");
    json::uint(&mut out, limit as u64);
    out.extend_from_slice(b"}\n");
    out
}

/// The body of `/series`.
pub fn series(streams: &[Labels]) -> Vec<u8> {
    let text: usize = streams.iter().map(|labels| labels.text_bytes() + 6 * labels.len()).sum();
    let mut out = Vec::with_capacity(64 + text);
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    array(&mut out, streams, json::labels);
    out.extend_from_slice(b"}\n");
    out
}

fn stream(out: &mut Vec<u8>, stream: &Stream, categorize: bool) {
    out.extend_from_slice(b"{\"stream\":");
    json::labels(out, &stream.labels);
    out.extend_from_slice(b",\"values\":");
    // The third element is the same for most entries of a stream: it is written once and copied.
    let thirds: Vec<Vec<u8>> = match categorize {
        true => stream.origins.iter().map(origins).collect(),
        false => Vec::new(),
    };
    array(out, &stream.entries, |out, entry| {
        out.extend_from_slice(b"[\"");
        json::int(out, entry.ts_ns);
        out.extend_from_slice(b"\",");
        json::string(out, &entry.line);
        if categorize {
            match thirds.get(entry.origins as usize) {
                Some(third) => out.extend_from_slice(third),
                None => out.extend_from_slice(b",{}"),
            }
        }
        out.push(b']');
    });
    out.push(b'}');
}

/// `,{"structuredMetadata":{..},"parsed":{..}}` with what is not empty.
fn origins(origins: &Origins) -> Vec<u8> {
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

fn metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(b"{\"metric\":");
    json::labels(out, labels);
}

fn sample(out: &mut Vec<u8>, sample: &Sample) {
    out.push(b'[');
    json::seconds(out, sample.ts_ms);
    out.push(b',');
    json::sample_value(out, sample.value);
    out.push(b']');
}

fn array<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// `2006-01-02T15:04:05.999999999Z`, trailing zeros of the fraction dropped.
fn rfc3339(ts_ns: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(ts_ns);
    let mut text = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
    if let Some(point) = text.find('.') {
        let kept = text.trim_end_matches('0').len().max(point);
        text.truncate(if kept == point + 1 { point } else { kept });
    }
    text.push('Z');
    text
}

fn size_hint(answer: &Answer) -> usize {
    const ENVELOPE: usize = 4096;
    let list = match answer {
        Answer::Streams(streams) => streams
            .iter()
            .map(|stream| {
                let lines: usize = stream.entries.iter().map(|entry| entry.line.len() + 32).sum();
                stream.labels.text_bytes() * 2 + lines + lines / 8
            })
            .sum(),
        Answer::Vector(series) => series.len() * 96,
        Answer::Matrix(series) => {
            series.iter().map(|(labels, values)| labels.text_bytes() * 2 + values.len() * 28).sum()
        }
        Answer::Scalar(_) => 32,
    };
    ENVELOPE + list
}

#[cfg(test)]
mod tests;
