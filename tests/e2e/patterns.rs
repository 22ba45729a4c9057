//! Patterns: what is told of one is what the line filter `|>` with it finds, whether the lines are in
//! memory, in parts, or in both.

use std::collections::BTreeMap;

use crate::harness::{
    Cluster, END_NS, START_NS, Shape, Site, body_of, in_one_and_in_separate_processes,
};
use crate::http::encode;

in_one_and_in_separate_processes!(
    the_lines_of_a_pattern_are_those_that_it_finds,
    without_the_switch_there_are_none,
    patterns_are_those_of_the_tenants_who_are_asked_for,
);

const ENABLED: &str = "pattern_ingester:\n  enabled: true\n";
const SECOND: i64 = 1_000_000_000;

/// Lines of three shapes, one of them with two levels.
fn lines(from: i64, to: i64) -> impl Iterator<Item = (i64, String)> {
    (from..to).map(|n| {
        let line = match n % 5 {
            0 => format!(
                "level=warn caller=a.go:{n} msg=\"lease of node-{} lost\" took={n}ms",
                n % 7
            ),
            1 | 2 => {
                format!("{{\"level\":\"info\",\"msg\":\"user {} logged in\",\"id\":{n}}}", n * 31)
            }
            3 => format!("level=info [worker-{}] job \"<x{n}>\" done", n % 9),
            _ => format!("level=error [worker-{}] job \"<x{n}>\" done", n % 9),
        };
        // After the start, which ranges of metric queries leave out.
        (START_NS + 1 + n * SECOND, line)
    })
}

/// Lines of each pattern, by level.
fn patterns(cluster: &Cluster<'_>, selector: &str) -> BTreeMap<String, BTreeMap<String, u64>> {
    let target = format!(
        "/loki/api/v1/patterns?query={}&start={START_NS}&end={END_NS}&step=60",
        encode(selector)
    );
    let response = cluster.get(&target);
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = response.json();
    let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for pattern in answer["data"].as_array().expect("patterns") {
        let samples = pattern["samples"].as_array().expect("samples");
        let begins: Vec<i64> = samples.iter().map(|s| s[0].as_i64().expect("a second")).collect();
        assert!(begins.is_sorted_by(|a, b| a < b) && begins.iter().all(|second| second % 60 == 0));
        let lines = samples.iter().map(|sample| sample[1].as_u64().expect("a count")).sum();
        let text = pattern["pattern"].as_str().expect("a text").to_owned();
        let level = pattern["level"].as_str().expect("a level").to_owned();
        assert!(found.entry(text).or_default().insert(level, lines).is_none(), "told twice");
    }
    found
}

/// Every pattern counts what it finds, and every line is counted.
fn all_agree(cluster: &Cluster<'_>, selector: &str, lines: u64) {
    let found = patterns(cluster, selector);
    let mut sum = 0;
    for (text, levels) in &found {
        let all: u64 = levels.values().sum();
        let filter = format!("{selector} |> `{text}`");
        assert_eq!(cluster.number(&format!("sum(count_over_time({filter} [2h]))")), all as f64);
        assert_eq!(cluster.lines(&filter).len() as u64, all, "{text}");
        for (level, lines) in levels {
            let of_level = format!("{filter} | detected_level=`{level}`");
            let number = cluster.number(&format!("sum(count_over_time({of_level} [2h]))"));
            assert_eq!(number, *lines as f64, "{text} {level}");
        }
        sum += all;
    }
    let texts: Vec<&String> = found.keys().collect();
    assert_eq!(sum, lines, "each line looks like one of {texts:?}");
    let login = r#"{"level":"info","msg":"user <_> logged in","id":<_>}"#;
    assert!(found.contains_key(login), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("lease of <_> lost")), "{texts:?}");
}

fn the_lines_of_a_pattern_are_those_that_it_finds(shape: Shape) {
    let site = Site::new(shape).with_config(ENABLED);
    let cluster = site.start();
    look_at_all_ages_of_lines(&cluster);
}

#[test]
fn patterns_of_two_ingesters_are_one_answer() {
    let site = Site::new(Shape::TwoIngesters).with_config(ENABLED);
    let cluster = site.start();
    look_at_all_ages_of_lines(&cluster);
}

fn look_at_all_ages_of_lines(cluster: &Cluster<'_>) {
    for app in 0..6 {
        cluster.push_lines(&format!("a{app}"), lines(0, 500));
    }
    all_agree(cluster, r#"{app=~"a.*"}"#, 3000);
    all_agree(cluster, r#"{app="a3"}"#, 500);
    cluster.flush();
    all_agree(cluster, r#"{app=~"a.*"}"#, 3000);
    // Some in parts, some in memory, some of these are there twice.
    for app in 0..6 {
        cluster.push_lines(&format!("a{app}"), lines(450, 700));
    }
    all_agree(cluster, r#"{app=~"a.*"}"#, 4200);
    cluster.flush();
    all_agree(cluster, r#"{app=~"a.*"}"#, 4200);
    all_agree(cluster, r#"{app="a5"}"#, 700);
    assert!(patterns(cluster, r#"{app="none"}"#).is_empty());
}

fn without_the_switch_there_are_none(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    cluster.push_lines("a", lines(0, 100));
    assert!(patterns(&cluster, r#"{app="a"}"#).is_empty());
}

fn patterns_are_those_of_the_tenants_who_are_asked_for(shape: Shape) {
    let site = Site::new(shape).with_config(ENABLED).with_tenants();
    let cluster = site.start();
    let tenants = ["left", "right"];
    for tenant in tenants {
        let lines = (0..50).map(|n| (START_NS + n * SECOND, format!("job {n} of {tenant} done")));
        let headers = [("Content-Type", "application/json"), ("X-Scope-OrgID", tenant)];
        let body = body_of("a", lines).to_string();
        let response = cluster.post("/loki/api/v1/push", &headers, body.as_bytes());
        assert_eq!(response.status, 204, "{}", response.text());
    }
    let ask = |tenant: &str, selector: &str| {
        let query = encode(selector);
        let target = format!("/loki/api/v1/patterns?query={query}&start={START_NS}&end={END_NS}");
        let headers = [("X-Scope-OrgID", tenant)];
        let response = cluster.connect().request("GET", &target, &headers, b"").expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let found = answer["data"].as_array().expect("patterns").clone();
        let mut texts: Vec<String> =
            found.iter().map(|p| p["pattern"].as_str().expect("a text").to_owned()).collect();
        texts.sort();
        texts
    };
    let of = |tenant: &str| format!("job <_> of {tenant} done");
    // In memory, then in parts.
    for _ in 0..2 {
        assert_eq!(ask("left", "{app=\"a\"}"), [of("left")]);
        assert_eq!(ask("right", "{app=\"a\"}"), [of("right")]);
        assert_eq!(ask("left|right", "{app=\"a\"}"), [of("left"), of("right")]);
        assert_eq!(ask("left|right", "{app=\"a\", __tenant_id__=\"right\"}"), [of("right")]);
        assert_eq!(ask("stranger", "{app=\"a\"}"), [] as [&str; 0]);
        cluster.flush();
    }
}
