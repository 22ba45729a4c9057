//! `PushRequest` in protobuf, read in place.
//!
//! Unknown fields are skipped, known ones must have their wire type. Errors are those of Go's
//! generated decoders, which Loki hands to its clients.

use super::{Fault, Pieces, RawLabels, Sink, Span, malformed, time};
use crate::error::Error;

/// Walks `body` and calls `sink`. Decoding stops at the first malformed field.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
    decode_request(body, pieces, sink).map_err(|fault| *fault)
}

fn decode_request<S: Sink>(body: &[u8], pieces: &mut Pieces, sink: &mut S) -> Result<usize, Fault> {
    let mut fields = Fields::new(body, 0, body.len(), "PushRequest");
    let mut streams = 0;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let (from, to) = fields.bytes(field, "Streams")?;
                decode_stream(body, from, to, pieces, sink)?;
                streams += 1;
            }
            _ => fields.skip(field)?,
        }
    }
    Ok(streams)
}

/// Two passes: the first finds the labels, which may follow the entries, and counts the entries.
fn decode_stream<S: Sink>(
    body: &[u8],
    from: usize,
    to: usize,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<(), Fault> {
    let mut fields = Fields::new(body, from, to, "StreamAdapter");
    let (mut labels, mut entries) = ((from, from), 0);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => labels = fields.bytes(field, "Labels")?,
            2 => {
                fields.bytes(field, "Entries")?;
                entries += 1;
            }
            3 => {
                fields.varint_of(field, "Hash")?;
            }
            _ => fields.skip(field)?,
        }
    }
    sink.stream(RawLabels::Text(&body[labels.0..labels.1]))?;
    sink.expect(entries);
    let mut fields = Fields::new(body, from, to, "StreamAdapter");
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            let (from, to) = fields.bytes(field, "Entries")?;
            decode_entry(body, from, to, pieces)?;
            sink.entry(&pieces.entry(body));
        } else {
            fields.skip(field)?;
        }
    }
    Ok(())
}

fn decode_entry(body: &[u8], from: usize, to: usize, pieces: &mut Pieces) -> Result<(), Fault> {
    pieces.clear();
    let mut fields = Fields::new(body, from, to, "EntryAdapter");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let (from, to) = fields.bytes(field, "Timestamp")?;
                pieces.ts_ns = decode_timestamp(body, from, to)?;
            }
            2 => {
                let (from, to) = fields.bytes(field, "Line")?;
                pieces.line = Span::body(from, to);
            }
            3 => {
                let (from, to) = fields.bytes(field, "StructuredMetadata")?;
                pieces.metadata.push(decode_pair(body, from, to)?);
            }
            // What a client parsed out of the line: read for its errors, not stored.
            4 => {
                let (from, to) = fields.bytes(field, "Parsed")?;
                decode_pair(body, from, to)?;
            }
            _ => fields.skip(field)?,
        }
    }
    Ok(())
}

fn decode_pair(body: &[u8], from: usize, to: usize) -> Result<[Span; 2], Fault> {
    let mut fields = Fields::new(body, from, to, "LabelPairAdapter");
    let mut pair = [Span::body(from, from); 2];
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let (from, to) = fields.bytes(field, "Name")?;
                pair[0] = Span::body(from, to);
            }
            2 => {
                let (from, to) = fields.bytes(field, "Value")?;
                pair[1] = Span::body(from, to);
            }
            _ => fields.skip(field)?,
        }
    }
    Ok(pair)
}

fn decode_timestamp(body: &[u8], from: usize, to: usize) -> Result<i64, Fault> {
    if let Some(ts_ns) = usual_timestamp(&body[from..to]) {
        return Ok(ts_ns);
    }
    let mut fields = Fields::new(body, from, to, "Timestamp");
    let (mut seconds, mut nanos) = (0i64, 0i32);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => seconds = fields.varint_of(field, "Seconds")? as i64,
            2 => nanos = fields.varint_of(field, "Nanos")? as i32,
            _ => fields.skip(field)?,
        }
    }
    let shown = || format!("timestamp: &types.Timestamp{{Seconds: {seconds},\nNanos: {nanos},\n}}");
    if seconds < -62_135_596_800 {
        return Err(malformed(format!("{} before 0001-01-01", shown())));
    }
    if seconds >= 253_402_300_800 {
        return Err(malformed(format!("{} after 10000-01-01", shown())));
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(malformed(format!("{}: nanos not in range [0, 1e9)", shown())));
    }
    Ok(time::nanos(seconds, i64::from(nanos)))
}

/// Seconds of today, which have five bytes, and perhaps nanoseconds after them.
#[inline]
fn usual_timestamp(message: &[u8]) -> Option<i64> {
    let (seconds, rest) = message.split_first_chunk::<6>()?;
    if seconds[0] != 0x08 || seconds[5] >= 0x80 {
        return None;
    }
    let mut value = 0u64;
    for (index, &byte) in seconds[1..].iter().enumerate() {
        // Only the last byte may end the number.
        if index < 4 && byte < 0x80 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
    }
    let mut nanos = 0u64;
    if let Some((&tag, bytes)) = rest.split_first() {
        let (&last, more) = bytes.split_last()?;
        if tag != 0x10 || last >= 0x80 || more.len() > 4 {
            return None;
        }
        for (index, &byte) in bytes.iter().enumerate() {
            if index < more.len() && byte < 0x80 {
                return None;
            }
            nanos |= u64::from(byte & 0x7f) << (7 * index);
        }
        if nanos >= 1_000_000_000 {
            return None;
        }
    }
    Some(time::nanos(value as i64, nanos as i64))
}

const UNEXPECTED_EOF: &str = "unexpected EOF";
const MAX_VARINT_BYTES: usize = 10;

#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) number: i32,
    wire: u8,
}

/// The fields of one message, `body[at..end]`.
pub(super) struct Fields<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
    message: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(body: &'a [u8], at: usize, end: usize, message: &'static str) -> Fields<'a> {
        Fields { body: &body[..end], at, end, message }
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<Field>, Fault> {
        if self.at >= self.end {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = Field { number: (key >> 3) as i32, wire: (key & 7) as u8 };
        if field.wire == 4 || field.number <= 0 {
            return Err(self.bad_key(field));
        }
        Ok(Some(field))
    }

    #[cold]
    fn bad_key(&self, field: Field) -> Fault {
        let message = self.message;
        if field.wire == 4 {
            return malformed(format!("proto: {message}: wiretype end group for non-group"));
        }
        let Field { number, wire } = field;
        malformed(format!("proto: {message}: illegal tag {number} (wire type {wire})"))
    }

    /// Tags have one byte, lengths of lines one or two.
    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Fault> {
        match self.body[self.at..] {
            [byte, ..] if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            [low, high, ..] if high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let bytes = &self.body[self.at..];
        let mut value = 0u64;
        for (index, &byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        let whole = bytes.len() >= MAX_VARINT_BYTES;
        Err(malformed(if whole { "proto: integer overflow" } else { UNEXPECTED_EOF }))
    }

    /// Where the bytes of a length-delimited field lie.
    #[inline(always)]
    pub(super) fn bytes(
        &mut self,
        field: Field,
        name: &'static str,
    ) -> Result<(usize, usize), Fault> {
        if field.wire != 2 {
            return Err(wrong_wire(field, name));
        }
        let length = self.varint()?;
        let from = self.at;
        // A length over i64::MAX is negative in Go.
        if length > i64::MAX as u64 || from as u64 + length > i64::MAX as u64 {
            return Err(malformed("proto: negative length found during unmarshaling"));
        }
        if length > (self.end - from) as u64 {
            return Err(malformed(UNEXPECTED_EOF));
        }
        self.at = from + length as usize;
        Ok((from, self.at))
    }

    pub(super) fn varint_of(&mut self, field: Field, name: &'static str) -> Result<u64, Fault> {
        if field.wire != 0 {
            return Err(wrong_wire(field, name));
        }
        self.varint()
    }

    /// A field of eight bytes.
    pub(super) fn fixed64_of(&mut self, field: Field, name: &'static str) -> Result<u64, Fault> {
        if field.wire != 1 {
            return Err(wrong_wire(field, name));
        }
        let bytes = self.body[self.at..].first_chunk::<8>();
        let value = u64::from_le_bytes(*bytes.ok_or_else(|| malformed(UNEXPECTED_EOF))?);
        self.at += 8;
        Ok(value)
    }

    /// A field of four bytes.
    pub(super) fn fixed32_of(&mut self, field: Field, name: &'static str) -> Result<u32, Fault> {
        if field.wire != 5 {
            return Err(wrong_wire(field, name));
        }
        let bytes = self.body[self.at..].first_chunk::<4>();
        let value = u32::from_le_bytes(*bytes.ok_or_else(|| malformed(UNEXPECTED_EOF))?);
        self.at += 4;
        Ok(value)
    }

    /// Steps over a field of any type; groups nest without recursion.
    pub(super) fn skip(&mut self, field: Field) -> Result<(), Fault> {
        let mut depth = 0usize;
        let mut wire = field.wire;
        loop {
            match wire {
                0 => {
                    self.varint()?;
                }
                1 => self.advance(8)?,
                2 => {
                    self.bytes(Field { number: 1, wire: 2 }, "")?;
                }
                3 => depth += 1,
                4 => match depth.checked_sub(1) {
                    Some(less) => depth = less,
                    None => return Err(malformed("proto: unexpected end of group")),
                },
                5 => self.advance(4)?,
                _ => return Err(malformed(format!("proto: illegal wireType {wire}"))),
            }
            if depth == 0 {
                return Ok(());
            }
            if self.at >= self.end {
                return Err(malformed(UNEXPECTED_EOF));
            }
            wire = (self.varint()? & 7) as u8;
        }
    }

    fn advance(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.end - self.at {
            return Err(malformed(UNEXPECTED_EOF));
        }
        self.at += bytes;
        Ok(())
    }
}

#[cold]
fn wrong_wire(field: Field, name: &str) -> Fault {
    malformed(format!("proto: wrong wireType = {} for field {name}", field.wire))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(seconds: u64, nanos: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, mut value) in [(8, seconds), (16, nanos)] {
            out.push(tag);
            while value >= 0x80 {
                out.push(value as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        }
        out
    }

    /// As [`decode_timestamp`] without its short cut.
    fn slow(message: &[u8]) -> Result<i64, Fault> {
        let padded = [message, &[0x18, 0]].concat();
        decode_timestamp(&padded, 0, padded.len())
    }

    #[test]
    fn the_short_cut_for_todays_timestamps_changes_nothing() {
        for seconds in [0, 1, 268_435_456, 1_714_557_600, 34_359_738_367, 34_359_738_368] {
            for nanos in [0, 1, 127, 128, 5_000, 123_456_789, 999_999_999] {
                let message = timestamp(seconds, nanos);
                let want = Ok((seconds as i64).wrapping_mul(1_000_000_000) + nanos as i64);
                assert_eq!(decode_timestamp(&message, 0, message.len()), want);
                assert_eq!(slow(&message), want);
            }
        }
        let message = timestamp(1_714_557_600, 7);
        for at in 0..message.len() {
            for byte in 0..=255 {
                let mut message = message.clone();
                message[at] = byte;
                for end in 0..=message.len() {
                    let fast = usual_timestamp(&message[..end]);
                    assert!(fast.is_none() || fast == slow(&message[..end]).ok(), "{message:?}");
                }
            }
        }
    }

    #[test]
    fn timestamps_out_of_range_are_refused() {
        let bad = timestamp(1_714_557_600, 1_000_000_000);
        let text = decode_timestamp(&bad, 0, bad.len()).unwrap_err().text;
        assert!(text.ends_with(": nanos not in range [0, 1e9)"), "{text}");
        let late = timestamp(253_402_300_800, 0);
        let text = decode_timestamp(&late, 0, late.len()).unwrap_err().text;
        assert!(text.ends_with(" after 10000-01-01"), "{text}");
    }
}
