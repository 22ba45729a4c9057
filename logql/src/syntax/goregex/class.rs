//! Escapes, classes and counts of an expression.

use std::fmt::Write;

use super::fail;

/// Matches no character.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

const POSIX: &[(&str, &str)] = &[
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x00-\x7F"),
    ("blank", r"\t "),
    ("cntrl", r"\x00-\x1F\x7F"),
    ("digit", "0-9"),
    ("graph", "!-~"),
    ("lower", "a-z"),
    ("print", " -~"),
    ("punct", r"!-/:-@\[-`{-\~"),
    ("space", r"\t-\r "),
    ("upper", "A-Z"),
    ("word", "0-9A-Za-z_"),
    ("xdigit", "0-9A-Fa-f"),
];

/// What is still to be read.
pub(super) struct Reader<'a> {
    pub rest: &'a str,
}

impl Reader<'_> {
    pub fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    pub fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// `{n}`, `{n,}` or `{n,m}`: least and most, -1 for a missing or huge number. `None`, and
    /// nothing is consumed, if it is none of these.
    pub fn count(&mut self) -> Option<(i64, i64)> {
        let (min, rest) = integer(&self.rest[1..])?;
        let (min, max, rest) = match rest.strip_prefix(',') {
            None => (min, min, rest),
            Some(rest) if rest.starts_with('}') => (min, -1, rest),
            Some(rest) => {
                let (max, rest) = integer(rest)?;
                (if max < 0 { -1 } else { min }, max, rest)
            }
        };
        self.rest = rest.strip_prefix('}')?;
        Some((min, max))
    }

    /// `\d`, `\pL` and kin; `None` if the escape is no class.
    pub fn class_escape(&mut self) -> Result<Option<String>, String> {
        let rest = self.rest;
        let class = match rest.as_bytes().get(1) {
            Some(b'd') => "[0-9]",
            Some(b'D') => "[^0-9]",
            Some(b's') => r"[\t\n\f\r ]",
            Some(b'S') => r"[^\t\n\f\r ]",
            Some(b'w') => "[0-9A-Za-z_]",
            Some(b'W') => "[^0-9A-Za-z_]",
            Some(b'p' | b'P') => return self.unicode_class().map(Some),
            _ => return Ok(None),
        };
        self.skip(2);
        Ok(Some(class.to_owned()))
    }

    fn unicode_class(&mut self) -> Result<String, String> {
        let rest = self.rest;
        let mut negated = rest.as_bytes()[1] == b'P';
        self.skip(2);
        let first = self.next();
        let (written, mut name) = if first == Some('{') {
            let Some(end) = rest.find('}') else {
                return fail("invalid character class range", rest);
            };
            self.rest = &rest[end + 1..];
            (&rest[..=end], &rest[3..end])
        } else {
            let length = 2 + first.map_or(0, char::len_utf8);
            (&rest[..length], &rest[2..length])
        };
        if let Some(plain) = name.strip_prefix('^') {
            negated = !negated;
            name = plain;
        }
        let known = match name {
            "Any" => true,
            _ if name.len() <= 2 => is_property("gc", name),
            _ => is_property("sc", name),
        };
        if !known {
            return fail("invalid character class range", written);
        }
        let property = if name.len() > 2 && name != "Any" { "sc=" } else { "" };
        Ok(format!(r"\{}{{{property}{name}}}", if negated { 'P' } else { 'p' }))
    }

    /// The character an escape stands for: a code point, of a surrogate too.
    pub fn escape(&mut self) -> Result<u32, String> {
        let rest = self.rest;
        self.skip(1);
        let Some(c) = self.next() else {
            return fail("trailing backslash at end of expression", "");
        };
        let code = match c {
            '0'..='7' => self.octal(c),
            'x' => self.hexadecimal(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
            _ => None,
        };
        match code {
            Some(code) => Ok(code),
            None => fail("invalid escape sequence", &rest[..rest.len() - self.rest.len()]),
        }
    }

    /// Up to three digits. A single one but 0 would refer to a group, which RE2 does not.
    fn octal(&mut self, first: char) -> Option<u32> {
        let more = self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
        if first != '0' && more == 0 {
            return None;
        }
        let digits = format!("{first}{}", &self.rest[..more]);
        self.skip(more);
        u32::from_str_radix(&digits, 8).ok()
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next()?;
        if first != '{' {
            let second = self.next()?;
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let (mut code, mut digits) = (0u32, 0);
        loop {
            let c = self.next()?;
            if c == '}' {
                return (digits > 0).then_some(code);
            }
            code = code * 16 + c.to_digit(16)?;
            digits += 1;
            if code > char::MAX as u32 {
                return None;
            }
        }
    }

    /// A bracketed class.
    pub fn class(&mut self) -> Result<String, String> {
        let whole = self.rest;
        self.skip(1);
        let mut out = String::from("[");
        if self.rest.starts_with('^') {
            self.skip(1);
            out.push('^');
        }
        let empty = out.len();
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(named) = self.named_class()? {
                out.push_str(&named);
                continue;
            }
            if self.rest.starts_with('\\')
                && let Some(escape) = self.class_escape()?
            {
                out.push_str(&escape);
                continue;
            }
            let from = self.rest;
            let low = self.class_char(whole)?;
            let mut high = low;
            if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.skip(1);
                high = self.class_char(whole)?;
                if high < low {
                    let written = &from[..from.len() - self.rest.len()];
                    return fail("invalid character class range", written);
                }
            }
            push_range(&mut out, low, high);
        }
        self.skip(1);
        if out.len() == empty {
            // Only surrogates were named, which no text contains.
            return Ok(if empty > 1 { r"[\x00-\x{10FFFF}]" } else { NOTHING }.to_owned());
        }
        out.push(']');
        Ok(out)
    }

    fn class_char(&mut self, whole: &str) -> Result<u32, String> {
        if self.rest.starts_with('\\') {
            return self.escape();
        }
        match self.next() {
            Some(c) => Ok(c as u32),
            None => fail("missing closing ]", whole),
        }
    }

    /// `[:alpha:]` within a class.
    fn named_class(&mut self) -> Result<Option<String>, String> {
        let Some(inner) = self.rest.strip_prefix("[:") else { return Ok(None) };
        let Some(end) = inner.find(":]") else { return Ok(None) };
        let (name, negation) = match inner[..end].strip_prefix('^') {
            Some(name) => (name, "^"),
            None => (&inner[..end], ""),
        };
        match POSIX.iter().find(|(known, _)| *known == name) {
            Some((_, ranges)) => {
                self.skip(end + 4);
                Ok(Some(format!("[{negation}{ranges}]")))
            }
            None => fail("invalid character class range", &self.rest[..end + 4]),
        }
    }
}

fn push_range(out: &mut String, low: u32, high: u32) {
    let surrogate = 0xd800..=0xdfff;
    let low = if surrogate.contains(&low) { 0xe000 } else { low };
    let high = if surrogate.contains(&high) { 0xd7ff } else { high };
    if low > high {
        return;
    }
    let written = if low == high {
        write!(out, r"\x{{{low:X}}}")
    } else {
        write!(out, r"\x{{{low:X}}}-\x{{{high:X}}}")
    };
    debug_assert!(written.is_ok());
}

/// Digits without leading zeros; a huge number is -1.
fn integer(text: &str) -> Option<(i64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let value = if digits.len() > 8 { -1 } else { digits.parse().ok()? };
    Some((value, rest))
}

/// Whether Unicode knows a category or script under exactly Go's name of it.
fn is_property(kind: &str, name: &str) -> bool {
    let written = |(index, c): (usize, char)| match c {
        '_' => index > 0,
        c => c.is_ascii_alphabetic(),
    };
    let shaped = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.char_indices().all(written)
        && (kind == "sc" || name[1..].chars().all(|c| c.is_ascii_lowercase()));
    shaped && regex_syntax::parse(&format!(r"\p{{{kind}={name}}}")).is_ok()
}
