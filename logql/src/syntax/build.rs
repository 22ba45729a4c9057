//! What the productions make, and the checks Loki makes on the way.

use super::MAX_DEPTH;
use super::ast::*;
use super::grammar::Made;
use super::tokens::Token;
use super::value::{Args, LogRange, Modifier, Node, Value};
use super::{goregex, number, pattern as template};

fn node<T>(tree: T) -> Node<T> {
    Node { tree, depth: 1, error: None }
}

/// Wraps a tree that has parts of `depth`; too deep a tree is refused at once.
fn deeper<T>(tree: T, depth: u32, error: Option<String>) -> Result<Node<T>, String> {
    if depth >= MAX_DEPTH {
        return Err(format!("expression is nested too deeply (more than {MAX_DEPTH} levels)"));
    }
    Ok(Node { tree, depth: depth + 1, error })
}

fn metric(node: Node<MetricExpr>) -> Value {
    Value::Metric(Box::new(node))
}

pub(super) fn log(matchers: Vec<Matcher>, stages: Option<Node<Vec<Stage>>>) -> Node<LogExpr> {
    let stages = stages.unwrap_or_else(|| node(Vec::new()));
    let Node { tree: stages, depth, error } = stages;
    Node { tree: LogExpr { matchers, stages }, depth, error }
}

pub(super) fn matcher(name: String, op: Token, value: String) -> Made {
    let op = match op {
        Token::Eq => MatchOp::Equal,
        Token::Neq => MatchOp::NotEqual,
        Token::Re => MatchOp::Regex,
        _ => MatchOp::NotRegex,
    };
    if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
        goregex::translate(&value)?;
    }
    Ok(Value::Matcher(Matcher { name, op, value }))
}

pub(super) fn stage(stage: Stage) -> Value {
    Value::Stages(node(vec![stage]))
}

pub(super) fn stages_of_both(mut stages: Node<Vec<Stage>>, more: Node<Vec<Stage>>) -> Made {
    stages.tree.extend(more.tree);
    stages.depth = stages.depth.max(more.depth);
    Ok(Value::Stages(stages))
}

pub(super) fn flag(flags: Value, flag: &str) -> Value {
    let (mut strict, mut keep_empty) = match flags {
        Value::Flags { strict, keep_empty } => (strict, keep_empty),
        _ => (false, false),
    };
    strict |= flag == "--strict";
    keep_empty |= flag == "--keep-empty";
    Value::Flags { strict, keep_empty }
}

pub(super) fn logfmt(flags: Value, extractions: Vec<Extraction>) -> Value {
    let (strict, keep_empty) = match flags {
        Value::Flags { strict, keep_empty } => (strict, keep_empty),
        _ => (false, false),
    };
    stage(Stage::Logfmt { strict, keep_empty, extractions })
}

pub(super) fn regexp(expression: String) -> Made {
    let check = || -> Result<(), String> {
        let names = goregex::capture_names(&expression)?;
        if names.is_empty() {
            return Err("at least one named capture must be supplied".to_owned());
        }
        for (index, name) in names.iter().enumerate() {
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(format!("invalid extracted label name '{name}'"));
            }
            if names[..index].contains(name) {
                return Err(format!("duplicate extracted label name '{name}'"));
            }
        }
        Ok(())
    };
    check().map_err(|error| format!("invalid regexp parser: {error}"))?;
    Ok(stage(Stage::Regexp(expression)))
}

pub(super) fn pattern(text: String) -> Made {
    template::parse(&text).map_err(|error| format!("invalid pattern parser: {error}"))?;
    Ok(stage(Stage::Pattern(text)))
}

pub(super) fn line_op(op: Token) -> LineOp {
    match op {
        Token::PipeExact => LineOp::Contains,
        Token::Neq => LineOp::NotContains,
        Token::PipeMatch => LineOp::Regex,
        Token::Nre => LineOp::NotRegex,
        Token::PipePattern => LineOp::Pattern,
        _ => LineOp::NotPattern,
    }
}

pub(super) fn filter(filter: LabelFilter) -> Value {
    Value::Filter(node(filter))
}

pub(super) fn ip_filter(name: String, equal: bool, pattern: String) -> Value {
    filter(LabelFilter::Ip { name, equal, pattern })
}

pub(super) fn compare_op(op: Token) -> CompareOp {
    match op {
        Token::Eq | Token::CmpEq => CompareOp::Equal,
        Token::Neq => CompareOp::NotEqual,
        Token::Gt => CompareOp::Greater,
        Token::Gte => CompareOp::GreaterOrEqual,
        Token::Lt => CompareOp::Less,
        _ => CompareOp::LessOrEqual,
    }
}

pub(super) fn both(
    left: Node<LabelFilter>,
    right: Node<LabelFilter>,
    join: fn(Box<LabelFilter>, Box<LabelFilter>) -> LabelFilter,
) -> Made {
    let depth = left.depth.max(right.depth);
    let tree = join(Box::new(left.tree), Box::new(right.tree));
    Ok(Value::Filter(deeper(tree, depth, None)?))
}

pub(super) fn unwrap(label: String, conversion: Option<UnwrapConversion>) -> Value {
    Value::Unwrap(node(Unwrap { label, conversion, filters: Vec::new() }))
}

pub(super) fn conversion(token: Token) -> UnwrapConversion {
    match token {
        Token::BytesConv => UnwrapConversion::Bytes,
        Token::DurationConv => UnwrapConversion::Duration,
        _ => UnwrapConversion::DurationSeconds,
    }
}

pub(super) fn unwrap_filter(mut unwrap: Node<Unwrap>, filter: Node<LabelFilter>) -> Value {
    unwrap.tree.filters.push(filter.tree);
    unwrap.depth = unwrap.depth.max(filter.depth);
    Value::Unwrap(unwrap)
}

/// What stands at a place of a range's production.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Skip,
    Selector,
    Pipeline,
    Unwrap,
    Range,
    Offset,
}

pub(super) fn range(args: &mut Args<'_>, parts: &[Part]) -> Made {
    let (mut matchers, mut stages, mut unwrap) = (Vec::new(), None, None);
    let (mut range_ns, mut offset_ns, mut depth) = (0, 0, 1);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Skip => {}
            Part::Selector => matchers = args.matchers(at),
            Part::Pipeline => stages = Some(args.stages(at)),
            Part::Unwrap => {
                let read = args.unwrap(at);
                depth = depth.max(read.depth);
                unwrap = Some(read.tree);
            }
            Part::Range => range_ns = args.nanos(at),
            Part::Offset => offset_ns = args.nanos(at),
        }
    }
    let log = log(matchers, stages);
    let error = super::check::empty_compatible(&log.tree.matchers);
    let depth = depth.max(log.depth);
    let tree = LogRange { log: log.tree, unwrap, range_ns, offset_ns };
    Ok(Value::LogRange(Box::new(Node { tree, depth, error })))
}

pub(super) fn range_aggregation(
    op: Token,
    parameter: Option<String>,
    over: Node<LogRange>,
    grouping: Option<Grouping>,
) -> Made {
    let op = super::display::range_op(op);
    let Node { tree: LogRange { log, unwrap, range_ns, offset_ns }, depth, error } = over;
    let (parameter, parameter_error) = range_parameter(op, parameter);
    let own = parameter_error
        .or_else(|| super::check::range_aggregation(op, unwrap.is_some(), grouping.is_some()));
    let range = std::time::Duration::from_nanos(range_ns.unsigned_abs());
    let tree = RangeAggregation { op, parameter, log, unwrap, range, offset_ns, grouping };
    Ok(metric(deeper(MetricExpr::Range(tree), depth, own.or(error))?))
}

fn range_parameter(op: RangeOp, written: Option<String>) -> (Option<f64>, Option<String>) {
    let quantile = op == RangeOp::QuantileOverTime;
    match written {
        None if quantile => (None, Some(format!("parameter required for operation {op}"))),
        None => (None, None),
        Some(text) if !quantile => {
            (None, Some(format!("parameter {text} not supported for operation {op}")))
        }
        Some(text) => match number::parse_float(&text) {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("invalid parameter for operation {op}: {error}"))),
        },
    }
}

pub(super) fn vector_aggregation(
    op: Token,
    grouping: Option<Grouping>,
    parameter: Option<String>,
    inner: Node<MetricExpr>,
) -> Made {
    let op = super::display::vector_op(op);
    let (parameter, mut own) = vector_parameter(op, parameter);
    if own.is_none() {
        own = super::check::vector_grouping(op, grouping.as_ref());
    }
    let Node { tree, depth, error } = inner;
    let tree = VectorAggregation { op, parameter, grouping, inner: Box::new(tree) };
    Ok(metric(deeper(MetricExpr::Vector(tree), depth, own.or(error))?))
}

fn vector_parameter(op: VectorOp, written: Option<String>) -> (Option<i64>, Option<String>) {
    let takes_one = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    match written {
        None if takes_one => (None, Some(format!("parameter required for operation {op}"))),
        None => (None, None),
        Some(text) if !takes_one => {
            (None, Some(format!("unsupported parameter for operation {op}({text},")))
        }
        Some(text) => match text.parse::<i64>() {
            Ok(k) if k > 0 => (Some(k), None),
            Ok(_) => {
                (None, Some(format!("invalid parameter (must be greater than 0) {op}({text}")))
            }
            Err(_) => (None, Some(format!("invalid parameter {op}({text},"))),
        },
    }
}

pub(super) fn literal(digits: &str, sign: f64) -> Value {
    match number::parse_float(digits) {
        Ok(value) => Value::Literal(node(sign * value)),
        Err(error) => {
            let error = Some(format!("unable to parse literal as a float: {error}"));
            Value::Literal(Node { tree: 0.0, depth: 1, error })
        }
    }
}

pub(super) fn metric_literal(literal: Node<f64>) -> Value {
    let Node { tree, depth, error } = literal;
    metric(Node { tree: MetricExpr::Literal(tree), depth, error })
}

pub(super) fn vector_fn(digits: &str) -> Value {
    match number::parse_float(digits) {
        Ok(value) => metric(node(MetricExpr::VectorFn(value))),
        Err(error) => {
            let error = Some(format!("unable to parse vector as a float: {error}"));
            metric(Node { tree: MetricExpr::VectorFn(0.0), depth: 1, error })
        }
    }
}

pub(super) fn label_replace(inner: Node<MetricExpr>, texts: [String; 4]) -> Made {
    let [dst, replacement, src, regex] = texts;
    let own = goregex::translate(&format!("^(?:{regex})$")).err();
    let own = own.map(|error| format!("invalid regex in label_replace: {error}"));
    let Node { tree: inner, depth, error } = inner;
    let tree = LabelReplace { inner, dst, replacement, src, regex };
    Ok(metric(deeper(MetricExpr::LabelReplace(Box::new(tree)), depth, own.or(error))?))
}

pub(super) fn matched(modifier: Modifier, word: Token, labels: Vec<String>) -> Value {
    let on = word == Token::On;
    let matching = Some(VectorMatching { on, labels, group: None, include: Vec::new() });
    Value::Modifier(Modifier { matching, ..modifier })
}

pub(super) fn grouped(mut modifier: Modifier, side: Token, include: Vec<String>) -> Value {
    if let Some(matching) = &mut modifier.matching {
        let left = side == Token::GroupLeft;
        matching.group = Some(if left { GroupSide::Left } else { GroupSide::Right });
        matching.include = include;
    }
    Value::Modifier(modifier)
}

pub(super) fn binary(left: Value, op: Token, modifier: Modifier, right: Value) -> Made {
    let op = super::display::binary_op(op);
    let (left, left_wrong) = leg(left, op, "left");
    let (right, right_wrong) = leg(right, op, "right");
    let literals = (as_literal(&left), as_literal(&right));
    let mut own = left_wrong.or(right_wrong);
    if own.is_none() {
        own = super::check::binary_literals(op, literals.0, literals.1);
    }
    let sound = own.is_none() && left.error.is_none() && right.error.is_none();
    if let (true, (Some(left), Some(right))) = (sound, literals) {
        let value = super::check::fold(op, left, right);
        return Ok(metric(node(MetricExpr::Literal(value))));
    }
    let depth = left.depth.max(right.depth);
    let error = own.or(left.error).or(right.error);
    let tree = BinaryExpr {
        op,
        return_bool: modifier.return_bool,
        matching: modifier.matching,
        left: left.tree,
        right: right.tree,
    };
    Ok(metric(deeper(MetricExpr::Binary(Box::new(tree)), depth, error)?))
}

fn as_literal(side: &Node<MetricExpr>) -> Option<f64> {
    match side.tree {
        MetricExpr::Literal(value) => Some(value),
        _ => None,
    }
}

/// One side of an operator, and what is wrong when it gives lines. The error keeps the placeholder
/// that then stands for it from being seen.
fn leg(side: Value, op: BinaryOp, name: &str) -> (Node<MetricExpr>, Option<String>) {
    let log = match side {
        Value::Metric(metric) => return (*metric, None),
        Value::Log(log) => log.tree,
        other => unreachable!("an operator has expressions on both sides, not {other:?}"),
    };
    let kind = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
    let error =
        format!("unexpected type for {name} leg of binary operation ({op}): *syntax.{kind}");
    (node(MetricExpr::Literal(0.0)), Some(error))
}
