use logql::engine::{Answer, Entry, Origins, Stream};
use proptest::prelude::*;
use rpc::stats::QueryStats;
use serde_json::{Value, json};

use super::*;
use crate::query::{Evaluated, PieceStats};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn entry(ts_ns: i64, line: &str, origins: u32) -> Entry {
    Entry { ts_ns, line: line.as_bytes().to_vec(), origins }
}

fn checkout() -> Vec<Stream> {
    let of = |metadata: &[(&str, &str)], parsed: &[(&str, &str)]| Origins {
        metadata: labels(metadata),
        parsed: labels(parsed),
    };
    vec![Stream {
        labels: labels(&[("app", "x"), ("level", "<b>")]),
        origins: vec![of(&[("level", "<b>")], &[]), of(&[], &[("level", "<b>")]), of(&[], &[])],
        entries: vec![entry(20, "two & more", 0), entry(10, "one", 1), entry(-1, "", 2)],
    }]
}

fn body(bytes: Vec<u8>) -> Value {
    serde_json::from_slice(&bytes).unwrap()
}

/// All of a body, in pieces of a little more than `enough` bytes.
fn written(mut body: impl Written, enough: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let mut piece = Vec::new();
        let is_done = body.write(&mut piece, enough);
        assert!(is_done || piece.len() >= enough, "{} of {enough}", piece.len());
        whole.append(&mut piece);
        if is_done {
            return whole;
        }
    }
}

fn evaluated(answer: Answer, warnings: Vec<String>) -> Evaluated {
    let (stats, pieces) = (QueryStats::default(), PieceStats::default());
    Evaluated { answer, stats, pieces, warnings }
}

fn answer(given: &Answer, flags: &EncodingFlags, stats: &QueryStats) -> Vec<u8> {
    let evaluated = Evaluated { stats: *stats, ..evaluated(given.clone(), Vec::new()) };
    written(AnswerBody::new(evaluated, flags.clone()), usize::MAX)
}

#[test]
fn warnings_come_first_for_streams_and_last_for_metrics() {
    let text = |answer: Answer| {
        let warnings = vec!["a \"b\"".to_owned()];
        let body = AnswerBody::new(evaluated(answer, warnings), EncodingFlags::default());
        String::from_utf8(written(body, usize::MAX)).unwrap()
    };
    let warnings = r#","warnings":["a \"b\""]"#;
    let streams = text(Answer::Streams(vec![]));
    assert!(streams.starts_with(&format!("{{\"status\":\"success\"{warnings},\"data\":")));
    let vector = text(Answer::Vector(vec![]));
    assert!(vector.ends_with(&format!("}}{warnings}}}\n")), "{vector}");
    assert_eq!(body(vector.into_bytes())["status"], "success");
}

fn without_stats(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let from = text.find(",\"stats\":").unwrap();
    text[..from].to_owned()
}

#[test]
fn streams_list_their_entries_in_the_order_given() {
    let bytes =
        answer(&Answer::Streams(checkout()), &EncodingFlags::default(), &QueryStats::default());
    assert_eq!(
        without_stats(&bytes),
        concat!(
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":"#,
            r#"{"app":"x","level":"\u003cb\u003e"},"values":[["20","two \u0026 more"],"#,
            r#"["10","one"],["-1",""]]}]"#
        )
    );
}

#[test]
fn categorised_entries_say_where_their_labels_come_from() {
    let flags = EncodingFlags::parse("categorize-labels");
    let bytes = answer(&Answer::Streams(checkout()), &flags, &QueryStats::default());
    assert_eq!(
        without_stats(&bytes),
        concat!(
            r#"{"status":"success","data":{"resultType":"streams","#,
            r#""encodingFlags":["categorize-labels"],"result":[{"stream":"#,
            r#"{"app":"x","level":"\u003cb\u003e"},"values":["#,
            r#"["20","two \u0026 more",{"structuredMetadata":{"level":"\u003cb\u003e"}}],"#,
            r#"["10","one",{"parsed":{"level":"\u003cb\u003e"}}],["-1","",{}]]}]"#
        )
    );
}

#[test]
fn both_categories_of_one_entry_are_separated() {
    let both = Origins { metadata: labels(&[("a", "1")]), parsed: labels(&[("b", "2")]) };
    let text = String::from_utf8(answer::third(&both)).unwrap();
    assert_eq!(text, r#",{"structuredMetadata":{"a":"1"},"parsed":{"b":"2"}}"#);
}

#[test]
fn unknown_flags_are_echoed_and_do_nothing() {
    for (header, echoed, categorize) in [
        ("", vec![], false),
        ("categorize-labels", vec!["categorize-labels"], true),
        ("categorize-labels,", vec!["", "categorize-labels"], true),
        ("CATEGORIZE-LABELS", vec!["CATEGORIZE-LABELS"], false),
        ("bogus,categorize-labels,bogus", vec!["bogus", "categorize-labels"], true),
    ] {
        let flags = EncodingFlags::parse(header);
        assert_eq!(flags.0, echoed, "{header}");
        assert_eq!(flags.categorize(), categorize, "{header}");
    }
}

#[test]
fn metric_answers_have_their_shapes() {
    let sample = |ts_ms, value| Sample { ts_ms, value };
    let flags = EncodingFlags::parse("categorize-labels");
    let data = |given: Answer| {
        let mut data = body(answer(&given, &flags, &QueryStats::default()))["data"].take();
        data.as_object_mut().unwrap().remove("stats");
        data
    };
    let series = labels(&[("job", "a")]);
    assert_eq!(
        data(Answer::Vector(vec![(series.clone(), sample(1_500, 0.5))])),
        json!({"resultType": "vector", "result": [{"metric": {"job": "a"}, "value": [1.5, "0.5"]}]})
    );
    let points = vec![sample(1_000, 1.0), sample(2_001, f64::NAN)];
    assert_eq!(
        data(Answer::Matrix(vec![(series, points)])),
        json!({"resultType": "matrix", "result": [
            {"metric": {"job": "a"}, "values": [[1, "1"], [2.001, "NaN"]]}]})
    );
    assert_eq!(
        data(Answer::Scalar(sample(1_714_564_800_000, 2.0))),
        json!({"resultType": "scalar", "result": [1_714_564_800_000i64, "2"]})
    );
    for empty in [Answer::Streams(vec![]), Answer::Vector(vec![]), Answer::Matrix(vec![])] {
        assert_eq!(data(empty)["result"], json!([]));
    }
}

#[test]
fn stats_have_every_key_and_true_sums() {
    let mut stats = QueryStats { exec_ns: 500_000_000, entries_returned: 3, ..Default::default() };
    stats.parts.read.rows = 10;
    stats.parts.read.line_bytes = 100;
    stats.parts.read.metadata_bytes = 7;
    stats.ingester.read.rows = 5;
    stats.ingester.read.line_bytes = 50;
    stats.ingester.reached = 1;
    let all = body(answer(&Answer::Streams(vec![]), &EncodingFlags::default(), &stats));
    let all = &all["data"]["stats"];
    let summary = &all["summary"];
    assert_eq!(summary["totalLinesProcessed"], 15);
    assert_eq!(summary["totalBytesProcessed"], 157);
    assert_eq!(summary["bytesProcessedPerSecond"], 314);
    assert_eq!(summary["execTime"], 0.5);
    assert_eq!(summary["totalEntriesReturned"], 3);
    assert_eq!(summary.as_object().unwrap().len(), 12);
    assert_eq!(all["ingester"]["totalReached"], 1);
    assert_eq!(all["ingester"]["store"]["chunk"]["headChunkLines"], 5);
    assert_eq!(all["querier"]["store"]["chunk"]["decompressedLines"], 10);
    assert_eq!(all["querier"]["store"]["dataobj"].as_object().unwrap().len(), 14);
    assert_eq!(all["cache"].as_object().unwrap().len(), 10);
    assert_eq!(all["cache"]["chunk"].as_object().unwrap().len(), 8);
    assert_eq!(all["index"].as_object().unwrap().len(), 7);
}

#[test]
fn legacy_answers_carry_label_text_and_rfc3339() {
    assert!(AnswerBody::legacy(evaluated(Answer::Vector(vec![]), vec![])).is_none());
    let legacy = AnswerBody::legacy(evaluated(Answer::Streams(checkout()), vec![])).unwrap();
    let text = String::from_utf8(written(legacy, usize::MAX)).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    let stream = &parsed["streams"][0];
    assert_eq!(stream["labels"], "{app=\"x\", level=\"<b>\"}");
    assert_eq!(
        stream["entries"][0],
        json!({"ts": "1970-01-01T00:00:00.00000002Z", "line": "two & more"})
    );
    assert!(parsed["stats"]["summary"].is_object());
    assert_eq!(answer::rfc3339(1_714_557_600_000_000_000), "2024-05-01T10:00:00Z");
    assert_eq!(answer::rfc3339(1_714_557_600_500_000_000), "2024-05-01T10:00:00.5Z");
    assert_eq!(answer::rfc3339(1_714_557_600_000_000_001), "2024-05-01T10:00:00.000000001Z");
}

#[test]
fn an_empty_label_list_has_no_data_but_empty_series_do() {
    let body = |list: ListBody| body(written(list, usize::MAX));
    let texts = |texts: &[&str]| ListBody::texts(texts.iter().map(|&text| text.into()).collect());
    assert_eq!(body(texts(&[])), json!({"status": "success"}));
    assert_eq!(body(texts(&["a", "b"])), json!({"status": "success", "data": ["a", "b"]}));
    assert_eq!(body(ListBody::series(vec![])), json!({"status": "success", "data": []}));
    let one = ListBody::series(vec![(None, vec![labels(&[("app", "x\"y")])])]);
    assert_eq!(body(one), json!({"status": "success", "data": [{"app": "x\"y"}]}));
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let of = |name: &str, number: u8| labels(&[(name, &number.to_string())]);
    let entry = (any::<i64>(), "\\PC{0,40}", 0..3_u32)
        .prop_map(|(ts_ns, line, origins)| entry(ts_ns, &line, origins));
    let stream = (any::<u8>(), prop::collection::vec(entry, 0..6)).prop_map(move |(n, entries)| {
        let origin = |n| Origins { metadata: of("m", n), parsed: Labels::empty() };
        Stream { labels: of("app", n), origins: vec![origin(n), origin(n / 2)], entries }
    });
    let sample =
        || (any::<i32>(), any::<f64>()).prop_map(|(ts, value)| Sample { ts_ms: ts.into(), value });
    let points = (any::<u8>(), prop::collection::vec(sample(), 0..6));
    prop_oneof![
        prop::collection::vec(stream, 0..5).prop_map(Answer::Streams),
        prop::collection::vec((any::<u8>(), sample()), 0..8).prop_map(move |list| Answer::Vector(
            list.into_iter().map(|(n, sample)| (of("a", n), sample)).collect()
        )),
        prop::collection::vec(points, 0..5).prop_map(move |list| Answer::Matrix(
            list.into_iter().map(|(n, points)| (of("a", n), points)).collect()
        )),
        sample().prop_map(Answer::Scalar),
    ]
}

proptest! {
    #[test]
    fn pieces_of_any_size_are_the_whole(answer in any_answer(), enough in 1..200_usize, flags in "(categorize-labels)?") {
        let flags = EncodingFlags::parse(&flags);
        let body = || {
            let warnings = vec!["careful".to_owned()];
            AnswerBody::new(evaluated(answer.clone(), warnings), flags.clone())
        };
        let whole = written(body(), usize::MAX);
        prop_assert!(serde_json::from_slice::<Value>(&whole).is_ok());
        prop_assert_eq!(written(body(), enough), whole);
        if let Some(legacy) = AnswerBody::legacy(evaluated(answer.clone(), Vec::new())) {
            let whole = AnswerBody::legacy(evaluated(answer.clone(), Vec::new())).unwrap();
            prop_assert_eq!(written(legacy, enough), written(whole, usize::MAX));
        }
    }
}
