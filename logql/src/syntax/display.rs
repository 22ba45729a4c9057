//! Loki's canonical text of a tree. Reading it gives the tree back, but for sizes, which it rounds
//! to two digits, and a few numbers that no literal stands for. The alternate form (`{:#}`) spells
//! these out: reading that gives the tree back without exception ([`super::exact`]).

use std::fmt::{self, Display, Formatter, Write};

use base::quote::quote;
use base::units::{format_go_duration, format_prometheus_duration};

use super::ast::*;
use super::number::{format_bytes, general, push_float};
use super::tokens::Token;

const RANGE_OPS: &[(Token, RangeOp, &str)] = &[
    (Token::CountOverTime, RangeOp::CountOverTime, "count_over_time"),
    (Token::Rate, RangeOp::Rate, "rate"),
    (Token::RateCounter, RangeOp::RateCounter, "rate_counter"),
    (Token::BytesOverTime, RangeOp::BytesOverTime, "bytes_over_time"),
    (Token::BytesRate, RangeOp::BytesRate, "bytes_rate"),
    (Token::AvgOverTime, RangeOp::AvgOverTime, "avg_over_time"),
    (Token::SumOverTime, RangeOp::SumOverTime, "sum_over_time"),
    (Token::MinOverTime, RangeOp::MinOverTime, "min_over_time"),
    (Token::MaxOverTime, RangeOp::MaxOverTime, "max_over_time"),
    (Token::StdvarOverTime, RangeOp::StdvarOverTime, "stdvar_over_time"),
    (Token::StddevOverTime, RangeOp::StddevOverTime, "stddev_over_time"),
    (Token::QuantileOverTime, RangeOp::QuantileOverTime, "quantile_over_time"),
    (Token::FirstOverTime, RangeOp::FirstOverTime, "first_over_time"),
    (Token::LastOverTime, RangeOp::LastOverTime, "last_over_time"),
    (Token::AbsentOverTime, RangeOp::AbsentOverTime, "absent_over_time"),
];

const VECTOR_OPS: &[(Token, VectorOp, &str)] = &[
    (Token::Sum, VectorOp::Sum, "sum"),
    (Token::Avg, VectorOp::Avg, "avg"),
    (Token::Min, VectorOp::Min, "min"),
    (Token::Max, VectorOp::Max, "max"),
    (Token::Count, VectorOp::Count, "count"),
    (Token::Stddev, VectorOp::Stddev, "stddev"),
    (Token::Stdvar, VectorOp::Stdvar, "stdvar"),
    (Token::Topk, VectorOp::Topk, "topk"),
    (Token::Bottomk, VectorOp::Bottomk, "bottomk"),
    (Token::ApproxTopk, VectorOp::ApproxTopk, "approx_topk"),
    (Token::Sort, VectorOp::Sort, "sort"),
    (Token::SortDesc, VectorOp::SortDesc, "sort_desc"),
];

const BINARY_OPS: &[(Token, BinaryOp, &str)] = &[
    (Token::Or, BinaryOp::Or, "or"),
    (Token::And, BinaryOp::And, "and"),
    (Token::Unless, BinaryOp::Unless, "unless"),
    (Token::CmpEq, BinaryOp::Equal, "=="),
    (Token::Neq, BinaryOp::NotEqual, "!="),
    (Token::Gt, BinaryOp::Greater, ">"),
    (Token::Gte, BinaryOp::GreaterOrEqual, ">="),
    (Token::Lt, BinaryOp::Less, "<"),
    (Token::Lte, BinaryOp::LessOrEqual, "<="),
    (Token::Add, BinaryOp::Add, "+"),
    (Token::Sub, BinaryOp::Sub, "-"),
    (Token::Mul, BinaryOp::Mul, "*"),
    (Token::Div, BinaryOp::Div, "/"),
    (Token::Mod, BinaryOp::Mod, "%"),
    (Token::Pow, BinaryOp::Pow, "^"),
];

macro_rules! operators {
    ($($of:ident $op:ident $list:ident;)*) => {
        $(
            /// The operator a token stands for.
            pub(super) fn $of(token: Token) -> $op {
                let found = $list.iter().find(|(of, _, _)| *of == token);
                found.expect("the grammar allows only listed tokens here").1
            }

            impl Display for $op {
                fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                    let found = $list.iter().find(|(_, op, _)| op == self);
                    f.write_str(found.expect("every operator is listed").2)
                }
            }
        )*
    };
}

operators! {
    range_op RangeOp RANGE_OPS;
    vector_op VectorOp VECTOR_OPS;
    binary_op BinaryOp BINARY_OPS;
}

impl Display for MatchOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        })
    }
}

impl Display for LineOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineOp::Contains => "|=",
            LineOp::NotContains => "!=",
            LineOp::Regex => "|~",
            LineOp::NotRegex => "!~",
            LineOp::Pattern => "|>",
            LineOp::NotPattern => "!>",
        })
    }
}

impl Display for CompareOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
            CompareOp::Greater => ">",
            CompareOp::GreaterOrEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessOrEqual => "<=",
        })
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Selector(&self.matchers).fmt(f)?;
        spaced(f, " ", &self.stages)
    }
}

/// Each item with `before` in front, in the form of `f`.
fn spaced<T: Display>(f: &mut Formatter<'_>, before: &str, items: &[T]) -> fmt::Result {
    items.iter().try_for_each(|item| {
        f.write_str(before)?;
        item.fmt(f)
    })
}

/// Matchers in braces.
pub(super) struct Selector<'a>(pub &'a [Matcher]);

impl Display for Selector<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        list(f, self.0, ", ")?;
        f.write_char('}')
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op, quote(&self.value))
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn listed<T: Display>(f: &mut Formatter<'_>, name: &str, items: &[T]) -> fmt::Result {
    f.write_str(name)?;
    if !items.is_empty() {
        f.write_char(' ')?;
    }
    list(f, items, ",")
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::LineFilter(filter) => filter.fmt(f),
            Stage::Json(extractions) => listed(f, "| json", extractions),
            Stage::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                if *strict {
                    f.write_str(" --strict")?;
                }
                listed(f, if *keep_empty { " --keep-empty" } else { "" }, extractions)
            }
            Stage::Regexp(expression) => write!(f, "| regexp {}", quote(expression)),
            Stage::Pattern(template) => write!(f, "| pattern {}", quote(template)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::LabelFilter(filter) => {
                f.write_str("| ")?;
                filter.fmt(f)
            }
            Stage::LineFormat(template) => write!(f, "| line_format {}", quote(template)),
            Stage::LabelFormat(formats) => listed(f, "| label_format", formats),
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(names) => listed(f, "| drop", names),
            Stage::Keep(names) => listed(f, "| keep", names),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op)?;
        list(f, &self.operands, " or ")
    }
}

impl Display for LineOperand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LineOperand::Text(text) => f.write_str(&quote_bytes(text)),
            LineOperand::Ip(pattern) => write!(f, "ip({})", quote(pattern)),
        }
    }
}

/// `bytes` as a double-quoted Go string literal.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            let written = write!(out, "\\x{byte:02x}");
            debug_assert!(written.is_ok());
        }
    }
    out.push('"');
    out
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, quote(&self.expression))
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            LabelFormatValue::Rename(source) => write!(f, "{}={source}", self.name),
            LabelFormatValue::Template(text) => write!(f, "{}={}", self.name, quote(text)),
        }
    }
}

impl Display for NamedMatcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NamedMatcher::Name(name) => f.write_str(name),
            NamedMatcher::Matcher(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::Match(matcher) => matcher.fmt(f),
            LabelFilter::Ip { name, equal, pattern } => {
                let op = if *equal { "=" } else { "!=" };
                write!(f, "{name}{op}ip({})", quote(pattern))
            }
            LabelFilter::Number { name, op, value } if f.alternate() => {
                write!(f, "{name}{op}{}", exact_number(*value))
            }
            LabelFilter::Number { name, op, value } => write!(f, "{name}{op}{}", float(*value)),
            LabelFilter::Duration { name, op, value_ns } => {
                write!(f, "{name}{op}{}", format_go_duration(*value_ns))
            }
            LabelFilter::Bytes { name, op, value } if f.alternate() => {
                // `0B` would begin a binary number.
                let unit = if *value == 0 { "kB" } else { "B" };
                write!(f, "{name}{op}{value}{unit}")
            }
            LabelFilter::Bytes { name, op, value } => {
                write!(f, "{name}{op}{}", format_bytes(*value))
            }
            LabelFilter::And(left, right) => joined(f, left, " , ", right),
            LabelFilter::Or(left, right) => joined(f, left, " or ", right),
        }
    }
}

fn joined(
    f: &mut Formatter<'_>,
    left: &LabelFilter,
    between: &str,
    right: &LabelFilter,
) -> fmt::Result {
    f.write_str("( ")?;
    left.fmt(f)?;
    f.write_str(between)?;
    right.fmt(f)?;
    f.write_str(" )")
}

/// A finite number as the lexer reads a number.
fn exact_number(value: f64) -> String {
    // Without a point it would be a duration.
    if value == 0.0 && value.is_sign_negative() { "-0.0".to_owned() } else { general(value) }
}

/// Any number as an expression. What has no literal is what Loki folds to it.
fn exact_literal(value: f64) -> String {
    if value.is_nan() {
        "(0 / 0)".to_owned()
    } else if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("({sign}1e308 * 1e308)")
    } else {
        exact_number(value)
    }
}

fn float(value: f64) -> String {
    let mut out = String::new();
    push_float(&mut out, value);
    out
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match self.conversion {
            None => write!(f, "| unwrap {label}")?,
            Some(UnwrapConversion::Bytes) => write!(f, "| unwrap bytes({label})")?,
            Some(UnwrapConversion::Duration) => write!(f, "| unwrap duration({label})")?,
            Some(UnwrapConversion::DurationSeconds) => {
                write!(f, "| unwrap duration_seconds({label})")?;
            }
        }
        spaced(f, " | ", &self.filters)
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.without { "without" } else { "by" };
        write!(f, "{word} ({})", self.labels.join(","))
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MetricExpr::Range(range) => range.fmt(f),
            MetricExpr::Vector(vector) => vector.fmt(f),
            MetricExpr::Binary(binary) => binary.fmt(f),
            MetricExpr::Literal(value) if f.alternate() => f.write_str(&exact_literal(*value)),
            MetricExpr::Literal(value) => f.write_str(&general(*value)),
            MetricExpr::LabelReplace(replace) => replace.fmt(f),
            MetricExpr::VectorFn(value) if f.alternate() => {
                write!(f, "vector({})", general(*value))
            }
            MetricExpr::VectorFn(value) => write!(f, "vector({value:.6})"),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{},", float(parameter))?;
        }
        self.log.fmt(f)?;
        spaced(f, " ", self.unwrap.as_slice())?;
        write!(f, "{})", RangeText(self))?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

/// `[5m] offset 1h0m0s`.
pub(super) struct RangeText<'a>(pub &'a RangeAggregation);

impl Display for RangeText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", format_prometheus_duration(self.0.range))?;
        if self.0.offset_ns != 0 {
            write!(f, " offset {}", format_go_duration(self.0.offset_ns))?;
        }
        Ok(())
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op)?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping}")?;
        }
        f.write_char('(')?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        self.inner.fmt(f)?;
        f.write_char(')')
    }
}

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        self.left.fmt(f)?;
        write!(f, " {} ", BinaryText(self))?;
        self.right.fmt(f)?;
        f.write_char(')')
    }
}

/// `> bool`, `+ on (a) group_left (b)`: what stands between the two sides.
pub(super) struct BinaryText<'a>(pub &'a BinaryExpr);

impl Display for BinaryText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let binary = self.0;
        write!(f, "{}", binary.op)?;
        if binary.return_bool {
            f.write_str(" bool")?;
        }
        let Some(matching) = &binary.matching else { return Ok(()) };
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} ({}) ", matching.labels.join(","))?;
        match matching.group {
            None => return Ok(()),
            Some(GroupSide::Left) => f.write_str("group_left")?,
            Some(GroupSide::Right) => f.write_str("group_right")?,
        }
        // Without a list of its own it would take a parenthesis of the right side for one.
        if !matching.include.is_empty() || matches!(binary.right, MetricExpr::Binary(_)) {
            write!(f, " ({})", matching.include.join(","))?;
        }
        Ok(())
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("label_replace(")?;
        self.inner.fmt(f)?;
        f.write_char(',')?;
        let (dst, replacement) = (quote(&self.dst), quote(&self.replacement));
        write!(f, "{dst},{replacement},{},{})", quote(&self.src), quote(&self.regex))
    }
}
