//! Items of a template, as `text/template/parse` cuts them.

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    /// A word of the language.
    Keyword,
}

/// A piece of the text. Of an error, `text` is the message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub kind: Kind,
    pub text: String,
    pub at: usize,
    pub line: usize,
}

impl Item {
    /// How an error shows it.
    pub(super) fn show(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword => format!("<{}>", self.text),
            _ if self.text.chars().count() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", base::quote::quote(&start))
            }
            _ => base::quote::quote(&self.text),
        }
    }
}

pub(super) const KEYWORDS: &[&str] = &[
    "block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with",
];

/// White space as Go's template lexer knows it.
const SPACES: &[char] = &[' ', '\t', '\r', '\n'];

struct Lexer<'t> {
    input: &'t str,
    at: usize,
    line: usize,
    parens: usize,
    items: Vec<Item>,
}

/// Cuts a template; the last item is an error or the end.
pub(super) fn lex(input: &str) -> Vec<Item> {
    let mut lexer = Lexer { input, at: 0, line: 1, parens: 0, items: Vec::new() };
    if let Err(message) = lexer.run() {
        let (at, line) = (lexer.at, lexer.line);
        lexer.items.push(Item { kind: Kind::Error, text: message, at, line });
    }
    lexer.items
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.input[self.at..]
    }

    fn emit(&mut self, kind: Kind, length: usize) {
        let text = self.input[self.at..self.at + length].to_owned();
        let lines = text.matches('\n').count();
        self.items.push(Item { kind, text, at: self.at, line: self.line });
        self.line += lines;
        self.at += length;
    }

    fn skip(&mut self, length: usize) {
        self.line += self.input[self.at..self.at + length].matches('\n').count();
        self.at += length;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(found) = self.rest().find("{{") else {
                let length = self.rest().len();
                if length > 0 {
                    self.emit(Kind::Text, length);
                }
                self.emit(Kind::Eof, 0);
                return Ok(());
            };
            let after = &self.rest()[found + 2..];
            let trims = after.starts_with('-') && after[1..].starts_with(SPACES);
            let text = &self.rest()[..found];
            let kept = if trims { text.trim_end_matches(SPACES).len() } else { found };
            if kept > 0 {
                self.emit(Kind::Text, kept);
            }
            self.skip(found - kept);
            let skipped = if trims { 4 } else { 2 };
            let inner = &self.rest()[if trims { 4 } else { 2 }..];
            if inner.starts_with("/*") {
                self.skip(skipped);
                self.comment()?;
                continue;
            }
            self.emit(Kind::LeftDelimiter, 2);
            self.skip(skipped - 2);
            self.parens = 0;
            self.action()?;
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = self.rest().find("*/") else {
            return Err("unclosed comment".to_owned());
        };
        self.skip(end + 2);
        match self.right_delimiter() {
            None => Err("comment ends before closing delimiter".to_owned()),
            Some((length, trims)) => {
                self.skip(length);
                if trims {
                    self.skip_spaces();
                }
                Ok(())
            }
        }
    }

    /// Length of the closing delimiter here, and whether it trims what follows.
    fn right_delimiter(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        let spaces = rest.starts_with(SPACES) && rest[1..].starts_with("-}}");
        if spaces {
            return Some((4, true));
        }
        rest.starts_with("}}").then_some((2, false))
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
    }

    fn action(&mut self) -> Result<(), String> {
        loop {
            if let Some((length, trims)) = self.right_delimiter() {
                if self.parens > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                self.skip(length - 2);
                self.emit(Kind::RightDelimiter, 2);
                if trims {
                    self.skip_spaces();
                }
                return Ok(());
            }
            let rest = self.rest();
            let Some(first) = rest.chars().next() else {
                return Err("unclosed action".to_owned());
            };
            match first {
                c if SPACES.contains(&c) => self.space(),
                '=' => self.emit(Kind::Assign, 1),
                ':' if rest[1..].starts_with('=') => self.emit(Kind::Declare, 2),
                ':' => return Err("expected :=".to_owned()),
                '|' => self.emit(Kind::Pipe, 1),
                '"' => self.quoted('"', "unterminated quoted string", Kind::String)?,
                '`' => self.raw()?,
                '\'' => {
                    self.quoted('\'', "unterminated character constant", Kind::CharConstant)?;
                }
                '$' => self.word(Kind::Variable)?,
                '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    self.word(Kind::Field)?;
                }
                '+' | '-' | '.' | '0'..='9' => self.number()?,
                c if c == '_' || c.is_alphanumeric() => self.identifier()?,
                '(' => {
                    self.parens += 1;
                    self.emit(Kind::LeftParen, 1);
                }
                ')' if self.parens == 0 => return Err("unexpected right paren".to_owned()),
                ')' => {
                    self.parens -= 1;
                    self.emit(Kind::RightParen, 1);
                }
                c if c.is_ascii_graphic() => self.emit(Kind::Char, 1),
                c => return Err(format!("unrecognized character in action: {}", shown(c))),
            }
        }
    }

    fn space(&mut self) {
        let rest = self.rest();
        let mut length = rest.len() - rest.trim_start_matches(SPACES).len();
        // The last space belongs to a trimming delimiter.
        if rest[length..].starts_with("-}}") {
            length -= 1;
        }
        if length > 0 {
            self.emit(Kind::Space, length);
        }
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Result<(), String> {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.emit(kind, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(unterminated.to_owned())
    }

    fn raw(&mut self) -> Result<(), String> {
        let Some(end) = self.rest()[1..].find('`') else {
            return Err("unterminated raw quoted string".to_owned());
        };
        self.emit(Kind::RawString, end + 2);
        Ok(())
    }

    /// Length of letters, digits and underscores after the first `from` bytes.
    fn word_end(&self, from: usize) -> usize {
        let word = |c: char| c == '_' || c.is_alphanumeric();
        let rest = &self.rest()[from..];
        from + rest.find(|c| !word(c)).unwrap_or(rest.len())
    }

    /// A field or a variable.
    fn word(&mut self, kind: Kind) -> Result<(), String> {
        let end = self.word_end(1);
        if end == 1 {
            self.emit(if kind == Kind::Field { Kind::Dot } else { kind }, 1);
            return Ok(());
        }
        self.terminated(end)?;
        self.emit(kind, end);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        let end = self.word_end(0);
        self.terminated(end)?;
        let word = &self.rest()[..end];
        let kind = match word {
            "true" | "false" => Kind::Bool,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.emit(kind, end);
        Ok(())
    }

    /// Fails unless a word may end there.
    fn terminated(&mut self, end: usize) -> Result<(), String> {
        let rest = &self.rest()[end..];
        match rest.chars().next() {
            None => Ok(()),
            Some(c) if SPACES.contains(&c) || ".,|:()".contains(c) => Ok(()),
            Some(_) if rest.starts_with("}}") => Ok(()),
            Some(c) => Err(format!("bad character {}", shown(c))),
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let signed = usize::from(rest.starts_with(['+', '-']));
        let body = &rest[signed..];
        let lower = body.to_ascii_lowercase();
        let digits: &str = if lower.starts_with("0x") {
            "0123456789abcdefx_."
        } else if lower.starts_with("0b") {
            "01b_"
        } else if lower.starts_with("0o") {
            "01234567o_"
        } else {
            "0123456789_."
        };
        let mut end = lower.find(|c| !digits.contains(c)).unwrap_or(lower.len());
        let marker = if lower.starts_with("0x") { 'p' } else { 'e' };
        if lower[end..].starts_with(marker) {
            end += 1;
            end += usize::from(lower[end..].starts_with(['+', '-']));
            let rest = &lower[end..];
            end += rest.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(rest.len());
        }
        end += usize::from(lower[end..].starts_with('i'));
        let end = signed + end;
        let odd = rest[end..].starts_with(|c: char| c == '_' || c.is_alphanumeric());
        if odd {
            let next = rest[end..].chars().next().map_or(0, char::len_utf8);
            let text = &rest[..end + next];
            return Err(format!("bad number syntax: {}", base::quote::quote(text)));
        }
        self.emit(Kind::Number, end);
        Ok(())
    }
}

/// Go's `%#U`.
fn shown(c: char) -> String {
    let code = c as u32;
    if base::quote::is_print(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}
