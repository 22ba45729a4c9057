//! A server process of our own, stopped when it goes out of scope.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::target_dir;

/// A running `runelog` with its addresses.
pub struct Server {
    child: Child,
    /// Its HTTP port, `127.0.0.1:PORT`.
    pub http: String,
    /// Its gRPC port.
    pub grpc: String,
}

impl Server {
    /// Starts the release binary with a configuration file. Returns when it listens, which is
    /// before it is ready.
    pub fn start(config: &Path, log: &Path, env: &[(&str, &str)]) -> Result<Server> {
        Server::spawn(config, log, |command| command.envs(env.iter().copied()))
    }

    /// The same, out of reach of a Ctrl-C that is meant for this program: it decides who stops when.
    pub fn start_apart(config: &Path, log: &Path) -> Result<Server> {
        use std::os::unix::process::CommandExt;
        Server::spawn(config, log, |command| command.process_group(0))
    }

    fn spawn(
        config: &Path,
        log: &Path,
        adapt: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Server> {
        let binary = target_dir().join("release/runelog");
        if !binary.exists() {
            bail!("{} is missing: cargo build --release", binary.display());
        }
        let mut command = Command::new(&binary);
        adapt(command.arg(format!("-config.file={}", config.display())));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(log)?);
        let mut child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let (http, grpc) = loop {
            match lines.next() {
                Some(line) => {
                    if let Some(addresses) = listening(&line?) {
                        break addresses;
                    }
                }
                None => {
                    let _ = child.wait();
                    let said = std::fs::read_to_string(log).unwrap_or_default();
                    bail!("the server ended before it listened:\n{said}");
                }
            }
        };
        // The pipe must stay drained, or the server blocks on it.
        std::thread::Builder::new().spawn(move || lines.for_each(drop))?;
        Ok(Server { child, http, grpc })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, then waits for its end, which must be a good one.
    pub fn terminate(mut self) -> Result<()> {
        use std::os::unix::process::CommandExt;
        let mut kill = Command::new("kill");
        // A second Ctrl-C must not end what carries out the first.
        let told = kill.args(["-TERM", &self.pid().to_string()]).process_group(0).status()?;
        let ended = self.child.wait()?;
        if !told.success() || !ended.success() {
            bail!("process {}: {ended}", self.pid());
        }
        Ok(())
    }

    /// Returns when `/ready` answers 200.
    pub fn wait_ready(&self) -> Result<()> {
        poll(&format!("http://{}/ready answers 200", self.http), || {
            Ok(self.request("GET", "/ready", "", b"").is_ok_and(|answer| answer.status == 200))
        })
    }

    /// One request on a connection of its own. `headers` are whole lines.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let mut stream = TcpStream::connect(&self.http)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
             Content-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Answer { status: status.context("no status line")?, text })
    }

    /// Sum over the label sets of a metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = self.request("GET", "/metrics", "", b"")?.text;
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with(' ') || rest.starts_with('{');
            is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
        });
        values.reduce(|a, b| a + b).with_context(|| format!("no metric {name}"))
    }
}

/// Ports that nobody listens on. They lie below those that a system gives to connections: a process
/// that is away for a while finds its port free when it comes back.
pub fn free_ports(count: usize) -> Vec<u16> {
    let start = std::process::id() as u16 % 20_000;
    let ports = (0..20_000).map(|n| 10_000 + (start + n) % 20_000);
    ports.filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).take(count).collect()
}

/// What a server answered: status, and head and body as text.
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // By id of the one process started here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until `condition` holds; half a minute is far above what any start or flush takes.
pub fn poll(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if condition()? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    bail!("never came to pass: {what}")
}

/// The addresses in the interface line `listening http=ADDR grpc=ADDR`.
fn listening(line: &str) -> Option<(String, String)> {
    let rest = line.split_once("listening http=")?.1;
    let (http, grpc) = rest.split_once(" grpc=")?;
    Some((http.to_owned(), grpc.split_whitespace().next()?.to_owned()))
}
