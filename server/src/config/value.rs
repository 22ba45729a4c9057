//! What a configuration value is: read from YAML, set from a flag, printed back, walked over.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::node::{At, Fault, Kind, Node};

/// Whether a key does something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It does.
    #[default]
    Used,
    /// Never will, because it is not needed; the text says what happens instead.
    Ignored(&'static str),
    /// Not yet; the text says what is missing.
    Later(&'static str),
}

/// What stands behind a key in its declaration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// `ignored "..."` or `later "..."`
    pub status: Status,
    /// `flag "..."`; one that begins with a dot or a dash goes on where the block's flags begin, and
    /// a dot alone is the block's own beginning.
    pub flag: Option<&'static str>,
}

impl Attributes {
    /// `ignored "what happens instead"`
    pub fn ignored(&mut self, why: &'static str) {
        self.status = Status::Ignored(why);
    }

    /// `later "what is missing"`
    pub fn later(&mut self, why: &'static str) {
        self.status = Status::Later(why);
    }

    /// `flag "server.http-listen-port"`
    pub fn flag(&mut self, name: &'static str) {
        self.flag = Some(name);
    }
}

/// A key as it was declared; what `-help`, the flags and docs/configuration.md are made of.
#[derive(Clone, Debug)]
pub struct Declared {
    /// `block.key`; `[]` behind a list of blocks.
    pub path: String,
    /// Without dashes; empty for keys below a list.
    pub flag: String,
    /// `text`, `number`, `switch`, `duration`, `size`, `list`, `secret`, `block`...
    pub kind: &'static str,
    /// As YAML.
    pub default: String,
    /// Its description.
    pub doc: String,
    /// Whether it does something.
    pub status: Status,
}

/// Reading of a file: what was set, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Reading {
    /// The key that is being read.
    path: String,
    /// Where each key was set; a flag's place is 0.
    pub set: BTreeMap<String, At>,
    /// Everything that is wrong, in the order of the file.
    pub faults: Vec<Fault>,
}

impl Reading {
    /// Reads what stands at `key`, a suffix of the path: `key` below a block, `[]` for an item.
    pub fn inside(&mut self, key: &str, read: impl FnOnce(&mut Reading)) {
        let len = self.path.len();
        if len > 0 && key != "[]" {
            self.path.push('.');
        }
        self.path.push_str(key);
        read(self);
        self.path.truncate(len);
    }

    /// The key that is being read was set at `at`.
    pub fn mark(&mut self, at: At) {
        self.set.insert(self.path.clone(), at);
    }

    /// The key that is being read is wrong.
    pub fn fault(&mut self, at: At, text: impl Into<String>) {
        self.faults.push(Fault { at, path: self.path.clone(), text: text.into() });
    }

    /// A block has no key of that name.
    pub fn unknown(&mut self, at: At, name: &str, known: &[&str]) {
        let block = match self.path.as_str() {
            "" => "loki.ConfigWrapper",
            path => path,
        };
        let mut text = format!("field {name} not found in type {block}");
        if let Some(near) = nearest(name, known) {
            let written = write!(text, " (did you mean {near}?)");
            debug_assert!(written.is_ok());
        }
        self.inside(name, |reading| reading.fault(at, text));
    }
}

/// The known name that takes the fewest changed letters, if those are few.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (distance(name, known), *known)).min()?;
    (near.0 <= 1 + name.len() / 5).then_some(near.1)
}

/// Damerau's distance of neighbours: letters added, removed, changed or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 3 || a.len() > 64 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let changed = above[j] + usize::from(a[i] != b[j]);
            let mut best = changed.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// A value, a block of keys, or a list of either.
pub trait Value: Sized {
    /// The value that `text` in the block's declaration stands for.
    fn from_default(text: &'static str) -> Self;
    /// Takes what `node` says; YAML's null leaves everything as it is.
    fn read(&mut self, node: &Node, reading: &mut Reading);
    /// Sets what the path of keys below this value leads to.
    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String>;
    /// Appends it as YAML behind `key:`; nested lines are indented by `indent` spaces.
    fn dump(&self, out: &mut String, indent: usize);
    /// Whether it is what the declaration says.
    fn is_default(&self, text: &'static str) -> bool;
    /// Whether it switches something off: nobody misses what he does not want.
    fn is_off(&self) -> bool {
        false
    }
    /// Reports keys below `path` that are `set` and yet do nothing.
    fn idle(
        &self,
        _path: &str,
        _set: &BTreeMap<String, At>,
        _report: &mut dyn FnMut(&str, Status),
    ) {
    }
    /// Of a value at `path` that does nothing: which of its keys are `set`.
    fn set_keys(&self, path: &str, set: &BTreeMap<String, At>) -> Vec<String> {
        let below = |key: &&String| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let keys: Vec<&String> = set.keys().filter(below).collect();
        // A block is marked too when one of its keys is.
        let is_leaf = |key: &&&String| !keys.iter().any(|other| is_below(other, key));
        keys.iter().filter(is_leaf).map(|key| (*key).clone()).collect()
    }
    /// Appends the declaration of `head`, or of the keys below it.
    fn describe(head: Declared, out: &mut Vec<Declared>);
}

fn is_below(key: &str, block: &str) -> bool {
    key.strip_prefix(block).is_some_and(|rest| rest.starts_with(['.', '[']))
}

macro_rules! scalar_values {
    ($($ty:ty: $kind:literal),*) => { $(impl crate::config::value::Value for $ty {
        fn from_default(text: &'static str) -> $ty {
            <$ty as crate::config::scalar::Scalar>::parse(text)
                .expect("a default is a valid text of its type")
        }
        fn read(
            &mut self,
            node: &crate::config::node::Node,
            reading: &mut crate::config::value::Reading,
        ) {
            use crate::config::node::Kind;
            match &node.kind {
                Kind::Null => return,
                Kind::Scalar(text) => match <$ty as crate::config::scalar::Scalar>::parse(text) {
                    Ok(value) => {
                        *self = value;
                        reading.mark(node.at);
                    }
                    Err(error) => reading.fault(node.at, error),
                },
                _ => {
                    let text = format!("takes a {}, not {}", $kind, node.what());
                    reading.fault(node.at, text);
                }
            }
        }
        fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
            if !path.is_empty() {
                return Err(format!("has no key {}", path.join(".")));
            }
            *self = <$ty as crate::config::scalar::Scalar>::parse(text)?;
            Ok(())
        }
        fn dump(&self, out: &mut String, _: usize) {
            out.push(' ');
            out.push_str(&crate::config::scalar::Scalar::print(self));
            out.push('\n');
        }
        fn is_default(&self, text: &'static str) -> bool {
            *self == <$ty as crate::config::value::Value>::from_default(text)
        }
        fn is_off(&self) -> bool {
            crate::config::scalar::Scalar::is_off(self)
        }
        fn describe(
            mut head: crate::config::value::Declared,
            out: &mut Vec<crate::config::value::Declared>,
        ) {
            head.kind = $kind;
            out.push(head);
        }
    })* };
}
pub(crate) use scalar_values;

/// Names and values, as a block or as `name=value,...`.
impl Value for BTreeMap<String, String> {
    fn from_default(_: &'static str) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    fn read(&mut self, node: &Node, reading: &mut Reading) {
        match &node.kind {
            Kind::Null => return,
            Kind::Scalar(text) => {
                if let Err(error) = self.set(&[], text) {
                    reading.fault(node.at, error);
                }
            }
            Kind::Map(pairs) => {
                self.clear();
                for (key, value) in pairs {
                    match &value.kind {
                        Kind::Scalar(text) => drop(self.insert(key.name.clone(), text.clone())),
                        _ => reading.fault(value.at, "takes a text"),
                    }
                }
            }
            Kind::List(_) => reading.fault(node.at, "takes names and values, not a list"),
        }
        reading.mark(node.at);
    }
    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        if !path.is_empty() {
            return Err(format!("has no key {}", path.join(".")));
        }
        self.clear();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("takes name=value,...")?;
            self.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }
    fn dump(&self, out: &mut String, _: usize) {
        let pair = |(name, value): (&String, &String)| format!("{name:?}: {value:?}");
        let pairs: Vec<String> = self.iter().map(pair).collect();
        let written = writeln!(out, " {{{}}}", pairs.join(", "));
        debug_assert!(written.is_ok());
    }
    fn is_default(&self, _: &'static str) -> bool {
        self.is_empty()
    }
    fn is_off(&self) -> bool {
        self.is_empty()
    }
    fn describe(mut head: Declared, out: &mut Vec<Declared>) {
        head.kind = "names and values";
        out.push(head);
    }
}

impl<T: Value> Value for Vec<T> {
    fn from_default(text: &'static str) -> Vec<T> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(T::from_default).collect()
    }
    fn read(&mut self, node: &Node, reading: &mut Reading) {
        match &node.kind {
            Kind::Null => return,
            // Some of Loki's lists are written as one text with commas.
            Kind::Scalar(text) => {
                if let Err(error) = self.set(&[], text) {
                    reading.fault(node.at, error);
                }
            }
            Kind::List(items) => {
                self.clear();
                for item in items {
                    let mut value = T::from_default("");
                    reading.inside("[]", |reading| value.read(item, reading));
                    self.push(value);
                }
            }
            Kind::Map(_) => reading.fault(node.at, "takes a list, not a block of keys"),
        }
        reading.mark(node.at);
    }
    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        if !path.is_empty() {
            return Err(format!("has no key {}", path.join(".")));
        }
        self.clear();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let mut value = T::from_default("");
            value.set(&[], item)?;
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
    fn is_default(&self, text: &'static str) -> bool {
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|i| !i.is_empty()).collect();
        items.len() == self.len() && self.iter().zip(items).all(|(v, text)| v.is_default(text))
    }
    fn is_off(&self) -> bool {
        self.is_empty()
    }
    fn idle(&self, path: &str, set: &BTreeMap<String, At>, report: &mut dyn FnMut(&str, Status)) {
        for item in self {
            item.idle(&format!("{path}[]"), set, report);
        }
    }
    fn describe(mut head: Declared, out: &mut Vec<Declared>) {
        let mut inner = Vec::new();
        let mut item = head.clone();
        item.path.push_str("[]");
        item.flag.clear();
        T::describe(item, &mut inner);
        let is_plain = inner.len() == 1 && inner[0].kind != "block";
        head.kind = if is_plain { "list" } else { "list of blocks" };
        if !is_plain {
            head.flag.clear();
        }
        out.push(head);
        if !is_plain {
            out.extend(inner.into_iter().map(|key| Declared { flag: String::new(), ..key }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_slip_of_the_fingers_away() {
        let known = ["http_listen_port", "grpc_listen_port", "log_level"];
        assert_eq!(nearest("http_listen_prot", &known), Some("http_listen_port"));
        assert_eq!(nearest("loglevel", &known), Some("log_level"));
        assert_eq!(nearest("nonsense", &known), None);
        assert_eq!(nearest("", &[]), None);
    }
}
