//! `-config.expand-env`: variables of the environment in the text of a file.

/// Replaces `$VAR`, `${VAR}` and what may stand in the braces behind the name:
/// `:-default`, `-default` (`:=` and `=` alike), `^` `^^` `,` `,,` for its case. `#VAR` is its
/// length, `$$` one `$`. An unset variable is empty. The error says the line.
pub fn expand(text: &str, variable: Variable<'_>) -> Result<String, String> {
    expand_at(text, variable, 0)
}

/// The value of a variable, if it is set.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Defaults within defaults.
const MAX_DEPTH: usize = 8;

fn expand_at(text: &str, variable: Variable<'_>, depth: usize) -> Result<String, String> {
    if depth > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} defaults within each other"));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let line = || 1 + text[..text.len() - rest.len() + at].matches('\n').count();
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(braced) = behind.strip_prefix('{') {
            let Some(end) = closing(braced) else {
                return Err(format!("line {}: a ${{ without its }}", line()));
            };
            let inside = &braced[..end];
            let value = braces(inside, variable, depth)
                .map_err(|why| format!("line {}: ${{{inside}}}: {why}", line()))?;
            out.push_str(&value);
            rest = &braced[end + 1..];
        } else {
            let (name, after) = split_name(behind);
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&variable(name).unwrap_or_default());
            }
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace ends that is open at the beginning; a default may hold variables.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return None,
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn split_name(text: &str) -> (&str, &str) {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(if begins { end } else { 0 })
}

fn braces(inside: &str, variable: Variable<'_>, depth: usize) -> Result<String, String> {
    if let Some(name) = inside.strip_prefix('#') {
        return Ok(variable(name).unwrap_or_default().chars().count().to_string());
    }
    let (name, rest) = split_name(inside);
    if name.is_empty() {
        return Err("no name of a variable".to_owned());
    }
    let value = variable(name);
    let filled = value.clone().filter(|value| !value.is_empty());
    let default = |text: &str| expand_at(text, variable, depth + 1);
    match rest {
        "" => return Ok(value.unwrap_or_default()),
        "^^" => return Ok(value.unwrap_or_default().to_uppercase()),
        ",," => return Ok(value.unwrap_or_default().to_lowercase()),
        "^" => return Ok(first(&value.unwrap_or_default(), char::to_ascii_uppercase)),
        "," => return Ok(first(&value.unwrap_or_default(), char::to_ascii_lowercase)),
        _ => {}
    }
    for mark in [":-", ":=", "-", "="] {
        if let Some(text) = rest.strip_prefix(mark) {
            let found = if mark.starts_with(':') { filled } else { value };
            return found.map_or_else(|| default(text), Ok);
        }
    }
    Err(format!("{rest:?} is not understood behind a name"))
}

fn first(text: &str, change: impl Fn(&char) -> char) -> String {
    let mut chars = text.chars();
    chars.next().iter().map(change).chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "B_2" => Some("Two".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_in_every_form() {
        let table = [
            ("plain", "plain"),
            ("$A", "one"),
            ("a $A-b", "a one-b"),
            ("${A}${B_2}", "oneTwo"),
            ("$NONE|${NONE}|", "||"),
            ("${NONE:-x y}z", "x yz"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${NONE-x}", "x"),
            ("${A:-x}", "one"),
            ("${NONE:=x}", "x"),
            ("${NONE:-${A}!}", "one!"),
            ("${NONE:-{a}}", "{a}"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${A^^} ${B_2,,} ${A^} ${B_2,} ${#A}", "ONE two One two 3"),
            ("$$A $ $1 a$", "$A $ $1 a$"),
            ("{app=~\"foo$\"}", "{app=~\"foo$\"}"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, &variable).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        let table = [
            ("a\nb ${A\n}", "line 2: a ${ without its }"),
            ("${}", "line 1: ${}: no name of a variable"),
            ("x\n\n${A/b/c}", "line 3: ${A/b/c}: \"/b/c\" is not understood behind a name"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, &variable).unwrap_err(), expected, "{text}");
        }
    }
}
