//! What fuzzers call: every decoder of outside bytes, on any bytes.

use crate::body::{self, Buffer, Caps, Encoding};
use crate::decode::{self, Entry, Fault, Pieces, RawLabels, Sink};
use crate::level::Detector;
use crate::limits::PushLimits;
use crate::{metadata, streams};
use rpc::http::body::Hold;

/// Reads every slice it is given.
#[derive(Default)]
struct Reader(u64);

impl Reader {
    fn read(&mut self, bytes: &[u8]) {
        self.0 = self.0.wrapping_add(base::hash::hash64(bytes));
    }
}

impl Sink for Reader {
    fn stream(&mut self, labels: RawLabels<'_>) -> Result<(), Fault> {
        let _ = streams::read(labels)?;
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        self.read(entry.line);
        for (name, value) in entry.metadata.iter() {
            self.read(name);
            self.read(value);
        }
    }

    fn restart(&mut self) {
        self.0 = 0;
    }
}

/// The protobuf push body.
pub fn fuzz_protobuf(data: &[u8]) {
    let _ = decode::protobuf::decode(data, &mut Pieces::default(), &mut Reader::default());
}

/// The JSON push body.
pub fn fuzz_json(data: &[u8]) {
    let _ = decode::json::decode(data, None, &mut Pieces::default(), &mut Reader::default());
}

/// The JSON push body of the time before version 1.
pub fn fuzz_legacy(data: &[u8]) {
    let _ = decode::legacy::decode(data, None, &mut Pieces::default(), &mut Reader::default());
}

/// Label text.
pub fn fuzz_labels(data: &[u8]) {
    if let Ok(pairs) = decode::labels::parse(data) {
        let tenant = base::TenantId::new("fuzz").expect("a valid id");
        let limits = PushLimits::default();
        let detector = Detector::new(&limits.log_level_fields, 2);
        let _ = streams::admit(pairs, false, &tenant, &limits, &detector);
    }
}

/// The OTLP body in protobuf.
pub fn fuzz_otlp(data: &[u8]) {
    let (limits, now) = (PushLimits::default(), base::UnixNanos(1));
    let (mut pieces, mut sink) = (Pieces::default(), Reader::default());
    let _ = decode::otlp::decode(data, &limits, now, &mut pieces, &mut sink);
}

/// The OTLP body in JSON: what becomes protobuf reads as that.
pub fn fuzz_otlp_json(data: &[u8]) {
    let mut message = Vec::new();
    if decode::otlp::to_protobuf(data, &mut message).is_ok() {
        assert!(message.len() <= data.len() * 4 + 64);
        fuzz_otlp(&message);
    }
}

/// gzip, deflate, Zstandard, LZ4 and snappy: the first byte chooses.
pub fn fuzz_compression(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let (mut hold, mut out) = (Hold::unlimited(), Buffer::default());
    let mut caps = Caps::new(1 << 20, &mut hold);
    let _ = match kind % 5 {
        0 => body::decompress(Encoding::Gzip, data, &mut caps, &mut out).map(drop),
        1 => body::decompress(Encoding::Deflate, data, &mut caps, &mut out).map(drop),
        2 => body::decompress(Encoding::Zstd, data, &mut caps, &mut out).map(drop),
        3 => body::decompress(Encoding::Lz4, data, &mut caps, &mut out).map(drop),
        _ => body::decompress_snappy(data, &mut caps, &mut out),
    };
    assert!(out.as_slice().len() <= (1 << 20) + 1);
}

/// Level detection and metadata of one line.
pub fn fuzz_line(data: &[u8]) {
    let limits = PushLimits::default();
    let detector = Detector::new(&limits.log_level_fields, limits.log_level_from_json_max_depth);
    let _ = detector.line(data);
    let _ = metadata::normalise_name(data);
    let mut scratch = Vec::new();
    assert!(std::str::from_utf8(metadata::clean_value(data, &mut scratch)).is_ok());
}
