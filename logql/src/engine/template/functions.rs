//! The functions of templates: Go's own and Loki's (contract 6.8).

use std::sync::LazyLock;

use base::HashMap;

use super::time::Moment;
use super::value::Value;
use super::{Data, numbers, printf, strings, time};

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Int,
    Float,
    Time,
}

impl Kind {
    /// Go's name of the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Any => "interface {}",
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Float => "float64",
            Kind::Time => "time.Time",
        }
    }
}

/// What is called: the data and the checked arguments.
pub(super) type Call = fn(&dyn Data, &[Value]) -> Result<Value, String>;

/// A function.
pub(super) struct Function {
    pub parameters: &'static [Kind],
    /// What every further argument is.
    pub rest: Option<Kind>,
    pub call: Call,
}

type Row = (&'static str, &'static [Kind], Option<Kind>, Call);

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let rows = [OWN, COMPARE, strings::FUNCTIONS, numbers::FUNCTIONS, time::FUNCTIONS];
    let rows = rows.into_iter().flatten();
    rows.map(|&(name, parameters, rest, call)| (name, Function { parameters, rest, call }))
        .collect()
});

/// The function of this name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

/// Whether there is one.
pub(super) fn exists(name: &str) -> bool {
    find(name).is_some()
}

use Kind::Any;

const OWN: &[Row] = &[
    ("__line__", &[], None, |data, _| Ok(Value::text(data.line()))),
    ("__timestamp__", &[], None, |data, _| Ok(Value::Time(Moment::utc(data.ts_ns())))),
    // These decide while they are evaluated.
    ("and", &[Any], Some(Any), |_, _| Ok(Value::None)),
    ("or", &[Any], Some(Any), |_, _| Ok(Value::None)),
    ("not", &[Any], None, |_, given| Ok(Value::Bool(!given[0].is_true()))),
    ("call", &[Any], Some(Any), |_, given| {
        Err(match &given[0] {
            Value::None => "call of nil".to_owned(),
            other => format!("non-function of type {}", other.type_name()),
        })
    }),
    ("len", &[Any], None, length),
    ("index", &[Any], Some(Any), index),
    ("slice", &[Any], Some(Any), slice),
    ("print", &[], Some(Any), |data, given| Ok(Value::text(&printf::print(given, data)))),
    ("println", &[], Some(Any), |data, given| Ok(Value::text(&printf::println(given, data)))),
    ("printf", &[Kind::Text], Some(Any), |data, given| {
        let Value::Str(format) = &given[0] else { return Ok(Value::None) };
        Ok(Value::text(&printf::printf(format, &given[1..], data)?))
    }),
];

/// What `len`, `index` and `slice` work on.
fn labels(data: &dyn Data) -> Vec<(String, Vec<u8>)> {
    data.labels()
}

fn length(data: &dyn Data, given: &[Value]) -> Result<Value, String> {
    let length = match &given[0] {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Labels => labels(data).len(),
        Value::None => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(length as i64))
}

fn position(value: &Value, length: usize, up_to: bool) -> Result<usize, String> {
    let at = match value {
        Value::Int(at) | Value::Long(at) => *at,
        Value::Byte(at) => i64::from(*at),
        Value::None => return Err("cannot index slice/array with nil".to_owned()),
        other => {
            return Err(format!("cannot index slice/array with type {}", other.type_name()));
        }
    };
    let inside = usize::try_from(at).ok().filter(|&at| at < length || (up_to && at == length));
    inside.ok_or_else(|| format!("index out of range: {at}"))
}

fn index(data: &dyn Data, given: &[Value]) -> Result<Value, String> {
    let mut value = given[0].clone();
    for key in &given[1..] {
        value = match &value {
            Value::Str(text) => Value::Byte(text[position(key, text.len(), false)?]),
            Value::List(list) => list[position(key, list.len(), false)?].clone(),
            Value::Map(map) => match key {
                Value::Str(key) => {
                    let key = String::from_utf8_lossy(key);
                    map.get(key.as_ref()).cloned().unwrap_or(Value::None)
                }
                other => return Err(wrong_key(other)),
            },
            Value::Labels => match key {
                Value::Str(key) => {
                    let found =
                        labels(data).into_iter().find(|(name, _)| name.as_bytes() == &key[..]);
                    Value::text(&found.map_or(Vec::new(), |(_, value)| value))
                }
                other => return Err(wrong_key(other)),
            },
            Value::None => return Err("index of untyped nil".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn wrong_key(key: &Value) -> String {
    match key {
        Value::None => "value is nil; should be of type string".to_owned(),
        key => format!("value has type {}; should be string", key.type_name()),
    }
}

fn slice(_: &dyn Data, given: &[Value]) -> Result<Value, String> {
    let (value, bounds) = (&given[0], &given[1..]);
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match value {
        Value::Str(_) if bounds.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::None => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut ends = [0, length];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        *end = position(bound, length, true)?;
    }
    let [from, to] = ends;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Str(text) => Value::text(&text[from..to]),
        Value::List(list) => Value::List(list[from..to].to_vec().into()),
        _ => unreachable!("refused above"),
    })
}

const COMPARE: &[Row] = &[
    ("eq", &[Any], Some(Any), |_, given| {
        if given.len() < 2 {
            return Err("missing argument for comparison".to_owned());
        }
        for other in &given[1..] {
            if equal(&given[0], other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    ("ne", &[Any, Any], None, |_, given| Ok(Value::Bool(!equal(&given[0], &given[1])?))),
    ("lt", &[Any, Any], None, |_, given| Ok(Value::Bool(less(&given[0], &given[1])?))),
    ("le", &[Any, Any], None, |_, given| {
        Ok(Value::Bool(less(&given[0], &given[1])? || equal(&given[0], &given[1])?))
    }),
    ("gt", &[Any, Any], None, |_, given| {
        Ok(Value::Bool(!less(&given[0], &given[1])? && !equal(&given[0], &given[1])?))
    }),
    ("ge", &[Any, Any], None, |_, given| Ok(Value::Bool(!less(&given[0], &given[1])?))),
];

/// A whole number of whatever type.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) | Value::Long(value) => Some(*value),
        Value::Byte(byte) => Some(i64::from(*byte)),
        _ => None,
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(left == right);
    }
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Ok(left == right),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Time(left), Value::Time(right)) => Ok(left.at == right.at),
        (Value::None, Value::None) => Ok(true),
        (Value::None, _) | (_, Value::None) => Ok(false),
        (Value::Map(_) | Value::List(_) | Value::Labels, _)
        | (_, Value::Map(_) | Value::List(_) | Value::Labels) => {
            let odd = if matches!(left, Value::Map(_) | Value::List(_) | Value::Labels) {
                left
            } else {
                right
            };
            Err(format!("non-comparable type {}", odd.type_name()))
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn less(left: &Value, right: &Value) -> Result<bool, String> {
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(left < right);
    }
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Ok(left < right),
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".to_owned()),
        (Value::None | Value::Map(_) | Value::List(_) | Value::Labels | Value::Time(_), _)
        | (_, Value::None | Value::Map(_) | Value::List(_) | Value::Labels | Value::Time(_)) => {
            Err("invalid type for comparison".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}
