//! `PushRequest` in protobuf, read in place.
//!
//! Unknown fields are skipped, known ones must have their wire type. Errors are those of Go's
//! generated decoders, which Loki hands to its clients.

use super::{Pieces, RawLabels, Sink, Span, malformed, time};
use crate::error::Error;

/// Walks `body` and calls `sink`. Decoding stops at the first malformed field.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
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
) -> Result<(), Error> {
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

fn decode_entry(body: &[u8], from: usize, to: usize, pieces: &mut Pieces) -> Result<(), Error> {
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

fn decode_pair(body: &[u8], from: usize, to: usize) -> Result<[Span; 2], Error> {
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

fn decode_timestamp(body: &[u8], from: usize, to: usize) -> Result<i64, Error> {
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

const UNEXPECTED_EOF: &str = "unexpected EOF";

#[derive(Clone, Copy)]
struct Field {
    number: i32,
    wire: u8,
}

/// The fields of one message, `body[at..end]`.
struct Fields<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
    message: &'static str,
}

impl<'a> Fields<'a> {
    fn new(body: &'a [u8], at: usize, end: usize, message: &'static str) -> Fields<'a> {
        Fields { body: &body[..end], at, end, message }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Field>, Error> {
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
    fn bad_key(&self, field: Field) -> Error {
        let message = self.message;
        if field.wire == 4 {
            return malformed(format!("proto: {message}: wiretype end group for non-group"));
        }
        let Field { number, wire } = field;
        malformed(format!("proto: {message}: illegal tag {number} (wire type {wire})"))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Error> {
        if let Some(&byte) = self.body.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.body.get(self.at) else {
                return Err(malformed(UNEXPECTED_EOF));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("proto: integer overflow"))
    }

    /// Where the bytes of a length-delimited field lie.
    #[inline]
    fn bytes(&mut self, field: Field, name: &'static str) -> Result<(usize, usize), Error> {
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

    fn varint_of(&mut self, field: Field, name: &'static str) -> Result<u64, Error> {
        if field.wire != 0 {
            return Err(wrong_wire(field, name));
        }
        self.varint()
    }

    /// Steps over a field of any type; groups nest without recursion.
    fn skip(&mut self, field: Field) -> Result<(), Error> {
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

    fn advance(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > self.end - self.at {
            return Err(malformed(UNEXPECTED_EOF));
        }
        self.at += bytes;
        Ok(())
    }
}

#[cold]
fn wrong_wire(field: Field, name: &str) -> Error {
    malformed(format!("proto: wrong wireType = {} for field {name}", field.wire))
}
