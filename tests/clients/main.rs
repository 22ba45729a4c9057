//! Real clients, as their users install and configure them, through two restarts of the server.
//!
//! Each sends the same records: unicode, newlines, long lines. The server is told to end, later it
//! is killed; each time the client finds the door shut at least once before it opens again. Clients
//! that repeat what failed lose nothing; of the others everything acknowledged is there; all of it
//! once and in order. `cargo xtask test` installs the clients; one that is not installed is named
//! and skipped, but not under `CI`.

mod browser;
mod installed;
mod records;
mod script;
mod sender;
mod server;
mod syslog;

use runelog_tests::{http, process};

use installed::Client;
use records::Records;
use script::Script;
use sender::through_two_restarts;
use server::Server;

/// Runs a program that sends the records and checks what is there under `app`; the records that the
/// client did not get acknowledged may be missing. Returns those.
fn run(
    client: Client,
    program: &str,
    form: &str,
    app: &str,
    text_of: fn(&str) -> String,
) -> Vec<usize> {
    if !client.is_installed() {
        return Vec::new();
    }
    let records = Records::new();
    let mut server = Server::start();
    let mut script = Script::start(client, program, form, &server, &records);
    through_two_restarts(&mut server, &mut script);
    let lost = script.finish();
    eprintln!("{app}: {} of {} records were not acknowledged", lost.len(), records.len());
    records.check(&server.lines(app), &lost, text_of);
    assert!(!lost.contains(&(records.len() - 1)), "with the server up nothing is lost");
    lost
}

/// Of a client that repeats what failed.
fn run_without_loss(client: Client, program: &str, form: &str, app: &str) {
    let lost = run(client, program, form, app, str::to_owned);
    assert!(lost.is_empty(), "the client gave up {} records", lost.len());
}

#[test]
fn winston_loki_loses_nothing_as_json() {
    run_without_loss(Client::Node, "winston.js", "json", "winston-json");
}

#[test]
fn winston_loki_loses_nothing_as_protobuf() {
    run_without_loss(Client::Node, "winston.js", "protobuf", "winston-protobuf");
}

#[test]
fn what_pino_loki_got_acknowledged_is_there() {
    let message = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).expect("pino's JSON");
        line["msg"].as_str().expect("a message").to_owned()
    };
    run(Client::Node, "pino.js", "", "pino", message);
}

#[test]
fn what_python_logging_loki_got_acknowledged_is_there() {
    run(Client::Python, "python_logging.py", "1", "python-logging-1", str::to_owned);
}

#[test]
fn what_python_logging_loki_got_acknowledged_at_the_legacy_route_is_there() {
    run(Client::Python, "python_logging.py", "0", "python-logging-0", str::to_owned);
}

#[test]
fn the_opentelemetry_sdk_loses_nothing_over_http() {
    run_without_loss(Client::Python, "otlp.py", "http", "otlp-http");
}

#[test]
fn the_opentelemetry_sdk_loses_nothing_over_grpc() {
    run_without_loss(Client::Python, "otlp.py", "grpc", "otlp-grpc");
}

#[test]
fn syslog_ng_loses_nothing() {
    if !Client::SyslogNg.is_installed() {
        return;
    }
    let records = Records::new();
    let mut server = Server::start();
    let mut relay = syslog::Relay::start(&server, &records);
    through_two_restarts(&mut server, relay.sender());
    server.wait_for_lines("syslog-ng", records.len());
    records.check(&server.lines("syslog-ng"), &[], str::to_owned);
}

#[test]
fn a_page_in_a_browser_tails_every_line_once_and_in_order() {
    if !Client::Chromium.is_installed() {
        return;
    }
    let records = Records::new();
    let mut server = Server::start();
    let page = browser::Page::open(&server, "browser");
    let mut pusher = browser::pusher(&server, &records, "browser");
    through_two_restarts(&mut server, &mut pusher);
    let received = page.wait_for(records.len());
    records.check_texts(received.iter().map(String::as_str), &[]);
}
