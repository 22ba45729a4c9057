//! Fuzz targets: plain functions that panic when something does not hold.

use crate::syntax::{self, goregex, json_path, logfmt_key, pattern};

/// A query and all the small languages inside queries.
pub fn fuzz_parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(expr) = syntax::parse(&text) {
        let exact = syntax::exact(&expr);
        let back = syntax::parse_exact(&exact).expect("exact text is a query");
        // Debug texts, because no number equals a NaN.
        assert_eq!(format!("{back:?}"), format!("{expr:?}"), "{exact} from {text}");
        let canonical = expr.to_string();
        // A folded NaN and sizes like 0B have no text of their own.
        if let Ok(again) = syntax::parse(&canonical) {
            let third = syntax::parse(&again.to_string()).expect("canonical text is a query");
            assert_eq!(third.to_string(), again.to_string(), "from {text}");
        }
        drop(syntax::pretty(&expr));
    }
    drop(syntax::parse_matchers(&text));
    drop(json_path::parse(&text));
    drop(logfmt_key::parse(&text));
    drop(pattern::parse(&text));
    drop(pattern::parse_filter(data));
    if let Ok(translated) = goregex::translate(&text) {
        let mut reader = regex_syntax::ParserBuilder::new();
        reader.nest_limit(goregex::NEST_LIMIT).utf8(false);
        if let Err(error) = reader.build().parse(&translated) {
            panic!("{text} became {translated}: {error}");
        }
    }
}

/// A line for `| json`, with and without paths.
pub fn fuzz_json_line(data: &[u8]) {
    for stages in crate::engine::fuzz::json_stages() {
        crate::engine::fuzz::parse_line(&stages, data);
    }
}

/// A line for `| logfmt`, with flags and with requested keys.
pub fn fuzz_logfmt_line(data: &[u8]) {
    for stages in crate::engine::fuzz::logfmt_stages() {
        crate::engine::fuzz::parse_line(&stages, data);
    }
}

/// A template of `line_format` and `label_format`, and a line for the parsers that templates,
/// expressions and patterns make.
pub fn fuzz_template(data: &[u8]) {
    crate::engine::fuzz::format(data);
}

/// A line for `| unpack`, `| regexp`, `| pattern` and `| decolorize`.
pub fn fuzz_packed_line(data: &[u8]) {
    for stages in crate::engine::fuzz::packed_stages() {
        crate::engine::fuzz::parse_line(&stages, data);
    }
}

#[cfg(test)]
mod tests;
