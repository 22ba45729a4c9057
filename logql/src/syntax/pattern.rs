//! Templates of `| pattern` and of the line filters `|>` and `!>`.

use std::fmt::{self, Display, Formatter};

/// One node of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Text that must be there.
    Literal(Vec<u8>),
    /// `<name>`.
    Capture(String),
    /// `<_>`.
    Skip,
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Node::Literal(text) => f.write_str(&String::from_utf8_lossy(text)),
            Node::Capture(name) => write!(f, "<{name}>"),
            Node::Skip => f.write_str("<_>"),
        }
    }
}

/// Reads the template of a `pattern` stage: at least one name, none twice, no two captures side
/// by side. The error is Loki's, without `invalid pattern parser: `.
pub fn parse(template: &str) -> Result<Vec<Node>, String> {
    if template.is_empty() {
        return Err("parse error at line 1, col 1: syntax error: unexpected $end, \
                    expecting IDENTIFIER or LITERAL"
            .to_owned());
    }
    let nodes = split(template.as_bytes());
    if !nodes.iter().any(|node| matches!(node, Node::Capture(_))) {
        return Err("at least one capture is required".to_owned());
    }
    refuse_consecutive(&nodes)?;
    let mut seen = std::collections::BTreeSet::new();
    for node in &nodes {
        if let Node::Capture(name) = node
            && !seen.insert(name.clone())
        {
            return Err(format!("duplicate capture name ({name}): invalid expression"));
        }
    }
    Ok(nodes)
}

/// Reads the template of a line filter: no names, no two captures side by side; may be empty.
pub fn parse_filter(template: &[u8]) -> Result<Vec<Node>, String> {
    let nodes = split(template);
    refuse_consecutive(&nodes)?;
    match nodes.iter().find(|node| matches!(node, Node::Capture(_))) {
        Some(named) => Err(format!("named captures are not allowed: found '{named}'")),
        None => Ok(nodes),
    }
}

fn refuse_consecutive(nodes: &[Node]) -> Result<(), String> {
    let captures = |pair: &&[Node]| !pair.iter().any(|node| matches!(node, Node::Literal(_)));
    match nodes.windows(2).find(captures) {
        Some(pair) => {
            Err(format!("found consecutive capture '{}{}': invalid expression", pair[0], pair[1]))
        }
        None => Ok(()),
    }
}

/// Cuts a template at its captures. What looks like a capture but has no name is text.
fn split(template: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut text_from = 0;
    let mut at = 0;
    while at < template.len() {
        let length = if template[at] == b'<' { capture_length(&template[at..]) } else { None };
        let Some(length) = length else {
            at += 1;
            continue;
        };
        if text_from < at {
            nodes.push(Node::Literal(template[text_from..at].to_vec()));
        }
        let name = String::from_utf8_lossy(&template[at + 1..at + length - 1]).into_owned();
        nodes.push(if name == "_" { Node::Skip } else { Node::Capture(name) });
        at += length;
        text_from = at;
    }
    if text_from < template.len() {
        nodes.push(Node::Literal(template[text_from..].to_vec()));
    }
    nodes
}

/// Length of the capture that `text` begins with.
fn capture_length(text: &[u8]) -> Option<usize> {
    let name = &text[1..];
    let word = |b: &u8| *b == b'_' || b.is_ascii_alphanumeric();
    let end = name.iter().position(|b| !word(b))?;
    let named = end > 0 && !name[0].is_ascii_digit() && name[end] == b'>';
    named.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Node {
        Node::Literal(text.as_bytes().to_vec())
    }

    #[test]
    fn templates_are_cut_at_their_captures() {
        let capture = |name: &str| Node::Capture(name.to_owned());
        assert_eq!(
            parse(r#"<ip> - <_> "<m>" <1x> <"#),
            Ok(vec![
                capture("ip"),
                literal(" - "),
                Node::Skip,
                literal(" \""),
                capture("m"),
                literal("\" <1x> <"),
            ])
        );
        assert_eq!(parse("<<a>"), Ok(vec![literal("<"), capture("a")]));
        assert_eq!(parse_filter(b""), Ok(vec![]));
        assert_eq!(parse_filter(b"\xff<_>"), Ok(vec![Node::Literal(vec![0xff]), Node::Skip]));
    }

    #[test]
    fn bad_templates_are_refused_with_lokis_texts() {
        for (template, error) in [
            ("nocapture", "at least one capture is required"),
            ("<_>", "at least one capture is required"),
            ("<a><b>", "found consecutive capture '<a><b>': invalid expression"),
            ("<a> <_><_>", "found consecutive capture '<_><_>': invalid expression"),
            ("<a> <a>", "duplicate capture name (a): invalid expression"),
        ] {
            assert_eq!(parse(template), Err(error.to_owned()));
        }
        for (template, error) in [
            ("<_><_>", "found consecutive capture '<_><_>': invalid expression"),
            ("<x>", "named captures are not allowed: found '<x>'"),
        ] {
            assert_eq!(parse_filter(template.as_bytes()), Err(error.to_owned()));
        }
    }
}
