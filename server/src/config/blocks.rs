//! Declares blocks of keys.

use super::value::{Attributes, Declared, Status};

/// The key of a field: a field named by a keyword is a raw identifier in Rust only.
pub fn name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

impl Declared {
    /// The key `name` of the block `self`.
    pub fn below(&self, name: &str, attributes: Attributes, default: &str, doc: &str) -> Declared {
        let dot = if self.path.is_empty() { "" } else { "." };
        let flag = match attributes.flag {
            // The level does not show in flags.
            Some(".") => self.flag.clone(),
            Some(rest) if rest.starts_with(['.', '-']) => format!("{}{rest}", self.flag),
            Some(whole) => whole.to_owned(),
            None => {
                let dot = if self.flag.is_empty() { "" } else { "." };
                format!("{}{dot}{}", self.flag, name.replace('_', "-"))
            }
        };
        let status = match self.status {
            Status::Used => attributes.status,
            inherited => inherited,
        };
        let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
        Declared {
            path: format!("{}{dot}{name}", self.path),
            flag,
            kind: "",
            default: default.to_owned(),
            doc,
            status,
        }
    }
}

/// Declares blocks of keys: `key: Type = "default as YAML";`, optionally followed by
/// `ignored "what happens instead"` or `later "what is missing"`, and by `flag "name"` where Loki's
/// flag is not the path with dashes. A key without a default is a block or a list.
///
/// Reading, printing, flags, `-help` and docs/configuration.md all come from these declarations.
macro_rules! blocks {
    ($($(#[doc = $doc:literal])* pub struct $name:ident {
        $($(#[doc = $key_doc:literal])*
        $key:ident: $ty:ty $(= $default:literal)? $(, $attribute:ident $text:literal)*;)*
    })*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $key_doc])*
            pub $key: $ty,)*
        }

        impl $name {
            const KEYS: &[&str] = &[$(stringify!($key)),*];
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: crate::config::value::Value::from_default(
                    concat!("" $(, $default)?)),)* }
            }
        }

        impl crate::config::value::Value for $name {
            fn from_default(_: &'static str) -> $name {
                $name::default()
            }
            fn read(
                &mut self,
                node: &crate::config::node::Node,
                reading: &mut crate::config::value::Reading,
            ) {
                use crate::config::node::Kind;
                let pairs = match &node.kind {
                    Kind::Null => return,
                    Kind::Map(pairs) => pairs,
                    _ => {
                        let text = format!("takes a block of keys, not {}", node.what());
                        return reading.fault(node.at, text);
                    }
                };
                for (key, value) in pairs {
                    $(if crate::config::blocks::name(stringify!($key)) == key.name {
                        reading.inside(&key.name, |reading| {
                            crate::config::value::Value::read(&mut self.$key, value, reading);
                        });
                        continue;
                    })*
                    reading.unknown(key.at, &key.name, $name::KEYS);
                }
            }
            fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
                let first = path.first().copied().unwrap_or("");
                $(if crate::config::blocks::name(stringify!($key)) == first {
                    return crate::config::value::Value::set(&mut self.$key, &path[1..], text);
                })*
                Err(format!("has no key {}", path.join(".")))
            }
            fn dump(&self, out: &mut String, indent: usize) {
                out.push('\n');
                $(out.extend(std::iter::repeat_n(' ', indent));
                out.push_str(crate::config::blocks::name(stringify!($key)));
                out.push(':');
                crate::config::value::Value::dump(&self.$key, out, indent + 2);)*
            }
            fn idle(
                &self,
                path: &str,
                set: &std::collections::BTreeMap<String, crate::config::node::At>,
                report: &mut dyn FnMut(&str, crate::config::value::Status),
            ) {
                use crate::config::value::{Status, Value};
                $({
                    let dot = if path.is_empty() { "" } else { "." };
                    let name = crate::config::blocks::name(stringify!($key));
                    let path = format!("{path}{dot}{name}");
                    let attributes = crate::config::blocks::attributes!($($attribute $text)*);
                    let default = concat!("" $(, $default)?);
                    match attributes.status {
                        Status::Used => Value::idle(&self.$key, &path, set, report),
                        Status::Ignored(_) => {
                            for key in Value::set_keys(&self.$key, &path, set) {
                                report(&key, attributes.status);
                            }
                        }
                        Status::Later(_) => {
                            let is_wanted = !Value::is_default(&self.$key, default)
                                && !Value::is_off(&self.$key);
                            if is_wanted {
                                report(&path, attributes.status);
                            }
                        }
                    }
                })*
            }
            fn is_default(&self, _: &'static str) -> bool {
                true $(&& crate::config::value::Value::is_default(
                    &self.$key, concat!("" $(, $default)?)))*
            }
            fn describe(
                head: crate::config::value::Declared,
                out: &mut Vec<crate::config::value::Declared>,
            ) {
                out.push(crate::config::value::Declared { kind: "block", ..head.clone() });
                $({
                    let name = crate::config::blocks::name(stringify!($key));
                    let attributes = crate::config::blocks::attributes!($($attribute $text)*);
                    let default = concat!("" $(, $default)?);
                    let doc = concat!("" $(, $key_doc, "\n")*);
                    let key = head.below(name, attributes, default, doc);
                    <$ty as crate::config::value::Value>::describe(key, out);
                })*
            }
        }
    )* };
}

macro_rules! attributes {
    ($($attribute:ident $text:literal)*) => {{
        #[allow(unused_mut)] // most keys have none
        let mut attributes = crate::config::value::Attributes::default();
        $(attributes.$attribute($text);)*
        attributes
    }};
}

pub(crate) use {attributes, blocks};
