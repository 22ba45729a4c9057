//! Processes that name each other in `ring.join`: they become one ring, and stay one while single
//! ones die, come back and move.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{START_NS, Shape, Site, binary, body_of};
use crate::http::{Connection, Response};
use crate::process::{Process, wait_for};

const JSON: (&str, &str) = ("Accept", "application/json");

/// `count` processes of every service over one directory, each in a zone of its own.
struct Ring {
    dir: TempDir,
    /// Their gRPC ports, which all are told.
    ports: Vec<u16>,
    processes: Vec<Option<Process>>,
    extra: String,
}

/// Ports that nobody listens on.
fn free_ports(count: usize) -> Vec<u16> {
    let bound: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    bound.iter().map(|listener| listener.local_addr().expect("bound").port()).collect()
}

impl Ring {
    fn new(count: usize, extra: &str) -> Ring {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let processes = (0..count).map(|_| None).collect();
        Ring { dir, ports: free_ports(count), processes, extra: extra.to_owned() }
    }

    fn start_all(count: usize, extra: &str) -> Ring {
        let mut ring = Ring::new(count, extra);
        for number in 0..count {
            ring.spawn(number);
        }
        for number in 0..count {
            ring.process(number).wait_ready();
        }
        ring.wait_for_members(count);
        ring
    }

    fn log_of(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("{number}.log"))
    }

    fn config(&self, number: usize) -> PathBuf {
        let state = self.dir.path().join(number.to_string());
        std::fs::create_dir_all(&state).expect("a folder");
        let bucket = self.dir.path().join("bucket");
        let join: Vec<String> =
            self.ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let text = format!(
            "auth_enabled: false\n\
             server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n\
             \x20 grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {}\n\
             common:\n  path_prefix: {}\n  replication_factor: 1\n\
             \x20 storage:\n    filesystem:\n      chunks_directory: {}\n\
             ring:\n  instance_id: node-{number}\n  instance_zone: zone-{number}\n  join: [{}]\n\
             limits_config:\n  reject_old_samples: false\n{}",
            self.ports[number],
            state.display(),
            bucket.display(),
            join.join(", "),
            self.extra,
        );
        let file = self.dir.path().join(format!("{number}.yaml"));
        std::fs::write(&file, text).expect("configuration");
        file
    }

    /// Starts a process, and does not wait for the others.
    fn spawn(&mut self, number: usize) {
        let file = self.config(number);
        let mut process = None;
        // Somebody else's connection may have taken the port for a moment.
        wait_for("its port is free", || {
            let mut command = Command::new(binary());
            command.arg(format!("-config.file={}", file.display()));
            process = Process::try_spawn(command, &self.log_of(number));
            process.is_some()
        });
        self.processes[number] = process;
    }

    fn process(&self, number: usize) -> &Process {
        self.processes[number].as_ref().expect("it runs")
    }

    fn kill(&mut self, number: usize) {
        self.processes[number].take().expect("it runs").kill();
    }

    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.processes.len()).filter(|&number| self.processes[number].is_some())
    }

    /// What `/ring` says there.
    fn view(&self, number: usize) -> Value {
        ask(self.process(number), "GET", "/ring", &[JSON], b"").json()
    }

    fn shard(&self, at: usize, of: usize) -> Option<Value> {
        let id = format!("node-{of}");
        let shards = self.view(at)["shards"].as_array().expect("shards").clone();
        shards.into_iter().find(|shard| shard["id"] == id)
    }

    /// Waits until all that run see `count` active members that are up.
    fn wait_for_members(&self, count: usize) {
        wait_for("all see all members", || {
            self.running().all(|number| {
                let shards = self.view(number)["shards"].as_array().expect("shards").clone();
                shards.iter().filter(|shard| shard["state"] == "ACTIVE").count() == count
            })
        });
    }

    /// The number of the process that leads, if the one that is asked knows it and it runs.
    fn leader(&self, at: usize) -> Option<usize> {
        let view = self.view(at);
        let leader = view["leader"].as_str()?.to_owned();
        self.running().find(|&number| self.view(number)["self"] == leader)
    }

    fn push(&self, number: usize, app: &str, n: i64) -> Response {
        let body = body_of(app, [(START_NS + n, format!("line {n}"))]).to_string();
        let headers = [("Content-Type", "application/json")];
        self.process(number).post("/loki/api/v1/push", &headers, body.as_bytes())
    }

    fn log(&self) -> String {
        (0..self.ports.len()).filter_map(|n| std::fs::read_to_string(self.log_of(n)).ok()).collect()
    }
}

fn ask(
    process: &Process,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut connection = Connection::open(&process.http).expect("connect");
    connection.request(method, target, headers, body).expect("an answer")
}

#[test]
fn three_processes_become_one_ring_that_outlives_its_leader() {
    let mut ring = Ring::start_all(3, "");
    for number in 0..3 {
        let view = ring.view(number);
        assert_eq!(view["shards"].as_array().expect("shards").len(), 3, "{view}");
        let zones: Vec<&str> = view["shards"]
            .as_array()
            .expect("shards")
            .iter()
            .filter_map(|shard| shard["zone"].as_str())
            .collect();
        assert_eq!(zones, ["zone-0", "zone-1", "zone-2"]);
        let page = ask(ring.process(number), "GET", "/ring", &[], b"").text();
        assert!(page.contains("<html") && page.contains("node-2"), "{page}");
    }
    wait_for("three have a voice", || {
        ring.running().all(|number| ring.view(number)["voters"].as_array().map(Vec::len) == Some(3))
    });
    let leader = ring.leader(0).expect("somebody leads");
    let before = ring.shard(0, leader).expect("it is there");
    ring.kill(leader);
    let left: Vec<usize> = ring.running().collect();
    wait_for("another leads", || left.iter().all(|&at| ring.leader(at).is_some()));
    wait_for("its death is seen", || {
        left.iter().all(|&at| ring.shard(at, leader).expect("known")["state"] == "UNHEALTHY")
    });
    assert_ne!(ring.leader(left[0]), Some(leader));
    // The same disk is the same store, with the same places.
    ring.spawn(leader);
    ring.process(leader).wait_ready();
    ring.wait_for_members(3);
    for at in 0..3 {
        let after = ring.shard(at, leader).expect("it is there");
        assert_eq!(after["store"], before["store"]);
        assert_eq!(after["tokens"], before["tokens"]);
        assert_eq!(after["tokens"].as_array().map(Vec::len), Some(128));
    }
}

#[test]
fn overrides_that_are_put_on_one_process_count_on_all_and_survive_all() {
    let mut ring = Ring::start_all(3, "");
    let path = "/api/v1/overrides/fake";
    let limit = |ring: &Ring, at: usize| {
        let text = ring.process(at).get("/config/tenant/v1/limits").text();
        let line = text.lines().find(|line| line.starts_with("max_query_series:"));
        line.expect("the limit").to_owned()
    };
    let put = |ring: &Ring, at: usize, headers: &[(&str, &str)], text: &str| {
        ask(ring.process(at), "PUT", path, headers, text.as_bytes()).status
    };
    assert_eq!(ring.process(1).get(path).status, 404);
    assert_eq!(put(&ring, 0, &[], "max_query_serie: 7\n"), 400);
    assert_eq!(put(&ring, 0, &[("If-None-Match", "*")], "max_query_series: 7\n"), 204);
    assert_eq!(limit(&ring, 0), "max_query_series: 7", "at once where it was put");
    for at in 1..3 {
        wait_for("it counts everywhere", || limit(&ring, at) == "max_query_series: 7");
    }
    let list = ring.process(2).get("/api/v1/overrides").json();
    let version = list["tenants"][0]["version"].as_u64().expect("a version");
    assert_eq!(put(&ring, 1, &[("If-None-Match", "*")], "max_query_series: 8\n"), 412);
    assert_eq!(put(&ring, 1, &[("If-Match", "\"1\"")], "max_query_series: 8\n"), 412);
    let tag = format!("\"{version}\"");
    assert_eq!(put(&ring, 1, &[("If-Match", &tag)], "max_query_series: 8\n"), 204);
    assert_eq!(put(&ring, 2, &[("If-Match", &tag)], "max_query_series: 9\n"), 412);
    assert_eq!(ring.process(1).get(path).text(), "max_query_series: 8\n");
    for number in 0..3 {
        ring.kill(number);
    }
    for number in 0..3 {
        ring.spawn(number);
    }
    for number in 0..3 {
        ring.process(number).wait_ready();
        wait_for("it is kept", || limit(&ring, number) == "max_query_series: 8");
    }
    wait_for("it can be changed again", || {
        ask(ring.process(2), "DELETE", path, &[], b"").status == 204
    });
    wait_for("it is gone", || (0..3).all(|at| limit(&ring, at) != "max_query_series: 8"));
}

#[test]
fn a_process_without_configuration_is_a_ring_of_itself() {
    let site = Site::new(Shape::One);
    let cluster = site.start();
    let process = cluster.process(crate::harness::Role::All);
    let view = ask(process, "GET", "/ring", &[JSON], b"").json();
    let shards = view["shards"].as_array().expect("shards");
    assert_eq!(shards.len(), 1, "{view}");
    assert_eq!(shards[0]["state"], "ACTIVE");
    assert_eq!(shards[0]["owned"], 1.0);
    assert_eq!(view["leader"], view["self"]);
    // Nobody forgets what answers.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let id = shards[0]["id"].as_str().expect("an id");
    let answer = process.post("/ring", &form, format!("forget={id}").as_bytes());
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(process.post("/ring", &form, b"forget=nobody").status, 404);
}

#[test]
fn an_ingester_that_is_shut_down_with_a_flush_leaves_and_comes_back_as_another_store() {
    let mut ring = Ring::start_all(2, "");
    let before = ring.shard(0, 1).expect("it is there");
    assert_eq!(ring.push(1, "a", 1).status, 204);
    let leaving = ring.processes[1].take().expect("it runs");
    assert_eq!(leaving.post("/ingester/shutdown", &[], b"").status, 204);
    assert!(leaving.wait().success(), "{}", ring.log());
    wait_for("it is gone from the ring", || ring.shard(0, 1).is_none());
    // SIGTERM alone is a restart.
    let store = ring.view(0)["self"].clone();
    let staying = ring.processes[0].take().expect("it runs");
    assert!(staying.terminate().success(), "{}", ring.log());
    ring.spawn(0);
    ring.process(0).wait_ready();
    assert_eq!(ring.view(0)["self"], store);
    ring.spawn(1);
    ring.process(1).wait_ready();
    ring.wait_for_members(2);
    let after = ring.shard(0, 1).expect("it is there");
    assert_ne!(after["store"], before["store"]);
    assert_eq!(after["tokens"], before["tokens"], "it takes the places it had");
}
