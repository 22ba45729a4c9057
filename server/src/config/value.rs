//! What a configuration value is: read from YAML text, printed back, set from a flag, walked over.

use std::fmt::Write;
use std::time::Duration;

use base::ByteSize;
use base::units;
use serde::{Deserialize, Deserializer, de};

/// Whether a key does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Used,
    /// Never will, because it is not needed; the text says what happens instead.
    Ignored(&'static str),
    /// Not yet; the text says what is missing.
    Later(&'static str),
}

/// A value, a block of keys, or a list of either.
pub trait Value: Sized {
    /// Reads it; YAML's null is the default.
    fn read<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error>;
    /// The value that `text` in the block's declaration stands for.
    fn from_default(text: &str) -> Self;
    /// Sets what the path of keys below this value leads to.
    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String>;
    /// Appends it as YAML behind `key:`; nested lines are indented by `indent` spaces.
    fn dump(&self, out: &mut String, indent: usize);
    /// Reports keys below `path` that are set to something else than their default and yet do
    /// nothing.
    fn idle(&self, path: &str, report: &mut dyn FnMut(&str, Status));
    /// Whether it is what the declaration says.
    fn is_default(&self, text: &str) -> bool;
    /// Whether it switches something off: nobody misses what he does not want.
    fn is_off(&self) -> bool {
        false
    }
}

/// Entry point for `#[serde(deserialize_with)]`.
pub fn read<'de, D: Deserializer<'de>, T: Value>(input: D) -> Result<T, D::Error> {
    T::read(input)
}

/// The key of a field: a field named by a keyword is a raw identifier in Rust only.
pub fn name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// A value of one YAML scalar.
pub trait Scalar: Sized + PartialEq {
    /// Reads it as written.
    fn parse(text: &str) -> Result<Self, String>;
    /// As [`Scalar::parse`] reads it.
    fn print(&self) -> String;
    /// See [`Value::is_off`].
    fn is_off(&self) -> bool {
        false
    }
}

/// A text that `/config` does not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Scalar for bool {
    fn parse(text: &str) -> Result<bool, String> {
        match text {
            "true" | "yes" | "on" | "True" | "TRUE" => Ok(true),
            "false" | "no" | "off" | "False" | "FALSE" => Ok(false),
            _ => Err(format!("{text:?} is not a boolean (true, false)")),
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
            plain.parse().map_err(|_| format!("{text:?} is not {}", $what))
        }
        fn print(&self) -> String {
            self.to_string()
        }
        fn is_off(&self) -> bool {
            *self == <$ty>::default()
        }
    })* };
}
number!(u16: "a number from 0 to 65535", u32: "a whole number", u64: "a whole number",
    i64: "a whole number", f64: "a number");

impl Scalar for String {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
    fn print(&self) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"./_-:".contains(&b);
        let looks_plain = !self.is_empty()
            && self.bytes().all(plain)
            && self.as_bytes()[0].is_ascii_alphabetic()
            && !self.ends_with(':')
            && !["true", "false", "null", "yes", "no", "on", "off"].contains(&self.as_str());
        if looks_plain { self.clone() } else { format!("{self:?}") }
    }
}

impl Scalar for Secret {
    fn parse(text: &str) -> Result<Secret, String> {
        Ok(Secret(text.to_owned()))
    }
    fn print(&self) -> String {
        if self.0.is_empty() { "\"\"".to_owned() } else { "\"********\"".to_owned() }
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

impl Scalar for Duration {
    fn parse(text: &str) -> Result<Duration, String> {
        // Loki reads some keys as Prometheus durations and others as Go's; no text means
        // different things in the two.
        if let Ok(duration) = units::parse_prometheus_duration(text) {
            return Ok(duration);
        }
        let ns = units::parse_go_duration(text).map_err(|error| error.to_string())?;
        let ns = u64::try_from(ns).map_err(|_| format!("{text:?} is negative"))?;
        Ok(Duration::from_nanos(ns))
    }
    fn print(&self) -> String {
        units::format_go_duration(i64::try_from(self.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A duration that may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedDuration {
    /// Nanoseconds.
    pub ns: i64,
}

impl Scalar for SignedDuration {
    fn parse(text: &str) -> Result<SignedDuration, String> {
        if let Ok(duration) = units::parse_prometheus_duration(text) {
            let ns = i64::try_from(duration.as_nanos()).map_err(|_| format!("{text:?} is long"))?;
            return Ok(SignedDuration { ns });
        }
        let ns = units::parse_go_duration(text).map_err(|error| error.to_string())?;
        Ok(SignedDuration { ns })
    }
    fn print(&self) -> String {
        units::format_go_duration(self.ns)
    }
    fn is_off(&self) -> bool {
        self.ns == 0
    }
}

macro_rules! scalar_values {
    ($($ty:ty),*) => { $(impl Value for $ty {
        fn read<'de, D: Deserializer<'de>>(input: D) -> Result<$ty, D::Error> {
            let text = Option::<String>::deserialize(input)?.unwrap_or_default();
            <$ty as Scalar>::parse(&text).map_err(de::Error::custom)
        }
        fn from_default(text: &str) -> $ty {
            <$ty as Scalar>::parse(text).expect("a default is a valid text of its type")
        }
        fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
            if !path.is_empty() {
                return Err(format!("has no key {}", path.join(".")));
            }
            *self = <$ty as Scalar>::parse(text)?;
            Ok(())
        }
        fn dump(&self, out: &mut String, _: usize) {
            out.push(' ');
            out.push_str(&self.print());
            out.push('\n');
        }
        fn idle(&self, _: &str, _: &mut dyn FnMut(&str, Status)) {}
        fn is_default(&self, text: &str) -> bool {
            *self == <$ty as Value>::from_default(text)
        }
        fn is_off(&self) -> bool {
            Scalar::is_off(self)
        }
    })* };
}
scalar_values!(bool, u16, u32, u64, i64, f64, String, Secret, ByteSize, Duration, SignedDuration);

/// Adapts a [`Value`] to serde inside of lists.
struct Item<T>(T);

impl<'de, T: Value> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Item<T>, D::Error> {
        T::read(input).map(Item)
    }
}

impl<T: Value> Value for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<T>, D::Error> {
        let items = Option::<Vec<Item<T>>>::deserialize(input)?.unwrap_or_default();
        Ok(items.into_iter().map(|item| item.0).collect())
    }
    fn from_default(text: &str) -> Vec<T> {
        text.split(',').filter(|item| !item.is_empty()).map(T::from_default).collect()
    }
    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        if !path.is_empty() {
            return Err(format!("has no key {}", path.join(".")));
        }
        self.clear();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let mut value = T::from_default("");
            value.set(&[], item.trim())?;
            self.push(value);
        }
        Ok(())
    }
    fn dump(&self, out: &mut String, indent: usize) {
        if self.is_empty() {
            out.push_str(" []\n");
            return;
        }
        out.push('\n');
        for item in self {
            let mut text = String::new();
            item.dump(&mut text, indent + 2);
            let body = text.trim_start_matches([' ', '\n']);
            let written = write!(out, "{:indent$}- {body}", "");
            debug_assert!(written.is_ok());
        }
    }
    fn idle(&self, path: &str, report: &mut dyn FnMut(&str, Status)) {
        for item in self {
            item.idle(path, report);
        }
    }
    fn is_default(&self, text: &str) -> bool {
        let items: Vec<&str> = text.split(',').filter(|item| !item.is_empty()).collect();
        items.len() == self.len() && self.iter().zip(items).all(|(v, text)| v.is_default(text))
    }
}

/// Declares blocks of keys: `key: Type = "default as YAML";`, optionally followed by
/// `ignored "what happens instead"` or `later "what is missing"`. A key without a default is a
/// block or a list. `docs/configuration.md` is generated from these declarations.
macro_rules! blocks {
    ($($(#[doc = $doc:literal])* pub struct $name:ident {
        $($(#[doc = $key_doc:literal])*
        $key:ident: $ty:ty $(= $default:literal)? $(, $status:ident $why:literal)?;)*
    })*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $key_doc])*
            #[serde(deserialize_with = "crate::config::value::read")]
            pub $key: $ty,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: crate::config::value::Value::from_default(
                    concat!("" $(, $default)?)),)* }
            }
        }

        impl crate::config::value::Value for $name {
            fn read<'de, D: serde::Deserializer<'de>>(input: D) -> Result<$name, D::Error> {
                let block = <Option<$name> as serde::Deserialize>::deserialize(input)?;
                Ok(block.unwrap_or_default())
            }
            fn from_default(_: &str) -> $name {
                $name::default()
            }
            fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
                let first = path.first().copied().unwrap_or("");
                $(if crate::config::value::name(stringify!($key)) == first {
                    return crate::config::value::Value::set(&mut self.$key, &path[1..], text);
                })*
                Err(format!("has no key {}", path.join(".")))
            }
            fn dump(&self, out: &mut String, indent: usize) {
                out.push('\n');
                $(out.extend(std::iter::repeat_n(' ', indent));
                out.push_str(crate::config::value::name(stringify!($key)));
                out.push(':');
                crate::config::value::Value::dump(&self.$key, out, indent + 2);)*
            }
            fn idle(
                &self,
                path: &str,
                report: &mut dyn FnMut(&str, crate::config::value::Status),
            ) {
                $({
                    let dot = if path.is_empty() { "" } else { "." };
                    let name = crate::config::value::name(stringify!($key));
                    let path = format!("{path}{dot}{name}");
                    let status = crate::config::value::status!($($status $why)?);
                    let default = concat!("" $(, $default)?);
                    if status == crate::config::value::Status::Used {
                        crate::config::value::Value::idle(&self.$key, &path, report);
                    } else if !crate::config::value::Value::is_default(&self.$key, default)
                        && !(matches!(status, crate::config::value::Status::Later(_))
                            && crate::config::value::Value::is_off(&self.$key))
                    {
                        report(&path, status);
                    }
                })*
            }
            fn is_default(&self, _: &str) -> bool {
                true $(&& crate::config::value::Value::is_default(
                    &self.$key, concat!("" $(, $default)?)))*
            }
        }
    )* };
}

macro_rules! status {
    () => {
        crate::config::value::Status::Used
    };
    (ignored $why:literal) => {
        crate::config::value::Status::Ignored($why)
    };
    (later $why:literal) => {
        crate::config::value::Status::Later($why)
    };
}

pub(crate) use {blocks, status};
