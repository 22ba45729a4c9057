//! Starts, signals and stops one server process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Connection, Response, encode};

/// First timestamp of test data: 2024-05-01 10:00:00 UTC.
pub const START_NS: i64 = 1_714_557_600_000_000_000;
/// 2024-05-01 12:00:00 UTC.
pub const END_NS: i64 = START_NS + 7_200_000_000_000;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A folder with a configuration; servers come and go on it.
pub struct Site {
    dir: TempDir,
    data: PathBuf,
    extra: String,
}

impl Site {
    pub fn new() -> Site {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data");
        Site { dir, data, extra: String::new() }
    }

    /// Local state and bucket lie elsewhere than in the site's own folder.
    pub fn with_data(mut self, data: &Path) -> Site {
        self.data = data.to_owned();
        self
    }

    /// More YAML, appended to the configuration: whole top-level blocks.
    pub fn with_config(mut self, extra: &str) -> Site {
        self.extra = extra.to_owned();
        self
    }

    pub fn bucket(&self) -> PathBuf {
        self.data.join("bucket")
    }

    pub fn wal(&self) -> PathBuf {
        self.data.join("wal")
    }

    fn config(&self) -> String {
        let (data, bucket) = (self.data.display(), self.bucket().display().to_string());
        let limits = if self.extra.contains("limits_config:") { "" } else { LIMITS };
        format!(
            "auth_enabled: false\n\
             server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n\
             common:\n  path_prefix: {data}\n  replication_factor: 1\n\
             \x20 storage:\n    filesystem:\n      chunks_directory: {bucket}\n\
             \x20 ring:\n    kvstore:\n      store: inmemory\n\
             {limits}{}",
            self.extra
        )
    }

    /// Starts a server here and waits until it is ready. The site must outlive it: its folder goes
    /// with it.
    pub fn start(&self) -> Server {
        std::fs::create_dir_all(&self.data).expect("data folder");
        let file = self.dir.path().join("config.yaml");
        std::fs::write(&file, self.config()).expect("configuration");
        let mut command = Command::new(binary());
        command.arg(format!("-config.file={}", file.display())).current_dir(self.dir.path());
        Server::spawn(command, &self.dir.path().join("server.log"))
    }

    /// What all servers of this site said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }
}

/// Old rows are welcome, and a query may return everything.
const LIMITS: &str = "limits_config:\n  reject_old_samples: false\n  \
     max_entries_limit_per_query: 1000000\n  ingestion_rate_mb: 10000\n  \
     ingestion_burst_size_mb: 10000\n  per_stream_rate_limit: 10GB\n  \
     per_stream_rate_limit_burst: 10GB\n  max_query_series: 100000\n  \
     max_global_streams_per_user: 0\n";

/// The release binary beside this test binary.
pub fn binary() -> PathBuf {
    let me = std::env::current_exe().expect("own path");
    let profile = me.parent().and_then(Path::parent).expect("target/PROFILE/deps/e2e");
    let binary = profile.join("runelog");
    assert!(binary.exists(), "{} is missing: build it first", binary.display());
    binary
}

/// A running server. Dropping it kills the process.
pub struct Server {
    child: Child,
    pub address: String,
    /// What it printed before it was ready.
    pub greeting: String,
}

impl Server {
    pub fn spawn(mut command: Command, log: &Path) -> Server {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("start the server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut greeting = String::new();
        let address = loop {
            let line = match lines.next() {
                Some(line) => line.expect("text"),
                None => panic!("ended before it listened: {:?}", child.wait()),
            };
            greeting.push_str(&line);
            greeting.push('\n');
            if let Some((_, rest)) = line.split_once("listening http=") {
                break rest.split_whitespace().next().expect("an address").to_owned();
            }
        };
        base::task::thread("drain stdout", move || lines.for_each(drop)).expect("a thread");
        let server = Server { child, address, greeting };
        server.wait_for("ready", || server.try_get("/ready").is_some_and(|r| r.status == 200));
        server
    }

    /// Polls until `condition` holds; gives up loudly.
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..1_200 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("never came to pass: {what}");
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.address).expect("connect")
    }

    pub fn try_get(&self, target: &str) -> Option<Response> {
        Connection::open(&self.address).ok()?.request("GET", target, &[], b"").ok()
    }

    pub fn get(&self, target: &str) -> Response {
        self.try_get(target).unwrap_or_else(|| panic!("no answer to {target}"))
    }

    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.connect().request("POST", target, headers, body).expect("an answer")
    }

    pub fn push(&self, body: &Value) -> Response {
        self.post("/loki/api/v1/push", &[JSON], body.to_string().as_bytes())
    }

    /// Pushes that must succeed.
    pub fn push_lines(&self, app: &str, lines: impl IntoIterator<Item = (i64, String)>) {
        let response = self.push(&body_of(app, lines));
        assert_eq!(response.status, 204, "{}", response.text());
    }

    /// All lines of a selector over the test's two hours, oldest first.
    pub fn lines(&self, query: &str) -> Vec<String> {
        let response = self.query_range(query);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let streams = answer["data"]["result"].as_array().expect("a result").clone();
        let values = streams.iter().flat_map(|s| s["values"].as_array().expect("values").clone());
        values.map(|value| value[1].as_str().expect("a line").to_owned()).collect()
    }

    pub fn query_range(&self, query: &str) -> Response {
        self.get(&format!(
            "/loki/api/v1/query_range?query={}&start={START_NS}&end={END_NS}&limit=1000000&direction=forward",
            encode(query)
        ))
    }

    /// The value of an instant query with at most one series; 0 without any.
    pub fn number(&self, query: &str) -> f64 {
        let target = format!("/loki/api/v1/query?query={}&time={END_NS}", encode(query));
        let response = self.get(&target);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let result = answer["data"]["result"].as_array().expect("a vector").clone();
        assert!(result.len() < 2, "{answer}");
        result.first().map_or(0.0, |series| {
            series["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number")
        })
    }

    /// Sum over all label sets of a metric; `None` when it is not exposed.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sum_of(&self.get("/metrics").text(), name)
    }

    /// Flushes and waits until nothing is unflushed.
    pub fn flush(&self) {
        let response = self.post("/flush", &[], b"");
        assert_eq!(response.status, 204, "{}", response.text());
        self.wait_for("everything is flushed", || {
            self.metric("runelog_ingester_unflushed_bytes") == Some(0.0)
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory now, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process lives");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
        kib * 1024
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits for the end of a process that was told to end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A push body of one stream.
pub fn body_of(app: &str, lines: impl IntoIterator<Item = (i64, String)>) -> Value {
    let values: Vec<Value> = lines
        .into_iter()
        .map(|(ts_ns, line)| serde_json::json!([ts_ns.to_string(), line]))
        .collect();
    serde_json::json!({"streams": [{"stream": {"app": app}, "values": values}]})
}

/// Sum over all label sets of a metric in an exposition text.
pub fn sum_of(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|a, b| a + b)
}
