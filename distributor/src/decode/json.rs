//! The JSON push body, read in place.
//!
//! What is taken and what is refused is what Loki's two JSON readers take together: the outer one
//! insists on well-formed JSON but matches `streams` in any letter case and reads no further than
//! the closing brace; the inner one wants strings for timestamp, line and metadata values, and
//! ignores elements after the third.
//!
//! A stream is decoded as it comes when `stream` stands before `values` and each stands once. Any
//! other order starts the body anew, in a mode that first looks where they are.

mod number;
mod scan;
mod unescape;

pub(crate) use scan::Cursor;
pub(crate) use unescape::Escapes;

use super::{Arena, Fault, Pieces, RawLabels, Sink, Span};
use crate::error::Error;

/// Why decoding stops.
enum Stop {
    Fault(Fault),
    /// Keys in an order that needs the careful mode.
    Restart,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Walks `body` and calls `sink`; returns the number of streams. `cut` is what the body's encoding
/// said when it broke off: it is the answer if JSON ends early because of it.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    cut: Option<&str>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
    with_cursor(body, cut, pieces, |cursor, pieces| match top(cursor, pieces, sink, false) {
        Ok(streams) => Ok(streams),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Restart) => {
            sink.restart();
            cursor.rewind();
            match top(cursor, pieces, sink, true) {
                Ok(streams) => Ok(streams),
                Err(Stop::Fault(fault)) => Err(fault),
                Err(Stop::Restart) => unreachable!("the careful mode takes any order"),
            }
        }
    })
}

/// Runs `decode` with a cursor that borrows the reusable parts of `pieces`, and words its error.
pub(super) fn with_cursor<T>(
    body: &[u8],
    cut: Option<&str>,
    pieces: &mut Pieces,
    decode: impl FnOnce(&mut Cursor<'_>, &mut Pieces) -> Result<T, Fault>,
) -> Result<T, Error> {
    if body.is_empty() {
        return Err(Error::new(400, "EOF"));
    }
    let mut cursor = Cursor::new(body, std::mem::take(&mut pieces.nesting));
    let result = decode(&mut cursor, pieces);
    let ended = cursor.at_end();
    pieces.nesting = cursor.into_nesting();
    match (result, cut) {
        (Err(_), Some(cut)) if ended => Err(Error::new(400, cut)),
        (result, _) => result.map_err(|fault| *fault),
    }
}

fn top<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
    careful: bool,
) -> Result<usize, Stop> {
    if !cursor.open_object_or_null()? {
        return Ok(0);
    }
    let mut streams = 0;
    let mut at = None;
    let mut more = !cursor.eat(b'}');
    while more {
        pieces.arena.clear();
        let key = cursor.key(&mut pieces.arena)?;
        let is_streams =
            key.of(cursor.body(), pieces.arena.as_slice()).eq_ignore_ascii_case(b"streams");
        if is_streams && careful {
            at = Some(cursor.position());
            cursor.skip_value()?;
        } else if is_streams {
            if at.is_some() {
                return Err(Stop::Restart);
            }
            at = Some(cursor.position());
            streams = decode_streams(cursor, pieces, sink, false)?;
        } else {
            cursor.skip_value()?;
        }
        more = cursor.comma_or(b'}')?;
    }
    if let (true, Some(at)) = (careful, at) {
        cursor.seek(at);
        streams = decode_streams(cursor, pieces, sink, true)?;
    }
    Ok(streams)
}

fn decode_streams<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
    careful: bool,
) -> Result<usize, Stop> {
    if !cursor.open_array_or_null()? {
        return Ok(0);
    }
    let mut streams = 0;
    let mut more = !cursor.eat(b']');
    while more {
        if careful {
            decode_stream_in_any_order(cursor, pieces, sink)?;
        } else {
            decode_stream(cursor, pieces, sink)?;
        }
        streams += 1;
        more = cursor.comma_or(b']')?;
    }
    Ok(streams)
}

fn decode_stream<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<(), Stop> {
    cursor.open(b'{')?;
    let (mut named, mut valued) = (false, false);
    let mut more = !cursor.eat(b'}');
    while more {
        pieces.arena.clear();
        let key = cursor.key(&mut pieces.arena)?;
        match key.of(cursor.body(), pieces.arena.as_slice()) {
            b"stream" => {
                if named || valued {
                    return Err(Stop::Restart);
                }
                named = true;
                sink.stream(RawLabels::Json(labels_object(cursor)?))?;
            }
            b"values" => {
                if valued || !named {
                    return Err(Stop::Restart);
                }
                valued = true;
                decode_values(cursor, pieces, sink)?;
            }
            _ => cursor.skip_value()?,
        }
        more = cursor.comma_or(b'}')?;
    }
    if !named {
        sink.stream(RawLabels::Json(b"{}"))?;
    }
    Ok(())
}

/// As [`decode_stream`]; of keys that stand twice the last counts.
fn decode_stream_in_any_order<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<(), Stop> {
    cursor.open(b'{')?;
    let (mut stream, mut values) = (None, None);
    let mut more = !cursor.eat(b'}');
    while more {
        pieces.arena.clear();
        let key = cursor.key(&mut pieces.arena)?;
        match key.of(cursor.body(), pieces.arena.as_slice()) {
            b"stream" => stream = Some(cursor.position()),
            b"values" => values = Some(cursor.position()),
            _ => {}
        }
        cursor.skip_value()?;
        more = cursor.comma_or(b'}')?;
    }
    let end = cursor.position();
    match stream {
        Some(at) => {
            cursor.seek(at);
            sink.stream(RawLabels::Json(labels_object(cursor)?))?;
        }
        None => sink.stream(RawLabels::Json(b"{}"))?,
    }
    if let Some(at) = values {
        cursor.seek(at);
        decode_values(cursor, pieces, sink)?;
    }
    cursor.seek(end);
    Ok(())
}

fn labels_object<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    cursor.peek_is(b'{')?;
    let from = cursor.position();
    cursor.skip_value()?;
    Ok(&cursor.body()[from..cursor.position()])
}

fn decode_values<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<(), Fault> {
    if !cursor.open_array_or_null()? {
        return Ok(());
    }
    let mut more = !cursor.eat(b']');
    while more {
        if cursor.open_array_or_null()? {
            decode_row(cursor, pieces)?;
            sink.entry(&pieces.entry(cursor.body()));
        }
        more = cursor.comma_or(b']')?;
    }
    Ok(())
}

/// `["ts", "line", {"metadata": "value"}, anything else]`, each of them optional; the bracket is
/// read already.
#[inline]
fn decode_row(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Result<(), Fault> {
    pieces.clear();
    if cursor.eat(b']') {
        return Ok(());
    }
    pieces.ts_ns = cursor.timestamp()?;
    if !cursor.comma_or(b']')? {
        return Ok(());
    }
    pieces.line = cursor.string(&mut pieces.arena, Escapes::Strict)?;
    if !cursor.comma_or(b']')? {
        return Ok(());
    }
    decode_metadata(cursor, pieces)?;
    while cursor.comma_or(b']')? {
        cursor.skip_value()?;
    }
    Ok(())
}

fn decode_metadata(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Result<(), Fault> {
    cursor.open(b'{')?;
    let mut more = !cursor.eat(b'}');
    while more {
        let name = cursor.key(&mut pieces.arena)?;
        let value = cursor.string(&mut pieces.arena, Escapes::Strict)?;
        pieces.metadata.push([name, value]);
        more = cursor.comma_or(b'}')?;
    }
    Ok(())
}

/// The pairs of a label object, the last of equal names, in any order. Values that are no strings
/// count as their text.
pub(crate) fn labels(raw: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    let mut cursor = Cursor::new(raw, Vec::new());
    let mut arena = Arena::default();
    let mut pairs: Vec<(String, String)> = Vec::new();
    cursor.open(b'{')?;
    let mut more = !cursor.eat(b'}');
    while more {
        arena.clear();
        let name = cursor.key(&mut arena)?;
        let value = if cursor.peek_is(b'"').is_ok() {
            cursor.string(&mut arena, Escapes::Strict)?
        } else {
            let from = cursor.position();
            cursor.skip_value()?;
            let text = Span::body(from, cursor.position());
            unescape::unescape(text.of(raw, &[]), &mut arena)?.unwrap_or(text)
        };
        let text =
            |span: Span| String::from_utf8_lossy(span.of(raw, arena.as_slice())).into_owned();
        pairs.push((text(name), text(value)));
        more = cursor.comma_or(b'}')?;
    }
    // Stable: equal names stay in order, and of them the last is kept.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.reverse();
    pairs.dedup_by(|a, b| a.0 == b.0);
    pairs.reverse();
    Ok(pairs)
}

#[cfg(test)]
mod tests;
