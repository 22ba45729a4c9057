//! The productions of the language and what each makes.
//!
//! `$name` in a production stands for one token of the list of that name: the production is
//! written once for each.

use std::sync::LazyLock;

use super::ast::*;
use super::build::*;
use super::lalr::{Grammar, Table};
use super::tokens::{self, Token};
use super::value::{Args, Modifier, Node, Value};

/// What is wrong, without position.
pub(super) type Made = Result<Value, String>;
type Action = fn(&mut Args<'_>) -> Made;

/// The automaton and the action of each production.
pub(super) struct Language {
    pub table: Table,
    pub actions: Vec<Action>,
}

pub(super) static LANGUAGE: LazyLock<Language> = LazyLock::new(|| {
    let mut rules: Vec<String> = Vec::new();
    let mut actions = Vec::new();
    for &(rule, action) in RULES {
        let placeholder = rule.split_whitespace().find(|symbol| symbol.starts_with('$'));
        match LISTS.iter().find(|(name, _)| Some(*name) == placeholder) {
            None => {
                rules.push(rule.to_owned());
                actions.push(action);
            }
            Some((name, tokens)) => {
                for token in tokens.split_whitespace() {
                    rules.push(rule.replace(name, token));
                    actions.push(action);
                }
            }
        }
    }
    let table = Table::new(&Grammar {
        tokens: tokens::NAMES,
        precedence: tokens::precedence,
        rules: rules.iter().map(String::as_str).collect(),
    });
    Language { table, actions }
});

const LISTS: &[(&str, &str)] = &[
    ("$match", "= =~ !~ !="),
    ("$filter", "|~ |= |> != !~ !>"),
    ("$compare", "> >= < <= != = =="),
    ("$operator", "or and unless + - * / % ^ == != > >= < <="),
    (
        "$range",
        "COUNT_OVER_TIME RATE RATE_COUNTER BYTES_OVER_TIME BYTES_RATE AVG_OVER_TIME \
         SUM_OVER_TIME MIN_OVER_TIME MAX_OVER_TIME STDVAR_OVER_TIME STDDEV_OVER_TIME \
         QUANTILE_OVER_TIME FIRST_OVER_TIME LAST_OVER_TIME ABSENT_OVER_TIME",
    ),
    ("$vector", "SUM AVG COUNT MAX MIN STDDEV STDVAR BOTTOMK TOPK APPROX_TOPK SORT SORT_DESC"),
    ("$conversion", "BYTES_CONV DURATION_CONV DURATION_SECONDS_CONV"),
    ("$grouping", "by without"),
    ("$matching", "on ignoring"),
    ("$side", "group_left group_right"),
];

fn same(a: &mut Args<'_>) -> Made {
    Ok(a.value(0))
}

fn inner(a: &mut Args<'_>) -> Made {
    Ok(a.value(1))
}

fn push<T>(mut list: Vec<T>, more: Vec<T>) -> Vec<T> {
    list.extend(more);
    list
}

const RULES: &[(&str, Action)] = &[
    ("Expr LogExpr", same),
    ("Expr MetricExpr", same),
    ("LogExpr Selector", |a| Ok(Value::Log(log(a.matchers(0), None)))),
    ("LogExpr Selector Pipeline", |a| Ok(Value::Log(log(a.matchers(0), Some(a.stages(1)))))),
    ("LogExpr ( LogExpr )", inner),
    ("MetricExpr RangeAggregation", same),
    ("MetricExpr VectorAggregation", same),
    ("MetricExpr BinaryExpr", same),
    ("MetricExpr Literal", |a| Ok(metric_literal(a.literal(0)))),
    ("MetricExpr LabelReplace", same),
    ("MetricExpr VectorFn", same),
    ("MetricExpr ( MetricExpr )", inner),
    // selectors
    ("Selector { Matchers }", inner),
    ("Selector { }", |_| Ok(Value::Matchers(Vec::new()))),
    ("Matchers Matcher", |a| Ok(Value::Matchers(vec![a.matcher(0)]))),
    ("Matchers Matchers , Matcher", |a| {
        Ok(Value::Matchers(push(a.matchers(0), vec![a.matcher(2)])))
    }),
    ("Matcher IDENTIFIER $match STRING", |a| matcher(a.word(0), a.token(1), a.text(2))),
    // pipelines
    ("Pipeline Stage", same),
    ("Pipeline Pipeline Stage", |a| stages_of_both(a.stages(0), a.stages(1))),
    ("Stage LineFilters", same),
    ("Stage | logfmt", |_| Ok(logfmt(Value::Nothing, Vec::new()))),
    ("Stage | logfmt Flags", |a| Ok(logfmt(a.value(2), Vec::new()))),
    ("Stage | logfmt Extractions", |a| Ok(logfmt(Value::Nothing, a.extractions(2)))),
    ("Stage | logfmt Flags Extractions", |a| Ok(logfmt(a.value(2), a.extractions(3)))),
    ("Stage | json", |_| Ok(stage(Stage::Json(Vec::new())))),
    ("Stage | json Extractions", |a| Ok(stage(Stage::Json(a.extractions(2))))),
    ("Stage | regexp STRING", |a| regexp(a.text(2))),
    ("Stage | pattern STRING", |a| pattern(a.text(2))),
    ("Stage | unpack", |_| Ok(stage(Stage::Unpack))),
    ("Stage | LabelFilter", |a| {
        let Node { tree, depth, error } = a.filter(1);
        Ok(Value::Stages(Node { tree: vec![Stage::LabelFilter(tree)], depth, error }))
    }),
    ("Stage | line_format STRING", |a| Ok(stage(Stage::LineFormat(a.text(2))))),
    ("Stage | label_format Formats", |a| Ok(stage(Stage::LabelFormat(a.formats(2))))),
    ("Stage | decolorize", |_| Ok(stage(Stage::Decolorize))),
    ("Stage | drop Names", |a| Ok(stage(Stage::Drop(a.names(2))))),
    ("Stage | keep Names", |a| Ok(stage(Stage::Keep(a.names(2))))),
    ("LineFilters LineFilter", |a| Ok(stage(Stage::LineFilter(a.line_filter(0))))),
    ("LineFilters LineFilters LineFilter", |a| {
        let mut stages = a.stages(0);
        stages.tree.push(Stage::LineFilter(a.line_filter(1)));
        Ok(Value::Stages(stages))
    }),
    ("LineFilter LineOp LineOperand", |a| {
        let operands = vec![a.operand(1)];
        Ok(Value::LineFilter(LineFilter { op: line_op(a.token(0)), operands }))
    }),
    ("LineFilter LineFilter or LineOperand", |a| {
        let mut filter = a.line_filter(0);
        filter.operands.push(a.operand(2));
        Ok(Value::LineFilter(filter))
    }),
    ("LineOp $filter", same),
    ("LineOperand STRING", |a| Ok(Value::LineOperand(LineOperand::Text(a.bytes(0))))),
    ("LineOperand ip ( STRING )", |a| Ok(Value::LineOperand(LineOperand::Ip(a.text(2))))),
    ("Flags FUNCTION_FLAG", |a| Ok(flag(Value::Nothing, &a.word(0)))),
    ("Flags Flags FUNCTION_FLAG", |a| Ok(flag(a.value(0), &a.word(1)))),
    ("Extractions Extraction", same),
    ("Extractions Extractions , Extraction", |a| {
        Ok(Value::Extractions(push(a.extractions(0), a.extractions(2))))
    }),
    ("Extraction IDENTIFIER = STRING", |a| {
        let expression = a.text(2);
        Ok(Value::Extractions(vec![Extraction { name: a.word(0), expression }]))
    }),
    ("Extraction IDENTIFIER", |a| {
        let name = a.word(0);
        Ok(Value::Extractions(vec![Extraction { expression: name.clone(), name }]))
    }),
    ("Formats Format", same),
    ("Formats Formats , Format", |a| Ok(Value::Formats(push(a.formats(0), a.formats(2))))),
    ("Format IDENTIFIER = IDENTIFIER", |a| {
        let value = LabelFormatValue::Rename(a.word(2));
        Ok(Value::Formats(vec![LabelFormat { name: a.word(0), value }]))
    }),
    ("Format IDENTIFIER = STRING", |a| {
        let value = LabelFormatValue::Template(a.text(2));
        Ok(Value::Formats(vec![LabelFormat { name: a.word(0), value }]))
    }),
    ("Names Name", same),
    ("Names Names , Name", |a| Ok(Value::Names(push(a.names(0), a.names(2))))),
    ("Name IDENTIFIER", |a| Ok(Value::Names(vec![NamedMatcher::Name(a.word(0))]))),
    ("Name Matcher", |a| Ok(Value::Names(vec![NamedMatcher::Matcher(a.matcher(0))]))),
    // label filters
    ("LabelFilter Matcher", |a| Ok(filter(LabelFilter::Match(a.matcher(0))))),
    ("LabelFilter IDENTIFIER = ip ( STRING )", |a| Ok(ip_filter(a.word(0), true, a.text(4)))),
    ("LabelFilter IDENTIFIER != ip ( STRING )", |a| Ok(ip_filter(a.word(0), false, a.text(4)))),
    ("LabelFilter IDENTIFIER $compare DURATION", |a| {
        let (name, op, value_ns) = (a.word(0), compare_op(a.token(1)), a.nanos(2));
        Ok(filter(LabelFilter::Duration { name, op, value_ns }))
    }),
    ("LabelFilter IDENTIFIER $compare BYTES", |a| {
        let (name, op, value) = (a.word(0), compare_op(a.token(1)), a.size(2));
        Ok(filter(LabelFilter::Bytes { name, op, value }))
    }),
    ("LabelFilter IDENTIFIER $compare Literal", |a| {
        let (name, op, number) = (a.word(0), compare_op(a.token(1)), a.literal(2));
        match number.error {
            Some(error) => Err(error),
            None => Ok(filter(LabelFilter::Number { name, op, value: number.tree })),
        }
    }),
    ("LabelFilter ( LabelFilter )", inner),
    ("LabelFilter LabelFilter LabelFilter", |a| both(a.filter(0), a.filter(1), LabelFilter::And)),
    ("LabelFilter LabelFilter and LabelFilter", |a| {
        both(a.filter(0), a.filter(2), LabelFilter::And)
    }),
    ("LabelFilter LabelFilter , LabelFilter", |a| both(a.filter(0), a.filter(2), LabelFilter::And)),
    ("LabelFilter LabelFilter or LabelFilter", |a| both(a.filter(0), a.filter(2), LabelFilter::Or)),
    // ranges
    ("LogRange Selector RANGE", |a| range(a, &[Part::Selector, Part::Range])),
    ("LogRange Selector RANGE Offset", |a| range(a, &[Part::Selector, Part::Range, Part::Offset])),
    ("LogRange ( Selector ) RANGE", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Skip, Part::Range])
    }),
    ("LogRange ( Selector ) RANGE Offset", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Skip, Part::Range, Part::Offset])
    }),
    ("LogRange Selector RANGE Unwrap", |a| range(a, &[Part::Selector, Part::Range, Part::Unwrap])),
    ("LogRange Selector RANGE Offset Unwrap", |a| {
        range(a, &[Part::Selector, Part::Range, Part::Offset, Part::Unwrap])
    }),
    ("LogRange ( Selector ) RANGE Unwrap", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Skip, Part::Range, Part::Unwrap])
    }),
    ("LogRange ( Selector ) RANGE Offset Unwrap", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Skip, Part::Range, Part::Offset, Part::Unwrap])
    }),
    ("LogRange Selector Unwrap RANGE", |a| range(a, &[Part::Selector, Part::Unwrap, Part::Range])),
    ("LogRange Selector Unwrap RANGE Offset", |a| {
        range(a, &[Part::Selector, Part::Unwrap, Part::Range, Part::Offset])
    }),
    ("LogRange ( Selector Unwrap ) RANGE", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Unwrap, Part::Skip, Part::Range])
    }),
    ("LogRange ( Selector Unwrap ) RANGE Offset", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Unwrap, Part::Skip, Part::Range, Part::Offset])
    }),
    ("LogRange Selector Pipeline RANGE", |a| {
        range(a, &[Part::Selector, Part::Pipeline, Part::Range])
    }),
    ("LogRange Selector Pipeline RANGE Offset", |a| {
        range(a, &[Part::Selector, Part::Pipeline, Part::Range, Part::Offset])
    }),
    ("LogRange ( Selector Pipeline ) RANGE", |a| {
        range(a, &[Part::Skip, Part::Selector, Part::Pipeline, Part::Skip, Part::Range])
    }),
    ("LogRange ( Selector Pipeline ) RANGE Offset", |a| {
        let head = [Part::Skip, Part::Selector, Part::Pipeline, Part::Skip];
        range(a, &[&head[..], &[Part::Range, Part::Offset]].concat())
    }),
    ("LogRange Selector Pipeline Unwrap RANGE", |a| {
        range(a, &[Part::Selector, Part::Pipeline, Part::Unwrap, Part::Range])
    }),
    ("LogRange Selector Pipeline Unwrap RANGE Offset", |a| {
        range(a, &[Part::Selector, Part::Pipeline, Part::Unwrap, Part::Range, Part::Offset])
    }),
    ("LogRange ( Selector Pipeline Unwrap ) RANGE", |a| {
        let head = [Part::Skip, Part::Selector, Part::Pipeline, Part::Unwrap, Part::Skip];
        range(a, &[&head[..], &[Part::Range]].concat())
    }),
    ("LogRange ( Selector Pipeline Unwrap ) RANGE Offset", |a| {
        let head = [Part::Skip, Part::Selector, Part::Pipeline, Part::Unwrap, Part::Skip];
        range(a, &[&head[..], &[Part::Range, Part::Offset]].concat())
    }),
    ("LogRange Selector RANGE Pipeline", |a| {
        range(a, &[Part::Selector, Part::Range, Part::Pipeline])
    }),
    ("LogRange Selector RANGE Offset Pipeline", |a| {
        range(a, &[Part::Selector, Part::Range, Part::Offset, Part::Pipeline])
    }),
    ("LogRange Selector RANGE Pipeline Unwrap", |a| {
        range(a, &[Part::Selector, Part::Range, Part::Pipeline, Part::Unwrap])
    }),
    ("LogRange Selector RANGE Offset Pipeline Unwrap", |a| {
        range(a, &[Part::Selector, Part::Range, Part::Offset, Part::Pipeline, Part::Unwrap])
    }),
    ("LogRange ( LogRange )", inner),
    ("Offset offset DURATION", inner),
    ("Unwrap | unwrap IDENTIFIER", |a| Ok(unwrap(a.word(2), None))),
    ("Unwrap | unwrap Conversion ( IDENTIFIER )", |a| {
        Ok(unwrap(a.word(4), Some(conversion(a.token(2)))))
    }),
    ("Unwrap Unwrap | LabelFilter", |a| Ok(unwrap_filter(a.unwrap(0), a.filter(2)))),
    ("Conversion $conversion", same),
    // aggregations
    ("RangeAggregation RangeOp ( LogRange )", |a| {
        range_aggregation(a.token(0), None, *a.log_range(2), None)
    }),
    ("RangeAggregation RangeOp ( NUMBER , LogRange )", |a| {
        range_aggregation(a.token(0), Some(a.word(2)), *a.log_range(4), None)
    }),
    ("RangeAggregation RangeOp ( LogRange ) Grouping", |a| {
        range_aggregation(a.token(0), None, *a.log_range(2), Some(a.grouping(4)))
    }),
    ("RangeAggregation RangeOp ( NUMBER , LogRange ) Grouping", |a| {
        range_aggregation(a.token(0), Some(a.word(2)), *a.log_range(4), Some(a.grouping(6)))
    }),
    ("RangeOp $range", same),
    ("VectorAggregation VectorOp ( MetricExpr )", |a| {
        vector_aggregation(a.token(0), None, None, *a.metric(2))
    }),
    ("VectorAggregation VectorOp Grouping ( MetricExpr )", |a| {
        vector_aggregation(a.token(0), Some(a.grouping(1)), None, *a.metric(3))
    }),
    ("VectorAggregation VectorOp ( MetricExpr ) Grouping", |a| {
        vector_aggregation(a.token(0), Some(a.grouping(4)), None, *a.metric(2))
    }),
    ("VectorAggregation VectorOp ( NUMBER , MetricExpr )", |a| {
        vector_aggregation(a.token(0), None, Some(a.word(2)), *a.metric(4))
    }),
    ("VectorAggregation VectorOp ( NUMBER , MetricExpr ) Grouping", |a| {
        vector_aggregation(a.token(0), Some(a.grouping(6)), Some(a.word(2)), *a.metric(4))
    }),
    ("VectorAggregation VectorOp Grouping ( NUMBER , MetricExpr )", |a| {
        vector_aggregation(a.token(0), Some(a.grouping(1)), Some(a.word(3)), *a.metric(5))
    }),
    ("VectorOp $vector", same),
    ("Grouping $grouping ( Labels )", |a| {
        let (without, labels) = (a.token(0) == Token::Without, a.words(2));
        Ok(Value::Grouping(Grouping { without, labels }))
    }),
    ("Grouping $grouping ( )", |a| {
        let without = a.token(0) == Token::Without;
        Ok(Value::Grouping(Grouping { without, labels: Vec::new() }))
    }),
    ("Labels IDENTIFIER", |a| Ok(Value::Words(vec![a.word(0)]))),
    ("Labels Labels , IDENTIFIER", |a| Ok(Value::Words(push(a.words(0), vec![a.word(2)])))),
    // operators
    ("BinaryExpr Expr $operator Modifier Expr", |a| {
        binary(a.value(0), a.token(1), a.modifier(2), a.value(3))
    }),
    ("Modifier Matching", same),
    ("Modifier Matching $side", |a| Ok(grouped(a.modifier(0), a.token(1), Vec::new()))),
    ("Modifier Matching $side ( )", |a| Ok(grouped(a.modifier(0), a.token(1), Vec::new()))),
    ("Modifier Matching $side ( Labels )", |a| Ok(grouped(a.modifier(0), a.token(1), a.words(3)))),
    ("Modifier Bool", same),
    ("Matching Bool $matching ( Labels )", |a| Ok(matched(a.modifier(0), a.token(1), a.words(3)))),
    ("Matching Bool $matching ( )", |a| Ok(matched(a.modifier(0), a.token(1), Vec::new()))),
    ("Bool", |_| Ok(Value::Modifier(Modifier::default()))),
    ("Bool bool", |_| Ok(Value::Modifier(Modifier { return_bool: true, matching: None }))),
    ("Literal NUMBER", |a| Ok(literal(&a.word(0), 1.0))),
    ("Literal + NUMBER", |a| Ok(literal(&a.word(1), 1.0))),
    ("Literal - NUMBER", |a| Ok(literal(&a.word(1), -1.0))),
    ("LabelReplace LABEL_REPLACE ( MetricExpr , STRING , STRING , STRING , STRING )", |a| {
        let texts = [a.text(4), a.text(6), a.text(8), a.text(10)];
        label_replace(*a.metric(2), texts)
    }),
    ("VectorFn VECTOR ( NUMBER )", |a| Ok(vector_fn(&a.word(2)))),
];
