use super::*;

fn lex(text: &str) -> Result<Vec<(Token, Carried)>, String> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok((Token::End, _)) => return Ok(tokens),
            Ok(token) => tokens.push(token),
            Err(error) => {
                let Position { line, column } = error.at;
                return Err(format!("{line}:{column}: {}", error.text));
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    lex(text).unwrap().into_iter().map(|(token, _)| token).collect()
}

fn carried(text: &str) -> Vec<Carried> {
    lex(text).unwrap().into_iter().map(|(_, carried)| carried).collect()
}

#[test]
fn functions_are_keywords_only_with_arguments() {
    use Token::*;
    for (text, want) in [
        ("rate", vec![Identifier]),
        ("rate\t\n (", vec![Rate, OpenParenthesis]),
        ("RATE=", vec![Identifier, Eq]),
        ("Sum By (", vec![Sum, By, OpenParenthesis]),
        ("sum without(", vec![Sum, Without, OpenParenthesis]),
        ("sum bytes (", vec![Identifier, BytesConv, OpenParenthesis]),
        ("sum by x", vec![Identifier, By, Identifier]),
        ("ip ip(", vec![Identifier, Ip, OpenParenthesis]),
        ("json Unwrap", vec![Json, Unwrap]),
    ] {
        assert_eq!(tokens(text), want, "{text}");
    }
}

#[test]
fn numbers_take_their_units() {
    let word = |text: &str| Carried::Word(text.to_owned());
    for (text, want) in [
        ("5 .5 1e3 0x1p3", vec![word("5"), word(".5"), word("1e3"), word("0x1p3")]),
        ("5m", vec![Carried::Nanos(300_000_000_000)]),
        ("1h30m1d", vec![word("1"), word("h30m1d")]),
        ("1d", vec![Carried::Nanos(86_400_000_000_000)]),
        ("1.5s", vec![Carried::Nanos(1_500_000_000)]),
        ("2µs", vec![Carried::Nanos(2_000)]),
        ("-5m", vec![Carried::Nanos(-300_000_000_000)]),
        ("-5", vec![Carried::Nothing, word("5")]),
        ("- 5m", vec![Carried::Nothing, Carried::Nanos(300_000_000_000)]),
        ("5KB 5KiB 5k 1.5MB", [5_000, 5_120, 5_000, 1_500_000].map(Carried::Bytes).to_vec()),
        ("5kb", vec![Carried::Bytes(5_000), word("b")]),
        ("[1w2d]", vec![Carried::Nanos(777_600_000_000_000)]),
        ("--strict --keep-empty", vec![word("--strict"), word("--keep-empty")]),
        ("--bogus", vec![Carried::Nothing, Carried::Nothing, word("bogus")]),
    ] {
        assert_eq!(carried(text), want, "{text}");
    }
}

#[test]
fn strings_are_go_literals() {
    let text = |bytes: &[u8]| Carried::Text(bytes.to_vec());
    for (literal, want) in [
        (r#""a\n\t\"\\""#, text(b"a\n\t\"\\")),
        (r#""\x41\101\u00e9\U0001F680""#, text("AA\u{e9}🚀".as_bytes())),
        (r#""\xff""#, text(b"\xff")),
        ("`a\\n\r\n\"`", text(b"a\\n\n\"")),
    ] {
        assert_eq!(carried(literal), vec![want]);
    }
}

#[test]
fn bad_literals_are_reported_where_they_begin() {
    for (text, error) in [
        ("x \"a", "1:3: literal not terminated"),
        ("\"a\nb\"", "1:1: literal not terminated"),
        ("\n ž `a", "2:4: literal not terminated"),
        ("\"\\q\"", "1:1: invalid char escape"),
        ("\"\\400\"", "1:1: invalid syntax"),
        ("\"\\ud800\"", "1:1: invalid syntax"),
        ("'ab'", "1:1: invalid char literal"),
        ("/* x", "1:1: comment not terminated"),
        ("08", "1:1: invalid digit '8' in octal literal"),
        ("0b12", "1:1: invalid digit '2' in binary literal"),
        ("0x", "1:1: hexadecimal literal has no digits"),
        ("0x1.8", "1:1: hexadecimal mantissa requires a 'p' exponent"),
        ("1e", "1:1: exponent has no digits"),
        ("5PB", "1:1: 'P' exponent requires hexadecimal mantissa"),
        ("1__0", "1:1: '_' must separate successive digits"),
        ("a \0", "0:1: invalid character NUL"),
        ("a\0", "1:1: invalid character NUL"),
        ("ab [5", "0:4: missing closing ']' in duration"),
        ("[5minutes]", "0:1: unknown unit \"minutes\" in duration \"5minutes\""),
    ] {
        assert_eq!(lex(text), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn what_is_taken_character_by_character_has_no_line() {
    for (text, line, column) in [
        ("a", 1, 1),
        ("# c\n  a", 2, 3),
        ("// c\n/* d\n */ a", 3, 5),
        ("ž'c' b", 1, 6),
        ("|=", 0, 1),
        (" 5m", 0, 2),
        ("x 5", 1, 3),
        ("[5m]", 0, 1),
        ("--strict", 0, 1),
    ] {
        let mut lexer = Lexer::new(text);
        let mut last = Position::default();
        while lexer.next().unwrap().0 != Token::End {
            last = lexer.position();
        }
        assert_eq!(last, Position { line, column }, "{text}");
    }
}
