//! How a configuration is shown.

use std::fmt::Write;

use super::node::{Key, Kind, Node};
use super::scalar::quoted;
use super::value::Value;

/// As YAML, without the empty line that a block begins with.
pub fn dump(value: &impl Value) -> String {
    let mut out = String::new();
    value.dump(&mut out, 0);
    out.trim_start().to_owned()
}

/// The keys of `own`, a dump, that are not as in `other`, as YAML.
pub fn difference(own: &str, other: &str) -> String {
    let mut out = String::new();
    if let (Ok(own), Ok(other)) = (Node::parse(own), Node::parse(other)) {
        write_difference(&own, &other, 0, &mut out);
    }
    out
}

fn write_difference(own: &Node, other: &Node, indent: usize, out: &mut String) {
    let (Kind::Map(own), Kind::Map(other)) = (&own.kind, &other.kind) else { return };
    for (key, value) in own {
        let name = &key.name;
        let before = other.iter().find(|(key, _)| key.name == *name).map(|(_, node)| node);
        let mut inside = String::new();
        match (&value.kind, before) {
            (_, Some(before)) if flow(before) == flow(value) => continue,
            (Kind::Map(pairs), Some(before)) if !pairs.is_empty() => {
                write_difference(value, before, indent + 2, &mut inside);
                inside.insert(0, '\n');
            }
            _ => inside = format!(" {}\n", flow(value)),
        }
        let written = write!(out, "{:indent$}{name}:{inside}", "");
        debug_assert!(written.is_ok());
    }
}

/// A block of keys as YAML that reads back as the same: a line for each key.
pub fn lines(pairs: &[(Key, Node)]) -> String {
    pairs.iter().map(|(key, node)| format!("{}: {}\n", named(key), flow(node))).collect()
}

fn named(key: &Key) -> String {
    let is_plain = key.name.starts_with(|c: char| c.is_ascii_lowercase())
        && key.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && key.name != "null";
    if is_plain { key.name.clone() } else { quoted(&key.name) }
}

/// On one line.
fn flow(node: &Node) -> String {
    let all = |items: Vec<String>| items.join(", ");
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar(text) => plain(text),
        Kind::List(items) => format!("[{}]", all(items.iter().map(flow).collect())),
        Kind::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, node)| format!("{}: {}", named(key), flow(node)));
            format!("{{{}}}", all(pairs.collect()))
        }
    }
}

/// Quotes tell only nothing from a text apart: numbers and durations need none.
fn plain(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
    if is_plain { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_yaml_of_what_differs() {
        let other = "a: 1\nb:\n  c: 2\n  d: 3\ne: []\nf: {}\n";
        let own = "a: 1\nb:\n  c: 2\n  d: 4\ne: [x, {y: z}]\nf:\n  g: 1\n";
        let expected = "b:\n  d: 4\ne: [x, {y: z}]\nf:\n  g: 1\n";
        assert_eq!(difference(own, other), expected);
        assert_eq!(difference(own, own), "");
    }

    #[test]
    fn lines_read_back_as_what_they_were() {
        let text = "max_line_size: 012\nretention_stream:\n  - {selector: '{a=\"b: c\"} |= `x`', \
                    period: 1d}\n'odd key: #': \"x\\ty\\u0001 \\U0001F600\"\nnothing: ~\n\
                    'null': 'null'\nempty: ''\nmany: |\n  two\n  lines\nnone: []\nno: {}\n";
        let node = Node::parse(text).unwrap();
        let Kind::Map(pairs) = &node.kind else { panic!("{node:?}") };
        let written = lines(pairs);
        let again = Node::parse(&written).unwrap();
        assert_eq!(flow(&again), flow(&node), "{written}");
        let Kind::Map(found) = &again.kind else { panic!("{again:?}") };
        let keys = |pairs: &[(Key, Node)]| -> Vec<String> {
            pairs.iter().map(|(key, _)| key.name.clone()).collect()
        };
        assert_eq!(keys(found), keys(pairs));
        assert!(matches!(found[4].1.kind, Kind::Scalar(ref text) if text == "null"));
        assert!(matches!(found[3].1.kind, Kind::Null));
    }
}
