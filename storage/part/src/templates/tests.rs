use proptest::prelude::*;

use super::*;

fn mined(lines: &[&str]) -> Vec<String> {
    let mut miner = Miner::default();
    lines.iter().for_each(|line| miner.line(0, b"", line.as_bytes(), 1));
    miner.finish().into_iter().map(|template| template.text).collect()
}

fn numbered(template: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| template.replace('#', &(at * 37).to_string())).collect()
}

#[test]
fn words_with_digits_and_words_that_differ_become_wild() {
    assert_eq!(
        mined(&[
            "user alice logged in from 10.0.0.1",
            "user bob logged in from 10.0.0.2",
            "user carol logged in from 192.168.7.44",
        ]),
        ["user <_> logged in from <_>"]
    );
    assert_eq!(
        mined(&[
            r#"10.0.0.16 - bob [01/May/2024:11:48:07 +0000] "GET /login HTTP/1.1" 200 30077"#,
            r#"10.0.0.28 - - [01/May/2024:11:49:12 +0000] "POST / HTTP/1.1" 301 3889"#
        ]),
        [
            r#"<_> - - [<_> <_>] "POST <_> <_>" <_> <_>"#,
            r#"<_> - bob [<_> <_>] "GET <_> <_>" <_> <_>"#,
        ]
    );
}

#[test]
fn messages_are_told_apart_and_values_are_not() {
    let texts = mined(&[
        r#"{"level":"info","k8s_pod":"a","msg":"user logged in","took":12}"#,
        r#"{"level":"info","k8s_pod":"b","msg":"user logged out","took":3}"#,
        r#"{"level":"info","k8s_pod":"b","msg":"quorum lease lost","took":3}"#,
        r#"{"level":"info","k8s_pod":"c","msg":"quorum lease lost","took":33}"#,
    ]);
    assert_eq!(
        texts,
        [
            r#"{"level":"info","k8s_pod":"<_>","msg":"quorum lease lost","took":<_>}"#,
            r#"{"level":"info","k8s_pod":"<_>","msg":"user logged <_>","took":<_>}"#,
        ]
    );
    assert_eq!(
        mined(&["level=info method=GET path=/ took=3ms", "level=info method=PUT path=/a took=-"]),
        ["level=info method=<_> path=<_> took=<_>"]
    );
    assert_eq!(mined(&["a=1 b=2", "a=1 c=2"]).len(), 2, "keys tell lines apart");
}

#[test]
fn what_would_be_read_as_a_capture_is_wild() {
    assert_eq!(mined(&["from <root> to <_>"]), ["from <<_>> to <<_>>"]);
    assert_eq!(mined(&["from <1st> to <a b>"]), ["from <<_>> to <a b>"]);
}

#[test]
fn lines_that_say_nothing_and_lines_that_are_not_text_make_no_template() {
    assert_eq!(mined(&["12 34", "", "   ", "{}"]), [] as [&str; 0]);
    let mut miner = Miner::default();
    miner.line(0, b"", b"bad \xff byte", 1);
    assert_eq!(miner.finish(), []);
}

#[test]
fn long_lines_end_with_a_wild_part_wherever_they_are_cut() {
    for filler in ["x", "x ", "\u{e9}", " "] {
        let line = format!("begin {}", filler.repeat(3000));
        let texts = mined(&[&line]);
        assert_eq!(texts.len(), 1, "{filler:?}");
        assert!(texts[0].starts_with("begin ") && texts[0].ends_with(WILD), "{texts:?}");
    }
    let one_word = "x".repeat(3000);
    assert_eq!(mined(&[&one_word]), [] as [&str; 0]);
}

const WILD: &str = tokens::WILD;

#[test]
fn levels_are_kept_apart() {
    let mut miner = Miner::default();
    for (level, line) in [("info", "cache miss"), ("error", "cache lost"), ("info", "cache hit")] {
        miner.line(0, level.as_bytes(), line.as_bytes(), 1);
    }
    let found = miner.finish();
    let texts: Vec<(&str, &str)> = found.iter().map(|t| (&*t.level, &*t.text)).collect();
    assert_eq!(texts, [("info", "cache <_>"), ("error", "cache lost")]);
}

#[test]
fn many_shapes_and_many_words_leave_the_frequent_templates() {
    let mut miner = Miner::default();
    for at in 0..6_000u32 {
        miner.line(0, b"", format!("served request {at} in {}ms", at % 90).as_bytes(), 1);
        // A shape of its own, and a word of its own in a phrase of its own.
        let rare = format!("{} end", "word,".repeat(at as usize % 90 + 1));
        miner.line(1, b"", rare.as_bytes(), 1);
        let letters: String = at.to_string().bytes().map(|b| char::from(b + 50)).collect();
        miner.line(at, b"", format!("{letters} {letters}").as_bytes(), 1);
    }
    let found = miner.finish();
    assert!(found.len() <= MAX_TEMPLATES);
    assert_eq!(found[0].text, "served request <_> in <_>");
    assert_eq!((found[0].rows, &found[0].streams), (6_000, &vec![0]));
}

#[test]
fn templates_of_several_parts_are_folded() {
    let template = |text: &str, rows, streams: &[u32]| Template {
        level: "info".to_owned(),
        text: text.to_owned(),
        rows,
        streams: streams.to_vec(),
    };
    let mut miner = Miner::default();
    for one in [
        template("user alice logged in at <_>", 10, &[0, 2]),
        template("user <_> logged in at <_>", 5, &[1]),
        template("job=<_> done", 3, &[]),
        template("job=reindex done", 3, &[7]),
    ] {
        miner.template(&one);
    }
    let want =
        [template("user <_> logged in at <_>", 15, &[0, 1, 2]), template("job=<_> done", 6, &[])];
    assert_eq!(miner.finish(), want);
}

/// Words and delimiters that meet in lines.
fn text() -> impl Strategy<Value = String> {
    let piece = "[a-c]{1,3}|[0-9]{1,2}|<_>|<[a-z]>|[ =:,\"{}<>|\\\\]|\u{e9}";
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_mined_is_stored_and_read_and_mined_again(
        lines in prop::collection::vec((text(), 0u32..80, 0usize..3), 0..40),
    ) {
        let mut miner = Miner::default();
        for (line, stream, level) in &lines {
            miner.line(*stream, ["", "info", "error"][*level].as_bytes(), line.as_bytes(), 3);
        }
        let found = miner.finish();
        let mut bytes = Vec::new();
        put(&found, &mut bytes);
        let read = get(crate::wire::Cursor::new(&bytes, "test", 0), 80).unwrap();
        prop_assert_eq!(&read, &found);
        // Folding templates makes no more of them.
        let mut again = Miner::default();
        found.iter().for_each(|template| again.template(template));
        prop_assert!(again.finish().len() <= found.len());
    }

    #[test]
    fn the_sampler_looks_at_first_rows_and_at_some_of_the_others(
        runs in prop::collection::vec(1u32..300, 1..20),
        stride in 1u32..70,
    ) {
        let lines = numbered("row # of some", runs.iter().sum::<u32>() as usize);
        let mut strings = base::rows::Strings::default();
        lines.iter().for_each(|line| strings.push(line.as_bytes()));
        let mut end = 0;
        let runs: Vec<base::Run> = (0u32..).zip(&runs).map(|(stream, rows)| {
            end += rows;
            base::Run { stream, end }
        }).collect();
        let mut sampler = Sampler::of_every(stride);
        sampler.rows(&runs, strings.view(), |_| b"warn", |_| true);
        let found = sampler.finish();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].streams.len(), runs.len());
        prop_assert_eq!(&*found[0].text, "row <_> of some");
        if stride == 1 {
            prop_assert_eq!(found[0].rows, u64::from(end));
        }
    }
}
