//! The terminals of the language. Their order is Loki's: lists of expected tokens follow it.

use super::lalr::{Assoc, Precedence};

macro_rules! tokens {
    ($($name:ident $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Token { $($name,)* }
        /// As error texts name them, by token.
        pub(super) const NAMES: &[&str] = &[$($text,)*];
    };
}

tokens! {
    End "$end",
    Identifier "IDENTIFIER",
    String "STRING",
    Number "NUMBER",
    Flag "FUNCTION_FLAG",
    Duration "DURATION",
    Range "RANGE",
    Bytes "BYTES",
    Eq "=",
    Re "=~",
    Nre "!~",
    Npa "!>",
    OpenBrace "{",
    CloseBrace "}",
    Comma ",",
    Dot ".",
    PipeMatch "|~",
    PipeExact "|=",
    PipePattern "|>",
    OpenParenthesis "(",
    CloseParenthesis ")",
    By "by",
    Without "without",
    CountOverTime "COUNT_OVER_TIME",
    Rate "RATE",
    RateCounter "RATE_COUNTER",
    Sum "SUM",
    Sort "SORT",
    SortDesc "SORT_DESC",
    Avg "AVG",
    Max "MAX",
    Min "MIN",
    Count "COUNT",
    Stddev "STDDEV",
    Stdvar "STDVAR",
    Bottomk "BOTTOMK",
    Topk "TOPK",
    ApproxTopk "APPROX_TOPK",
    BytesOverTime "BYTES_OVER_TIME",
    BytesRate "BYTES_RATE",
    Bool "bool",
    Json "json",
    Regexp "regexp",
    Logfmt "logfmt",
    Pipe "|",
    LineFormat "line_format",
    LabelFormat "label_format",
    Unwrap "unwrap",
    AvgOverTime "AVG_OVER_TIME",
    SumOverTime "SUM_OVER_TIME",
    MinOverTime "MIN_OVER_TIME",
    MaxOverTime "MAX_OVER_TIME",
    StdvarOverTime "STDVAR_OVER_TIME",
    StddevOverTime "STDDEV_OVER_TIME",
    QuantileOverTime "QUANTILE_OVER_TIME",
    BytesConv "BYTES_CONV",
    DurationConv "DURATION_CONV",
    DurationSecondsConv "DURATION_SECONDS_CONV",
    FirstOverTime "FIRST_OVER_TIME",
    LastOverTime "LAST_OVER_TIME",
    AbsentOverTime "ABSENT_OVER_TIME",
    Vector "VECTOR",
    LabelReplace "LABEL_REPLACE",
    Unpack "unpack",
    Offset "offset",
    Pattern "pattern",
    Ip "ip",
    On "on",
    Ignoring "ignoring",
    GroupLeft "group_left",
    GroupRight "group_right",
    Decolorize "decolorize",
    Drop "drop",
    Keep "keep",
    Or "or",
    And "and",
    Unless "unless",
    CmpEq "==",
    Neq "!=",
    Lt "<",
    Lte "<=",
    Gt ">",
    Gte ">=",
    Add "+",
    Sub "-",
    Mul "*",
    Div "/",
    Mod "%",
    Pow "^",
}

/// Words that are always keywords.
pub(super) fn keyword(word: &str) -> Option<Token> {
    use Token::*;
    Some(match word {
        "by" => By,
        "without" => Without,
        "bool" => Bool,
        "json" => Json,
        "regexp" => Regexp,
        "logfmt" => Logfmt,
        "unpack" => Unpack,
        "pattern" => Pattern,
        "line_format" => LineFormat,
        "label_format" => LabelFormat,
        "decolorize" => Decolorize,
        "drop" => Drop,
        "keep" => Keep,
        "offset" => Offset,
        "on" => On,
        "ignoring" => Ignoring,
        "group_left" => GroupLeft,
        "group_right" => GroupRight,
        "or" => Or,
        "and" => And,
        "unless" => Unless,
        "unwrap" => Unwrap,
        _ => return None,
    })
}

/// Words that are keywords where an argument list or a grouping follows.
pub(super) fn function(word: &str) -> Option<Token> {
    use Token::*;
    Some(match word {
        "count_over_time" => CountOverTime,
        "rate" => Rate,
        "rate_counter" => RateCounter,
        "bytes_over_time" => BytesOverTime,
        "bytes_rate" => BytesRate,
        "avg_over_time" => AvgOverTime,
        "sum_over_time" => SumOverTime,
        "min_over_time" => MinOverTime,
        "max_over_time" => MaxOverTime,
        "stdvar_over_time" => StdvarOverTime,
        "stddev_over_time" => StddevOverTime,
        "quantile_over_time" => QuantileOverTime,
        "first_over_time" => FirstOverTime,
        "last_over_time" => LastOverTime,
        "absent_over_time" => AbsentOverTime,
        "sum" => Sum,
        "avg" => Avg,
        "min" => Min,
        "max" => Max,
        "count" => Count,
        "stddev" => Stddev,
        "stdvar" => Stdvar,
        "topk" => Topk,
        "bottomk" => Bottomk,
        "approx_topk" => ApproxTopk,
        "sort" => Sort,
        "sort_desc" => SortDesc,
        "vector" => Vector,
        "label_replace" => LabelReplace,
        "bytes" => BytesConv,
        "duration" => DurationConv,
        "duration_seconds" => DurationSecondsConv,
        "ip" => Ip,
        _ => return None,
    })
}

/// Operators and brackets: the longest that `first` and what follows form, and its length.
pub(super) fn operator(first: char, second: Option<char>) -> Option<(Token, usize)> {
    use Token::*;
    let two = match (first, second) {
        ('=', Some('~')) => Some(Re),
        ('=', Some('=')) => Some(CmpEq),
        ('!', Some('=')) => Some(Neq),
        ('!', Some('~')) => Some(Nre),
        ('!', Some('>')) => Some(Npa),
        ('|', Some('=')) => Some(PipeExact),
        ('|', Some('~')) => Some(PipeMatch),
        ('|', Some('>')) => Some(PipePattern),
        ('<', Some('=')) => Some(Lte),
        ('>', Some('=')) => Some(Gte),
        _ => None,
    };
    if let Some(token) = two {
        return Some((token, 2));
    }
    let one = match first {
        '=' => Eq,
        '{' => OpenBrace,
        '}' => CloseBrace,
        ',' => Comma,
        '.' => Dot,
        '(' => OpenParenthesis,
        ')' => CloseParenthesis,
        '|' => Pipe,
        '<' => Lt,
        '>' => Gt,
        '+' => Add,
        '-' => Sub,
        '*' => Mul,
        '/' => Div,
        '%' => Mod,
        '^' => Pow,
        _ => return None,
    };
    Some((one, 1))
}

/// Binds from low to high.
pub(super) fn precedence(token: u8) -> Option<Precedence> {
    use Token::*;
    let is = |tokens: &[Token]| tokens.iter().any(|&t| t as u8 == token);
    let (level, assoc) = if is(&[Or]) {
        (1, Assoc::Left)
    } else if is(&[And, Unless]) {
        (2, Assoc::Left)
    } else if is(&[CmpEq, Neq, Lt, Lte, Gt, Gte]) {
        (3, Assoc::Left)
    } else if is(&[Add, Sub]) {
        (4, Assoc::Left)
    } else if is(&[Mul, Div, Mod]) {
        (5, Assoc::Left)
    } else if is(&[Pow]) {
        (6, Assoc::Right)
    } else {
        return None;
    };
    Some(Precedence { level, assoc })
}
