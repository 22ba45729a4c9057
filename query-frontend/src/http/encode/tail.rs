//! Frames of a tail: every element of `streams` is one line (contract 2.12).

use super::answer::third;
use super::{EncodingFlags, array};
use crate::http::json;
use crate::tail::{Frame, Line};

/// The text of a frame.
pub fn tail_frame(frame: &Frame, flags: &EncodingFlags) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + frame.lines.len() * 256);
    out.extend_from_slice(b"{\"streams\":");
    let categorize = flags.categorize();
    array(&mut out, &frame.lines, |out, line| write(out, line, categorize));
    if !frame.dropped.is_empty() {
        out.extend_from_slice(b",\"dropped_entries\":");
        array(&mut out, &frame.dropped, |out, (labels, ts_ns)| {
            out.extend_from_slice(b"{\"labels\":");
            json::labels(out, labels);
            out.extend_from_slice(b",\"timestamp\":\"");
            json::int(out, *ts_ns);
            out.extend_from_slice(b"\"}");
        });
    }
    if !flags.0.is_empty() {
        out.extend_from_slice(b",\"encodingFlags\":");
        json::strings(&mut out, &flags.0);
    }
    out.push(b'}');
    out
}

fn write(out: &mut Vec<u8>, line: &Line, categorize: bool) {
    out.extend_from_slice(b"{\"stream\":");
    json::labels(out, &line.labels);
    out.extend_from_slice(b",\"values\":[[\"");
    json::int(out, line.ts_ns);
    out.extend_from_slice(b"\",");
    json::string(out, &line.line);
    if categorize {
        match &line.origins {
            Some(of) => out.extend_from_slice(&third(of)),
            None => out.extend_from_slice(b",{}"),
        }
    }
    out.extend_from_slice(b"]]}");
}
