//! `Content-Type` as Go's `mime.ParseMediaType` reads it, with its error texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The lower-cased media type of `value`.
pub(super) fn parse(value: &str) -> Result<String, &'static str> {
    let base = value.split(';').next().unwrap_or_default();
    let media_type = base.trim().to_lowercase();
    check(&media_type)?;
    let mut rest = &value[base.len()..];
    let mut seen: BTreeMap<String, Cow<'_, str>> = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(media_type);
        }
        let Some((name, parameter, after)) = parameter(rest) else {
            // A semicolon at the end is forgiven.
            if rest.trim() == ";" {
                return Ok(media_type);
            }
            return Err("mime: invalid media parameter");
        };
        match seen.get(&name) {
            Some(known) if *known != parameter => return Err("mime: duplicate parameter name"),
            _ => seen.insert(name, parameter),
        };
        rest = after;
    }
}

fn check(media_type: &str) -> Result<(), &'static str> {
    let (kind, rest) = token(media_type);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("mime: expected slash in first token");
    };
    let (subtype, rest) = token(rest);
    if subtype.is_empty() {
        return Err("mime: expected token after slash");
    }
    if !rest.is_empty() {
        return Err("mime: unexpected content after media subtype");
    }
    Ok(())
}

/// `; name=value` at the start of `text`: the lower-cased name, the value, what follows.
fn parameter(text: &str) -> Option<(String, Cow<'_, str>, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let (name, text) = token(text);
    if name.is_empty() {
        return None;
    }
    let text = text.trim_start().strip_prefix('=')?.trim_start();
    let (value, rest) = parameter_value(text)?;
    Some((name.to_lowercase(), value, rest))
}

fn parameter_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (!value.is_empty()).then_some((Cow::Borrowed(value), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, found)) = characters.next() {
        match found {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            // Only specials can be escaped; browsers send Windows paths unescaped.
            '\\' if quoted[at + 1..].starts_with(is_special) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            '\r' | '\n' => return None,
            found => value.push(found),
        }
    }
    None
}

fn token(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !is_token(c)).unwrap_or(text.len()))
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !is_special(c)
}

fn is_special(c: char) -> bool {
    "()<>@,;:\\\"/[]?=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_and_refused_as_in_go() {
        for (value, want) in [
            ("application/json", Ok("application/json")),
            ("Application/JSON; charset=utf-8", Ok("application/json")),
            ("application/json ; charset=\"ut\\\"f\" ; a=b;", Ok("application/json")),
            ("application/x-protobuf", Ok("application/x-protobuf")),
            ("json", Ok("json")),
            ("a/b; c=d; C=d", Ok("a/b")),
            ("", Err("mime: no media type")),
            (" ; charset=utf-8", Err("mime: no media type")),
            ("application/", Err("mime: expected token after slash")),
            ("application json", Err("mime: expected slash in first token")),
            ("a/b c", Err("mime: unexpected content after media subtype")),
            ("application/json; charset", Err("mime: invalid media parameter")),
            ("application/json; =x", Err("mime: invalid media parameter")),
            ("application/json; a=\"open", Err("mime: invalid media parameter")),
            ("a/b; c=d; c=e", Err("mime: duplicate parameter name")),
        ] {
            assert_eq!(parse(value), want.map(str::to_owned), "{value}");
        }
    }
}
