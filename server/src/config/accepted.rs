//! Whole blocks of keys that Loki knows and that do nothing here: tables of names and kinds.
//!
//! They are checked like any other key, so that a slip of the fingers in them is still found, and
//! printed as they were written.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use base::ByteSize;

use super::node::{At, Kind, Node};
use super::scalar::{Scalar, SignedDuration, Time, quoted};
use super::value::{Declared, Reading, Value};

/// `[name]`, then a key a line: its path, its kind, and the end of its flag where that is not the
/// path with dashes. `path @name` stands for every
/// key of another table below `path` (`.` is beside), with `-` for flags that skip the level.
const SOURCES: [&str; 5] = [
    include_str!("tables/ring.table"),
    include_str!("tables/clients.table"),
    include_str!("tables/caches.table"),
    include_str!("tables/stores.table"),
    include_str!("tables/services.table"),
];

static TABLES: LazyLock<BTreeMap<&'static str, Table>> = LazyLock::new(|| {
    let sections: BTreeMap<&str, &str> = SOURCES.into_iter().flat_map(sections).collect();
    sections.keys().map(|name| (*name, Table::build(name, &sections, 0))).collect()
});

fn sections(source: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let parts = source.split("\n[").skip(usize::from(!source.starts_with('[')));
    parts.map(|part| {
        let part = part.trim_start_matches('[');
        part.split_once(']').expect("a table's name ends with a bracket")
    })
}

/// Keys by their path below the block.
#[derive(Debug, Default)]
struct Table {
    keys: BTreeMap<String, Leaf>,
}

#[derive(Clone, Debug)]
struct Leaf {
    kind: &'static str,
    /// The end of its flag.
    flag: String,
}

impl Table {
    fn build(name: &str, sections: &BTreeMap<&str, &'static str>, depth: usize) -> Table {
        assert!(depth < 8, "tables do not contain themselves");
        let mut table = Table::default();
        let text = sections.get(name).unwrap_or_else(|| panic!("a table named {name}"));
        for line in text.lines().map(str::trim) {
            let mut words = line.split_whitespace();
            let Some(path) = words.next().filter(|path| !path.starts_with('#')) else { continue };
            let kind = words.next().unwrap_or_else(|| panic!("{name}: {path} has a kind"));
            let own = path.replace('_', "-");
            let flag = words.next().unwrap_or(&own);
            let Some(other) = kind.strip_prefix('@') else {
                assert!(KINDS.contains(&kind), "{name}: {path} has an unknown kind {kind}");
                let leaf = Leaf { kind, flag: flag.to_owned() };
                assert!(table.keys.insert(path.to_owned(), leaf).is_none(), "{name}: {path} twice");
                continue;
            };
            for (below, leaf) in Table::build(other, sections, depth + 1).keys {
                let flag = match flag {
                    // The level does not show in flags.
                    "-" => leaf.flag,
                    flag => format!("{flag}.{}", leaf.flag),
                };
                let path = if path == "." { below } else { format!("{path}.{below}") };
                table.keys.insert(path, Leaf { kind: leaf.kind, flag });
            }
        }
        table
    }

    fn is_block(&self, path: &str) -> bool {
        let below = format!("{path}.");
        let first = self.keys.range(below.clone()..).next();
        first.is_some_and(|(key, _)| key.starts_with(&below))
    }

    /// Names of keys directly below `path`.
    fn names(&self, path: &str) -> Vec<&str> {
        let below = if path.is_empty() { String::new() } else { format!("{path}.") };
        let rests = self.keys.keys().filter_map(|key| key.strip_prefix(below.as_str()));
        rests.map(|rest| rest.split('.').next().unwrap_or(rest)).collect()
    }
}

const KINDS: [&str; 10] =
    ["text", "secret", "number", "float", "switch", "duration", "size", "time", "list", "any"];

/// Checks a scalar and says how it is printed.
fn check(kind: &str, text: &str) -> Result<String, String> {
    Ok(match kind {
        "secret" if text.is_empty() => "\"\"".to_owned(),
        "secret" => "\"********\"".to_owned(),
        "number" => <i64 as Scalar>::parse(text)?.print(),
        "float" => <f64 as Scalar>::parse(text)?.print(),
        "switch" => <bool as Scalar>::parse(text)?.print(),
        "duration" => <SignedDuration as Scalar>::parse(text)?.print(),
        "size" => <ByteSize as Scalar>::parse(text)?.print(),
        "time" => <Time as Scalar>::parse(text)?.print(),
        "list" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
        }
        _ => quoted(text),
    })
}

/// What was set of a block that does nothing. Its declaration's default is the table's name.
#[derive(Clone, Debug)]
pub struct Accepted {
    table: &'static Table,
    /// Values by path, as they are printed.
    set: BTreeMap<String, String>,
}

impl Accepted {
    /// The value of a key of the block, as it is printed.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.set.get(path).map(String::as_str)
    }

    fn read_at(&mut self, path: &str, node: &Node, reading: &mut Reading) {
        let pairs = match &node.kind {
            Kind::Null => return,
            Kind::Map(pairs) => pairs,
            _ => {
                let text = format!("takes a block of keys, not {}", node.what());
                return reading.fault(node.at, text);
            }
        };
        for (key, value) in pairs {
            let dot = if path.is_empty() { "" } else { "." };
            let below = format!("{path}{dot}{}", key.name);
            if self.table.is_block(&below) {
                reading.inside(&key.name, |reading| self.read_at(&below, value, reading));
            } else if let Some(leaf) = self.table.keys.get(&below) {
                reading.inside(&key.name, |reading| self.read_leaf(below, leaf, value, reading));
            } else {
                reading.unknown(key.at, &key.name, &self.table.names(path));
            }
        }
    }

    fn read_leaf(&mut self, path: String, leaf: &Leaf, node: &Node, reading: &mut Reading) {
        let printed = match (&node.kind, leaf.kind) {
            (Kind::Null, _) => return,
            (Kind::Scalar(text), kind) => check(kind, text),
            (Kind::List(_), "list" | "any") | (Kind::Map(_), "any") => Ok(flow(node)),
            (_, kind) => Err(format!("takes a {kind}, not {}", node.what())),
        };
        match printed {
            Ok(printed) => {
                self.set.insert(path, printed);
                reading.mark(node.at);
            }
            Err(error) => reading.fault(node.at, error),
        }
    }
}

/// On one line.
fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar(text) => quoted(text),
        Kind::List(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Kind::Map(pairs) => {
            let pair = |(key, node): &(super::node::Key, Node)| {
                let value =
                    if is_secret(&key.name) { "\"********\"".to_owned() } else { flow(node) };
                format!("{}: {value}", quoted(&key.name))
            };
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Within blocks whose keys are not told apart.
fn is_secret(name: &str) -> bool {
    let words = ["password", "secret", "token", "credentials", "_key", "sas"];
    words.iter().any(|word| name.contains(word)) && !name.ends_with("_file")
}

impl Value for Accepted {
    fn from_default(table: &'static str) -> Accepted {
        let table = TABLES.get(table).unwrap_or_else(|| panic!("a table named {table}"));
        Accepted { table, set: BTreeMap::new() }
    }

    fn read(&mut self, node: &Node, reading: &mut Reading) {
        self.read_at("", node, reading);
    }

    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        let path = path.join(".");
        let leaf = self.table.keys.get(&path).ok_or_else(|| format!("has no key {path}"))?;
        let printed = check(leaf.kind, text)?;
        self.set.insert(path, printed);
        Ok(())
    }

    fn dump(&self, out: &mut String, indent: usize) {
        if self.set.is_empty() {
            out.push_str(" {}\n");
            return;
        }
        out.push('\n');
        let mut open: Vec<&str> = Vec::new();
        for (path, printed) in &self.set {
            let mut names: Vec<&str> = path.split('.').collect();
            let name = names.pop().unwrap_or_default();
            let same = open.iter().zip(&names).take_while(|(a, b)| a == b).count();
            for (depth, block) in names.iter().enumerate().skip(same) {
                let written = writeln!(out, "{:1$}{block}:", "", indent + 2 * depth);
                debug_assert!(written.is_ok());
            }
            let spaces = indent + 2 * names.len();
            let written = writeln!(out, "{:spaces$}{name}: {printed}", "");
            debug_assert!(written.is_ok());
            open = names;
        }
    }

    fn is_default(&self, _: &'static str) -> bool {
        self.set.is_empty()
    }

    fn is_off(&self) -> bool {
        let off = ["false", "0", "0s", "0B", "\"\"", "[]", "{}"];
        self.set.values().all(|value| off.contains(&value.as_str()))
    }

    fn set_keys(&self, path: &str, _: &BTreeMap<String, At>) -> Vec<String> {
        self.set.keys().map(|key| format!("{path}.{key}")).collect()
    }

    fn describe(head: Declared, out: &mut Vec<Declared>) {
        let table = TABLES.get(head.default.as_str()).expect("checked when the default was made");
        out.push(Declared { kind: "block", default: String::new(), ..head.clone() });
        for (path, leaf) in &table.keys {
            out.push(Declared {
                path: format!("{}.{path}", head.path),
                flag: format!("{}.{}", head.flag, leaf.flag),
                kind: leaf.kind,
                default: String::new(),
                doc: String::new(),
                status: head.status,
            });
        }
    }
}

/// A value whose keys are not told apart: it is kept and printed as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anything {
    printed: Option<String>,
}

impl Value for Anything {
    fn from_default(_: &'static str) -> Anything {
        Anything::default()
    }

    fn read(&mut self, node: &Node, reading: &mut Reading) {
        if !matches!(node.kind, Kind::Null) {
            self.printed = Some(flow(node));
            reading.mark(node.at);
        }
    }

    fn set(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        if !path.is_empty() {
            return Err(format!("has no key {}", path.join(".")));
        }
        let node = Node::parse(text).map_err(|fault| fault.to_string())?;
        self.printed = (!matches!(node.kind, Kind::Null)).then(|| flow(&node));
        Ok(())
    }

    fn dump(&self, out: &mut String, _: usize) {
        out.push(' ');
        out.push_str(self.printed.as_deref().unwrap_or("null"));
        out.push('\n');
    }

    fn is_default(&self, _: &'static str) -> bool {
        self.printed.is_none()
    }

    fn is_off(&self) -> bool {
        self.printed.as_deref().is_none_or(|printed| printed == "{}" || printed == "[]")
    }

    fn describe(mut head: Declared, out: &mut Vec<Declared>) {
        head.kind = "any";
        out.push(head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Accepted, Vec<String>) {
        let mut block = Accepted::from_default("ring");
        let mut reading = Reading::default();
        block.read(&Node::parse(text).unwrap(), &mut reading);
        (block, reading.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_table_can_be_built() {
        let count: usize = TABLES.values().map(|table| table.keys.len()).sum();
        assert!(count > 100, "{count}");
    }

    #[test]
    fn a_known_key_is_kept_as_written_and_a_slip_is_found() {
        let text = "kvstore: {store: consul, consul: {host: 'consul:8500', acl_token: x}}\n\
                    instance_interface_names: [eth0, lo]\nheartbeat_period: 15s\n";
        let (block, faults) = read(text);
        assert_eq!(faults, [""; 0]);
        let mut out = String::new();
        block.dump(&mut out, 0);
        assert!(out.contains("consul:8500") && out.contains("********"), "{out}");
        let (again, faults) = read(&out);
        assert_eq!(faults, [""; 0], "{out}");
        assert_eq!(again.set, block.set);
        let (_, faults) = read("kvstore: {stor: consul}\nheartbeat_period: often\n");
        assert!(faults[0].contains("field stor not found in type kvstore (did you mean store?)"));
        assert!(faults[1].contains("line 2") && faults[1].contains("often"), "{faults:?}");
        let (_, faults) = read("kvstore: consul\ninstance_port: [1]\n");
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn flags_set_what_the_file_sets() {
        let mut block = Accepted::from_default("ring");
        block.set(&["kvstore", "store"], "etcd").unwrap();
        block.set(&["instance_interface_names"], "a, b").unwrap();
        assert_eq!(block.get("kvstore.store"), Some("etcd"));
        assert_eq!(block.get("instance_interface_names"), Some("[a, b]"));
        assert!(block.set(&["kvstore", "nosuch"], "1").is_err());
        assert!(block.set(&["instance_port"], "x").is_err());
        assert!(!block.is_off() && !block.is_default(""));
    }
}
