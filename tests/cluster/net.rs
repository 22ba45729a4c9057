//! A network namespace per zone, joined by a bridge in one more; a zone can be cut off from the
//! others, while this process reaches all.

use std::path::Path;
use std::process::{Command, Stdio};

/// Networks of zones. Dropping it removes them; who runs in them must have ended.
pub struct Net {
    /// The third byte of its addresses, and part of all names.
    number: u8,
    zones: usize,
}

fn runs(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn must(line: &str) {
    assert!(runs(line), "failed: {line}");
}

impl Net {
    /// So many zones. Without root there are none, which on CI is a failure.
    pub fn build(zones: usize) -> Option<Net> {
        let first = std::process::id() as u8;
        let free = (0..=u8::MAX).map(|n| first.wrapping_add(n));
        // A name that is taken is somebody else's.
        let number = free.into_iter().take(16).find(|n| runs(&format!("ip netns add runelog{n}")));
        let Some(number) = number else {
            assert!(std::env::var_os("CI").is_none(), "CI must be able to make networks");
            eprintln!("skipped: cannot make networks without root");
            return None;
        };
        let net = Net { number, zones };
        net.connect();
        Some(net)
    }

    /// The namespace of the bridge.
    fn hub(&self) -> String {
        format!("runelog{}", self.number)
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
        must(&format!("ip link add {hub} type veth peer name tests netns {hub}"));
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
            must(&format!("ip netns exec {name} iptables -A INPUT -s {host} -j DROP"));
            must(&format!("ip netns exec {name} iptables -A OUTPUT -d {host} -j DROP"));
        }
    }

    /// All passes again.
    pub fn heal(&self, zone: usize) {
        must(&format!("ip netns exec {} iptables -F", self.name(zone)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for zone in 0..self.zones {
            runs(&format!("ip netns del {}", self.name(zone)));
        }
        runs(&format!("ip netns del {}", self.hub()));
    }
}
