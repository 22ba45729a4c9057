//! Values of templates: Go's, as far as templates meet them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::time::Moment;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// No value: what a map without the key gives.
    None,
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `int64`.
    Long(i64),
    Float(f64),
    Str(Arc<[u8]>),
    /// The labels of the row.
    Labels,
    /// `map[string]interface {}`.
    Map(Arc<BTreeMap<String, Value>>),
    /// `[]interface {}`.
    List(Arc<Vec<Value>>),
    /// `time.Time`.
    Time(Moment),
    /// `uint8`.
    Byte(u8),
}

impl Value {
    pub(super) fn text(text: &[u8]) -> Value {
        Value::Str(text.into())
    }

    /// Go's name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Long(_) => "int64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Labels => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::List(_) => "[]interface {}",
            Value::Time(_) => "time.Time",
            Value::Byte(_) => "uint8",
        }
    }

    /// Whether `if` and `with` take it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Long(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Byte(byte) => *byte != 0,
            Value::Labels | Value::Time(_) => true,
        }
    }
}
