//! Templates as a section of the footer.

use super::{MAX_LEVEL_BYTES, MAX_STREAMS, MAX_TEMPLATES, MAX_TEXT_BYTES, Template};
use crate::Error;
use crate::wire::{Cursor, put_bytes, put_varint};

/// Appends the raw bytes of the section.
pub(crate) fn put(templates: &[Template], out: &mut Vec<u8>) {
    assert!(templates.len() <= MAX_TEMPLATES, "a miner gives no more");
    put_varint(out, templates.len() as u64);
    for template in templates {
        put_bytes(out, template.level.as_bytes());
        put_bytes(out, template.text.as_bytes());
        put_varint(out, template.rows);
        put_varint(out, template.streams.len() as u64);
        let mut next = 0;
        for &stream in &template.streams {
            assert!(stream >= next, "streams of a template ascend");
            put_varint(out, u64::from(stream - next));
            next = stream + 1;
        }
    }
}

/// Reads what [`put`] wrote for a part of `streams` streams.
pub(crate) fn get(mut cursor: Cursor<'_>, streams: usize) -> Result<Vec<Template>, Error> {
    let count = cursor.count(4)?;
    if count > MAX_TEMPLATES {
        return Err(cursor.corrupt());
    }
    let mut templates = Vec::with_capacity(count);
    for _ in 0..count {
        let level = text(&mut cursor, MAX_LEVEL_BYTES)?;
        let text = text(&mut cursor, MAX_TEXT_BYTES)?;
        let rows = cursor.varint()?;
        let named = cursor.count(1)?;
        if named > MAX_STREAMS {
            return Err(cursor.corrupt());
        }
        let mut list = Vec::with_capacity(named);
        let mut next = 0u64;
        for _ in 0..named {
            let stream = next.saturating_add(cursor.varint()?);
            if stream >= streams as u64 {
                return Err(cursor.corrupt());
            }
            list.push(stream as u32);
            next = stream + 1;
        }
        templates.push(Template { level, text, rows, streams: list });
    }
    cursor.finish()?;
    Ok(templates)
}

fn text(cursor: &mut Cursor<'_>, most: usize) -> Result<String, Error> {
    let bytes = cursor.bytes()?;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= most => Ok(text.to_owned()),
        _ => Err(cursor.corrupt()),
    }
}
