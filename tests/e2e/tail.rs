//! Tails over a WebSocket: what was acknowledged is sent, once, whatever is restarted meanwhile.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tungstenite::handshake::client::generate_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::harness::{Cluster, Role, START_NS, Shape, Site, in_one_and_in_separate_processes};
use crate::http::encode;

in_one_and_in_separate_processes!(
    history_comes_first_and_then_every_line_once,
    late_lines_and_those_of_flushed_heads_are_sent_too,
    a_tenant_has_as_many_tails_as_it_may,
    what_cannot_be_tailed_is_refused_before_the_handshake,
    labels_come_by_origin_for_those_who_ask,
);

/// Pings after each other that say that nothing more will come; there is one a second.
const IDLE_PINGS: usize = 90;

/// One tail.
pub struct Tail {
    socket: WebSocket<TcpStream>,
    lines: Vec<String>,
    last: Value,
}

impl Tail {
    pub fn open(cluster: &Cluster<'_>, query: &str, rest: &str, headers: &[(&str, &str)]) -> Tail {
        let address = cluster.process(Role::Frontend).http.clone();
        let uri = format!("ws://{address}/loki/api/v1/tail?query={}{rest}", encode(query));
        let mut request = http::Request::get(uri)
            .header("host", &address)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(&address).expect("connected");
        // Nothing asserts it: a tail that says nothing fails its test in the end.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let request = request.body(()).expect("a request");
        let (socket, _) = tungstenite::client(request, stream).expect("a handshake");
        Tail { socket, lines: Vec::new(), last: Value::Null }
    }

    /// Reads frames until `count` lines have come in all, or nothing but pings comes for long.
    pub fn read(&mut self, count: usize) -> &[String] {
        let mut pings = 0;
        while self.lines.len() < count && pings < IDLE_PINGS {
            pings += 1;
            match self.socket.read().expect("a message") {
                Message::Text(text) => {
                    self.last = serde_json::from_str(&text).expect("a frame");
                    pings = 0;
                    let streams = self.last["streams"].as_array().expect("streams");
                    for stream in streams {
                        let values = stream["values"].as_array().expect("values");
                        assert_eq!(values.len(), 1, "each element is one line");
                        self.lines.push(values[0][1].as_str().expect("a line").to_owned());
                    }
                    assert!(self.last.get("dropped_entries").is_none(), "{}", self.last);
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        &self.lines
    }

    /// The code and the reason with which the server closes.
    fn closed(mut self) -> (CloseCode, String) {
        loop {
            match self.socket.read().expect("a message") {
                Message::Close(Some(close)) => return (close.code, close.reason.to_string()),
                Message::Ping(_) | Message::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn line(n: usize) -> (i64, String) {
    (START_NS + n as i64, format!("line {n}"))
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| line(n).1).collect()
}

/// Every expected line, once.
fn assert_each_once(got: &[String], expected: std::ops::Range<usize>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in got {
        *counts.entry(line).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "more than once: {doubled:?}");
    let missing: Vec<String> =
        lines(expected.clone()).into_iter().filter(|line| !counts.contains_key(&**line)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(got.len(), expected.len());
}

/// The rows of these tests are old, and so is the history that is asked for.
const LIMITS: &str = "limits_config:\n  reject_old_samples: false\n  max_query_length: 0s\n  \
     out_of_order_window: 0s\n";

const FROM: &str = "&start=1714550400000000000";

fn history_comes_first_and_then_every_line_once(shape: Shape) {
    let site = Site::new(shape).with_config(LIMITS);
    let cluster = site.start();
    cluster.push_lines("web", (0..20).map(line));
    cluster.flush();
    cluster.push_lines("web", (20..40).map(line));
    cluster.push_lines("other", (0..5).map(line));
    let mut tail =
        Tail::open(&cluster, r#"{app="web"} |= "line""#, &format!("{FROM}&limit=30"), &[]);
    assert_eq!(tail.read(30), lines(10..40));
    for n in 40..140 {
        cluster.push_lines("web", [line(n)]);
        if n % 25 == 0 {
            cluster.flush();
        }
    }
    assert_each_once(tail.read(130), 10..140);
}

fn late_lines_and_those_of_flushed_heads_are_sent_too(shape: Shape) {
    let site = Site::new(shape).with_config(LIMITS);
    let cluster = site.start();
    cluster.push_lines("web", [line(1000)]);
    let mut tail = Tail::open(&cluster, r#"{app="web"}"#, &format!("{FROM}&limit=1"), &[]);
    assert_eq!(tail.read(1), lines(1000..1001));
    // Older than history, of another day, and again as a client repeats it.
    cluster.push_lines("web", (0..3).map(line));
    cluster.push_lines("web", [(START_NS - 86_400_000_000_000, "line 3".to_owned())]);
    cluster.push_lines("web", (0..3).map(line));
    cluster.flush();
    cluster.push_lines("web", (0..3).map(line));
    cluster.push_lines("web", [line(4)]);
    let got = tail.read(6)[1..].to_vec();
    assert_each_once(&got, 0..5);
}

fn a_tenant_has_as_many_tails_as_it_may(shape: Shape) {
    let limits = format!("{LIMITS}  max_concurrent_tail_requests: 2\n");
    let site = Site::new(shape).with_config(&limits);
    let cluster = site.start();
    cluster.push_lines("web", [line(0)]);
    let open = || Tail::open(&cluster, r#"{app="web"}"#, FROM, &[]);
    let (mut one, mut two) = (open(), open());
    one.read(1);
    two.read(1);
    let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2)";
    assert_eq!(open().closed(), (CloseCode::Error, text.to_owned()));
    drop(one);
    // The server notices in its own time.
    cluster.wait_for("a place is free", || cluster.metric("loki_querier_tail_active") == Some(1.0));
    open().read(1);
}

fn what_cannot_be_tailed_is_refused_before_the_handshake(shape: Shape) {
    let site = Site::new(shape).with_config(LIMITS);
    let cluster = site.start();
    for (rest, text) in [
        ("query=%7B", "parse error at line 1, col 2"),
        ("query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", ""),
        ("query=%7Ba%3D%22b%22%7D&delay_for=6", "delay_for can't be greater than 5"),
        ("query=%7Ba%3D%22b%22%7D&delay_for=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("query=%7Ba%3D%22b%22%7D&limit=0", "limit must be a positive value"),
        ("query=%7Ba%3D%22b%22%7D&limit=6000000", "max entries limit per query exceeded"),
        ("query=%7Ba%3D%22b%22%7D", "Bad Request"),
    ] {
        for path in ["/loki/api/v1/tail", "/api/prom/tail"] {
            let response = cluster.get(&format!("{path}?{rest}"));
            assert_eq!(response.status, 400, "{rest} {}", response.text());
            assert!(response.text().starts_with(text), "{rest}: {}", response.text());
        }
    }
    assert_eq!(cluster.get("/loki/api/v2alpha/tail?query=%7B%7D").status, 404);
}

fn labels_come_by_origin_for_those_who_ask(shape: Shape) {
    let site = Site::new(shape).with_config(LIMITS);
    let cluster = site.start();
    let flags = [("X-Loki-Response-Encoding-Flags", "categorize-labels")];
    let mut tail = Tail::open(&cluster, r#"{app="web"} | logfmt"#, FROM, &flags);
    let values = serde_json::json!([[START_NS.to_string(), "a=1", {"trace": "t"}]]);
    let stream = serde_json::json!({"stream": {"app": "web"}, "values": values});
    assert_eq!(cluster.push(&serde_json::json!({"streams": [stream]})).status, 204);
    tail.read(1);
    assert_eq!(tail.last["encodingFlags"], serde_json::json!(["categorize-labels"]));
    let third = &tail.last["streams"][0]["values"][0][2];
    assert_eq!(third["parsed"], serde_json::json!({"a": "1"}));
    assert_eq!(third["structuredMetadata"]["trace"], "t");
}

/// Kills an ingester and a querier in turn while lines are pushed; what was acknowledged is sent.
#[test]
fn no_restart_of_ingesters_or_queriers_loses_or_doubles_a_line() {
    let site = Site::new(Shape::TwoIngesters).with_config(LIMITS);
    let mut cluster = site.start();
    let streams = 8;
    let mut next = 0;
    let mut push = |cluster: &Cluster<'_>, count: usize| {
        let mut acknowledged = 0;
        while acknowledged < count {
            let (ts_ns, text) = line(next);
            let body = crate::harness::body_of(&format!("web-{}", next % streams), [(ts_ns, text)]);
            // What is not acknowledged is pushed again: it may be there, and is one row.
            if cluster.push(&body).status == 204 {
                next += 1;
                acknowledged += 1;
            }
        }
        next
    };
    // History may show what comes while it is read: no limit cuts it.
    let mut tail = Tail::open(&cluster, r#"{app=~"web-.*"}"#, &format!("{FROM}&limit=5000"), &[]);
    let mut pushed = push(&cluster, 50);
    for round in 0..4 {
        let role = [Role::Ingester(0), Role::Querier, Role::Ingester(1), Role::Ingester(0)][round];
        let process = cluster.take(role);
        let grpc = process.grpc.clone();
        process.kill();
        cluster.start_again(role, &grpc);
        pushed = push(&cluster, 50);
        if round == 1 {
            cluster.flush();
        }
    }
    assert_each_once(tail.read(pushed), 0..pushed);
}

/// Nobody asks while lines are pushed and flushed and every ingester ends: only parts have them.
#[test]
fn what_ended_ingesters_had_flushed_is_sent_from_the_parts() {
    let site = Site::new(Shape::TwoIngesters).with_config(LIMITS);
    let mut cluster = site.start();
    let push = |cluster: &Cluster<'_>, range: std::ops::Range<usize>| {
        for n in range {
            let body = crate::harness::body_of(&format!("web-{}", n % 8), [line(n)]);
            cluster.wait_for("it is acknowledged", || cluster.push(&body).status == 204);
        }
    };
    push(&cluster, 0..10);
    let mut tail = Tail::open(&cluster, r#"{app=~"web-.*"}"#, &format!("{FROM}&limit=5000"), &[]);
    assert_each_once(tail.read(10), 0..10);
    for round in 1..3 {
        let querier = cluster.take(Role::Querier);
        let address = querier.grpc.clone();
        querier.kill();
        push(&cluster, round * 40 - 30..round * 40);
        cluster.flush();
        for at in 0..2 {
            let process = cluster.take(Role::Ingester(at));
            let grpc = process.grpc.clone();
            process.kill();
            cluster.start_again(Role::Ingester(at), &grpc);
        }
        push(&cluster, round * 40..round * 40 + 10);
        cluster.start_again(Role::Querier, &address);
        let count = round * 40 + 10;
        assert_each_once(tail.read(count), 0..count);
    }
}
