//! A level field in a logfmt line: looked for, not parsed.

use memchr::{memchr, memchr2};

use super::Fields;

/// The value of the first field of `fields` in `line`, without its quotes.
pub(super) fn find<'a>(line: &'a [u8], fields: &Fields) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        // The key is the word before the next equals sign.
        let equals = at + memchr(b'=', line.get(at..)?)?;
        let word = line[at..equals].iter().rposition(|&byte| byte <= b' ' || byte == b'"');
        let key = &line[word.map_or(at, |space| at + space + 1)..equals];
        at = equals + 1;
        let value = if line.get(at) == Some(&b'"') {
            let from = at + 1;
            at = quoted_end(line, from)?;
            let value = &line[from..at];
            at += 1;
            value
        } else if fields.contains(key) {
            let from = at;
            let length = line[from..].iter().position(|&byte| byte <= b' ');
            at = from + length.unwrap_or(line.len() - from);
            &line[from..at]
        } else {
            // The value ends at white space, but another `=` in it starts no key.
            let length = line[at..].iter().position(|&byte| byte <= b' ')?;
            at += length;
            continue;
        };
        if fields.contains(key) {
            return Some(value);
        }
    }
}

fn quoted_end(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}
