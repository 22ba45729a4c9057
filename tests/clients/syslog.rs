//! syslog-ng between a sender of syslog messages and the server.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use chrono::DateTime;

use crate::installed::program_path;
use crate::process::{free_ports, wait_for};
use crate::records::{Records, START_MS};
use crate::sender::{Sender, Thread};
use crate::server::Server;

/// A running syslog-ng and who sends to it. Dropping it kills it.
pub struct Relay {
    child: Child,
    sender: Thread,
}

impl Relay {
    pub fn start(server: &Server, records: &Records) -> Relay {
        let mut relay = None;
        // Somebody may take the port between its being free and its being taken.
        wait_for("syslog-ng listens", || {
            relay = Relay::try_start(server);
            relay.is_some()
        });
        let (child, mut stream) = relay.expect("started");
        let sender = Thread::start(records, move |n, line| {
            let time = DateTime::from_timestamp_millis(START_MS + n as i64).expect("a time");
            let time = time.format("%Y-%m-%dT%H:%M:%S%.6fZ");
            let message = format!("<14>1 {time} host clients - {n} - {line}");
            let frame = format!("{} {message}", message.len());
            stream.write_all(frame.as_bytes()).expect("syslog-ng reads");
        });
        Relay { child, sender }
    }

    fn try_start(server: &Server) -> Option<(Child, TcpStream)> {
        let port = free_ports(1)[0];
        let config =
            std::fs::read_to_string(program_path("syslog-ng.conf")).expect("configuration");
        let config = config
            .replace("`PORT`", &port.to_string())
            .replace("`URL`", &format!("http://{}", server.http));
        let file = server.folder().join("syslog-ng.conf");
        std::fs::write(&file, config).expect("configuration");
        let log = std::fs::File::create(server.folder().join("syslog-ng.log")).expect("a log");
        let mut command = Command::new("syslog-ng");
        command.args(["--foreground", "--no-caps", "--stderr", "-f"]).arg(&file);
        for (flag, name) in [("-R", "persist"), ("-p", "pid"), ("-c", "control")] {
            command.arg(flag).arg(server.folder().join(name));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("syslog-ng starts");
        let mut stream = None;
        let mut has_ended = false;
        wait_for("syslog-ng listens or ends", || {
            stream = TcpStream::connect(("127.0.0.1", port)).ok();
            has_ended = child.try_wait().expect("a child").is_some();
            stream.is_some() || has_ended
        });
        stream.filter(|_| !has_ended).map(|stream| (child, stream))
    }

    pub fn sender(&mut self) -> &mut dyn Sender {
        &mut self.sender
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
