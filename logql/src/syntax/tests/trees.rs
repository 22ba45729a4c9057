//! Random trees over the whole language.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::syntax::ast::*;
use crate::syntax::tokens;

fn name() -> impl Strategy<Value = String> {
    let plain = "[a-zA-Z_čλ][a-zA-Z0-9_š]{0,6}"
        .prop_filter("keywords are no names", |n| tokens::keyword(&n.to_lowercase()).is_none());
    prop_oneof![
        8 => plain,
        1 => select(vec!["rate", "sum", "bytes", "duration", "ip", "Topk", "vector"])
            .prop_map(str::to_owned),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    select(vec![".*", "a+|", "(?i)x", r"\d{2,3}", "[^\"]\n", "(?P<n>y)"]).prop_map(str::to_owned)
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let plain = (name(), select(vec![MatchOp::Equal, MatchOp::NotEqual]), any::<String>());
    let regex = (name(), select(vec![MatchOp::Regex, MatchOp::NotRegex]), expression());
    let build = |(name, op, value)| Matcher { name, op, value };
    prop_oneof![plain.prop_map(build), regex.prop_map(build)]
}

/// Matchers that select something.
fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    (vec(matcher(), 0..3), name(), "[a-z]{1,5}").prop_map(|(mut matchers, name, value)| {
        matchers.push(Matcher { name, op: MatchOp::Equal, value });
        matchers
    })
}

/// A number that prints to what the lexer reads as a number (`-0` reads as a duration).
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>().prop_filter("a number", |v| v.is_finite()),
    ]
    .prop_map(|value| if value == 0.0 { 0.0 } else { value })
}

fn compare() -> impl Strategy<Value = CompareOp> {
    use CompareOp::*;
    select(vec![Equal, NotEqual, Greater, GreaterOrEqual, Less, LessOrEqual])
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Match),
        (name(), any::<bool>(), any::<String>())
            .prop_map(|(name, equal, pattern)| LabelFilter::Ip { name, equal, pattern }),
        (name(), compare(), number()).prop_map(|(name, op, value)| LabelFilter::Number {
            name,
            op,
            value
        }),
        (name(), compare(), -i64::MAX..i64::MAX)
            .prop_map(|(name, op, value_ns)| LabelFilter::Duration { name, op, value_ns }),
        // Sizes are printed with two digits; `0B` begins a binary number, `1P` an exponent.
        (name(), compare(), 10u64..100, 0u32..5).prop_map(|(name, op, digits, power)| {
            LabelFilter::Bytes { name, op, value: digits * 1_000u64.pow(power) }
        }),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(left, right, and)| {
            let (left, right) = (Box::new(left), Box::new(right));
            if and { LabelFilter::And(left, right) } else { LabelFilter::Or(left, right) }
        })
    })
}

fn line_filter() -> impl Strategy<Value = LineFilter> {
    use LineOp::*;
    let operand = prop_oneof![
        4 => vec(any::<u8>(), 0..8).prop_map(LineOperand::Text),
        1 => any::<String>().prop_map(LineOperand::Ip),
    ];
    let op = select(vec![Contains, NotContains, Regex, NotRegex, Pattern, NotPattern]);
    (op, vec(operand, 1..4)).prop_map(|(op, operands)| LineFilter { op, operands })
}

fn extractions(from: usize) -> impl Strategy<Value = Vec<Extraction>> {
    let one = (name(), any::<String>());
    vec(one.prop_map(|(name, expression)| Extraction { name, expression }), from..3)
}

fn label_format() -> impl Strategy<Value = LabelFormat> {
    let value = prop_oneof![
        name().prop_map(LabelFormatValue::Rename),
        any::<String>().prop_map(LabelFormatValue::Template),
    ];
    (name(), value).prop_map(|(name, value)| LabelFormat { name, value })
}

fn names() -> impl Strategy<Value = Vec<NamedMatcher>> {
    let one = prop_oneof![
        name().prop_map(NamedMatcher::Name),
        matcher().prop_map(NamedMatcher::Matcher),
    ];
    vec(one, 1..4)
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        4 => line_filter().prop_map(Stage::LineFilter),
        4 => label_filter().prop_map(Stage::LabelFilter),
        1 => extractions(0).prop_map(Stage::Json),
        1 => (any::<bool>(), any::<bool>(), extractions(0)).prop_map(
            |(strict, keep_empty, extractions)| Stage::Logfmt { strict, keep_empty, extractions }
        ),
        1 => Just(Stage::Regexp("(?P<a>x)".to_owned())),
        1 => Just(Stage::Pattern("<a> <_>\"".to_owned())),
        1 => Just(Stage::Unpack),
        1 => any::<String>().prop_map(Stage::LineFormat),
        1 => vec(label_format(), 1..3).prop_map(Stage::LabelFormat),
        1 => Just(Stage::Decolorize),
        1 => names().prop_map(Stage::Drop),
        1 => names().prop_map(Stage::Keep),
    ]
}

/// Whether `drop a` and `!= "x"` stand side by side: no text gives that, it would be `a != "x"`.
fn runs_together(stages: &[Stage]) -> bool {
    stages.windows(2).any(|pair| {
        let (Stage::Drop(names) | Stage::Keep(names)) = &pair[0] else { return false };
        let Stage::LineFilter(filter) = &pair[1] else { return false };
        matches!(names.last(), Some(NamedMatcher::Name(_)))
            && matches!(filter.op, LineOp::NotContains | LineOp::NotRegex)
    })
}

pub fn log() -> impl Strategy<Value = LogExpr> {
    let stages = vec(stage(), 0..5).prop_filter("no text", |stages| !runs_together(stages));
    (matchers(), stages).prop_map(|(matchers, stages)| LogExpr { matchers, stages })
}

fn grouping() -> impl Strategy<Value = Grouping> {
    let labels = vec(name(), 0..3);
    (any::<bool>(), labels).prop_map(|(without, labels)| Grouping { without, labels })
}

fn unwrap() -> impl Strategy<Value = Unwrap> {
    use UnwrapConversion::*;
    let conversion = option::of(select(vec![Bytes, Duration, DurationSeconds]));
    (name(), conversion, vec(label_filter(), 0..2))
        .prop_map(|(label, conversion, filters)| Unwrap { label, conversion, filters })
}

fn range_aggregation() -> impl Strategy<Value = MetricExpr> {
    use RangeOp::*;
    let lines = vec![CountOverTime, Rate, BytesOverTime, BytesRate, AbsentOverTime];
    let values = vec![SumOverTime, RateCounter, Rate, AbsentOverTime];
    let grouped = vec![
        AvgOverTime,
        MinOverTime,
        MaxOverTime,
        StdvarOverTime,
        StddevOverTime,
        QuantileOverTime,
        FirstOverTime,
        LastOverTime,
    ];
    let shape =
        prop_oneof![
            select(lines).prop_map(|op| (op, None, None)),
            (select(values), unwrap()).prop_map(|(op, unwrap)| (op, Some(unwrap), None)),
            (select(grouped), unwrap(), option::of(grouping()))
                .prop_map(|(op, unwrap, grouping)| (op, Some(unwrap), grouping)),
        ];
    let offset = prop_oneof![Just(0), -i64::MAX..i64::MAX];
    (shape, log(), 0u64..40_000_000_000, offset, 0.0f64..2.0).prop_map(
        |((op, unwrap, grouping), log, range_ms, offset_ns, quantile)| {
            let parameter = (op == QuantileOverTime).then_some(quantile);
            let range = Duration::from_millis(range_ms);
            MetricExpr::Range(RangeAggregation {
                op,
                parameter,
                log,
                unwrap,
                range,
                offset_ns,
                grouping,
            })
        },
    )
}

fn vector_aggregation(inner: BoxedStrategy<MetricExpr>) -> impl Strategy<Value = MetricExpr> {
    use VectorOp::*;
    let op = select(vec![
        Sum, Avg, Min, Max, Count, Stddev, Stdvar, Topk, Bottomk, ApproxTopk, Sort, SortDesc,
    ]);
    (op, option::of(grouping()), 1..i64::MAX, inner).prop_map(|(op, grouping, k, inner)| {
        let grouping = match op {
            ApproxTopk => None,
            Sort | SortDesc => grouping.filter(|g| g.labels.is_empty()),
            _ => grouping,
        };
        let parameter = matches!(op, Topk | Bottomk | ApproxTopk).then_some(k);
        let inner = Box::new(inner);
        MetricExpr::Vector(VectorAggregation { op, parameter, grouping, inner })
    })
}

fn matching() -> impl Strategy<Value = VectorMatching> {
    let group = option::of((select(vec![GroupSide::Left, GroupSide::Right]), vec(name(), 0..2)));
    (any::<bool>(), vec(name(), 0..3), group).prop_map(|(on, labels, group)| {
        let (group, include) = group.map_or((None, Vec::new()), |(g, i)| (Some(g), i));
        VectorMatching { on, labels, group, include }
    })
}

fn binary(inner: BoxedStrategy<MetricExpr>) -> impl Strategy<Value = MetricExpr> {
    use BinaryOp::*;
    let op = select(vec![
        Or,
        And,
        Unless,
        Equal,
        NotEqual,
        Greater,
        GreaterOrEqual,
        Less,
        LessOrEqual,
        Add,
        Sub,
        Mul,
        Div,
        Mod,
        Pow,
    ]);
    let sides = (inner.clone(), inner);
    (op, any::<bool>(), option::of(matching()), sides)
        .prop_map(|(op, return_bool, matching, (left, right))| {
            MetricExpr::Binary(Box::new(BinaryExpr { op, return_bool, matching, left, right }))
        })
        .prop_filter("folded or refused", |expr| {
            let MetricExpr::Binary(binary) = expr else { return true };
            let literal = |side: &MetricExpr| matches!(side, MetricExpr::Literal(_));
            let set = matches!(binary.op, Or | And | Unless);
            let (left, right) = (literal(&binary.left), literal(&binary.right));
            !(left && right) && !(set && (left || right))
        })
}

fn label_replace(inner: BoxedStrategy<MetricExpr>) -> impl Strategy<Value = MetricExpr> {
    let texts = (any::<String>(), any::<String>(), any::<String>(), expression());
    (inner, texts).prop_map(|(inner, (dst, replacement, src, regex))| {
        let replace = LabelReplace { inner, dst, replacement, src, regex };
        MetricExpr::LabelReplace(Box::new(replace))
    })
}

pub fn metric() -> impl Strategy<Value = MetricExpr> {
    let leaf = prop_oneof![
        6 => range_aggregation(),
        2 => number().prop_map(MetricExpr::Literal),
        1 => (0u32..1_000_000).prop_map(|n| MetricExpr::VectorFn(f64::from(n) / 64.0)),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            vector_aggregation(inner.clone().boxed()),
            binary(inner.clone().boxed()),
            label_replace(inner.boxed()),
        ]
    })
}
