//! The server that clients send to: one process on fixed ports that ends and comes back.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::http::encode;
use crate::process::{Process, binary, free_ports, wait_for};
use crate::records::START_MS;

const CONFIG: &str = "
auth_enabled: false
server:
  http_listen_address: 127.0.0.1
  grpc_listen_address: 127.0.0.1
common:
  path_prefix: data
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
limits_config:
  reject_old_samples: false
  max_query_length: 0s
  out_of_order_window: 0s
  max_entries_limit_per_query: 1000000
  ingestion_rate_mb: 10000
  ingestion_burst_size_mb: 10000
  per_stream_rate_limit: 10GB
  per_stream_rate_limit_burst: 10GB
";

/// How the server is made to end.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// SIGTERM.
    Asked,
    /// SIGKILL.
    Killed,
}

/// A server with a folder of its own.
pub struct Server {
    dir: TempDir,
    process: Option<Process>,
    ports: Vec<u16>,
    /// `host:port`, the same after each start.
    pub http: String,
    pub grpc: String,
}

impl Server {
    pub fn start() -> Server {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("runelog.yaml"), CONFIG).expect("configuration");
        let log = dir.path().join("server.log");
        let ports = free_ports(2);
        let process = Process::spawn(command(dir.path(), &ports), &log);
        process.wait_ready();
        let (http, grpc) = (process.http.clone(), process.grpc.clone());
        Server { dir, process: Some(process), ports, http, grpc }
    }

    /// A place for files, gone with the server.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the process; its ports are held meanwhile.
    pub fn shut(&mut self, ending: Ending) -> Door {
        let process = self.process.take().expect("it runs");
        match ending {
            Ending::Asked => assert!(process.terminate().success()),
            Ending::Killed => process.kill(),
        }
        Door { listeners: [&self.http, &self.grpc].map(|address| hold(address)) }
    }

    /// Starts it again where it was.
    pub fn open(&mut self, door: Door) {
        drop(door);
        let log = self.folder().join("server.log");
        // Somebody else's connection may have taken a port for a moment.
        wait_for("its ports are free", || {
            self.process = Process::try_spawn(command(self.dir.path(), &self.ports), &log);
            self.process.is_some()
        });
        self.process.as_ref().expect("started").wait_ready();
    }

    /// All lines of an application in the order of their time; each stream comes in that order.
    /// The OTLP attribute `service.name` is the label of senders that know no other.
    pub fn lines(&self, app: &str) -> Vec<String> {
        let process = self.process.as_ref().expect("it runs");
        let from = START_MS - 1_000;
        let query = encode(&format!(r#"{{service_name="{app}"}}"#));
        let target = format!(
            "/loki/api/v1/query_range?query={query}&start={from}000000\
             &limit=1000000&direction=forward"
        );
        let flags = [("X-Loki-Response-Encoding-Flags", "categorize-labels")];
        let mut connection = process.connect();
        let response = connection.request("GET", &target, &flags, b"").expect("an answer");
        assert_eq!(response.status, 200, "{:.300}", response.text());
        let answer = response.json();
        let mut rows: Vec<(u64, String)> = Vec::new();
        for stream in answer["data"]["result"].as_array().expect("streams") {
            let values = stream["values"].as_array().expect("values");
            let start = rows.len();
            rows.extend(values.iter().map(|value| {
                let ts_ns = value[0].as_str().and_then(|ts| ts.parse().ok()).expect("a timestamp");
                (ts_ns, value[1].as_str().expect("a line").to_owned())
            }));
            assert!(rows[start..].is_sorted_by_key(|row| row.0), "{}", stream["stream"]);
        }
        rows.sort_by_key(|row| row.0);
        rows.into_iter().map(|row| row.1).collect()
    }

    /// Returns when an application has that many lines. Gives up when no more come for long.
    pub fn wait_for_lines(&self, app: &str, count: usize) {
        let mut last = 0;
        while last < count {
            wait_for(&format!("more than {last} lines of {count} are there"), || {
                let now = self.count(app);
                std::mem::replace(&mut last, now) < now
            });
        }
    }

    /// How many lines an application has within half a day of the first record.
    fn count(&self, app: &str) -> usize {
        let process = self.process.as_ref().expect("it runs");
        let query = encode(&format!(r#"sum(count_over_time({{service_name="{app}"}}[1d]))"#));
        let time = START_MS + 43_200_000;
        let answer = process.get(&format!("/loki/api/v1/query?query={query}&time={time}000000"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let value = answer.json()["data"]["result"][0]["value"][1].clone();
        value.as_str().map_or(0, |count| count.parse().expect("a number"))
    }
}

fn command(dir: &Path, ports: &[u16]) -> Command {
    let mut command = Command::new(binary());
    command.arg("-config.file=runelog.yaml").current_dir(dir);
    command.arg(format!("-server.http-listen-port={}", ports[0]));
    command.arg(format!("-server.grpc-listen-port={}", ports[1]));
    command
}

/// The ports of a server that does not run.
pub struct Door {
    listeners: [TcpListener; 2],
}

impl Door {
    /// Waits until a client has come and was turned away.
    pub fn turn_one_away(&self) {
        wait_for("a client tries the door", || {
            self.listeners.iter().any(|listener| listener.accept().is_ok())
        });
    }
}

fn hold(address: &str) -> TcpListener {
    let mut listener = None;
    wait_for("the port is free", || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    let listener = listener.expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    listener
}
