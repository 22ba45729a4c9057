//! Parameters of query requests: Loki's defaults, order of validation and texts.
//!
//! What Go's standard library says about a bad number is part of the answer, so the readers here
//! are `strconv`'s, not Rust's.

use std::time::Duration;

use base::UnixNanos;
use base::quote::quote;
use base::units::parse_prometheus_duration;
use logql::plan::Direction;
use rpc::http::Form;

use super::numbers::{self, IntError};

/// `start` and `end` of a request that names neither `start` nor `since`.
const DEFAULT_SINCE_NS: i64 = 3_600_000_000_000;
/// Entries when `limit` is not given.
const DEFAULT_LIMIT: usize = 100;
/// Points per series that a range query may ask for; Prometheus' own limit, which Loki took over.
const MAX_POINTS: i64 = 11_000;

/// Why a parameter is refused; HTTP 400 with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(pub String);

/// `GET|POST /loki/api/v1/query`.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantQuery {
    /// The text.
    pub query: String,
    /// When to evaluate.
    pub time: UnixNanos,
    /// Most entries.
    pub limit: usize,
    /// Order of entries.
    pub direction: Direction,
}

/// `GET|POST /loki/api/v1/query_range`.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeQuery {
    /// The text.
    pub query: String,
    /// First evaluation or first instant.
    pub start: UnixNanos,
    /// Last evaluation, or one past the last instant; not before `start`.
    pub end: UnixNanos,
    /// Distance of evaluations, nanoseconds; positive.
    pub step_ns: i64,
    /// Thinning of entries, nanoseconds; 0 = none.
    pub interval_ns: i64,
    /// Most entries.
    pub limit: usize,
    /// Order of entries.
    pub direction: Direction,
}

impl InstantQuery {
    /// Reads and validates the parameters.
    pub fn parse(form: &Form, now: UnixNanos) -> Result<InstantQuery, ParamError> {
        Ok(InstantQuery {
            query: form.value("query").to_owned(),
            limit: limit(form)?,
            time: timestamp(form.value("time"), now).map_err(ParamError)?,
            direction: direction(form)?,
        })
    }
}

impl RangeQuery {
    /// Reads and validates the parameters.
    pub fn parse(form: &Form, now: UnixNanos) -> Result<RangeQuery, ParamError> {
        let (start, end) = bounds(form, now)?;
        check_order(start, end)?;
        let limit = limit(form)?;
        let direction = direction(form)?;
        let step_ns = checked_step(form, end.0.saturating_sub(start.0))?;
        let interval_ns = match form.value("interval") {
            "" => 0,
            text => seconds_or_duration(text)?,
        };
        if interval_ns < 0 {
            return refuse("interval must be >= 0");
        }
        let query = form.value("query").to_owned();
        Ok(RangeQuery { query, start, end, step_ns, interval_ns, limit, direction })
    }
}

/// `step` of a range of this length, which is neither too short nor none at all.
pub fn checked_step(form: &Form, length_ns: i64) -> Result<i64, ParamError> {
    let step_ns = step(form, length_ns)?;
    if step_ns <= 0 {
        return refuse(
            "zero or negative query resolution step widths are not accepted. \
             Try a positive integer",
        );
    }
    if length_ns / step_ns > MAX_POINTS {
        return refuse(
            "exceeded maximum resolution of 11,000 points per time series. \
             Try increasing the value of the step parameter",
        );
    }
    Ok(step_ns)
}

/// `end timestamp must not be before or equal to start time`, although equal is accepted.
pub fn check_order(start: UnixNanos, end: UnixNanos) -> Result<(), ParamError> {
    if end < start {
        return refuse("end timestamp must not be before or equal to start time");
    }
    Ok(())
}

/// `start`, `end` and `since`.
pub fn bounds(form: &Form, now: UnixNanos) -> Result<(UnixNanos, UnixNanos), ParamError> {
    let wrap = |name: &str, text: String| {
        ParamError(format!("could not parse '{name}' parameter: {text}"))
    };
    let since_ns = match form.value("since") {
        "" => DEFAULT_SINCE_NS,
        text => match parse_prometheus_duration(text) {
            Ok(duration) => nanos(duration),
            Err(error) => return Err(wrap("since", error.to_string())),
        },
    };
    let end = timestamp(form.value("end"), now).map_err(|text| wrap("end", text))?;
    let default_start = UnixNanos(end.min(now).0.saturating_sub(since_ns));
    let start = timestamp(form.value("start"), default_start).map_err(|t| wrap("start", t))?;
    Ok((start, end))
}

/// A timestamp parameter: seconds with a fraction, seconds of at most 10 characters, nanoseconds,
/// or RFC 3339. The error is that of the integer parser, whatever was meant.
pub fn timestamp(text: &str, default: UnixNanos) -> Result<UnixNanos, String> {
    if text.is_empty() {
        return Ok(default);
    }
    if text.contains('.')
        && let Some(seconds) = numbers::parse_float(text)
    {
        let whole = seconds.trunc();
        let millis = ((seconds - whole) * 1000.0).round();
        let ns = (whole as i64).saturating_mul(1_000_000_000);
        return Ok(UnixNanos(ns.saturating_add(millis as i64 * 1_000_000)));
    }
    match numbers::parse_int(text) {
        Ok(seconds) if text.len() <= 10 => Ok(UnixNanos(seconds.saturating_mul(1_000_000_000))),
        Ok(ns) => Ok(UnixNanos(ns)),
        Err(error) => match numbers::parse_rfc3339(text) {
            Some(ts) => Ok(ts),
            None => Err(int_error("ParseInt", text, error)),
        },
    }
}

/// `limit`.
pub fn limit(form: &Form) -> Result<usize, ParamError> {
    match form.value("limit") {
        "" => Ok(DEFAULT_LIMIT),
        text => count(text),
    }
}

/// A number of something, as `limit` is read.
pub fn count(text: &str) -> Result<usize, ParamError> {
    let value = integer(text)?;
    if value <= 0 {
        return refuse("limit must be a positive value");
    }
    if value > i64::from(u32::MAX) {
        let text = format!("limit value {value} is out of range [0, {}]", u32::MAX);
        return Err(ParamError(text));
    }
    Ok(value as usize)
}

/// An integer as `strconv.Atoi` reads it.
pub fn integer(text: &str) -> Result<i64, ParamError> {
    numbers::parse_int(text).map_err(|error| ParamError(int_error("Atoi", text, error)))
}

/// `direction`.
pub fn direction(form: &Form) -> Result<Direction, ParamError> {
    let text = form.value("direction");
    match text.to_uppercase().as_str() {
        "" | "BACKWARD" => Ok(Direction::Backward),
        "FORWARD" => Ok(Direction::Forward),
        _ => Err(ParamError(format!("invalid direction '{text}'"))),
    }
}

/// `step`, by default a 250th of the range in whole seconds.
pub fn step(form: &Form, length_ns: i64) -> Result<i64, ParamError> {
    match form.value("step") {
        "" => {
            let seconds = length_ns / 1_000_000_000 / 250;
            Ok(seconds.max(1).saturating_mul(1_000_000_000))
        }
        text => seconds_or_duration(text),
    }
}

/// A number of seconds or a Prometheus duration, in nanoseconds.
pub fn seconds_or_duration(text: &str) -> Result<i64, ParamError> {
    if let Some(seconds) = numbers::parse_float(text) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            let text = quote(text);
            let text = format!("cannot parse {text} to a valid duration. It overflows int64");
            return Err(ParamError(text));
        }
        // What the conversion of a NaN gives on amd64.
        return Ok(if ns.is_nan() { i64::MIN } else { ns as i64 });
    }
    match parse_prometheus_duration(text) {
        Ok(duration) => Ok(nanos(duration)),
        Err(_) => Err(ParamError(format!("cannot parse {} to a valid duration", quote(text)))),
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn int_error(function: &str, text: &str, error: IntError) -> String {
    let what = match error {
        IntError::Syntax => "invalid syntax",
        IntError::Range => "value out of range",
    };
    format!("strconv.{function}: parsing {}: {what}", quote(text))
}

fn refuse<T>(text: &str) -> Result<T, ParamError> {
    Err(ParamError(text.to_owned()))
}

#[cfg(test)]
mod tests;
