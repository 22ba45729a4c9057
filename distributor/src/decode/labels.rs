//! Label sets as Prometheus writes them: `{a="b", c="d"}`, or `name{a="b"}`.
//!
//! Grammar and error texts are those of Prometheus' parser for a metric; positions are
//! `line:column`, counted in bytes.

mod lexer;

use base::quote::quote;

use crate::error::Error;
use lexer::{Kind, Lexer, Token};

/// A longer label text is refused with 413.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Reads label text into pairs, in the order written, equal names and empty values included.
/// The empty text is the empty set.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<(String, String)>, Error> {
    if text.len() > MAX_TEXT_BYTES {
        let length = text.len();
        let text = format!(
            "request body too large: labels of a stream have {length} bytes, \
             the limit is {MAX_TEXT_BYTES}"
        );
        return Err(Error::new(413, text));
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Parser { text, lexer: Lexer::new(text) }.metric().map_err(|fault| {
        let (line, column) = line_and_column(text, fault.at);
        let what = fault.text;
        Error::new(400, format!("couldn't parse labels: {line}:{column}: parse error: {what}"))
    })
}

/// What is wrong, and where it begins.
struct Fault {
    at: usize,
    text: String,
}

fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let line_start =
        before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    (line, at - line_start + 1)
}

struct Parser<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
}

impl<'a> Parser<'a> {
    fn metric(&mut self) -> Result<Vec<(String, String)>, Fault> {
        let mut pairs = Vec::new();
        let mut token = self.lexer.next()?;
        if token.kind.names_a_metric() {
            pairs.push(("__name__".to_owned(), self.string(token)));
            token = self.lexer.next()?;
        } else if token.kind != Kind::LeftBrace {
            return Err(self.unexpected(token, "", ""));
        }
        if token.kind == Kind::LeftBrace {
            self.label_set(&mut pairs)?;
            token = self.lexer.next()?;
        }
        if token.kind != Kind::End {
            return Err(self.unexpected(token, "", ""));
        }
        Ok(pairs)
    }

    /// After the left brace, up to the right one.
    fn label_set(&mut self, pairs: &mut Vec<(String, String)>) -> Result<(), Fault> {
        let set = "label set";
        let mut token = self.lexer.next()?;
        loop {
            if token.kind == Kind::RightBrace {
                return Ok(());
            }
            if token.kind != Kind::Identifier {
                return Err(self.unexpected(token, set, "identifier or \"}\""));
            }
            let name = self.string(token);
            token = self.lexer.next()?;
            if token.kind != Kind::Equal {
                return Err(self.unexpected(token, set, "\"=\""));
            }
            token = self.lexer.next()?;
            if token.kind != Kind::String {
                return Err(self.unexpected(token, set, "string"));
            }
            let value = lexer::unquote(&self.text[token.from..token.to]);
            pairs.push((name, String::from_utf8_lossy(&value).into_owned()));
            token = self.lexer.next()?;
            match token.kind {
                Kind::Comma => token = self.lexer.next()?,
                Kind::RightBrace => {}
                _ => return Err(self.unexpected(token, set, "\",\" or \"}\"")),
            }
        }
    }

    fn string(&self, token: Token) -> String {
        String::from_utf8_lossy(&self.text[token.from..token.to]).into_owned()
    }

    fn unexpected(&self, token: Token, context: &str, expected: &str) -> Fault {
        let shown = self.string(token);
        let mut text = format!("unexpected {}", token.kind.describe(&shown));
        if !context.is_empty() {
            text.push_str(" in ");
            text.push_str(context);
        }
        if !expected.is_empty() {
            text.push_str(", expected ");
            text.push_str(expected);
        }
        Fault { at: token.from, text }
    }
}

impl Kind {
    fn names_a_metric(self) -> bool {
        matches!(
            self,
            Kind::Identifier
                | Kind::MetricIdentifier
                | Kind::Keyword
                | Kind::Aggregator
                | Kind::SetOperator
        )
    }

    fn describe(self, shown: &str) -> String {
        let quoted = || {
            if shown.len() > 10 {
                let cut: String = shown.chars().take(10).collect();
                format!("{}...", quote(&cut))
            } else {
                quote(shown)
            }
        };
        match self {
            Kind::End => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(shown)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(shown)),
            Kind::String => format!("string {}", quoted()),
            Kind::Number => format!("number {}", quoted()),
            Kind::Duration => format!("duration {}", quoted()),
            Kind::Keyword => format!("<{shown}>"),
            Kind::Aggregator => format!("<aggr:{shown}>"),
            Kind::Operator | Kind::SetOperator => format!("<op:{shown}>"),
            Kind::LeftBrace | Kind::RightBrace | Kind::Equal | Kind::Comma | Kind::Punctuation => {
                quoted()
            }
        }
    }
}

#[cfg(test)]
mod tests;
