use super::*;

#[test]
fn what_go_refuses_is_refused_with_its_text() {
    for (pattern, error) in [
        ("(", "missing closing ): `(`"),
        ("^(?:()$", "missing closing ): `^(?:()$`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]", "missing closing ]: `[]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        ("(?P<", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?<>x)", "invalid named capture: `(?<>`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("x(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+?", "missing argument to repetition operator: `+?`"),
        ("(?i)?", "missing argument to repetition operator: `?`"),
        ("({2})", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}b", "invalid nested repetition operator: `{2}{3}`"),
        ("a{99999}", "invalid repeat count: `{99999}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        (r"\q", r"invalid escape sequence: `\q`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\pX", r"invalid character class range: `\pX`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
    ] {
        assert_eq!(translate(pattern), Err(format!("error parsing regexp: {error}")), "{pattern}");
    }
    assert_eq!(translate(&"(".repeat(100_000)), fail("missing closing )", &"(".repeat(100_000)),);
    let deep = format!("{}a{}", "(".repeat(2_000), ")".repeat(2_000));
    assert_eq!(translate(&deep), fail("expression nests too deeply", &deep));
    let large = "a{1000}".repeat(4_000);
    assert_eq!(translate(&large), fail("expression too large", &large));
}

#[test]
fn expressions_mean_what_they_mean_in_go() {
    // An expression, what it matches, what it does not.
    for (pattern, yes, no) in [
        (r"^\d$", "7", "٣"),
        (r"^\w$", "a", "ž"),
        (r"^\W$", "ž", "a"),
        (r"^\s$", "\t", "\u{b}"),
        (r"ž\b", "žx", "ž x"),
        (r"^[\d-x]+$", "5-x", "y"),
        (r"^[[:word:]&&-]+$", "a&-", " "),
        (r"^[^[:alpha:]]$", "1", "a"),
        (r"^[]a]+$", "]a", "b"),
        (r"^[^]a]+$", "b", "]"),
        (r"^\Qa.b*\E+$", "a.b**", "aXb*"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^a{01}$", "a{01}", "a"),
        (r"^x{$", "x{", "x"),
        (r"^a(?i)b*c$", "aBBC", "Abc"),
        (r"^a(?i)*b$", "aaB", "AB"),
        (r"^(?i:a)b$", "Ab", "AB"),
        (r"^((?i)a|b)c$", "Bc", "BC"),
        (r"^(?i)a(?-i)b$", "Ab", "AB"),
        (r"^.$", "x", "\n"),
        (r"^(?s).$", "\n", ""),
        (r"(?m)^b$", "a\nb", "ab"),
        (r"\Aa\z", "a", "a\n"),
        (r"^\x41\x{1F680}\101\0$", "A🚀A\0", "A"),
        (r"^\pL\p{Greek}\P{Lu}\p{^Nd}$", "aαbc", "aαBc"),
        (r"^(?P<a>x)(?P<a>y)(?<b>z)$", "xyz", "x"),
        (r"^[\x{D800}]|k$", "k", "\u{d7ff}"),
        (r"^[^\x{DFFF}]$", "\u{e000}", ""),
        (r"^\_\-\/\ \<$", "_-/ <", "<"),
        (r"^(|a)b$", "b", "c"),
        (r"^()*a$", "a", ""),
    ] {
        let translated = translate(pattern).unwrap();
        let regex = regex_automata::meta::Regex::new(&translated)
            .unwrap_or_else(|error| panic!("{pattern} -> {translated}: {error}"));
        assert!(regex.is_match(yes), "{pattern} -> {translated} on {yes}");
        assert!(!regex.is_match(no), "{pattern} -> {translated} on {no}");
    }
}

#[test]
fn every_group_name_is_listed() {
    assert_eq!(capture_names("(?P<a>x)(y)(?<b>z(?P<a>))").unwrap(), ["a", "b", "a"]);
}

#[test]
fn empty_text_is_matched_by_what_can_be_empty() {
    for (pattern, matches) in [
        (".*", true),
        ("", true),
        ("a|", true),
        (r"^\B$|x", true),
        ("(a?b{0})*(?:|c)", true),
        (r"\z\A(?m)^$", true),
        (".+", false),
        ("a", false),
        (r"\b", false),
        ("a{2,}b*", false),
        ("(", false),
    ] {
        let anchored = translate(pattern).map(|read| format!("^(?s:{read})$"));
        let engine = anchored.ok().and_then(|read| regex_automata::meta::Regex::new(&read).ok());
        assert_eq!(engine.is_some_and(|regex| regex.is_match("")), matches, "{pattern}");
        assert_eq!(matches_empty(pattern), matches, "{pattern}");
    }
}
