//! Queries that a tenant may not run (`blocked_queries`).

use logql::syntax::{Expr, goregex};

/// Which queries are refused: those that all that is set applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockedQuery {
    /// The text as the client wrote it; empty = any.
    pub pattern: String,
    /// `pattern` is a regular expression that matches somewhere in the text too.
    pub regex: bool,
    /// FNV-1 of 32 bits over the text; 0 = any. Where it is set, `pattern` does not count.
    pub hash: u32,
    /// `metric`, `filter`, `limited`; empty = all.
    pub types: Vec<String>,
    /// Names and values that `X-Query-Tags` must have.
    pub tags: Vec<(String, String)>,
}

/// A query as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// As the client wrote it.
    pub text: &'a str,
    /// What it is.
    pub expr: &'a Expr,
    /// `X-Query-Tags`: `name=value,...`.
    pub tags: &'a str,
}

impl BlockedQuery {
    /// Whether the query is refused. An expression that cannot be read refuses nothing.
    pub fn blocks(&self, query: Subject<'_>) -> bool {
        let kind = query_type(query.expr);
        if !self.types.is_empty() && !self.types.iter().any(|known| known == kind) {
            return false;
        }
        if !self.tags.iter().all(|(name, value)| has_tag(query.tags, name, value)) {
            return false;
        }
        if self.hash != 0 {
            return self.hash == fnv1(query.text.as_bytes());
        }
        let text = query.text;
        self.pattern.is_empty()
            || self.pattern == text
            || (self.regex && goregex::is_match(&self.pattern, text).unwrap_or(false))
    }
}

/// `metric`, or for log queries `filter` or `limited`: with or without a pipeline.
pub fn query_type(expr: &Expr) -> &'static str {
    match expr {
        Expr::Metric(_) => "metric",
        Expr::Log(log) if log.stages.is_empty() => "limited",
        Expr::Log(_) => "filter",
    }
}

/// Whether Grafana's Logs Drilldown asks: it takes part of an answer, and may look into streams that
/// Loki keeps for itself.
pub fn is_drilldown(tags: &str) -> bool {
    has_tag(tags, "source", "grafana-lokiexplore-app")
}

fn has_tag(tags: &str, name: &str, value: &str) -> bool {
    tags.split(',').filter_map(|tag| tag.split_once('=')).any(|(known, given)| {
        known.trim().eq_ignore_ascii_case(name) && given.trim().eq_ignore_ascii_case(value)
    })
}

/// Fowler, Noll and Vo's first hash: multiply, then mix.
fn fnv1(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0x811c_9dc5, |hash: u32, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(rule: &BlockedQuery, text: &str, tags: &str) -> bool {
        let expr = logql::syntax::parse(text).unwrap();
        rule.blocks(Subject { text, expr: &expr, tags })
    }

    #[test]
    fn a_rule_refuses_what_all_of_it_applies_to() {
        let (logs, metric) = ("{a=\"b\"} |= \"x\"", "sum(rate({a=\"b\"}[1m]))");
        let rule = BlockedQuery::default;
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        assert!(blocks(&rule(), logs, ""), "an empty rule refuses everything");
        let exact = BlockedQuery { pattern: metric.to_owned(), ..rule() };
        assert!(blocks(&exact, metric, "") && !blocks(&exact, logs, ""));
        assert!(!blocks(&exact, "sum( rate({a=\"b\"}[1m]))", ""), "letter by letter");
        let regex = BlockedQuery { pattern: r".*\bsum\(.*".to_owned(), regex: true, ..rule() };
        assert!(blocks(&regex, metric, "") && !blocks(&regex, logs, ""));
        let bad = BlockedQuery { pattern: "(".to_owned(), ..regex.clone() };
        assert!(!blocks(&bad, metric, ""));
        let plain = BlockedQuery { regex: false, ..regex };
        assert!(!blocks(&plain, metric, ""));
        let typed = BlockedQuery { types: texts(&["filter", "limited"]), ..rule() };
        assert!(blocks(&typed, logs, "") && blocks(&typed, "{a=\"b\"}", ""));
        assert!(!blocks(&typed, metric, ""));
        let tagged =
            BlockedQuery { tags: vec![("source".to_owned(), "grafana".to_owned())], ..rule() };
        assert!(blocks(&tagged, logs, "Source=grafana,Feature=x") && !blocks(&tagged, logs, "a=b"));
        let hashed = BlockedQuery { hash: fnv1(logs.as_bytes()), ..exact };
        assert!(blocks(&hashed, logs, "") && !blocks(&hashed, metric, ""));
    }

    #[test]
    fn hashes_are_fnv_1() {
        assert_eq!((fnv1(b""), fnv1(b"a"), fnv1(b"foobar")), (0x811c9dc5, 0x050c5d7e, 0x31f0b262));
    }
}
