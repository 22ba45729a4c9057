//! `| decolorize`: takes ANSI escape sequences out of the line (contract 6.9).

use regex_automata::meta::Regex;

use super::search;

/// Control sequences (CSI) and operating-system commands (OSC), the way terminals' colour
/// strippers have long agreed to recognise them (the `ansi-regex` package).
const SEQUENCE: &str = concat!(
    r"[\x{1b}\x{9b}][\[\]()#;?]*",
    r"(?:(?:(?:(?:;[-a-zA-Z0-9/#&.:=?%@~_]+)*|[a-zA-Z0-9]+(?:;[-a-zA-Z0-9/#&.:=?%@~_]*)*)?\x{7})",
    r"|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PR-TZcf-nq-uy=><~]))",
);

/// Finds escape sequences.
#[derive(Clone, Debug)]
pub(crate) struct Decolorize(Regex);

impl Decolorize {
    pub(crate) fn new() -> Decolorize {
        Decolorize(search::build(SEQUENCE).expect("the expression is well-formed"))
    }

    /// Appends `line` without escape sequences.
    pub(crate) fn push(&self, line: &[u8], out: &mut Vec<u8>) {
        let mut from = 0;
        if memchr::memchr2(0x1b, 0xc2, line).is_some() {
            for sequence in self.0.find_iter(line) {
                out.extend_from_slice(&line[from..sequence.start()]);
                from = sequence.end();
            }
        }
        out.extend_from_slice(&line[from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_titles_go_and_text_stays() {
        let decolorize = Decolorize::new();
        for (line, want) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m text", "red text"),
            ("\u{1b}[1;38;5;208mx\u{1b}[m", "x"),
            ("\u{1b}]0;title\u{7}shell", "shell"),
            ("\u{9b}32mgreen", "green"),
            ("\u{1b}[2Kline \u{1b}", "line \u{1b}"),
            ("ä\u{1b}[1mé", "äé"),
        ] {
            let mut out = Vec::new();
            decolorize.push(line.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{line:?}");
        }
    }
}
