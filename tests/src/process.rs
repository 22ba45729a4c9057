//! Starts, signals and stops one process.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use crate::http::{Connection, Response};

/// The binary beside this test binary.
pub fn binary() -> PathBuf {
    let me = std::env::current_exe().expect("own path");
    let profile = me.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let binary = profile.join("runelog");
    assert!(binary.exists(), "{} is missing: build it first", binary.display());
    binary
}

/// Ports that nobody listens on. They lie below those that a system gives to connections: a process
/// that is away for a while finds its port free when it comes back.
pub fn free_ports(count: usize) -> Vec<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    let next = || start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = (0..COUNT).map(|_| next() as u16).filter(is_free).take(count);
    let ports: Vec<u16> = ports.collect();
    assert_eq!(ports.len(), count, "no free ports");
    ports
}

/// A running process with its addresses. Dropping it kills it.
pub struct Process {
    child: Child,
    /// Its HTTP port, `host:port`.
    pub http: String,
    /// Its gRPC port.
    pub grpc: String,
    /// What it printed before it listened.
    pub greeting: String,
    /// How it is talked to, if not in plain text.
    tls: Option<Arc<ClientConfig>>,
}

impl Process {
    /// Starts it; returns when it listens, which is before it is ready. `None` if it ended before.
    pub fn try_spawn(mut command: Command, log: &Path) -> Option<Process> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("start the server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut greeting = String::new();
        let (http, grpc) = loop {
            let Some(line) = lines.next() else {
                child.wait().expect("it ended");
                return None;
            };
            let line = line.expect("text");
            greeting.push_str(&line);
            greeting.push('\n');
            if let Some((_, rest)) = line.split_once("listening http=") {
                let (http, grpc) = rest.split_once(" grpc=").expect("both addresses");
                break (http.to_owned(), grpc.trim().to_owned());
            }
        };
        base::task::thread("drain stdout", move || lines.for_each(drop)).expect("a thread");
        Some(Process { child, http, grpc, greeting, tls: None })
    }

    /// [`Process::try_spawn`] that must succeed.
    pub fn spawn(command: Command, log: &Path) -> Process {
        let process = Process::try_spawn(command, log);
        let said = || std::fs::read_to_string(log).unwrap_or_default();
        process.unwrap_or_else(|| panic!("ended before it listened:\n{}", said()))
    }

    /// From now on it is talked to over TLS.
    pub fn over_tls(mut self, config: Option<Arc<ClientConfig>>) -> Process {
        self.tls = config;
        self
    }

    /// Waits until `/ready` answers 200.
    pub fn wait_ready(&self) {
        wait_for("ready", || self.try_get("/ready").is_some_and(|r| r.status == 200));
    }

    /// A connection to its HTTP port.
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("connect")
    }

    fn try_connect(&self) -> std::io::Result<Connection> {
        match &self.tls {
            None => Connection::open(&self.http),
            Some(config) => Connection::open_tls(&self.http, config.clone()),
        }
    }

    /// One GET on a connection of its own; `None` without an answer.
    pub fn try_get(&self, target: &str) -> Option<Response> {
        self.try_connect().ok()?.request("GET", target, &[], b"").ok()
    }

    /// One GET that must be answered.
    pub fn get(&self, target: &str) -> Response {
        self.try_get(target).unwrap_or_else(|| panic!("no answer to {target}"))
    }

    /// One POST that must be answered.
    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.connect().request("POST", target, headers, body).expect("an answer")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever held, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process lives");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
        kib * 1024
    }

    /// Sends it a signal, named as `kill` does: `-TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end of a process that was told to end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until `condition` holds; gives up loudly.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..4_800 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("never came to pass: {what}");
}
