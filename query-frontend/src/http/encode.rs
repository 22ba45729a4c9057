//! Answers as Loki's JSON, written straight into byte buffers: those that may be large piece by piece
//! ([`Written`]), all others into one.

use base::Labels;
use logql::engine::Sample;
use logql::engine::fields::Field;

use super::index_shards::Shard;
use super::index_stats::IndexStats;
use super::json;
use super::patterns::Pattern;
use crate::volume::Volumed;

mod answer;
mod list;
mod pieces;
mod stats;
mod tail;

pub use answer::AnswerBody;
pub use list::ListBody;
pub use pieces::Written;
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

/// The body of `patterns`.
pub fn patterns(list: &[Pattern]) -> Vec<u8> {
    let mut out = b"{\"status\":\"success\",\"data\":".to_vec();
    array(&mut out, list, |out, pattern| {
        out.extend_from_slice(b"{\"pattern\":");
        json::string(out, pattern.text.as_bytes());
        out.extend_from_slice(b",\"level\":");
        json::string(out, pattern.level.as_bytes());
        out.extend_from_slice(b",\"samples\":");
        array(out, &pattern.samples, |out, &(second, lines)| {
            out.extend_from_slice(format!("[{second},{lines}]").as_bytes());
        });
        out.push(b'}');
    });
    out.extend_from_slice(b"}\n");
    out
}

/// The body of `/index/stats`.
pub fn index_stats(stats: &IndexStats) -> Vec<u8> {
    let mut out = index_stats_object(stats);
    out.push('\n');
    out.into_bytes()
}

fn index_stats_object(stats: &IndexStats) -> String {
    let IndexStats { streams, chunks, bytes, entries } = stats;
    format!("{{\"streams\":{streams},\"chunks\":{chunks},\"bytes\":{bytes},\"entries\":{entries}}}")
}

/// The body of `/index/shards`.
pub fn shards(shards: &[Shard], volumed: &Volumed) -> Vec<u8> {
    let mut out = b"{\"shards\":".to_vec();
    array(&mut out, shards, |out, shard| {
        let Shard { min, max, stats } = shard;
        let stats = index_stats_object(stats);
        let text = format!("{{\"bounds\":{{\"min\":{min},\"max\":{max}}},\"stats\":{stats}}}");
        out.extend_from_slice(text.as_bytes());
    });
    out.extend_from_slice(b",\"statistics\":");
    stats::write(&mut out, &volumed.stats, &volumed.pieces);
    out.extend_from_slice(b",\"chunkGroups\":[]}\n");
    out
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

#[cfg(test)]
mod tests;
