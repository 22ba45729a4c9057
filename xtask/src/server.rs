//! A server process of our own, stopped when it goes out of scope.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::target_dir;

/// A running `runelog` with its address.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Server {
    /// Starts the release binary with a configuration file and waits until it is ready.
    pub fn start(config: &Path, log: &Path) -> Result<Server> {
        let binary = target_dir().join("release/runelog");
        if !binary.exists() {
            bail!("{} is missing: cargo build --release", binary.display());
        }
        let mut command = Command::new(&binary);
        command.arg(format!("-config.file={}", config.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(log)?);
        let mut child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            match lines.next() {
                Some(line) => {
                    if let Some(address) = listening(&line?) {
                        break address;
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
        let server = Server { child, address };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&self) -> Result<()> {
        for _ in 0..600 {
            if self.get("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        bail!("http://{}/ready never answered 200", self.address)
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By id of the one process started here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the interface line `listening http=ADDR ...`.
fn listening(line: &str) -> Option<String> {
    let rest = line.split_once("listening http=")?.1;
    Some(rest.split_whitespace().next()?.to_owned())
}
