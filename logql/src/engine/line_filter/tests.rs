use super::*;
use base::RowsBuilder;

fn filter(op: LineOp, operands: &[&str]) -> LineFilter {
    let operands = operands
        .iter()
        .map(|text| match text.strip_prefix("ip:") {
            Some(pattern) => LineOperand::Ip(pattern.to_owned()),
            None => LineOperand::Text(text.as_bytes().to_vec()),
        })
        .collect();
    LineFilter::new(&syntax::LineFilter { op, operands }).unwrap()
}

#[test]
fn each_operator_keeps_what_the_contract_says() {
    use LineOp::*;
    let cases: &[(LineOp, &[&str], &str, bool)] = &[
        (Contains, &["b"], "abc", true),
        (Contains, &["B"], "abc", false),
        (Contains, &[""], "abc", true),
        (NotContains, &[""], "abc", false),
        (Contains, &["x", "c"], "abc", true),
        (NotContains, &["x", "y"], "abc", true),
        (NotContains, &["x", "c"], "abc", false),
        (Regex, &["a.c"], "abc", true),
        (Regex, &["a.c"], "a\nc", false),
        (Regex, &["x", "^ab"], "abc", true),
        (NotRegex, &["x", "^ab"], "abc", false),
        (Regex, &[""], "", true),
        (Regex, &[".+"], "\n", true),
        (Regex, &[".+"], "", false),
        (Regex, &["a.+"], "a\n", false),
        (NotRegex, &[".*"], "abc", false),
        (Regex, &["(?i)ŽLUŤ"], "žluť", true),
        (Regex, &["^.{3}e"], "🚀 de", true),
        (Pattern, &["<_>b<_>"], "abc", true),
        (NotPattern, &["<_>b<_>"], "abc", false),
        (Contains, &["ip:10.0.0.0/8", "nothing"], "from 10.1.2.3 on", true),
        (NotContains, &["ip:10.0.0.0/8"], "from 10.1.2.3 on", false),
    ];
    for (op, operands, line, want) in cases {
        let filter = filter(*op, operands);
        assert_eq!(filter.keeps(line.as_bytes()), *want, "{op:?} {operands:?} {line:?}");
        let mut builder = RowsBuilder::default();
        for text in ["other", line, line, ""] {
            builder.push(0, 1, text.as_bytes());
        }
        let rows = builder.finish();
        let mut selected = Bitmap::all(4);
        selected.clear(2);
        filter.apply(&rows.page(&[]), &mut selected, &mut Scratch::default());
        assert_eq!((selected.get(1), selected.get(2)), (*want, false), "{op:?} {operands:?}");
    }
}

#[test]
fn needles_are_an_and_of_ors() {
    let show = |filter: &LineFilter| -> Vec<Vec<String>> {
        let text = |needle: &Needle| String::from_utf8_lossy(&needle.bytes).into_owned();
        filter.groups().iter().map(|group| group.iter().map(text).collect()).collect()
    };
    assert_eq!(show(&filter(LineOp::Contains, &["a", "b"])), [["a", "b"]]);
    assert_eq!(show(&filter(LineOp::Regex, &["err.*time"])), [["err"], ["time"]]);
    assert_eq!(show(&filter(LineOp::Regex, &["err.*timeout", "x"])), [["timeout", "x"]]);
    assert_eq!(show(&filter(LineOp::Regex, &["err", ".*"])), Vec::<Vec<String>>::new());
    assert_eq!(show(&filter(LineOp::Contains, &["a", ""])), Vec::<Vec<String>>::new());
    assert_eq!(show(&filter(LineOp::NotContains, &["a"])), Vec::<Vec<String>>::new());
    assert_eq!(show(&filter(LineOp::Pattern, &["<_> a <_>b"])), [[" a "], ["b"]]);
}

#[test]
fn a_bad_expression_is_refused_with_a_reason() {
    let operands = vec![LineOperand::Text(b"(".to_vec())];
    let error = LineFilter::new(&syntax::LineFilter { op: LineOp::Regex, operands }).unwrap_err();
    assert!(error.starts_with("error parsing regexp: "), "{error}");
}
