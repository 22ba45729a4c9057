//! `label_replace(v, dst, replacement, src, regex)`: sets a label where another one matches
//! (contract 7.6).

use base::{Labels, LabelsBuilder};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::matrix::Matrix;
use super::search;
use crate::syntax::{LabelReplace as Ast, goregex};

/// A compiled `label_replace`.
#[derive(Clone, Debug)]
pub(crate) struct LabelReplace {
    dst: String,
    replacement: String,
    src: String,
    regex: Regex,
}

impl LabelReplace {
    /// Compiles. The error is Go's.
    pub(crate) fn new(replace: &Ast) -> Result<LabelReplace, String> {
        let pattern = goregex::translate(&format!("^(?:{})$", replace.regex))?;
        let Ast { dst, replacement, src, .. } = replace.clone();
        Ok(LabelReplace { dst, replacement, src, regex: search::build(&pattern)? })
    }

    /// Replaces in every series. Where the expression does not match the whole value, a series
    /// stays as it is; an empty result takes the label away.
    pub(crate) fn apply(&self, matrix: &mut Matrix) {
        let mut captures = self.regex.create_captures();
        for (labels, _) in matrix.iter_mut() {
            if let Some(value) = self.value(labels, &mut captures) {
                let mut builder = LabelsBuilder::from_labels(labels);
                builder.remove(&self.dst);
                if !value.is_empty() {
                    builder.set(&self.dst, &value);
                }
                *labels = builder.build();
            }
        }
    }

    fn value(&self, labels: &Labels, captures: &mut Captures) -> Option<String> {
        let source = labels.get(&self.src).unwrap_or_default();
        self.regex.captures(source, captures);
        captures.is_match().then(|| expand(&self.replacement, source, captures))
    }
}

/// `template` with `$1`, `$name`, `${name}` replaced by what those groups matched, as Go's
/// `regexp.Expand` does: `$$` is a dollar, a group that is not there is empty, and a dollar that
/// begins no name is itself.
pub(crate) fn expand(template: &str, text: &str, captures: &Captures) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = group_name(rest) else {
            out.push('$');
            continue;
        };
        rest = after;
        let all_digits = name.bytes().all(|byte| byte.is_ascii_digit());
        let span = match name.parse::<usize>() {
            Ok(number) if all_digits => captures.get_group(number),
            _ => captures.get_group_by_name(name),
        };
        out.push_str(span.map_or("", |span| &text[span.range()]));
    }
    out.push_str(rest);
    out
}

/// The name at the beginning of `text`, in braces or not, and what follows.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let word = |c: char| c == '_' || c.is_alphanumeric();
    let end = body.find(|c| !word(c)).unwrap_or(body.len());
    if end == 0 {
        return None;
    }
    let (name, after) = body.split_at(end);
    match braced {
        None => Some((name, after)),
        Some(_) => after.strip_prefix('}').map(|after| (name, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(dst: &str, replacement: &str, src: &str, regex: &str) -> String {
        let [dst, replacement, src, regex] = [dst, replacement, src, regex].map(str::to_owned);
        let inner = crate::syntax::MetricExpr::Literal(1.0);
        let ast = Ast { inner, dst, replacement, src, regex };
        let labels = Labels::from_pairs([("host", "web-01"), ("old", "x")]);
        let mut matrix = vec![(labels, vec![Some(1.0)])];
        LabelReplace::new(&ast).unwrap().apply(&mut matrix);
        matrix[0].0.to_string()
    }

    #[test]
    fn a_label_is_set_where_the_whole_value_matches() {
        assert_eq!(replace("h", "$1", "host", "web-(.*)"), r#"{h="01", host="web-01", old="x"}"#);
        assert_eq!(replace("h", "$1", "host", "we"), r#"{host="web-01", old="x"}"#);
        assert_eq!(replace("old", "$9", "host", ".*"), r#"{host="web-01"}"#);
        assert_eq!(replace("old", "y", "nosuch", ""), r#"{host="web-01", old="y"}"#);
        assert_eq!(
            replace("old", "${n}_$n_$$${n$-$1a", "host", r"(?P<n>\w+)-\d+"),
            r#"{host="web-01", old="web_$${n$-"}"#,
        );
    }
}
