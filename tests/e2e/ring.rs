//! Processes that name each other in `ring.join`: they become one ring, and stay one while single
//! ones die, come back and move.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{END_NS, START_NS, Shape, Site, binary, body_of};
use crate::http::{Response, encode};
use crate::process::{Process, free_ports, wait_for};
use crate::tls::Authority;

const JSON: (&str, &str) = ("Accept", "application/json");

/// Processes over one directory, each in a zone of its own.
struct Ring {
    dir: TempDir,
    /// Their gRPC ports, which all are told.
    ports: Vec<u16>,
    targets: Vec<&'static str>,
    factor: u8,
    processes: Vec<Option<Process>>,
    /// Certificates of all of them, and of the tests.
    tls: Option<Authority>,
    /// Ingesters have a file of overrides.
    has_overrides: bool,
}

impl Ring {
    /// Processes with these targets, and rows on `factor` stores; returns when all are ready and see
    /// all ingesters.
    fn start(targets: &[&'static str], factor: u8) -> Ring {
        Ring::planned(targets, factor).started()
    }

    /// The same without a process.
    fn planned(targets: &[&'static str], factor: u8) -> Ring {
        let count = targets.len();
        Ring {
            dir: tempfile::tempdir().expect("a temporary folder"),
            ports: free_ports(count),
            targets: targets.to_vec(),
            factor,
            processes: (0..count).map(|_| None).collect(),
            tls: None,
            has_overrides: false,
        }
    }

    fn started(mut self) -> Ring {
        let count = self.targets.len();
        for number in 0..count {
            self.spawn(number);
        }
        for number in 0..count {
            self.process(number).wait_ready();
        }
        self.wait_for_members(self.targets.iter().filter(|target| is_member(target)).count());
        self
    }

    /// What the files of overrides say from now on.
    fn write_overrides(&self, text: &str) {
        let (file, new) = (self.overrides(), self.dir.path().join("new.yaml"));
        std::fs::write(&new, format!("overrides: {{{text}}}\n")).expect("written");
        // Nobody reads a half of it.
        std::fs::rename(new, file).expect("moved");
    }

    fn overrides(&self) -> PathBuf {
        self.dir.path().join("overrides.yaml")
    }

    /// Of every service in each.
    fn start_all(count: usize, factor: u8) -> Ring {
        Ring::start(&vec!["all"; count], factor)
    }

    fn log_of(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("{number}.log"))
    }

    fn config(&self, number: usize) -> PathBuf {
        let state = self.dir.path().join(number.to_string());
        std::fs::create_dir_all(&state).expect("a folder");
        let bucket = self.dir.path().join("bucket");
        let members = self.ports.iter().zip(&self.targets).filter(|(_, target)| is_member(target));
        let join: Vec<String> = members.map(|(port, _)| format!("\"127.0.0.1:{port}\"")).collect();
        let text = format!(
            "target: {}\nauth_enabled: false\n\
             server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n\
             \x20 grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {}\n\
             common:\n  path_prefix: {}\n  replication_factor: {}\n\
             \x20 storage:\n    filesystem:\n      chunks_directory: {}\n\
             ring:\n  instance_id: node-{number}\n  instance_zone: zone-{number}\n  join: [{}]\n\
             limits_config:\n  reject_old_samples: false\n",
            self.targets[number],
            self.ports[number],
            state.display(),
            self.factor,
            bucket.display(),
            join.join(", "),
        );
        let overrides = match self.has_overrides && is_member(self.targets[number]) {
            true => {
                let file = self.overrides();
                format!("runtime_config: {{file: {}, period: 200ms}}\n", file.display())
            }
            false => String::new(),
        };
        let file = self.dir.path().join(format!("{number}.yaml"));
        std::fs::write(&file, text + &overrides).expect("configuration");
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
            command.args(self.tls.as_ref().map(Authority::flags).unwrap_or_default());
            process = Process::try_spawn(command, &self.log_of(number));
            process.is_some()
        });
        let tls = self.tls.as_ref().map(Authority::client);
        self.processes[number] = process.map(|process| process.over_tls(tls));
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

    /// How many rows of `app` a query counts.
    fn count(&self, number: usize, app: &str) -> Result<u64, String> {
        let query = encode(&format!("sum(count_over_time({{app=\"{app}\"}}[3h]))"));
        let target = format!("/loki/api/v1/query?query={query}&time={END_NS}");
        let answer = self.process(number).get(&target);
        if answer.status != 200 {
            return Err(answer.text());
        }
        let value = answer.json()["data"]["result"][0]["value"][1].clone();
        Ok(value.as_str().map_or(0, |value| value.parse().expect("a number")))
    }

    fn log(&self) -> String {
        (0..self.ports.len()).filter_map(|n| std::fs::read_to_string(self.log_of(n)).ok()).collect()
    }
}

fn is_member(target: &str) -> bool {
    ["all", "ingester"].contains(&target)
}

fn ask(
    process: &Process,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    process.connect().request(method, target, headers, body).expect("an answer")
}

#[test]
fn a_ring_of_three_speaks_tls_with_certificates_on_both_sides() {
    let tls = Some(Authority::new("ring"));
    let mut ring = Ring { tls, ..Ring::planned(&["all"; 3], 3) }.started();
    for number in 0..3 {
        assert_eq!(ring.push(number, "safe", number as i64).status, 204);
    }
    for number in 0..3 {
        assert_eq!(ring.count(number, "safe"), Ok(3));
    }
    // Whoever comes back makes new connections, and so do those who call it.
    ring.kill(2);
    ring.spawn(2);
    ring.process(2).wait_ready();
    ring.wait_for_members(3);
    wait_for("the one that came back answers", || ring.count(2, "safe") == Ok(3));
    assert_eq!(ring.push(2, "safe", 3).status, 204);
    assert_eq!(ring.count(0, "safe"), Ok(4));
}

#[test]
fn three_processes_become_one_ring_that_outlives_its_leader() {
    let mut ring = Ring::start_all(3, 1);
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

/// Where the overrides of the tenant without a name are.
const OVERRIDES: &str = "/api/v1/overrides/fake";

fn limit(ring: &Ring, at: usize) -> String {
    let text = ring.process(at).get("/config/tenant/v1/limits").text();
    let line = text.lines().find(|line| line.starts_with("max_query_series:"));
    line.expect("the limit").to_owned()
}

fn put(ring: &Ring, at: usize, headers: &[(&str, &str)], text: &str) -> u16 {
    ask(ring.process(at), "PUT", OVERRIDES, headers, text.as_bytes()).status
}

/// Tenants of which the ring holds overrides, and their versions.
fn overridden(ring: &Ring, at: usize) -> Vec<(String, u64)> {
    let list = ring.process(at).get("/api/v1/overrides").json();
    let tenants = list["tenants"].as_array().expect("tenants").iter();
    let pair = |one: &Value| Some((one["tenant"].as_str()?.to_owned(), one["version"].as_u64()?));
    tenants.filter_map(pair).collect()
}

#[test]
fn what_the_file_of_the_leader_says_counts_where_there_is_no_file() {
    let targets = ["ingester", "ingester", "ingester", "query-frontend"];
    let ring = Ring { has_overrides: true, ..Ring::planned(&targets, 1) };
    ring.write_overrides(
        "fake: {max_query_series: 7}, a: {max_line_size: 1KB}, b: {max_line_size: 2}",
    );
    let mut ring = ring.started();
    wait_for("it counts without a file", || limit(&ring, 3) == "max_query_series: 7");
    wait_for("all is imported", || overridden(&ring, 3).len() == 3);
    let before = overridden(&ring, 3);
    // Whoever leads has the same file, so nothing is imported again.
    for number in 0..3 {
        assert!(ring.processes[number].take().expect("it runs").terminate().success());
        ring.spawn(number);
        ring.process(number).wait_ready();
        ring.wait_for_members(3);
    }
    ring.write_overrides(
        "fake: {max_query_series: 8}, a: {max_line_size: 1KB}, c: {max_line_size: 3}",
    );
    wait_for("a change counts", || limit(&ring, 3) == "max_query_series: 8");
    let names = |ring: &Ring| -> Vec<String> {
        overridden(ring, 3).into_iter().map(|(tenant, _)| tenant).collect()
    };
    wait_for("what is gone is removed", || names(&ring) == ["a", "c", "fake"]);
    assert_eq!(overridden(&ring, 3)[0], before[0], "what is as it was is not put again");

    // What an operator puts is his.
    assert_eq!(ask(ring.process(3), "DELETE", OVERRIDES, &[], b"").status, 409);
    assert_eq!(put(&ring, 3, &[("If-None-Match", "*")], "max_query_series: 9\n"), 412);
    assert_eq!(put(&ring, 3, &[], "max_query_series: 9\n"), 204);
    wait_for("it wins over the files", || {
        (0..4).all(|at| limit(&ring, at) == "max_query_series: 9")
    });
    ring.write_overrides("fake: {max_query_series: 10}");
    wait_for("the rest is removed", || names(&ring) == ["fake"]);
    assert!((0..4).all(|at| limit(&ring, at) == "max_query_series: 9"));
    assert_eq!(ask(ring.process(3), "DELETE", OVERRIDES, &[], b"").status, 204);
    wait_for("the file counts again", || {
        (0..4).all(|at| limit(&ring, at) == "max_query_series: 10")
    });
}

#[test]
fn overrides_that_are_put_on_one_process_count_on_all_and_survive_all() {
    let mut ring = Ring::start_all(3, 1);
    let path = OVERRIDES;
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
    let mut ring = Ring::start_all(2, 1);
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

#[test]
fn with_three_copies_pushes_and_queries_go_on_while_the_leader_is_killed_and_comes_back() {
    let mut ring = Ring::start_all(3, 3);
    wait_for("readers count on three copies", || {
        (0..3).all(|at| ring.view(at)["read_replication_factor"] == 3)
    });
    wait_for("three have a voice", || {
        ring.running().all(|number| ring.view(number)["voters"].as_array().map(Vec::len) == Some(3))
    });
    let leader = ring.leader(0).expect("somebody leads");
    let mut pushed = 0;
    let mut go_on = |ring: &Ring, through: &[usize], count: u64| {
        for _ in 0..count {
            let at = through[pushed as usize % through.len()];
            // Many streams, so that each store owns some.
            let app = format!("a{}", pushed % 12);
            let answer = ring.push(at, &app, pushed as i64);
            assert_eq!(answer.status, 204, "push {pushed}: {}\n{}", answer.text(), ring.log());
            pushed += 1;
            let expected = (0..pushed).filter(|n| n % 12 == (pushed - 1) % 12).count() as u64;
            let found = ring.count(at, &app);
            assert_eq!(found, Ok(expected), "after push {pushed}\n{}", ring.log());
        }
    };
    go_on(&ring, &[0, 1, 2], 24);
    ring.kill(leader);
    let left: Vec<usize> = ring.running().collect();
    go_on(&ring, &left, 60);
    wait_for("another leads", || left.iter().all(|&at| ring.leader(at).is_some()));
    go_on(&ring, &left, 24);
    ring.spawn(leader);
    ring.process(leader).wait_ready();
    ring.wait_for_members(3);
    go_on(&ring, &[0, 1, 2], 36);
    // One that leaves for good is not noticed either.
    let leaving = ring.processes[0].take().expect("it runs");
    let ended = std::thread::scope(|scope| {
        let ended = scope.spawn(move || {
            leaving.post("/ingester/shutdown", &[], b"");
            leaving.wait()
        });
        go_on(&ring, &[1, 2], 60);
        ended.join().expect("no panic")
    });
    assert!(ended.success(), "{}", ring.log());
    wait_for("it is gone from the ring", || ring.shard(1, 0).is_none());
    go_on(&ring, &[1, 2], 24);
}

/// Streams that were created at an ingester.
fn streams(ring: &Ring, at: usize) -> f64 {
    let page = ring.process(at).get("/metrics").text();
    crate::harness::sum_of(&page, "loki_ingester_streams_created_total").unwrap_or(0.0)
}

#[test]
fn a_tenant_is_kept_to_its_ingesters_and_found_everywhere() {
    let rest = "distributor,query-frontend,querier";
    let ring = Ring::start(&["ingester", "ingester", "ingester", "ingester", rest], 1);
    let kept_to = |size: u32| {
        let text = format!("ingestion_tenant_shard_size: {size}");
        assert_eq!(put(&ring, 4, &[], &text), 204);
        let limits = ring.process(4).get("/config/tenant/v1/limits").text();
        assert!(limits.lines().any(|line| line == text), "{limits}");
    };
    let owners = || (0..4).filter(|&at| streams(&ring, at) > 0.0).count();
    kept_to(2);
    for n in 0..40 {
        assert_eq!(ring.push(4, &format!("a{n}"), n).status, 204);
    }
    assert_eq!(owners(), 2);
    // Rows stay where they are, and are found, whatever the limit says now.
    kept_to(0);
    for n in 40..80 {
        assert_eq!(ring.push(4, &format!("a{n}"), n).status, 204);
    }
    assert_eq!(owners(), 4);
    assert_eq!((0..80).filter(|n| ring.count(4, &format!("a{n}")) == Ok(1)).count(), 80);
}

#[test]
fn separate_targets_find_each_other_in_the_ring() {
    let targets = ["ingester", "ingester", "distributor", "query-frontend", "querier,compactor"];
    let mut ring = Ring::start(&targets, 1);
    for number in 0..5 {
        let view = ring.view(number);
        assert_eq!(view["shards"].as_array().map(Vec::len), Some(2), "{view}");
        wait_for("all are known", || {
            ring.view(number)["others"].as_array().map(Vec::len) == Some(3)
        });
    }
    let page = ask(ring.process(0), "GET", "/distributor/ring", &[JSON], b"").json();
    let ids: Vec<&str> = page["shards"]
        .as_array()
        .expect("shards")
        .iter()
        .filter_map(|shard| shard["id"].as_str())
        .collect();
    assert_eq!(ids, ["node-2"], "{page}");
    for n in 0..40 {
        let answer = ring.push(2, &format!("a{n}"), n);
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(ring.count(3, &format!("a{n}")), Ok(1));
    }
    assert!(streams(&ring, 0) > 0.0 && streams(&ring, 1) > 0.0, "both own streams");
    // With one copy of a row nobody can do without the dead one, until it is back.
    ring.kill(1);
    let answer = ring.count(3, "a0").expect_err("a store is missing");
    assert!(answer.contains(&format!("127.0.0.1:{}", ring.ports[1])), "{answer}");
    ring.spawn(1);
    ring.process(1).wait_ready();
    wait_for("queries go on", || ring.count(3, "a0") == Ok(1));
    // A watcher that ends is taken off the list.
    assert!(ring.processes[4].take().expect("it runs").terminate().success());
    wait_for("it is off", || ring.view(2)["others"].as_array().map(Vec::len) == Some(2));
}

/// Runs a subcommand of the binary; returns what it printed.
fn run(args: &[&str]) -> String {
    let output = Command::new(binary()).args(args).output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_majority_that_is_lost_for_ever_is_recovered_from_one_and_the_lost_are_forgotten() {
    let mut ring = Ring::start_all(3, 1);
    wait_for("three have a voice", || {
        ring.running().all(|number| ring.view(number)["voters"].as_array().map(Vec::len) == Some(3))
    });
    let store = ring.view(2)["self"].as_str().expect("a store").to_owned();
    for lost in [0, 1] {
        ring.kill(lost);
    }
    wait_for("nobody leads", || ring.view(2)["leader"].is_null());
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = ring.process(2).post("/ring", &form, b"forget=node-0");
    assert_eq!(answer.status, 503, "{}", answer.text());
    ring.kill(2);
    for lost in [0, 1] {
        std::fs::remove_dir_all(ring.dir.path().join(lost.to_string())).expect("its disk");
    }
    let file = ring.config(2);
    let file = format!("--config.file={}", file.display());
    let said = run(&["ring", "recover", &file, "--others-are-lost"]);
    assert!(said.contains(&format!("store {store} is the only voter")), "{said}");
    ring.spawn(2);
    ring.process(2).wait_ready();
    wait_for("it leads", || ring.leader(2) == Some(2));
    let url = format!("--url=http://{}", ring.process(2).http);
    for lost in [0, 1] {
        wait_for("its silence is noticed", || {
            ring.shard(2, lost).expect("known")["state"] == "UNHEALTHY"
        });
        run(&["ring", "forget", &format!("node-{lost}"), &url]);
    }
    // They are removed when the one that is left holds nothing that names them.
    wait_for("they are removed", || [0, 1].iter().all(|&lost| ring.shard(2, lost).is_none()));
    let status = run(&["ring", "status", &url]);
    assert!(status.contains(&store) && status.contains("leader"), "{status}");
    // New disks under the old names are new members.
    ring.spawn(0);
    ring.process(0).wait_ready();
    ring.wait_for_members(2);
}
