//! The processes of a cluster over one bucket: started, broken, mended and looked at one by one.

use std::path::{Path, PathBuf};
use std::process::Command;

use runelog_tests::http::{Connection, Response};
use runelog_tests::process::{Process, binary, free_ports, wait_for};
use runelog_tests::{LIMITS, sum_of};
use serde_json::Value;
use tempfile::TempDir;

use crate::net::Net;

/// Name, target and zone of a process.
type Member = (&'static str, &'static str, usize);

/// Three zones with all there is, two of what answers clients.
const THREE: [Member; 7] = [
    ("ingester-a", "ingester", 0),
    ("ingester-b", "ingester", 1),
    ("ingester-c", "ingester", 2),
    ("distributor-a", "distributor", 0),
    ("distributor-b", "distributor", 1),
    ("querier-a", "query-frontend,querier,compactor", 0),
    ("querier-b", "query-frontend,querier", 1),
];

/// How a cluster is made.
#[derive(Default)]
pub struct Plan {
    /// Ingesters beside the three, by name and zone. They run from the start on.
    pub more: Vec<(&'static str, usize)>,
    /// Ingesters of the three that run from the start on; 0 is all.
    pub first: usize,
    /// Whether rows are flushed all the time, or stay in memory and log.
    pub flushes: bool,
    /// Copies of a row; 0 leaves it to the ring.
    pub factor: u8,
    /// Zones are networks of their own.
    pub net: Option<Net>,
    /// The state of the last of the three ingesters is here.
    pub disk: Option<PathBuf>,
    /// Those who wait for nobody longer than seconds.
    pub hasty: Vec<&'static str>,
}

struct Node {
    name: &'static str,
    target: &'static str,
    zone: usize,
    host: String,
    http: u16,
    grpc: u16,
    state: PathBuf,
    process: Option<Process>,
    /// It was told to stand still.
    is_stopped: bool,
}

/// Running processes. Dropping it kills them; if a test failed, what they wrote stays.
pub struct Cluster {
    nodes: Vec<Node>,
    flushes: bool,
    factor: u8,
    hasty: Vec<&'static str>,
    net: Option<Net>,
    dir: Option<TempDir>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("configurations and logs are in {}", dir.keep().display());
        }
    }
}

impl Plan {
    /// Three copies in three zones.
    pub fn three() -> Plan {
        Plan { factor: 3, ..Plan::default() }
    }

    /// The same, with flushes all the time.
    pub fn three_that_flush() -> Plan {
        Plan { flushes: true, ..Plan::three() }
    }

    /// Starts the processes; returns when all are ready and see all ingesters.
    pub fn start(self) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let more = self.more.iter().map(|&(name, zone)| (name, "ingester", zone));
        let members: Vec<Member> = THREE.into_iter().chain(more).collect();
        let ports = free_ports(members.len() * 2);
        let host = |zone| self.net.as_ref().map_or("127.0.0.1".to_owned(), |net| net.host(zone));
        let node = |(number, &(name, target, zone)): (usize, &Member)| Node {
            name,
            target,
            zone,
            host: host(zone),
            http: ports[number * 2],
            grpc: ports[number * 2 + 1],
            state: match &self.disk {
                Some(disk) if name == "ingester-c" => disk.join(name),
                _ => dir.path().join(name),
            },
            process: None,
            is_stopped: false,
        };
        let nodes: Vec<Node> = members.iter().enumerate().map(node).collect();
        let (flushes, factor, hasty) = (self.flushes, self.factor, self.hasty);
        let mut cluster = Cluster { nodes, flushes, factor, hasty, net: self.net, dir: Some(dir) };
        let first = if self.first == 0 { usize::MAX } else { self.first };
        let late: Vec<&str> = cluster.ingesters().into_iter().skip(first).collect();
        let members: Vec<&str> = members.iter().map(|member| member.0).collect();
        for name in members.iter().filter(|name| !late.contains(name)) {
            cluster.spawn(name);
        }
        cluster.wait_whole();
        cluster
    }
}

impl Cluster {
    fn at(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    fn process(&self, name: &str) -> &Process {
        self.nodes[self.at(name)].process.as_ref().expect("it runs")
    }

    fn dir(&self) -> &Path {
        self.dir.as_ref().expect("there until it is dropped").path()
    }

    fn named(&self, target: &str) -> impl Iterator<Item = &Node> {
        let parts = move |node: &&Node| node.target.split(',').any(|part| part == target);
        self.nodes.iter().filter(parts)
    }

    /// Names of the ingesters, running or not.
    pub fn ingesters(&self) -> Vec<&'static str> {
        self.named("ingester").map(|node| node.name).collect()
    }

    /// Names of those that answer clients.
    pub fn distributors_and_queriers(&self) -> Vec<&'static str> {
        let others = self.nodes.iter().filter(|node| node.target != "ingester");
        others.map(|node| node.name).collect()
    }

    /// Names of all processes.
    pub fn names(&self) -> Vec<&'static str> {
        self.nodes.iter().map(|node| node.name).collect()
    }

    /// Where pushes go.
    pub fn distributors(&self) -> Vec<String> {
        self.named("distributor").map(|node| format!("{}:{}", node.host, node.http)).collect()
    }

    /// Where queries go.
    pub fn frontends(&self) -> Vec<String> {
        self.named("query-frontend").map(|node| format!("{}:{}", node.host, node.http)).collect()
    }

    /// How the others call it.
    pub fn grpc_of(&self, name: &str) -> String {
        let node = &self.nodes[self.at(name)];
        format!("{}:{}", node.host, node.grpc)
    }

    fn config(&self, node: &Node) -> PathBuf {
        std::fs::create_dir_all(&node.state).expect("a folder");
        let join: Vec<String> = self
            .named("ingester")
            .map(|ingester| format!("\"{}:{}\"", ingester.host, ingester.grpc))
            .collect();
        let factor = match self.factor {
            0 => String::new(),
            factor => format!("\x20 replication_factor: {factor}\n"),
        };
        let flushes = match self.flushes {
            true => "ingester: {flush_bytes: 256KB, flush_check_period: 500ms}\n",
            false => "",
        };
        let (calls, queries) = match self.hasty.contains(&node.name) {
            true => ("ingester_client: {remote_timeout: 1s}\n", "\x20 query_timeout: 8s\n"),
            false => ("", ""),
        };
        let (host, state) = (&node.host, node.state.display());
        let text = format!(
            "target: \"{}\"\nauth_enabled: false\n\
             server:\n  http_listen_address: {host}\n  http_listen_port: {}\n\
             \x20 grpc_listen_address: {host}\n  grpc_listen_port: {}\n\
             common:\n  path_prefix: {state}\n{factor}\
             \x20 storage:\n    filesystem:\n      chunks_directory: {}\n\
             ring:\n  instance_id: {}\n  instance_zone: zone-{}\n  join: [{}]\n\
             {flushes}{calls}{LIMITS}{queries}",
            node.target,
            node.http,
            node.grpc,
            self.dir().join("bucket").display(),
            node.name,
            node.zone,
            join.join(", "),
        );
        let file = self.dir().join(format!("{}.yaml", node.name));
        std::fs::write(&file, text).expect("configuration");
        file
    }

    /// Starts a process, and waits neither for it nor for the others.
    pub fn spawn(&mut self, name: &str) {
        let at = self.at(name);
        let node = &self.nodes[at];
        let file = self.config(node);
        let log = self.dir().join(format!("{name}.log"));
        let mut process = None;
        // Its port may be taken for a moment.
        wait_for("its port is free", || {
            let mut command = match &self.net {
                None => Command::new(binary()),
                Some(net) => net.command(node.zone, &binary()),
            };
            command.arg(format!("-config.file={}", file.display()));
            process = Process::try_spawn(command, &log);
            process.is_some()
        });
        self.nodes[at].process = process;
    }

    /// SIGKILL.
    pub fn kill(&mut self, name: &str) {
        let at = self.at(name);
        self.nodes[at].process.take().expect("it runs").kill();
    }

    /// SIGTERM, and its end, which must be a good one.
    pub fn terminate(&mut self, name: &str) {
        let at = self.at(name);
        let ended = self.nodes[at].process.take().expect("it runs").terminate();
        assert!(ended.success(), "{name}: {ended}\n{}", self.log_of(name));
    }

    /// Tells an ingester to flush, leave the ring and end; returns when it has.
    pub fn shut_down(&mut self, name: &str) {
        let at = self.at(name);
        let process = self.nodes[at].process.take().expect("it runs");
        assert_eq!(process.post("/ingester/shutdown", &[], b"").status, 204);
        let ended = process.wait();
        assert!(ended.success(), "{name}: {ended}\n{}", self.log_of(name));
    }

    /// SIGSTOP: it stands still, and its connections stay open.
    pub fn stop(&mut self, name: &str) {
        self.process(name).signal("-STOP");
        let at = self.at(name);
        self.nodes[at].is_stopped = true;
    }

    /// SIGCONT.
    pub fn go_on(&mut self, name: &str) {
        self.process(name).signal("-CONT");
        let at = self.at(name);
        self.nodes[at].is_stopped = false;
    }

    /// Gives a process that does not run another port.
    pub fn move_to_another_port(&mut self, name: &str) {
        let at = self.at(name);
        assert!(self.nodes[at].process.is_none(), "{name} runs");
        self.nodes[at].grpc = free_ports(1)[0];
    }

    /// What configurations of processes that start from now on say.
    pub fn set_factor(&mut self, factor: u8) {
        self.factor = factor;
    }

    /// The network between zones.
    pub fn net(&self) -> &Net {
        self.net.as_ref().expect("this cluster has networks")
    }

    fn awake(&self) -> impl Iterator<Item = (&Node, &Process)> {
        let awake = self.nodes.iter().filter(|node| !node.is_stopped);
        awake.filter_map(|node| Some((node, node.process.as_ref()?)))
    }

    /// Waits until all that run are ready, see all ingesters that run and are not stopped, and agree
    /// on how many copies of a row there are.
    pub fn wait_whole(&self) {
        for (_, process) in self.awake() {
            process.wait_ready();
        }
        let ingesters = self.awake().filter(|(node, _)| node.target == "ingester").count();
        let names = self.names();
        let sees_all = |name: &str| {
            let Some(view) = self.view(name) else { return false };
            let shards = view["shards"].as_array().cloned().unwrap_or_default();
            let is_there = |shard: &Value| {
                let id = shard["id"].as_str().unwrap_or_default();
                shard["state"] == "ACTIVE" && shard["address"] == self.grpc_of(id)
            };
            let copies = match self.factor {
                0 => ingesters.min(3),
                factor => usize::from(factor),
            };
            shards.len() == ingesters
                && shards.iter().all(is_there)
                && view["replication_factor"] == copies
                && view["read_replication_factor"] == copies
        };
        let runs = |name: &&&str| self.awake().any(|(node, _)| node.name == **name);
        wait_for("all see all ingesters", || names.iter().filter(runs).all(|name| sees_all(name)));
    }

    /// What `/ring` says there, if it runs and answers.
    pub fn view(&self, name: &str) -> Option<Value> {
        let process = self.nodes[self.at(name)].process.as_ref()?;
        let mut connection = Connection::open(&process.http).ok()?;
        let headers = [("Accept", "application/json")];
        let answer = connection.request("GET", "/ring", &headers, b"").ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// State of an ingester as `at` sees it.
    pub fn state_at(&self, at: &str, name: &str) -> Option<String> {
        let view = self.view(at)?;
        let shard = view["shards"].as_array()?.iter().find(|shard| shard["id"] == name)?;
        Some(shard["state"].as_str()?.to_owned())
    }

    /// Sends a request to a process that runs.
    pub fn ask(&self, name: &str, method: &str, target: &str, body: &[u8]) -> Response {
        let mut connection = self.process(name).connect();
        connection.request(method, target, &[], body).expect("an answer")
    }

    /// Sum over the label sets of a metric of one process; `None` when it does not tell.
    pub fn metric(&self, name: &str, metric: &str) -> Option<f64> {
        sum_of(&self.process(name).try_get("/metrics")?.text(), metric)
    }

    /// Flushes every ingester and waits until nothing is unflushed.
    pub fn flush(&self) {
        let running: Vec<&str> = self.named("ingester").map(|node| node.name).collect();
        let running: Vec<&str> = running
            .into_iter()
            .filter(|name| self.nodes[self.at(name)].process.is_some())
            .collect();
        for name in &running {
            let answer = self.process(name).post("/flush", &[], b"");
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
        wait_for("everything is flushed", || {
            running
                .iter()
                .all(|name| self.metric(name, "runelog_ingester_unflushed_bytes") == Some(0.0))
        });
    }

    /// What a process said.
    pub fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir().join(format!("{name}.log"))).unwrap_or_default()
    }
}
