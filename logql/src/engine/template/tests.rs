use super::*;

struct Row {
    line: &'static [u8],
    names: NameList,
    labels: Vec<(&'static str, &'static [u8])>,
}

impl Data for Row {
    fn label(&self, name: NameId) -> Option<&[u8]> {
        let name = &self.names.names()[name as usize];
        self.labels.iter().find(|label| label.0 == name).map(|label| label.1)
    }
    fn labels(&self) -> Vec<(String, Vec<u8>)> {
        self.labels.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }
    fn line(&self) -> &[u8] {
        self.line
    }
    fn ts_ns(&self) -> i64 {
        1_714_557_600_123_456_789 // 2024-05-01T10:00:00.123456789Z, a Wednesday
    }
    fn now_ns(&self) -> i64 {
        1_714_564_800_000_000_000 // two hours later
    }
}

fn run(template: &str) -> Result<String, String> {
    let mut names = NameList::new();
    let template = Template::new("line", template, &mut names)?;
    let labels: Vec<(&str, &[u8])> = vec![
        ("app", b"web"),
        ("bad", b"a\xffb"),
        ("json", br#"{"a":{"b":[1,2.5,"x"]},"n":null,"t":true}"#),
        ("n", b"42"),
        ("text", "two words".as_bytes()),
    ];
    let row = Row { line: b"the line", names, labels };
    let mut out = Vec::new();
    template.execute(&row, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn outputs(cases: &[(&str, &str)]) {
    for (template, want) in cases {
        assert_eq!(run(template).as_deref(), Ok(*want), "{template}");
    }
}

#[test]
fn actions_print_what_go_prints() {
    outputs(&[
        ("", ""),
        ("{{.app}}-{{ .nosuch }}|{{.bad}}", "web-|a\u{fffd}b"),
        ("{{- .app -}}  x  {{- .n }}", "webx42"),
        ("a{{/* comment */}}b {{- /* other */ -}} c", "abc"),
        ("{{ if .app }}{{ if .nosuch }}x{{ else if .n }}y{{ end }}{{ else }}z{{ end }}", "y"),
        ("{{ with .nosuch }}{{ . }}{{ else with .n }}<{{ . }}>{{ end }}", "<42>"),
        ("{{ $x := .app }}{{ if .n }}{{ $x = \"new\" }}{{ end }}{{ $x }}", "new"),
        ("{{ range $i, $e := (fromJson .json).a.b }}{{ $i }}={{ $e }};{{ end }}", "0=1;1=2.5;2=x;"),
        ("{{ range 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}", "012"),
        (
            "{{ __timestamp__.Unix }} {{ __timestamp__.UnixMilli }} {{ __timestamp__.Year }} \
             {{ __timestamp__.Month }} {{ __timestamp__.Weekday }} {{ __timestamp__.YearDay }}",
            "1714557600 1714557600123 2024 May Wednesday 122",
        ),
        (
            "{{ $t := __timestamp__ }}{{ $t.Format \"15:04\" }} {{ \"2006\" | $t.UTC.Format }} \
             {{ (toDateInZone \"15:04\" \"Asia/Tokyo\" \"23:05\").Hour }} {{ $t.IsZero }}",
            "10:00 2024 23 false",
        ),
        ("{{ js \"\\u0001\\u00a0\\u2028ž&\" }}", "\\u0001\\u00A0\\u2028ž\\u0026"),
        ("{{ int \"1_000\" }} {{ int \"0x_f\" }} {{ int \"1__0\" }} {{ float64 \"1_0.5\" }}", "1000 15 0 10.5"),
        ("{{ range fromJson `[]` }}x{{ else }}none{{ end }}", "none"),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .app }}", "<web>"),
        ("{{ block \"b\" .n }}[{{ . }}]{{ end }}", "[42]"),
        ("{{ (fromJson .json).n }}|{{ (fromJson .json).nosuch }}|{{ fromJson `x` }}", "<no value>|<no value>|"),
        ("{{ .app | printf \"%s-%d\" \"x\" | len }}", "17"),
        ("{{ .text | }}", "two words"),
        ("{{ $ | len }} {{ index . \"app\" }} {{ $.app }}", "5 web web"),
        ("{{ and .app .n }} {{ or .nosuch .app }} {{ not .app }} {{ and 0 (index .app 99) }}", "42 web false 0"),
        ("{{ '\\n' }} {{ 0x1F }} {{ 1_000 }} {{ 1e3 }} {{ 1.5e7 }} {{ `raw\\n` }}", "10 31 1000 1000 1.5e+07 raw\\n"),
        ("{{ eq .app \"x\" \"web\" }} {{ ne 1 2 }} {{ lt 1.5 2.5 }} {{ ge \"b\" \"a\" }}", "true true true true"),
        ("{{ slice .text 4 7 }} {{ slice .text 4 }} {{ index .app 0 }}", "wor words 119"),
        ("{{ print 1 2 \"a\" \"b\" 3 }}|{{ println 1 \"a\" }}|{{ html \"<'&>\" }}|{{ js \"'\\n\" }}", "1 2ab3|1 a\n|&lt;&#39;&amp;&gt;|\\'\\u000A"),
    ].map(|(template, want)| (template, want)));
}

#[test]
fn formats_are_those_of_go() {
    outputs(&[
        (
            "{{ printf \"%5d|%-5d|%05d|%+d|%x|%X|%o|%b|%c|%U\" 42 42 42 42 255 255 8 5 65 65 }}",
            "   42|42   |00042|+42|ff|FF|10|101|A|U+0041",
        ),
        (
            "{{ printf \"%6.2f|%e|%g|%v|%v\" 3.14159 1500.0 1e21 1e6 0.00001 }}",
            "  3.14|1.500000e+03|1e+21|1e+06|1e-05",
        ),
        (
            "{{ printf \"%s|%10s|%-6s|%.2s|%q|%x\" \"abc\" \"abc\" \"abc\" \"abc\" \"a\\\"b\" \"abc\" }}",
            "abc|       abc|abc   |ab|\"a\\\"b\"|616263",
        ),
        (
            "{{ printf \"%d\" .n }} {{ printf \"%s\" 5 }} {{ printf \"%d\" }} {{ printf \"x\" 1 .app }}",
            "%!d(string=42) %!s(int=5) %!d(MISSING) x%!(EXTRA int=1, string=web)",
        ),
        (
            "{{ printf \"%t %v %%\" true (fromJson .json) }}",
            "true map[a:map[b:[1 2.5 x]] n:<nil> t:true] %",
        ),
        ("{{ printf \"%[2]s-%[1]s %s\" .app .n }}", "42-web 42"),
        ("{{ printf \"%[3]d %[x]d %[2]*[1]d|\" 1 5 }}", "%!d(BADINDEX) %!d(BADINDEX)     1|"),
        ("{{ printf \"%[1]d\" 1 2 }} {{ printf \"%d %d\" 1 }}", "1 1 %!d(MISSING)"),
        ("{{ printf \"% x|%# x|%#x\" \"abc\" \"ab\" \"ab\" }}", "61 62 63|0x61 0x62|0x6162"),
        (
            "{{ printf \"%#q|%#q|%+q\" \"a\\tb\" \"a\\nb\" \"ž🚀\" }}",
            "`a\tb`|\"a\\nb\"|\"\\u017e\\U0001f680\"",
        ),
        ("{{ printf \"%*d|%T\" 5 42 .app }}", "   42|string"),
    ]);
}

#[test]
fn functions_do_what_the_contract_says() {
    outputs(&[
        (
            "{{ upper \"straße\" }} {{ lower \"ÀB\" }} {{ title \"a bc_d e\" }}",
            "STRAßE àb A Bc_d E",
        ),
        ("{{ trunc 2 .app }} {{ trunc -2 .app }} {{ trunc 9 .app }}", "we eb web"),
        ("{{ substr 1 2 .app }} {{ substr -1 2 .app }} {{ substr 1 -1 .app }}", "e we eb"),
        (
            "{{ replace \"o\" \"0\" .text }} {{ Replace .text \"o\" \"0\" 1 }} {{ replace \"\" \".\" \"ab\" }}",
            "tw0 w0rds tw0 words .a.b.",
        ),
        (
            "{{ alignLeft 5 .app }}|{{ alignRight 5 .app }}|{{ alignRight 2 .app }}",
            "web  |  web|eb",
        ),
        (
            "{{ indent 2 \"a\\nb\" }}|{{ nindent 1 \"x\" }}|{{ repeat 2 \"ab\" }}",
            "  a\n  b|\n x|abab",
        ),
        ("{{ regexReplaceAll \"(w)(.)\" .text \"$2$1\" }} {{ count \"o\" .text }}", "tow owrds 2"),
        ("{{ regexReplaceAllLiteral \"w\" .text \"$1\" }}", "t$1o $1ords"),
        ("{{ urlencode \"a b/c~ž\" }} {{ urldecode \"a+b%2F\" }}", "a+b%2Fc~%C5%BE a b/"),
        (
            "{{ b64enc \"hi\" }} {{ b64dec \"aGk\" }} {{ b64dec \"!\" }}",
            "aGk= hi illegal base64 data at input byte 0",
        ),
        (
            "{{ default \"d\" .nosuch }} {{ default \"d\" .app }} {{ .nosuch | default \"e\" }}",
            "d web e",
        ),
        (
            "{{ add 1 .n 2.9 \"x\" }} {{ sub .n 2 }} {{ mul 2 .n }} {{ div 7 2 }} {{ mod 7 4 }}",
            "45 40 84 3 3",
        ),
        (
            "{{ addf 0.1 0.2 }} {{ subf 0.3 0.1 }} {{ mulf 1.1 3 }} {{ divf 2.75 3 }}",
            "0.3 0.2 3.3 0.9166666666666667",
        ),
        (
            "{{ max 1 .n 3 }} {{ min 5 2 }} {{ maxf 1.5 2 }} {{ round 2.345 2 }} {{ round 1.5 0 0.6 }}",
            "42 2 2 2.35 1",
        ),
        (
            "{{ int \"12abc\" }} {{ int \"3.9\" }} {{ int 2.9 }} {{ float64 .n }} {{ ceil .n }}",
            "0 3 2 42 42",
        ),
        (
            "{{ bytes \"2KiB\" }} {{ duration \"1m30s\" }} {{ duration_seconds \"5ms\" }}",
            "2048 90 0.005",
        ),
        (
            "{{ __line__ }} {{ __timestamp__ | unixEpoch }} {{ __timestamp__ | unixEpochMillis }}",
            "the line 1714557600 1714557600123",
        ),
        (
            "{{ __timestamp__ | date \"Mon Jan _2 2006 3:04:05.000 PM Z07:00 MST\" }}",
            "Wed May  1 2024 10:00:00.123 AM Z UTC",
        ),
        ("{{ __timestamp__ }}", "2024-05-01 10:00:00.123456789 +0000 UTC"),
        (
            "{{ toDate \"2006-01-02T15:04:05Z07:00\" \"2024-05-01T10:00:00.5+02:00\" | unixEpochMillis }}",
            "1714550400500",
        ),
        (
            "{{ toDate \"2006\" \"x\" | unixEpoch }} {{ unixToTime \"19844\" | date \"02/01/06\" }}",
            "-62135596800 01/05/24",
        ),
    ]);
}

#[test]
fn times_are_read_and_shown_in_their_zones() {
    outputs(&[
        ("{{ now | unixEpoch }}", "1714564800"),
        ("{{ date \"15:04\" \"no time\" }} {{ date \"15:04\" 60 }}", "12:00 00:01"),
        (
            "{{ toDateInZone \"2006-01-02 15:04\" \"America/New_York\" \"2024-07-01 08:00\" }}",
            "2024-07-01 08:00:00 -0400 EDT",
        ),
        (
            "{{ toDateInZone \"2006-01-02 15:04\" \"Europe/Berlin\" \"2024-01-01 08:00\" | date \"15:04 MST\" }}",
            "07:00 UTC",
        ),
        // The clock shows 02:30 twice, and once not at all.
        (
            "{{ toDateInZone \"2006-01-02 15:04\" \"Europe/Berlin\" \"2024-10-27 02:30\" | unixEpoch }}",
            "1729992600",
        ),
        (
            "{{ toDateInZone \"2006-01-02 15:04\" \"Europe/Berlin\" \"2024-03-31 02:30\" }}",
            "2024-03-31 03:30:00 +0200 CEST",
        ),
        (
            "{{ toDateInZone \"2006\" \"europe/berlin\" \"2024\" }} {{ toDateInZone \"2006\" \"No/Where\" \"2024\" }}",
            "2024-01-01 00:00:00 +0000 UTC 2024-01-01 00:00:00 +0000 UTC",
        ),
        (
            "{{ toDateInZone \"2006-01-02 15:04 MST\" \"America/New_York\" \"2024-07-01 08:00 EST\" | unixEpoch }}",
            "1719838800",
        ),
        (
            "{{ toDate \"2006-01-02 15:04 MST\" \"2024-07-01 08:00 CEST\" }}",
            "2024-07-01 08:00:00 +0000 CEST",
        ),
        (
            "{{ toDate \"2006-01-02 15:04 MST\" \"2024-07-01 08:00 GMT+3\" }}",
            "2024-07-01 08:00:00 +0300 GMT+3",
        ),
        (
            "{{ toDate \"2006-01-02T15:04:05Z07:00\" \"2024-07-01T08:00:00+05:30\" }}",
            "2024-07-01 08:00:00 +0530 +0530",
        ),
        (
            "{{ toDate \"02/Jan/2006:15:04:05 -0700\" \"01/May/2024:10:00:00 -0330\" | unixEpoch }}",
            "1714570200",
        ),
        ("{{ toDate \"3:04PM\" \"12:05AM\" | date \"15:04\" }}", "00:05"),
        ("{{ toDate \"2006-01-02\" \"2024-02-30\" | unixEpoch }}", "-62135596800"),
    ]);
}

#[test]
fn what_go_refuses_is_refused_with_its_text() {
    for (template, error) in [
        ("{{", "template: line:1: unclosed action"),
        ("a\n{{ .a", "template: line:2: unclosed action"),
        ("{{ if .a }}", "template: line:1: unexpected EOF"),
        ("{{ end }}", "template: line:1: unexpected {{end}}"),
        ("{{ else }}", "template: line:1: unexpected {{else}}"),
        ("{{ }}", "template: line:1: missing value for command"),
        ("{{ nosuch .a }}", "template: line:1: function \"nosuch\" not defined"),
        ("{{ $x }}", "template: line:1: undefined variable \"$x\""),
        ("{{ \"a }}", "template: line:1: unterminated quoted string"),
        ("{{ (.a }}", "template: line:1: unclosed left paren"),
        ("{{ .a ) }}", "template: line:1: unexpected right paren"),
        ("{{ .a | 5 }}", "template: line:1: non executable command in pipeline stage 2"),
        ("{{ break }}", "template: line:1: {{break}} outside {{range}}"),
        ("{{ 3x }}", "template: line:1: bad number syntax: \"3x\""),
        ("{{/* a }}", "template: line:1: unclosed comment"),
    ] {
        assert_eq!(run(template).unwrap_err(), error, "{template}");
    }
}

#[test]
fn what_fails_says_where_and_why() {
    let at = |place: &str, node: &str, why: &str| {
        format!("template: line:{place}: executing \"line\" at <{node}>: {why}")
    };
    for (template, error) in [
        ("{{ upper }}", at("1:3", "upper", "wrong number of args for upper: want 1 got 0")),
        ("{{ upper 5 }}", at("1:9", "5", "expected string; found 5")),
        (
            "{{ upper (len .app) }}",
            at("1:10", "len .app", "wrong type for value; expected string; got int"),
        ),
        (
            "\n {{ trunc .n .app }}",
            at("2:10", ".n", "wrong type for value; expected int; got string"),
        ),
        (
            "{{ div 1 0 }}",
            at("1:3", "div 1 0", "error calling div: runtime error: integer divide by zero"),
        ),
        (
            "{{ \"bad%zz\" | urldecode }}",
            at("1:14", "urldecode", "error calling urldecode: invalid URL escape \"%zz\""),
        ),
        ("{{ .app.x }}", at("1:7", ".app.x", "can't evaluate field x in type string")),
        ("{{ template \"t\" }}", at("1:3", "{{template \"t\"}}", "template \"t\" not defined")),
        (
            "{{ repeat -1 .app }}",
            at("1:3", "repeat -1 .app", "error calling repeat: strings: negative Repeat count"),
        ),
        (
            "{{ __timestamp__.Nope }}",
            at("1:16", "__timestamp__.Nope", "can't evaluate field Nope in type time.Time"),
        ),
        (
            "{{ __timestamp__.Format }}",
            at("1:16", "__timestamp__.Format", "wrong number of args for Format: want 1 got 0"),
        ),
        (
            "{{ range $i, $e := 3 }}x{{ end }}",
            at("1:9", "$i, $e := 3", "can't use 3 to iterate over more than one variable"),
        ),
        (
            "{{ eq .app 1 }}",
            at("1:3", "eq .app 1", "error calling eq: incompatible types for comparison"),
        ),
        (
            "{{ index .app 9 }}",
            at("1:3", "index .app 9", "error calling index: index out of range: 9"),
        ),
        (
            "{{ substr 5 2 .text }}",
            at(
                "1:3",
                "substr 5 2 .text",
                "error calling substr: runtime error: slice bounds out of range [5:2]",
            ),
        ),
    ] {
        assert_eq!(run(template).unwrap_err(), error, "{template}");
    }
}

#[test]
fn hostile_templates_end() {
    for template in [
        "{{ range 1000000000 }}x{{ end }}",
        "{{ repeat 1000000000 .app }}",
        "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
        "{{ range 900 }}{{ repeat 2000 .app }}{{ end }}",
        "{{ alignLeft 2000000000 .app }}",
        "{{ indent 2000000000 .app }}",
    ] {
        assert!(run(template).is_err(), "{template}");
    }
    let deep =
        format!("{}.app{}", "{{ (".to_owned() + &"(".repeat(5_000), ")".repeat(5_001) + "}}");
    assert!(run(&deep).is_err());
    assert!(run(&"{{ if .app }}".repeat(5_000)).is_err());
}
