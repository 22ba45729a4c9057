//! What a developer sees first, and how the process ends.

use std::process::Command;

use crate::harness::{
    END_NS, START_NS, Shape, Site, binary, body_of, in_one_and_in_separate_processes,
};
use crate::http::encode;
use crate::process::Process;

in_one_and_in_separate_processes!(
    sigterm_and_ctrl_c_end_with_zero_and_keep_every_line,
    what_was_pushed_is_found_by_every_query_path_before_and_after_a_flush,
);

#[test]
fn without_configuration_it_serves_from_the_current_folder_and_says_how_to_use_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command
        .args(["-server.http-listen-port=0", "-server.grpc-listen-port=0"])
        .current_dir(dir.path());
    let server = Process::spawn(command, &dir.path().join("log"));
    server.wait_ready();
    for address in [&server.http, &server.grpc] {
        assert!(address.starts_with("127.0.0.1:"), "{address}");
    }
    assert_eq!(server.get("/ready").text(), "ready\n");
    let said = server.greeting.clone();
    let log = std::fs::read_to_string(dir.path().join("log")).expect("log");
    for word in ["/loki/api/v1/push", "/loki/api/v1/query_range"] {
        assert!(said.contains(word) || log.contains(word), "{word} in\n{said}\n{log}");
    }
    let body = body_of("demo", [(START_NS, "hello".to_owned())]).to_string();
    let json = [("Content-Type", "application/json")];
    assert_eq!(server.post("/loki/api/v1/push", &json, body.as_bytes()).status, 204);
    let selector = encode(r#"{app="demo"}"#);
    let target = format!("/loki/api/v1/query_range?query={selector}&start={START_NS}&end={END_NS}");
    assert!(server.get(&target).text().contains("hello"));
    assert!(dir.path().join("data").is_dir());
    assert!(server.terminate().success());
}

fn sigterm_and_ctrl_c_end_with_zero_and_keep_every_line(shape: Shape) {
    let site = Site::new(shape);
    for (signal, line) in [("-TERM", "first"), ("-INT", "second")] {
        let server = site.start();
        server.push_lines("a", [(START_NS, line.to_owned())]);
        server.signal(signal);
        let status = server.wait();
        assert!(status.success(), "{signal}: {status}\n{}", site.log());
    }
    let server = site.start();
    assert_eq!(server.lines(r#"{app="a"}"#), ["first", "second"]);
}

#[test]
fn an_unknown_key_of_the_configuration_is_named_with_its_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, "auth_enabled: false\nserver:\n  http_listen_prot: 0\n").expect("file");
    let output = Command::new(binary())
        .arg(format!("-config.file={}", file.display()))
        .current_dir(dir.path())
        .output()
        .expect("run");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("http_listen_prot"), "{said}");
    assert!(said.contains("config.yaml") && said.contains('3'), "{said}");
}

fn what_was_pushed_is_found_by_every_query_path_before_and_after_a_flush(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    let lines = (0..100).map(|n| (START_NS + n * 1_000_000_000, format!("level=info n={n}")));
    server.push_lines("a", lines);
    for _ in 0..2 {
        assert_eq!(server.lines(r#"{app="a"} |= "n=7""#).len(), 11);
        assert_eq!(server.lines(r#"{app="a"} | logfmt | n > 97"#).len(), 2);
        assert_eq!(server.number(r#"sum(count_over_time({app="a"}[3h]))"#), 100.0);
        assert_eq!(server.number(r#"sum(rate({app="a"}[100s] offset 7101s))"#), 1.0);
        let window = format!("start={START_NS}&end={END_NS}");
        let labels = server.get(&format!("/loki/api/v1/labels?{window}")).json();
        assert_eq!(labels["data"], serde_json::json!(["app", "service_name"]));
        let values = server.get(&format!("/loki/api/v1/label/app/values?{window}")).json();
        assert_eq!(values["data"], serde_json::json!(["a"]));
        let series = server.get(&format!("/loki/api/v1/series?{window}")).json();
        assert_eq!(series["data"], serde_json::json!([{"app": "a", "service_name": "a"}]));
        server.flush();
    }
}

#[test]
fn the_command_line_lists_targets_and_asks_a_process_for_its_health() {
    let ask = |arguments: &[&str]| Command::new(binary()).args(arguments).output().expect("run");
    let list = ask(&["-list-targets"]);
    assert!(list.status.success());
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for target in ["all", "distributor", "ingester", "querier", "query-frontend", "compactor"] {
        assert!(list.lines().any(|line| line.starts_with(target)), "{target} in {list}");
    }
    let site = Site::new(Shape::One);
    let cluster = site.start();
    let url = format!("-health.url=http://{}/ready", cluster.push_address());
    assert!(ask(&["-health", &url]).status.success());
    cluster.kill();
    let dead = ask(&["-health", &url]);
    assert_eq!(dead.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&dead.stderr).contains("/ready"));
}
