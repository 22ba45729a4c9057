//! Lines as JSON; a span is an object under its name.

use super::{Fields, Line};

pub(super) fn line(line: &Line<'_>) -> String {
    let mut out = String::with_capacity(200);
    out.push('{');
    let own = [
        ("level", line.level),
        ("ts", &line.ts),
        ("caller", line.caller),
        ("msg", &line.fields.message),
    ];
    for (key, value) in own {
        push_member(&mut out, key, &quoted(value));
    }
    out.push_str(&fields(line.fields));
    for (name, fields) in line.spans {
        push_member(&mut out, name, &format!("{{{}}}", fields.trim_end_matches(',')));
    }
    out.truncate(out.trim_end_matches(',').len());
    out.push_str("}\n");
    out
}

/// `"key":value,` of each field.
pub(super) fn fields(fields: &Fields) -> String {
    let mut out = String::new();
    for (name, value) in &fields.rest {
        if value.is_bare {
            push_member(&mut out, name, &value.text);
        } else {
            push_member(&mut out, name, &quoted(&value.text));
        }
    }
    out
}

fn push_member(out: &mut String, key: &str, value: &str) {
    out.push_str(&quoted(key));
    out.push(':');
    out.push_str(value);
    out.push(',');
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
