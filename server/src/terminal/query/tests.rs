use base::time::{ManualClock, UnixNanos};
use clap::Parser;

use super::*;
use crate::terminal::testing::{Answer, Replay, ok};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    query: Query,
}

/// Output, notes and requests of a query with these words after it.
async fn run(words: &[&str], answers: Vec<Answer>) -> (String, String, Replay) {
    let replay = Replay::start(answers).await;
    let head = ["query", "{app=\"a\"}", "--url", &replay.url, "--timezone", "utc"];
    let query = Line::try_parse_from(head.iter().chain(words)).unwrap().query;
    let clock = ManualClock::new(UnixNanos(10_000_000_000_000));
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let connection = query.connect.open().unwrap();
    if let Err(error) = query.print(&connection, &clock, &mut out, &mut notes).await {
        writeln!(notes, "error: {error:#}").unwrap();
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap(), replay)
}

const STREAMS: &str = r#"{"status":"success","data":{"resultType":"streams","result":[
    {"stream":{"app":"a","level":"info","pod":"p-1"},
     "values":[["3000000000","three "],["1000000000","one"]]},
    {"stream":{"app":"a","level":"error","pod":"p-1"},"values":[["2000000000","two \"ü\""]]}],
    "stats":{"summary":{"bytesProcessedPerSecond":12,"execTime":0.5},"querier":{}}}}"#;

#[tokio::test]
async fn lines_are_printed_as_logcli_prints_them() {
    let (out, notes, replay) = run(&[], vec![ok(STREAMS)]).await;
    let wanted = "1970-01-01T00:00:03Z {level=\"info\"}  three\n\
                  1970-01-01T00:00:02Z {level=\"error\"} two \"ü\"\n\
                  1970-01-01T00:00:01Z {level=\"info\"}  one\n";
    assert_eq!(out, wanted);
    assert_eq!(notes, "Common labels: {app=\"a\", pod=\"p-1\"}\n");
    let asked = &replay.asked()[0];
    assert_eq!(asked.path, "/loki/api/v1/query_range");
    let wanted = [
        ("direction", "backward"),
        ("end", "10000000000000"),
        ("limit", "30"),
        ("query", "{app=\"a\"}"),
        ("start", "6400000000000"),
    ];
    assert!(asked.params.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(wanted), "{asked:?}");
}

#[tokio::test]
async fn the_other_formats_and_label_flags_do_what_they_say() {
    // The first line of each.
    let cases: [(&[&str], &str); 8] = [
        (&["-o", "raw"], "three "),
        (
            &["-o", "jsonl"],
            "{\"labels\":{\"level\":\"info\"},\"line\":\"three \",\
             \"timestamp\":\"1970-01-01T00:00:03Z\"}",
        ),
        (&["--no-labels"], "1970-01-01T00:00:03Z three"),
        (&["--include-label", "pod"], "1970-01-01T00:00:03Z {pod=\"p-1\"} three"),
        (&["--exclude-label", "level"], "1970-01-01T00:00:03Z {} three"),
        (&["--labels-length", "20"], "1970-01-01T00:00:03Z {level=\"info\"}       three"),
        (&["--forward"], "1970-01-01T00:00:01Z {level=\"info\"}  one"),
        // One line has everything in common with itself.
        (&["--limit", "1"], "1970-01-01T00:00:03Z {} three"),
    ];
    for (words, wanted) in cases {
        let (out, notes, _) = run(&[words, &["--quiet"]].concat(), vec![ok(STREAMS)]).await;
        assert_eq!(out.lines().next(), Some(wanted), "{words:?}");
        assert_eq!(notes, "", "{words:?}");
    }
}

#[tokio::test]
async fn a_metric_is_printed_as_json_and_its_cost_on_request() {
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"app":"a"},"values":[[60,"1"],[75.5,"2"]]}],
        "stats":{"summary":{"totalLinesProcessed":7},"cache":{"chunk":{"bytesSent":1}}}}}"#;
    let words = ["--stats", "--step", "15s", "--from", "60", "--to", "75"];
    let (out, notes, replay) = run(&words, vec![ok(matrix)]).await;
    let wanted = serde_json::json!([{"metric": {"app": "a"}, "values": [[60, "1"], [75.5, "2"]]}]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), wanted);
    assert_eq!(notes, "cache.chunk.bytesSent        1\nsummary.totalLinesProcessed  7\n");
    let asked = &replay.asked()[0].params;
    assert_eq!((asked["step"].as_str(), asked["start"].as_str()), ("15", "60000000000"));
}

#[tokio::test]
async fn an_instant_is_asked_for_with_now() {
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let (out, _, replay) = run(&["--now", "now"], vec![ok(vector)]).await;
    assert_eq!(out, "[]\n");
    let asked = &replay.asked()[0];
    assert_eq!(asked.path, "/loki/api/v1/query");
    assert_eq!(asked.params["time"], "10000000000000");
}

#[tokio::test]
async fn more_than_a_batch_is_asked_for_again_from_the_last_instant() {
    let page = |values: &str| {
        ok(&format!(
            r#"{{"status":"success","data":{{"resultType":"streams",
                "result":[{{"stream":{{"app":"a"}},"values":[{values}]}}]}}}}"#
        ))
    };
    let answers = vec![
        page(r#"["5","e"],["4","d"]"#),
        page(r#"["4","d"],["4","c"],["3","b"]"#),
        page(r#"["3","b"],["2","a"]"#),
    ];
    let words = ["--from", "0", "--batch", "2", "--limit", "0", "-o", "raw"];
    let (out, notes, replay) = run(&words, answers).await;
    assert_eq!(out, "e\nd\nc\nb\na\n");
    assert_eq!(notes, "Common labels: {app=\"a\"}\n");
    let asked: Vec<(String, String)> = replay
        .asked()
        .iter()
        .map(|asked| (asked.params["end"].clone(), asked.params["limit"].clone()))
        .collect();
    let wanted = [("10000000000000", "2"), ("5", "3"), ("4", "3")];
    assert!(asked.iter().map(|(end, limit)| (end.as_str(), limit.as_str())).eq(wanted));
}

#[tokio::test]
async fn labels_that_turn_out_not_to_be_common_are_said_again() {
    let page = |pod: &str, ts: u32| {
        ok(&format!(
            r#"{{"status":"success","data":{{"resultType":"streams","result":
                [{{"stream":{{"app":"a","pod":"{pod}"}},"values":[["{ts}","l"]]}}]}}}}"#
        ))
    };
    let answers = vec![page("p", 3), page("q", 2), page("r", 1)];
    let (out, notes, _) = run(&["--from", "0", "--batch", "1", "--limit", "2"], answers).await;
    assert_eq!(out, "1970-01-01T00:00:00Z {} l\n1970-01-01T00:00:00Z {pod=\"q\"} l\n");
    assert_eq!(notes, "Common labels: {app=\"a\", pod=\"p\"}\nCommon labels: {app=\"a\"}\n");
}

#[tokio::test]
async fn an_error_is_shown_in_the_servers_words() {
    let answer = (400, vec![], "parse error at line 1, col 2: no".to_owned());
    let (out, notes, replay) = run(&[], vec![answer]).await;
    assert_eq!(out, "");
    let wanted = "answered 400 Bad Request: parse error at line 1, col 2: no\n";
    assert_eq!(notes, format!("error: {} {wanted}", replay.url));
    let (_, notes, _) = run(&[], vec![ok("<html>")]).await;
    assert!(notes.contains("not what Loki's API says"), "{notes}");
}

#[tokio::test]
async fn tenant_and_credentials_go_with_each_request() {
    let empty = r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#;
    let words = ["--org-id", "acme", "--username", "u", "--password", "p"];
    let (_, _, replay) = run(&words, vec![ok(empty)]).await;
    let headers = &replay.asked()[0].headers;
    assert_eq!(headers["x-scope-orgid"], "acme");
    assert_eq!(headers["authorization"], "Basic dTpw");
    let (_, _, replay) = run(&["--bearer-token", "t"], vec![ok(empty)]).await;
    assert_eq!(replay.asked()[0].headers["authorization"], "Bearer t");
}
