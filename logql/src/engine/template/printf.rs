//! `fmt.Sprint`, `Sprintln` and `Sprintf` for the values of templates.

use super::value::Value;
use super::{Data, OUTPUT_MAX, time};
use base::quote::quote;

/// As the result of an action is printed.
pub(super) fn print_value(value: &Value, data: &dyn Data) -> Vec<u8> {
    match value {
        Value::None => b"<no value>".to_vec(),
        value => shown(value, data),
    }
}

/// `%v`.
fn shown(value: &Value, data: &dyn Data) -> Vec<u8> {
    match value {
        Value::None => b"<nil>".to_vec(),
        Value::Bool(value) => value.to_string().into_bytes(),
        Value::Int(value) | Value::Long(value) => value.to_string().into_bytes(),
        Value::Byte(byte) => byte.to_string().into_bytes(),
        Value::Float(value) => general(*value).into_bytes(),
        Value::Str(text) => text.to_vec(),
        Value::Time(moment) => time::shown(moment).into_bytes(),
        Value::List(items) => {
            let mut out = b"[".to_vec();
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                out.extend(shown(item, data));
            }
            out.push(b']');
            out
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| (name.clone(), shown(value, data)));
            shown_map(entries)
        }
        Value::Labels => shown_map(data.labels().into_iter()),
    }
}

fn shown_map(entries: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut out = b"map[".to_vec();
    for (index, (name, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend(value);
    }
    out.push(b']');
    out
}

/// `fmt.Sprint`: a space between two operands neither of which is text.
pub(super) fn print(given: &[Value], data: &dyn Data) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text_before = true;
    for (index, value) in given.iter().enumerate() {
        let text = matches!(value, Value::Str(_));
        if index > 0 && !text && !text_before {
            out.push(b' ');
        }
        out.extend(shown(value, data));
        text_before = text;
    }
    out
}

/// `fmt.Sprintln`.
pub(super) fn println(given: &[Value], data: &dyn Data) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = given.iter().map(|value| shown(value, data)).collect();
    let mut out = parts.join(&b' ');
    out.push(b'\n');
    out
}

/// `%g` with the fewest digits: an exponent below -4 and from 6 on.
pub(super) fn general(value: f64) -> String {
    scientific(value, None, 6)
}

/// Flags, width and precision of a directive.
#[derive(Clone, Copy, Debug, Default)]
struct Style {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Style {
    /// Pads to the width. Zeros go behind the sign.
    fn pad(&self, text: &str, number: bool) -> String {
        let length = text.chars().count();
        let missing = self.width.unwrap_or(0).saturating_sub(length);
        if missing == 0 {
            return text.to_owned();
        }
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && number {
            let signed = text.starts_with(['+', '-', ' ']);
            let (sign, digits) = text.split_at(usize::from(signed));
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        let fill = if self.zero && !number { "0" } else { " " };
        format!("{}{text}", fill.repeat(missing))
    }

    fn signed(&self, negative: bool, digits: &str) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        format!("{sign}{digits}")
    }
}

/// `fmt.Sprintf`. Fails if the result is longer than any template's.
pub(super) fn printf(format: &[u8], given: &[Value], data: &dyn Data) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut reader = Reader { format, at: 0, given, next: 0, reordered: false, bad_index: false };
    while let Some(&byte) = format.get(reader.at) {
        reader.at += 1;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (style, wrong) = reader.style();
        out.extend_from_slice(wrong.as_bytes());
        let rest = String::from_utf8_lossy(&format[reader.at..]);
        let Some(verb) = rest.chars().next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        reader.at += verb.len_utf8().min(format.len() - reader.at);
        match given.get(reader.next) {
            _ if verb == '%' => out.push(b'%'),
            _ if reader.bad_index => out.extend(format!("%!{verb}(BADINDEX)").bytes()),
            None => out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes()),
            Some(value) => {
                reader.next += 1;
                out.extend(directive(verb, &style, value, data));
            }
        }
        if out.len() > OUTPUT_MAX {
            return Err("the result is too long".to_owned());
        }
    }
    if !reader.reordered && reader.next < given.len() {
        extra(&given[reader.next..], data, &mut out);
    }
    Ok(out)
}

/// What no directive asked for.
fn extra(given: &[Value], data: &dyn Data, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%!(EXTRA ");
    for (index, value) in given.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        if matches!(value, Value::None) {
            out.extend_from_slice(b"<nil>");
            continue;
        }
        out.extend_from_slice(value.type_name().as_bytes());
        out.push(b'=');
        out.extend(shown(value, data));
    }
    out.push(b')');
}

/// Widest padding.
const WIDTH_MAX: usize = 1_000_000;

/// Where a format is read, and which operand comes next.
struct Reader<'f> {
    format: &'f [u8],
    at: usize,
    given: &'f [Value],
    next: usize,
    /// An index like `[2]` was used: operands that are left over are no mistake then.
    reordered: bool,
    /// The index of this directive is no operand's, or stands at a wrong place.
    bad_index: bool,
}

impl Reader<'_> {
    /// Reads flags, width, precision and indexes; what is wrong with them is printed.
    fn style(&mut self) -> (Style, String) {
        let (mut style, mut wrong) = (Style::default(), String::new());
        while let Some(flag) = self.format.get(self.at) {
            match flag {
                b'-' => style.minus = true,
                b'+' => style.plus = true,
                b'#' => style.sharp = true,
                b' ' => style.space = true,
                b'0' => style.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        self.bad_index = false;
        let mut indexed = self.index();
        if self.is(b'*') {
            let width = self.operand();
            wrong.push_str(if width.is_none() { "%!(BADWIDTH)" } else { "" });
            style.minus |= width.is_some_and(|width| width < 0);
            style.width = width.map(|width| width.unsigned_abs() as usize);
            indexed = false;
        } else {
            style.width = self.number();
            self.bad_index |= indexed && style.width.is_some();
        }
        if self.is(b'.') {
            self.at += 1;
            self.bad_index |= indexed;
            indexed = self.index();
            if self.is(b'*') {
                let precision = self.operand();
                wrong.push_str(if precision.is_none() { "%!(BADPREC)" } else { "" });
                style.precision = Some(precision.map_or(0, |most| most.max(0) as usize));
                indexed = false;
            } else {
                style.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        style.zero &= !style.minus;
        (style, wrong)
    }

    fn is(&self, byte: u8) -> bool {
        self.format.get(self.at) == Some(&byte)
    }

    fn number(&mut self) -> Option<usize> {
        let rest = &self.format[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        let text = std::str::from_utf8(&rest[..digits]).ok()?;
        text.parse().ok().filter(|&count| count <= WIDTH_MAX)
    }

    /// The operand that `*` stands for.
    fn operand(&mut self) -> Option<i64> {
        self.at += 1;
        let value = self.given.get(self.next);
        self.next += 1;
        match value {
            Some(Value::Int(count) | Value::Long(count)) => {
                Some(*count).filter(|count| count.unsigned_abs() <= WIDTH_MAX as u64)
            }
            _ => None,
        }
    }

    /// Reads an index, counted from 1, if there is one. True = it was well formed.
    fn index(&mut self) -> bool {
        if !self.is(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.iter().position(|&byte| byte == b']').filter(|&at| at > 1) else {
            self.at += if rest.len() > 2 && rest[1] == b']' { 2 } else { 1 };
            self.bad_index = true;
            return false;
        };
        self.at += close + 1;
        let text = std::str::from_utf8(&rest[1..close]).unwrap_or_default();
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
        let number: Option<usize> = number.flatten();
        match number.and_then(|number| number.checked_sub(1)) {
            Some(index) if index < self.given.len() => self.next = index,
            _ => self.bad_index = true,
        }
        number.is_some()
    }
}

fn directive(verb: char, style: &Style, value: &Value, data: &dyn Data) -> Vec<u8> {
    if verb == 'T' {
        return style.pad(value.type_name(), false).into_bytes();
    }
    let text = match value {
        Value::None if verb == 'v' => Some(style.pad("<nil>", false)),
        Value::None => return format!("%!{verb}(<nil>)").into_bytes(),
        Value::Bool(value) if matches!(verb, 't' | 'v') => {
            Some(style.pad(&value.to_string(), false))
        }
        Value::Int(value) | Value::Long(value) => whole(verb, style, *value),
        Value::Byte(byte) => whole(verb, style, i64::from(*byte)),
        Value::Float(value) => float(verb, style, *value),
        Value::Str(text) => return string(verb, style, text),
        Value::List(_) | Value::Map(_) | Value::Labels | Value::Time(_)
            if matches!(verb, 'v' | 's') =>
        {
            let text = shown(value, data);
            Some(style.pad(&String::from_utf8_lossy(&text), false))
        }
        _ => None,
    };
    match text {
        Some(text) => text.into_bytes(),
        None => bad_verb(verb, value, data),
    }
}

fn bad_verb(verb: char, value: &Value, data: &dyn Data) -> Vec<u8> {
    let mut out = format!("%!{verb}({}=", value.type_name()).into_bytes();
    out.extend(shown(value, data));
    out.push(b')');
    out
}

fn string(verb: char, style: &Style, text: &[u8]) -> Vec<u8> {
    let lossy = String::from_utf8_lossy(text);
    let cut: String = match style.precision {
        Some(most) => lossy.chars().take(most).collect(),
        None => lossy.clone().into_owned(),
    };
    let padded = match verb {
        's' | 'v' if style.width.is_none() && style.precision.is_none() => return text.to_vec(),
        's' | 'v' => style.pad(&cut, false),
        'q' => style.pad(&quoted(style, &cut), false),
        'x' | 'X' => {
            let most = style.precision.unwrap_or(text.len()).min(text.len());
            let mut digits: Vec<String> =
                text[..most].iter().map(|byte| format!("{byte:02x}")).collect();
            if style.sharp {
                // With blanks each byte has a prefix, else only the first.
                let prefixed = if style.space { digits.len() } else { 1 };
                digits.iter_mut().take(prefixed).for_each(|byte| byte.insert_str(0, "0x"));
            }
            let digits = digits.join(if style.space { " " } else { "" });
            style.pad(&if verb == 'X' { digits.to_uppercase() } else { digits }, false)
        }
        _ => {
            let mut out = format!("%!{verb}(string=").into_bytes();
            out.extend_from_slice(text);
            out.push(b')');
            return out;
        }
    };
    padded.into_bytes()
}

/// `%q`: with `#` between backquotes if it can be, with `+` in ASCII.
fn quoted(style: &Style, text: &str) -> String {
    let raw = |c: char| (c == '\t' || !c.is_ascii_control()) && !matches!(c, '`' | '\u{feff}');
    if style.sharp && text.chars().all(raw) {
        return format!("`{text}`");
    }
    let quoted = quote(text);
    if !style.plus {
        return quoted;
    }
    let mut out = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match u32::from(c) {
            ..=0x7f => out.push(c),
            code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

fn whole(verb: char, style: &Style, value: i64) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let (mut digits, prefix) = match verb {
        'd' | 'v' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), "0b"),
        'o' => (format!("{magnitude:o}"), "0"),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), "0x"),
        'X' => (format!("{magnitude:X}"), "0X"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32);
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = match verb {
                'c' => c.to_string(),
                'U' => format!("U+{magnitude:04X}"),
                _ => {
                    let quoted = quote(&c.to_string());
                    let inner = quoted[1..quoted.len() - 1].replace("\\\"", "\"");
                    format!("'{}'", if c == '\'' { "\\'".to_owned() } else { inner })
                }
            };
            return Some(style.pad(&text, false));
        }
        _ => return None,
    };
    let mut plain = *style;
    if let Some(precision) = style.precision {
        digits = format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len())));
        plain.zero = false;
    }
    if style.sharp || verb == 'O' {
        digits = format!("{prefix}{digits}");
    }
    Some(plain.pad(&style.signed(value < 0, &digits), true))
}

fn float(verb: char, style: &Style, value: f64) -> Option<String> {
    let digits = match verb {
        'v' | 'g' | 'G' => scientific(value.abs(), style.precision, 6),
        'f' | 'F' => format!("{:.*}", style.precision.unwrap_or(6), value.abs()),
        'e' | 'E' => exponent(&format!("{:.*e}", style.precision.unwrap_or(6), value.abs())),
        _ => return None,
    };
    let digits = if matches!(verb, 'E' | 'G') { digits.to_uppercase() } else { digits };
    let mut plain = *style;
    if !value.is_finite() {
        plain.zero = false;
        let name = if value.is_nan() { "NaN" } else { "Inf" };
        let plus = value > 0.0 && style.plus;
        let sign = if value < 0.0 {
            "-"
        } else if plus || value > 0.0 {
            "+"
        } else {
            ""
        };
        return Some(plain.pad(&format!("{sign}{name}"), true));
    }
    Some(plain.pad(&style.signed(value.is_sign_negative(), &digits), true))
}

/// `%g`: an exponent below -4 and from `large` on, or from the precision on if there is one.
fn scientific(value: f64, precision: Option<usize>, large: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let text = match precision {
        None => format!("{value:e}"),
        Some(digits) => format!("{:.*e}", digits.max(1) - 1, value),
    };
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let large = precision.map_or(large, |digits| digits.max(1) as i32);
    if power < -4 || power >= large {
        return exponent(&format!("{mantissa}e{power}"));
    }
    let decimals =
        (mantissa.len() as i32 - 2 - i32::from(mantissa.starts_with('-')) - power).max(0);
    let rounded: f64 = format!("{mantissa}e{power}").parse().unwrap_or(value);
    match precision {
        None => value.to_string(),
        Some(_) => format!("{rounded:.*}", decimals as usize),
    }
}

/// An exponent as Go writes it: with a sign and two digits.
fn exponent(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = match power.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', power),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}
