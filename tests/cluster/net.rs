//! A network namespace per zone, joined by a bridge in one more; a zone can be cut off from the
//! others, while this process reaches all.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// Networks of zones. Dropping it removes them; who runs in them must have ended.
pub struct Net {
    /// The third byte of its addresses, and part of all names.
    number: u8,
    zones: usize,
}

/// Runs a command; an error is what it complained of.
fn run(line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = command.args(words).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn must(line: &str) {
    run(line).unwrap_or_else(|complaint| panic!("failed: {line}: {complaint}"));
}

/// Makes the namespace of a bridge and the link to it, unless one of them is there.
fn take(hub: &str) -> Result<(), String> {
    run(&format!("ip netns add {hub}"))?;
    let link = run(&format!("ip link add {hub} type veth peer name tests netns {hub}"));
    if link.is_err() {
        must(&format!("ip netns del {hub}"));
    }
    link
}

fn hub_of(number: u8) -> String {
    format!("runelog{number}")
}

impl Net {
    /// So many zones. Without root there are none, which on CI is a failure.
    pub fn build(zones: usize) -> Option<Net> {
        let first = std::process::id() as u8;
        let mut complaint = String::new();
        // A name that is taken is somebody else's.
        for number in (0..16).map(|n| first.wrapping_add(n)) {
            match take(&hub_of(number)) {
                Ok(()) => {
                    let net = Net { number, zones };
                    net.connect();
                    return Some(net);
                }
                Err(why) => complaint = why,
            }
        }
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make networks: {complaint}");
        eprintln!("skipped: cannot make networks without root: {complaint}");
        None
    }

    /// The namespace of the bridge.
    fn hub(&self) -> String {
        hub_of(self.number)
    }

    fn name(&self, zone: usize) -> String {
        format!("runelog{}z{zone}", self.number)
    }

    /// The address of a zone; 198.18.0.0/15 is for tests of networks (RFC 2544).
    pub fn host(&self, zone: usize) -> String {
        format!("198.18.{}.{}", self.number, zone + 2)
    }

    fn connect(&self) {
        let (hub, number) = (self.hub(), self.number);
        must(&format!("ip -n {hub} link add hub type bridge"));
        must(&format!("ip -n {hub} link set hub up"));
        must(&format!("ip -n {hub} link set tests master hub up"));
        must(&format!("ip addr add 198.18.{number}.1/24 dev {hub}"));
        must(&format!("ip link set {hub} up"));
        for zone in 0..self.zones {
            let (name, host) = (self.name(zone), self.host(zone));
            must(&format!("ip netns add {name}"));
            must(&format!("ip -n {hub} link add z{zone} type veth peer name eth0 netns {name}"));
            must(&format!("ip -n {hub} link set z{zone} master hub up"));
            must(&format!("ip -n {name} addr add {host}/24 dev eth0"));
            must(&format!("ip -n {name} link set eth0 up"));
            must(&format!("ip -n {name} link set lo up"));
        }
    }

    /// Runs a program in a zone.
    pub fn command(&self, zone: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(zone)]).arg(program);
        command
    }

    /// Nothing passes between this zone and the others any more, and nobody is told.
    pub fn cut(&self, zone: usize) {
        let name = self.name(zone);
        for other in (0..self.zones).filter(|&other| other != zone) {
            let host = self.host(other);
            must(&format!("ip netns exec {name} iptables -w -A INPUT -s {host} -j DROP"));
            must(&format!("ip netns exec {name} iptables -w -A OUTPUT -d {host} -j DROP"));
        }
    }

    /// All passes again.
    pub fn heal(&self, zone: usize) {
        must(&format!("ip netns exec {} iptables -w -F", self.name(zone)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // A namespace takes its links along some time after it is gone, and their names with them.
        let mut undo = vec![format!("ip link del {}", self.hub())];
        undo.extend((0..self.zones).map(|zone| format!("ip netns del {}", self.name(zone))));
        undo.push(format!("ip netns del {}", self.hub()));
        for line in undo {
            if let Err(complaint) = run(&line) {
                eprintln!("failed: {line}: {complaint}");
            }
        }
    }
}

#[test]
fn a_network_can_be_built_where_one_was_just_removed() {
    let Some(first) = Net::build(1) else { return };
    let number = first.number;
    drop(first);
    for _ in 0..8 {
        let again = Net::build(1).expect("as before");
        assert_eq!(again.number, number, "the name is free");
        // Nobody listens there, and says so.
        let answer = TcpStream::connect((again.host(0), 9)).expect_err("nobody listens");
        assert_eq!(answer.kind(), ErrorKind::ConnectionRefused, "{answer}");
    }
}
