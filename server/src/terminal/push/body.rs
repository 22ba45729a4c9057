//! Bodies of the push API: protobuf, compressed in snappy's block format.

use crate::terminal::output::{LabelSet, braces};

/// Uncompressed bytes after which a body is sent.
pub const BODY_BYTES: usize = 1 << 20;

/// Field numbers and wire types of the push API's messages, as tag bytes.
mod tag {
    /// `PushRequest.streams`, `Stream.labels`, `Entry.timestamp`: field 1, length first.
    pub const FIRST: u8 = 1 << 3 | 2;
    /// `Stream.entries`, `Entry.line`: field 2, length first.
    pub const SECOND: u8 = 2 << 3 | 2;
    /// `Timestamp.seconds`: field 1, varint.
    pub const SECONDS: u8 = 1 << 3;
    /// `Timestamp.nanos`: field 2, varint.
    pub const NANOS: u8 = 2 << 3;
}

/// A body that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Body {
    /// Compressed.
    pub bytes: bytes::Bytes,
    /// Lines in it.
    pub lines: u64,
    /// Bytes of its lines.
    pub line_bytes: u64,
}

/// Collects lines until they are a body's worth.
#[derive(Debug)]
pub struct Builder {
    labels: String,
    /// Entries of the current stream, encoded.
    entries: Vec<u8>,
    /// Finished streams, encoded.
    streams: Vec<u8>,
    /// The timestamp of the entry that is being added.
    timestamp: Vec<u8>,
    lines: u64,
    line_bytes: u64,
    compressor: snap::raw::Encoder,
}

impl Builder {
    /// Lines go to the stream with `labels` until it is changed.
    pub fn new(labels: &LabelSet) -> Builder {
        Builder {
            labels: braces(labels),
            entries: Vec::new(),
            streams: Vec::new(),
            timestamp: Vec::new(),
            lines: 0,
            line_bytes: 0,
            compressor: snap::raw::Encoder::new(),
        }
    }

    /// Lines from here on belong to the stream with `labels`.
    pub fn set_labels(&mut self, labels: &LabelSet) {
        self.close_stream();
        self.labels = braces(labels);
    }

    /// Adds a line.
    pub fn push(&mut self, ts_ns: i64, line: &str) {
        self.timestamp.clear();
        put_timestamp(&mut self.timestamp, ts_ns);
        let fields = [self.timestamp.len(), line.len()];
        let entry: usize = fields.iter().map(|len| 1 + varint_bytes(*len) + len).sum();
        self.entries.push(tag::SECOND);
        put_varint(&mut self.entries, entry as u64);
        put_bytes(&mut self.entries, tag::FIRST, &self.timestamp);
        put_bytes(&mut self.entries, tag::SECOND, line.as_bytes());
        self.lines += 1;
        self.line_bytes += line.len() as u64;
    }

    /// Whether there is enough to send.
    pub fn is_full(&self) -> bool {
        self.entries.len() + self.streams.len() >= BODY_BYTES
    }

    /// The lines so far as a body; [`None`] without any.
    pub fn finish(&mut self) -> Option<Body> {
        self.close_stream();
        if self.lines == 0 {
            return None;
        }
        let bytes = self.compressor.compress_vec(&self.streams).expect("under 4 GiB");
        let body = Body { bytes: bytes.into(), lines: self.lines, line_bytes: self.line_bytes };
        self.streams.clear();
        (self.lines, self.line_bytes) = (0, 0);
        Some(body)
    }

    fn close_stream(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let labels = self.labels.len();
        let stream = 1 + varint_bytes(labels) + labels + self.entries.len();
        self.streams.push(tag::FIRST);
        put_varint(&mut self.streams, stream as u64);
        put_bytes(&mut self.streams, tag::FIRST, self.labels.as_bytes());
        self.streams.append(&mut self.entries);
    }
}

/// A `google.protobuf.Timestamp`; zeros are left out, as the format says.
fn put_timestamp(out: &mut Vec<u8>, ts_ns: i64) {
    let (seconds, nanos) = (ts_ns.div_euclid(1_000_000_000), ts_ns.rem_euclid(1_000_000_000));
    for (tag, value) in [(tag::SECONDS, seconds), (tag::NANOS, nanos)] {
        if value != 0 {
            out.push(tag);
            put_varint(out, value as u64);
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_bytes(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    (bits.max(1) as usize).div_ceil(7)
}
