//! What every client sends, and whether it came to be there.

use serde_json::json;

/// The time of the first record: 2024-05-01 10:00:00 UTC.
pub const START_MS: i64 = 1_714_557_600_000;

/// Bytes of a long line: below the 256 kB that a line may have.
const LONG_BYTES: usize = 200_000;

/// Lines, each with its number, and the parts in which they are sent.
pub struct Records {
    lines: Vec<String>,
}

impl Records {
    /// 10,000, or as many as `RUNELOG_CLIENT_RECORDS` says.
    pub fn new() -> Records {
        let count = std::env::var("RUNELOG_CLIENT_RECORDS").ok();
        let count = count.map_or(10_000, |count| count.parse().expect("a number of records"));
        assert!(count >= 100, "every part needs some");
        Records { lines: (0..count).map(line).collect() }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Of each part the first record and the one after its last: with the server up, with its door
    /// shut, up, shut, up.
    pub fn parts(&self) -> Vec<std::ops::Range<usize>> {
        let at = |tenths: usize| self.len() * tenths / 10;
        let ends = [0, 3, 5, 7, 9, 10];
        ends.windows(2).map(|ends| at(ends[0])..at(ends[1])).collect()
    }

    /// What the programs read.
    pub fn as_json(&self) -> String {
        let parts: Vec<_> = self.parts().into_iter().map(|part| [part.start, part.end]).collect();
        json!({"lines": self.lines, "parts": parts}).to_string()
    }

    /// `rows` as [`crate::server::Server::lines`] gives them: every record that is not in `lost`,
    /// once, unchanged, in the order of the records. A lost one may be there as well: its
    /// acknowledgement may be what was lost.
    pub fn check(&self, rows: &[String], lost: &[usize], text_of: fn(&str) -> String) {
        let texts: Vec<String> = rows.iter().map(|row| text_of(row)).collect();
        self.check_texts(texts.iter().map(String::as_str), lost);
    }

    /// The same for texts.
    pub fn check_texts<'a>(&self, texts: impl Iterator<Item = &'a str>, lost: &[usize]) {
        let mut is_there = vec![false; self.len()];
        let mut before = None;
        for text in texts {
            let n = number(text);
            assert!(text == self.lines[n], "record {n} has changed: {:.300}", text);
            assert!(!is_there[n], "record {n} is there twice");
            assert!(before < Some(n), "record {n} comes after {before:?}");
            is_there[n] = true;
            before = Some(n);
        }
        let missing: Vec<usize> =
            (0..self.len()).filter(|n| !is_there[*n] && !lost.contains(n)).collect();
        let shown = &missing[..missing.len().min(20)];
        assert!(missing.is_empty(), "{} acknowledged records are lost: {shown:?}", missing.len());
    }
}

/// The record that a line is.
fn number(line: &str) -> usize {
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("record"), "{line:.300}");
    words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line:.300}"))
}

fn line(n: usize) -> String {
    let text = match n % 10 {
        0 => "first\nsecond\r\n\tthird\n\nand last",
        1 => "grüße, 世界, привет 🦀 e\u{301} \u{202e}right to left\u{202c} \u{2028} end",
        2 => r#"{"json": "with \"quotes\" \\ and \u0041", "n": 1} 'single' `back` <&>"#,
        3 => "key=value quoted=\"a b\" percent=%d %s ${HOST} $(echo) {braces} {{double}}",
        4 => "level=error something failed",
        _ => "an ordinary line",
    };
    let mut line = format!("record {n} {text}");
    if n % 1000 == 7 {
        while line.len() < LONG_BYTES {
            line.push_str(&format!(" {} ü", line.len()));
        }
    }
    line
}
