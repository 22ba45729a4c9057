//! Values that are one text: how each is read and printed.

use std::time::Duration;

use base::units;
use base::{ByteSize, UnixNanos};

use super::value::scalar_values;

/// A value of one YAML scalar.
pub trait Scalar: Sized + PartialEq {
    /// Reads it as written.
    fn parse(text: &str) -> Result<Self, String>;
    /// As [`Scalar::parse`] reads it.
    fn print(&self) -> String;
    /// See [`super::value::Value::is_off`].
    fn is_off(&self) -> bool {
        false
    }
}

scalar_values!(
    bool: "switch", u16: "number", u32: "number", u64: "number", i64: "number", f64: "number",
    String: "text", Secret: "secret", SecretUrl: "secret", ByteSize: "size", Duration: "duration",
    SignedDuration: "duration", Option<Duration>: "duration", Time: "time"
);

/// A text that `/config` does not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// An address that may hold a password, which `/config` does not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretUrl(pub String);

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretUrl")
    }
}

/// A duration that may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedDuration {
    /// Nanoseconds.
    pub ns: i64,
}

/// A time; `None` is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub Option<UnixNanos>);

impl Scalar for bool {
    fn parse(text: &str) -> Result<bool, String> {
        match text {
            "true" | "yes" | "on" | "True" | "TRUE" | "1" | "t" | "T" => Ok(true),
            "false" | "no" | "off" | "False" | "FALSE" | "0" | "f" | "F" => Ok(false),
            _ => Err(format!("{text:?} is not a switch (true, false)")),
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
    fn is_off(&self) -> bool {
        !*self
    }
}

macro_rules! number {
    ($($ty:ty: $what:literal),*) => { $(impl Scalar for $ty {
        fn parse(text: &str) -> Result<$ty, String> {
            let plain = text.replace('_', "");
            let hexadecimal = plain.strip_prefix("0x").map(|hex| <$ty>::from_str_radix(hex, 16));
            let parsed = hexadecimal.unwrap_or_else(|| plain.parse());
            parsed.map_err(|_| format!("{text:?} is not {}", $what))
        }
        fn print(&self) -> String {
            self.to_string()
        }
        fn is_off(&self) -> bool {
            *self == 0
        }
    })* };
}
number!(u16: "a number from 0 to 65535", u32: "a whole number from 0 to 4294967295",
    u64: "a whole number, 0 or more", i64: "a whole number");

impl Scalar for f64 {
    fn parse(text: &str) -> Result<f64, String> {
        let plain = text.replace('_', "").replace(".inf", "inf");
        let parsed = plain.parse().ok().filter(|number: &f64| !number.is_nan());
        parsed.ok_or_else(|| format!("{text:?} is not a number"))
    }
    fn print(&self) -> String {
        self.to_string()
    }
    fn is_off(&self) -> bool {
        *self == 0.0
    }
}

impl Scalar for String {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
    fn print(&self) -> String {
        quoted(self)
    }
    fn is_off(&self) -> bool {
        self.is_empty()
    }
}

/// As a YAML scalar, in quotes where it could be read as something else.
pub fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./_-:".contains(&b);
    let looks_plain = text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && !["true", "false", "null", "Null", "NULL", "yes", "no", "on", "off"].contains(&text);
    if looks_plain { text.to_owned() } else { double_quoted(text) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || ('\u{80}'..'\u{a0}').contains(&c) || c == '\u{feff}' => {
                out.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            // YAML takes these for ends of lines.
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Scalar for Secret {
    fn parse(text: &str) -> Result<Secret, String> {
        Ok(Secret(text.to_owned()))
    }
    fn print(&self) -> String {
        if self.0.is_empty() { "\"\"".to_owned() } else { "\"********\"".to_owned() }
    }
    fn is_off(&self) -> bool {
        self.0.is_empty()
    }
}

impl Scalar for SecretUrl {
    fn parse(text: &str) -> Result<SecretUrl, String> {
        Ok(SecretUrl(text.to_owned()))
    }
    fn print(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let Some((user, rest)) = rest.rsplit_once('@') else { return quoted(&self.0) };
        let name = user.split(':').next().unwrap_or_default();
        let colon = if scheme.is_empty() { "" } else { "://" };
        quoted(&format!("{scheme}{colon}{name}:********@{rest}"))
    }
    fn is_off(&self) -> bool {
        self.0.is_empty()
    }
}

impl Scalar for ByteSize {
    fn parse(text: &str) -> Result<ByteSize, String> {
        ByteSize::parse(text).map_err(|error| error.to_string())
    }
    fn print(&self) -> String {
        // `Display` rounds; what is printed here must read back as the same number.
        let shown = self.to_string();
        if ByteSize::parse(&shown) == Ok(*self) { shown } else { self.0.to_string() }
    }
    fn is_off(&self) -> bool {
        self.0 == 0
    }
}

/// Nanoseconds. Loki reads some keys as Prometheus durations and others as Go's; no text means
/// different things in the two.
fn parse_duration_ns(text: &str) -> Result<i64, String> {
    match units::parse_prometheus_duration(text) {
        Ok(duration) => {
            let long = |_| format!("{text:?} is longer than 292 years");
            i64::try_from(duration.as_nanos()).map_err(long)
        }
        Err(_) => units::parse_go_duration(text).map_err(|error| error.to_string()),
    }
}

impl Scalar for Duration {
    fn parse(text: &str) -> Result<Duration, String> {
        let ns = parse_duration_ns(text)?;
        let ns = u64::try_from(ns).map_err(|_| format!("{text:?} is negative"))?;
        Ok(Duration::from_nanos(ns))
    }
    fn print(&self) -> String {
        units::format_go_duration(i64::try_from(self.as_nanos()).unwrap_or(i64::MAX))
    }
    fn is_off(&self) -> bool {
        self.is_zero()
    }
}

impl Scalar for SignedDuration {
    fn parse(text: &str) -> Result<SignedDuration, String> {
        parse_duration_ns(text).map(|ns| SignedDuration { ns })
    }
    fn print(&self) -> String {
        units::format_go_duration(self.ns)
    }
    fn is_off(&self) -> bool {
        self.ns == 0
    }
}

/// Empty is unset.
impl Scalar for Option<Duration> {
    fn parse(text: &str) -> Result<Option<Duration>, String> {
        if text.is_empty() { Ok(None) } else { Scalar::parse(text).map(Some) }
    }
    fn print(&self) -> String {
        self.map_or_else(|| "\"\"".to_owned(), |duration| duration.print())
    }
    fn is_off(&self) -> bool {
        self.is_none()
    }
}

/// RFC 3339; empty and `0` are never.
impl Scalar for Time {
    fn parse(text: &str) -> Result<Time, String> {
        if text.is_empty() || text == "0" {
            return Ok(Time(None));
        }
        let time = chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|error| format!("{text:?} is not a time (2026-01-31T00:00:00Z): {error}"))?;
        let ns = time.timestamp_nanos_opt().ok_or_else(|| format!("{text:?} is out of range"))?;
        Ok(Time(Some(UnixNanos(ns))))
    }
    fn print(&self) -> String {
        let Some(UnixNanos(ns)) = self.0 else { return "\"\"".to_owned() };
        let time = chrono::DateTime::from_timestamp_nanos(ns);
        format!("{:?}", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }
    fn is_off(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::config::node::{Kind, Node};

    fn reads<T: Scalar + Debug>(table: &[(&str, T)]) {
        for (text, value) in table {
            assert_eq!(&T::parse(text).unwrap(), value, "{text}");
            let printed = value.print();
            let node = Node::parse(&printed).unwrap().kind;
            let Kind::Scalar(again) = node else { panic!("{printed} reads as {node:?}") };
            assert_eq!(&T::parse(&again).unwrap(), value, "{text} prints {printed}");
        }
    }

    #[test]
    fn scalars_read_as_users_write_them_and_print_as_they_read() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        reads(&[("true", true), ("1", true), ("0", false), ("off", false), ("F", false)]);
        reads(&[("12", 12u32), ("1_000", 1000), ("0x10", 16)]);
        reads(&[("0.5", 0.5f64), ("4", 4.0), (".inf", f64::INFINITY), ("1e3", 1000.0)]);
        reads(&[("4MB", ByteSize(4 << 20)), ("256KB", ByteSize(256 << 10)), ("7", ByteSize(7))]);
        reads(&[("1572864", ByteSize(1_572_864)), ("1234567891", ByteSize(1_234_567_891))]);
        reads(&[("1w", minutes(7 * 1440)), ("1h30m", minutes(90)), ("0", minutes(0))]);
        reads(&[("1.5h", minutes(90)), ("721h", minutes(721 * 60)), ("0s", minutes(0))]);
        reads(&[("-1s", SignedDuration { ns: -1_000_000_000 })]);
        reads(&[("", None), ("1m", Some(minutes(1)))]);
        reads(&[("1970-01-01T00:00:01Z", Time(Some(UnixNanos(1_000_000_000)))), ("", Time(None))]);
    }

    #[test]
    fn texts_print_so_that_they_read_back() {
        let texts = [
            "",
            "a",
            "true",
            "null",
            "~",
            "1",
            "a: b",
            "a #b",
            "- x",
            "'",
            "\"",
            "\\",
            "a\nb",
            "é",
            "a:",
            "{x}",
            "[",
            "*a",
            "&a",
            "!t",
            "%",
            "@",
            "`",
            " a ",
            "\u{85}",
            "\u{2028}",
            "\u{7f}",
            "😀",
            "0x1",
            "/a/b",
            "s3://k:s@r/b",
            "1h",
            ".inf",
            "\t",
            "a,b",
        ];
        reads(&texts.map(|text| (text, text.to_owned())));
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let shown = |text: &str| <SecretUrl as Scalar>::parse(text).unwrap().print();
        assert_eq!(shown("s3://us-east-1/bucket"), "s3://us-east-1/bucket");
        assert_eq!(shown("s3://key:se/c@ret@r/b"), "\"s3://key:********@r/b\"");
        assert_eq!(shown(""), "\"\"");
    }

    #[test]
    fn what_is_not_understood_is_quoted() {
        assert!(<bool as Scalar>::parse("2").unwrap_err().contains("\"2\""));
        assert!(<u16 as Scalar>::parse("70000").unwrap_err().contains("65535"));
        assert!(<Duration as Scalar>::parse("-1s").unwrap_err().contains("negative"));
        assert!(<Duration as Scalar>::parse("5").unwrap_err().contains("5"));
        assert!(<ByteSize as Scalar>::parse("4XB").unwrap_err().contains("4XB"));
        assert!(<f64 as Scalar>::parse("nan").is_err());
        assert!(<Time as Scalar>::parse("tomorrow").unwrap_err().contains("tomorrow"));
    }
}
