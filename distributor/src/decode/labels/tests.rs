use super::*;

fn pairs(text: &str) -> Vec<(String, String)> {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn label_sets_are_read_as_written() {
    assert_eq!(pairs(""), []);
    assert_eq!(pairs("{}"), []);
    assert_eq!(pairs(r#"{a="b",}"#), [pair("a", "b")]);
    assert_eq!(
        pairs(r#"{ b = "c" , a='d', a=`\e` }"#),
        [pair("b", "c"), pair("a", "d"), pair("a", r"\e")]
    );
    assert_eq!(pairs(r#"foo:bar{a=""} # done"#), [pair("__name__", "foo:bar"), pair("a", "")]);
    assert_eq!(pairs("sum"), [pair("__name__", "sum")]);
    assert_eq!(pairs(r#"{a="\n\x41\101\u017e\U0001F680\"\\"}"#), [pair("a", "\nAAž🚀\"\\")]);
    assert_eq!(pairs(r#"{a="\xff"}"#), [pair("a", "\u{fffd}")]);
}

#[test]
fn errors_name_place_and_expectation() {
    for (text, error) in [
        (r#"{a="b""#, "1:7: parse error: unexpected end of input inside braces"),
        (r#"a="b""#, "1:2: parse error: unexpected \"=\""),
        ("{a=b}", "1:4: parse error: unexpected identifier \"b\" in label set, expected string"),
        (r#"{1a="b"}"#, "1:2: parse error: unexpected character inside braces: '1'"),
        (r#"{a="b"} |= "x""#, "1:9: parse error: unexpected character: '|'"),
        (r#"{a-b="c"}"#, "1:3: parse error: unexpected character inside braces: '-'"),
        (r#"{ž="c"}"#, "1:2: parse error: unexpected character inside braces: 'ž'"),
        (
            r#"{a b="c"}"#,
            "1:4: parse error: unexpected identifier \"b\" in label set, expected \"=\"",
        ),
        (
            r#"{a="b" c="d"}"#,
            "1:8: parse error: unexpected identifier \"c\" in label set, expected \",\" or \"}\"",
        ),
        (
            r#"{a="b",,}"#,
            "1:8: parse error: unexpected \",\" in label set, expected identifier or \"}\"",
        ),
        (r#"{a!="b"}"#, "1:3: parse error: unexpected <op:!=> in label set, expected \"=\""),
        (r#"{a=~"b"}"#, "1:3: parse error: unexpected <op:=~> in label set, expected \"=\""),
        (r#"{a="b"} foo"#, "1:9: parse error: unexpected identifier \"foo\""),
        (r#"{a="b"} sum"#, "1:9: parse error: unexpected <aggr:sum>"),
        (r#"{a="b"}{c="d"}"#, "1:8: parse error: unexpected \"{\""),
        (" ", "1:2: parse error: unexpected end of input"),
        (r#"{a="b"#, "1:4: parse error: unterminated quoted string"),
        ("{a=\"b\nc\"}", "1:4: parse error: unterminated quoted string"),
        (r#"{a="\d"}"#, "1:4: parse error: unknown escape sequence U+0064 'd'"),
        (r#"{a="\xg0"}"#, "1:4: parse error: illegal character U+0067 'g' in escape sequence"),
        ("{a=\"b\",\n c-d=\"e\"}", "2:3: parse error: unexpected character inside braces: '-'"),
    ] {
        let want = format!("couldn't parse labels: {error}");
        assert_eq!(parse(text.as_bytes()).map_err(|e| e.to_string()), Err(want), "{text}");
    }
    let raw = parse(b"{a=\"\xff\"}").map_err(|error| error.to_string());
    let want = "couldn't parse labels: 1:4: parse error: invalid UTF-8 rune";
    assert_eq!(raw, Err(want.to_owned()));
}

#[test]
fn huge_label_text_is_too_large() {
    let text = format!("{{a=\"{}\"}}", "x".repeat(MAX_TEXT_BYTES));
    assert_eq!(parse(text.as_bytes()).map_err(|error| error.status), Err(413));
}
