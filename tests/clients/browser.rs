//! A page in headless Chromium that tails over a WebSocket, and who pushes what it tails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Connection, encode};
use crate::installed::program_path;
use crate::records::{Records, START_MS};
use crate::sender::{PATIENCE, Thread};
use crate::server::Server;

/// The browser asks nobody but its page's server and the one that is tailed.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// An open page. Dropping it kills its browser.
pub struct Page {
    child: Child,
    received: Receiver<Value>,
    _profile: TempDir,
}

impl Page {
    /// Opens it, and returns when it was asked for by the browser.
    pub fn open(server: &Server, app: &str) -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (report, received) = sync_channel(10_000);
        let serve = move || {
            while let Ok((stream, _)) = listener.accept() {
                let report = report.clone();
                base::task::thread("serves a page", move || drop(serve(stream, &report)))
                    .expect("a thread");
            }
        };
        base::task::thread("serves pages", serve).expect("a thread");
        let url = format!(
            "http://{address}/?server={}&query={}&start={START_MS}000000&limit=1000000",
            encode(&server.http),
            encode(&format!(r#"{{app="{app}"}}"#)),
        );
        let profile = tempfile::tempdir().expect("a temporary folder");
        let log = std::fs::File::create(server.folder().join("chromium.log")).expect("a log");
        let mut command = Command::new("chromium");
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("chromium starts");
        let page = Page { child, received, _profile: profile };
        let first = page.received.recv_timeout(PATIENCE).expect("the browser asks for the page");
        assert_eq!(first, Value::Null);
        page
    }

    /// The lines that the page received, once there are `count`.
    pub fn wait_for(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let Ok(report) = self.received.recv_timeout(PATIENCE) else {
                panic!("the page has {} of {count} lines", lines.len());
            };
            assert_eq!(report["trouble"], Value::Null);
            let new = report["lines"].as_array().expect("lines");
            lines.extend(new.iter().map(|line| line.as_str().expect("a line").to_owned()));
        }
        lines
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the requests of one connection: the page, and what the page reports. The first request
/// for the page is reported as null.
fn serve(stream: TcpStream, report: &SyncSender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut page = Vec::new();
        if request.starts_with("GET /?") {
            page = std::fs::read(program_path("tail.html"))?;
            let _ = report.send(Value::Null);
        } else if request.starts_with("POST /received") {
            let _ = report.send(serde_json::from_slice(&body)?);
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length";
        let out = reader.get_mut();
        write!(out, "{head}: {}\r\n\r\n", page.len())?;
        out.write_all(&page)?;
    }
}

/// Pushes line by line; what is not acknowledged is pushed again.
pub fn pusher(server: &Server, records: &Records, app: &str) -> Thread {
    let (address, app) = (server.http.clone(), app.to_owned());
    let mut connection = None;
    Thread::start(records, move |n, line| {
        let ts_ns = format!("{}000000", START_MS + n as i64);
        let values = json!([[ts_ns, line]]);
        let body = json!({"streams": [{"stream": {"app": app}, "values": values}]}).to_string();
        let json = [("Content-Type", "application/json")];
        loop {
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(&address) {
                    Ok(open) => open,
                    Err(_) => {
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                },
            };
            let answer = open.request("POST", "/loki/api/v1/push", &json, body.as_bytes());
            if let Ok(answer) = answer
                && answer.status == 204
            {
                connection = Some(open);
                return;
            }
        }
    })
}
