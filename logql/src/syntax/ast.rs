//! The syntax tree. Values as written, nothing resolved; `Display` gives Loki's canonical text.

use std::time::Duration;

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Selects lines.
    Log(LogExpr),
    /// Computes numbers.
    Metric(MetricExpr),
}

/// A stream selector and its pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// Matchers between braces.
    pub matchers: Vec<Matcher>,
    /// Stages in order.
    pub stages: Vec<Stage>,
}

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored
    Regex,
    /// `!~`, anchored
    NotRegex,
}

/// `name op "value"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Operator.
    pub op: MatchOp,
    /// Value or regular expression.
    pub value: String,
}

/// One pipeline stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "x" or "y"` and kin.
    LineFilter(LineFilter),
    /// `| json` / `| json a="b.c", d`.
    Json(Vec<Extraction>),
    /// `| logfmt [--strict] [--keep-empty] [a="b", c]`.
    Logfmt {
        /// Stop at the first malformed pair and set the error.
        strict: bool,
        /// Keep keys without a value.
        keep_empty: bool,
        /// Requested keys; empty means all.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "..."`.
    Regexp(String),
    /// `| pattern "..."`.
    Pattern(String),
    /// `| unpack`.
    Unpack,
    /// `| a="x" and b > 5`.
    LabelFilter(LabelFilter),
    /// `| line_format "..."`.
    LineFormat(String),
    /// `| label_format a=b, c="..."`.
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`.
    Decolorize,
    /// `| drop a, b="x"`.
    Drop(Vec<NamedMatcher>),
    /// `| keep a, b="x"`.
    Keep(Vec<NamedMatcher>),
}

/// How a line filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

/// One line filter: `op operand { or operand }`. Negative operators exclude every operand.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// Operator of all operands.
    pub op: LineOp,
    /// At least one.
    pub operands: Vec<LineOperand>,
}

/// What a line filter looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum LineOperand {
    /// Text, expression or pattern, by the operator. Bytes, for `"\xff"` is a legal needle.
    Text(Vec<u8>),
    /// `ip("...")`.
    Ip(String),
}

/// `name="expression"`; a bare `name` stands for `name="name"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// Label to set.
    pub name: String,
    /// Where to find it.
    pub expression: String,
}

/// A label filter expression.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// String comparison.
    Match(Matcher),
    /// `name op ip("...")`; true = `=`, false = `!=`.
    Ip {
        /// Label name.
        name: String,
        /// `=` rather than `!=`.
        equal: bool,
        /// Address, range or CIDR.
        pattern: String,
    },
    /// Comparison with a number.
    Number {
        /// Label name.
        name: String,
        /// Operator.
        op: CompareOp,
        /// Right side.
        value: f64,
    },
    /// Comparison with a duration in nanoseconds.
    Duration {
        /// Label name.
        name: String,
        /// Operator.
        op: CompareOp,
        /// Right side, nanoseconds.
        value_ns: i64,
    },
    /// Comparison with a byte size.
    Bytes {
        /// Label name.
        name: String,
        /// Operator.
        op: CompareOp,
        /// Right side, bytes.
        value: u64,
    },
    /// Both; both sides are evaluated.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// Either; the right side only where the left is false.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// Numeric comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==` or `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFormat {
    /// Label to set.
    pub name: String,
    /// Its new value.
    pub value: LabelFormatValue,
}

/// Right side of a `label_format` assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFormatValue {
    /// `dst=src`: rename.
    Rename(String),
    /// `dst="template"`.
    Template(String),
}

/// An item of `drop` and `keep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedMatcher {
    /// By name.
    Name(String),
    /// Only where the matcher matches.
    Matcher(Matcher),
}

/// An expression whose value is numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// `rate({..}[5m])`.
    Range(RangeAggregation),
    /// `sum by (a) (..)`.
    Vector(VectorAggregation),
    /// `a op b`.
    Binary(Box<BinaryExpr>),
    /// A number.
    Literal(f64),
    /// `label_replace(..)`.
    LabelReplace(Box<LabelReplace>),
    /// `vector(1)`.
    VectorFn(f64),
}

/// Function over a range of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the language's
pub enum RangeOp {
    CountOverTime,
    Rate,
    RateCounter,
    BytesOverTime,
    BytesRate,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    StdvarOverTime,
    StddevOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
    AbsentOverTime,
}

/// A range function over one log range.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAggregation {
    /// The function.
    pub op: RangeOp,
    /// The quantile, for `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Selector and pipeline.
    pub log: LogExpr,
    /// `| unwrap ...`, if any.
    pub unwrap: Option<Unwrap>,
    /// The range.
    pub range: Duration,
    /// Shift into the past, nanoseconds; may be negative.
    pub offset_ns: i64,
    /// `by`/`without`, where the function allows it.
    pub grouping: Option<Grouping>,
}

/// `| unwrap [conversion(]label[)] {| filter}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Option<UnwrapConversion>,
    /// Label filters after it.
    pub filters: Vec<LabelFilter>,
}

/// How `unwrap` reads a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnwrapConversion {
    /// Human byte sizes.
    Bytes,
    /// Go durations, in seconds.
    Duration,
    /// The same, by its longer name.
    DurationSeconds,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// `without` rather than `by`.
    pub without: bool,
    /// Label names as written.
    pub labels: Vec<String>,
}

/// Aggregation over series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the language's
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

/// `op grouping (parameter, inner)`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAggregation {
    /// The aggregation.
    pub op: VectorOp,
    /// `k`, for `topk` and kin.
    pub parameter: Option<i64>,
    /// `by`/`without`.
    pub grouping: Option<Grouping>,
    /// What is aggregated.
    pub inner: Box<MetricExpr>,
}

/// Operator between two metric expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the language's
pub enum BinaryOp {
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
}

/// `left op [bool] [matching] right`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    /// The operator.
    pub op: BinaryOp,
    /// `bool` was given: comparisons give 0 or 1.
    pub return_bool: bool,
    /// `on`/`ignoring` and `group_*`.
    pub matching: Option<VectorMatching>,
    /// Left side.
    pub left: MetricExpr,
    /// Right side.
    pub right: MetricExpr,
}

/// How series of two sides find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorMatching {
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// The labels named.
    pub labels: Vec<String>,
    /// `group_left` / `group_right`.
    pub group: Option<GroupSide>,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
}

/// Which side may have many series per match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupSide {
    /// `group_left`
    Left,
    /// `group_right`
    Right,
}

/// `label_replace(inner, dst, replacement, src, regex)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    /// The series.
    pub inner: MetricExpr,
    /// Label to set.
    pub dst: String,
    /// Template with `$1`, `${name}`.
    pub replacement: String,
    /// Label to read.
    pub src: String,
    /// Anchored expression.
    pub regex: String,
}
