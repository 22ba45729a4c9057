//! Lines as logfmt.

use super::{Fields, Line};

pub(super) fn line(line: &Line<'_>) -> String {
    let mut out = String::with_capacity(160);
    for (key, value) in [("level=", line.level), (" ts=", &line.ts), (" caller=", line.caller)] {
        out.push_str(key);
        out.push_str(value);
    }
    out.push_str(" msg=");
    match line.fields.message.as_str() {
        "" => out.push('-'),
        message => push_value(&mut out, message),
    }
    out.push_str(&fields(line.fields));
    for (name, fields) in line.spans {
        out.push(' ');
        out.push_str(name);
        out.push_str(fields);
    }
    out.push('\n');
    out
}

/// ` key=value` of each field.
pub(super) fn fields(fields: &Fields) -> String {
    let mut out = String::new();
    for (name, value) in &fields.rest {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        push_value(&mut out, &value.text);
    }
    out
}

fn push_value(out: &mut String, value: &str) {
    let plain = |c: char| c > ' ' && !"\"=\\".contains(c) && !c.is_control();
    if !value.is_empty() && value.chars().all(plain) {
        out.push_str(value);
    } else {
        base::quote::quote_into(out, value);
    }
}
