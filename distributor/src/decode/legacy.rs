//! The JSON push body of the time before version 1:
//! `{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2024-05-01T10:00:00Z","line":"x"}]}]}`.
//!
//! Keys count in any letter case; unknown ones are skipped; `null` leaves a field as it is.

use super::json::{Cursor, Escapes, with_cursor};
use super::{Arena, Fault, Pieces, RawLabels, Sink, Span, malformed, time};
use crate::error::Error;

/// Walks `body` and calls `sink`; returns the number of streams. `cut`: as for the JSON of today.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    cut: Option<&str>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
    with_cursor(body, cut, pieces, |cursor, pieces| {
        let mut streams = None;
        fields(cursor, pieces, |cursor, key, _| {
            if key.eq_ignore_ascii_case(b"streams") {
                streams = Some(cursor.position());
            }
            cursor.skip_value()
        })?;
        let Some(at) = streams else { return Ok(0) };
        cursor.seek(at);
        let mut count = 0;
        elements(cursor, |cursor| {
            count += 1;
            decode_stream(cursor, pieces, sink)
        })?;
        Ok(count)
    })
}

fn decode_stream<S: Sink>(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<(), Fault> {
    let mut labels = Vec::new();
    let mut entries = None;
    fields(cursor, pieces, |cursor, key, pieces| {
        if key.eq_ignore_ascii_case(b"labels") {
            if let Some(text) = string_or_null(cursor, pieces)? {
                labels.clear();
                labels.extend_from_slice(text.of(cursor.body(), pieces.arena.as_slice()));
            }
            return Ok(());
        }
        if key.eq_ignore_ascii_case(b"entries") {
            entries = Some(cursor.position());
        }
        cursor.skip_value()
    })?;
    let end = cursor.position();
    sink.stream(RawLabels::Text(&labels))?;
    if let Some(at) = entries {
        cursor.seek(at);
        elements(cursor, |cursor| {
            decode_entry(cursor, pieces)?;
            sink.entry(&pieces.entry(cursor.body()));
            Ok(())
        })?;
        cursor.seek(end);
    }
    Ok(())
}

fn decode_entry(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Result<(), Fault> {
    pieces.clear();
    fields(cursor, pieces, |cursor, key, pieces| {
        if key.eq_ignore_ascii_case(b"ts") {
            let Some(text) = string_or_null(cursor, pieces)? else { return Ok(()) };
            let text = text.of(cursor.body(), pieces.arena.as_slice());
            pieces.ts_ns = time::parse_rfc3339(text).ok_or_else(|| {
                let text = base::quote::quote(&String::from_utf8_lossy(text));
                malformed(format!("parsing time {text}: not RFC 3339"))
            })?;
            Ok(())
        } else if key.eq_ignore_ascii_case(b"line") {
            if let Some(line) = string_or_null(cursor, pieces)? {
                pieces.line = line;
            }
            Ok(())
        } else if key.eq_ignore_ascii_case(b"structuredMetadata") {
            pieces.metadata.clear();
            elements(cursor, |cursor| {
                let pair = decode_pair(cursor, pieces)?;
                pieces.metadata.push(pair);
                Ok(())
            })
        } else {
            cursor.skip_value()
        }
    })
}

fn decode_pair(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Result<[Span; 2], Fault> {
    let mut pair = [Span::default(); 2];
    fields(cursor, pieces, |cursor, key, pieces| {
        let slot = if key.eq_ignore_ascii_case(b"name") {
            0
        } else if key.eq_ignore_ascii_case(b"value") {
            1
        } else {
            return cursor.skip_value();
        };
        if let Some(text) = string_or_null(cursor, pieces)? {
            pair[slot] = text;
        }
        Ok(())
    })?;
    Ok(pair)
}

/// Calls `field` at the value of every key of the object at hand; `null` has none.
fn fields(
    cursor: &mut Cursor<'_>,
    pieces: &mut Pieces,
    mut field: impl FnMut(&mut Cursor<'_>, &[u8], &mut Pieces) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if !cursor.open_object_or_null()? {
        return Ok(());
    }
    let mut more = !cursor.eat(b'}');
    // A key is looked at while the arena may grow, so an escaped one is kept apart.
    let mut unescaped = Arena::default();
    while more {
        unescaped.clear();
        let key = cursor.key(&mut unescaped)?;
        field(cursor, key.of(cursor.body(), unescaped.as_slice()), pieces)?;
        more = cursor.comma_or(b'}')?;
    }
    Ok(())
}

/// Calls `element` at every element of the array at hand; `null` has none.
fn elements(
    cursor: &mut Cursor<'_>,
    mut element: impl FnMut(&mut Cursor<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if !cursor.open_array_or_null()? {
        return Ok(());
    }
    let mut more = !cursor.eat(b']');
    while more {
        element(cursor)?;
        more = cursor.comma_or(b']')?;
    }
    Ok(())
}

fn string_or_null(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Result<Option<Span>, Fault> {
    if cursor.peek_is(b'"').is_ok() {
        return cursor.string(&mut pieces.arena, Escapes::Lenient).map(Some);
    }
    cursor.null()?;
    Ok(None)
}
