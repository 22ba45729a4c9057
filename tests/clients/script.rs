//! A program of `programs/` that sends the records with a client's library.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use crate::installed::Client;
use crate::records::{Records, START_MS};
use crate::sender::{PATIENCE, Sender};
use crate::server::Server;

/// The running program. Dropping it kills it.
pub struct Script {
    child: Child,
    said: Receiver<String>,
    log: PathBuf,
}

impl Script {
    pub fn start(
        client: Client,
        program: &str,
        form: &str,
        server: &Server,
        records: &Records,
    ) -> Script {
        let (file, log) =
            (server.folder().join("records.json"), server.folder().join("client.log"));
        std::fs::write(&file, records.as_json()).expect("records");
        let mut command = client.command(program);
        command
            .env("RECORDS", &file)
            .env("START_MS", START_MS.to_string())
            .env("FORM", form)
            .env("RUNELOG_URL", format!("http://{}", server.http))
            .env("RUNELOG_GRPC", &server.grpc)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"));
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (say, said) = sync_channel(1_000);
        let listen = move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| say.send(line).is_ok()) {}
        };
        base::task::thread("listens to a client", listen).expect("a thread");
        Script { child, said, log }
    }

    /// The next word that is one of the program's own; libraries may print what they like.
    fn hear(&self, word: &str) -> String {
        loop {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("the client never said {word:?}:\n{log:.10000}");
            };
            match line.strip_prefix(word) {
                Some(rest) => return rest.to_owned(),
                None => eprintln!("client: {line:.300}"),
            }
        }
    }

    /// Waits for its end; the records that it did not get acknowledged.
    pub fn finish(mut self) -> Vec<usize> {
        let lost = self.hear("lost ");
        let end = self.child.wait().expect("it ends");
        assert!(end.success(), "{end}");
        serde_json::from_str(&lost).expect("numbers")
    }
}

impl Sender for Script {
    fn begin(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(b"go\n").expect("it listens");
    }

    fn wait(&mut self) {
        self.hear("sent");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
