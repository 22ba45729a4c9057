//! A cluster of our own, in one process or several, that tests start, use and stop.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use runelog_tests::LIMITS;
pub use runelog_tests::process::binary;
pub use runelog_tests::{END_NS, START_NS, body_of, sum_of};
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Connection, Response, encode};
use crate::process::{Process, wait_for};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Which processes a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Every service in one.
    One,
    /// Each service in its own, one ingester.
    Separate,
    /// Each service in its own, two ingesters.
    TwoIngesters,
}

/// What one process of a cluster runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    All,
    Ingester(usize),
    Frontend,
    Querier,
    Distributor,
    Compactor,
}

impl Role {
    fn target(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Ingester(_) => "ingester",
            Role::Frontend => "query-frontend",
            Role::Querier => "querier",
            Role::Distributor => "distributor",
            Role::Compactor => "compactor",
        }
    }

    /// Names its folder and its log.
    fn name(self) -> String {
        match self {
            Role::Ingester(number) => format!("ingester-{number}"),
            role => role.target().to_owned(),
        }
    }
}

impl Shape {
    /// In the order of their start: who is called before who calls.
    fn roles(self) -> Vec<Role> {
        let others = [Role::Frontend, Role::Querier, Role::Distributor, Role::Compactor];
        match self {
            Shape::One => vec![Role::All],
            Shape::Separate => [&[Role::Ingester(0)][..], &others].concat(),
            Shape::TwoIngesters => [&[Role::Ingester(0), Role::Ingester(1)][..], &others].concat(),
        }
    }
}

/// Makes a test of each function for one process and for one process per service.
macro_rules! in_one_and_in_separate_processes {
    ($($test:ident),+ $(,)?) => {
        mod in_one_process {
            $(#[test] fn $test() { super::$test($crate::harness::Shape::One); })+
        }
        mod in_separate_processes {
            $(#[test] fn $test() { super::$test($crate::harness::Shape::Separate); })+
        }
    };
}
pub(crate) use in_one_and_in_separate_processes;

/// A folder with a configuration; clusters come and go on it.
pub struct Site {
    dir: TempDir,
    data: PathBuf,
    extra: String,
    env: Vec<(String, String)>,
    flags: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
    shape: Shape,
    has_tenants: bool,
}

impl Site {
    pub fn new(shape: Shape) -> Site {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data");
        let (extra, env, flags) = (String::new(), Vec::new(), Vec::new());
        Site { dir, data, extra, env, flags, tls: None, shape, has_tenants: false }
    }

    /// Local state and bucket lie elsewhere than in the site's own folder.
    pub fn with_data(mut self, data: &Path) -> Site {
        self.data = data.to_owned();
        self
    }

    /// More YAML, appended to the configuration: whole top-level blocks.
    pub fn with_config(mut self, extra: &str) -> Site {
        self.extra = extra.to_owned();
        self
    }

    /// Every request must say whose it is, and queries may name several tenants.
    pub fn with_tenants(mut self) -> Site {
        self.has_tenants = true;
        self.extra.push_str("querier:\n  multi_tenant_queries_enabled: true\n");
        self
    }

    /// A variable in the environment of every process.
    pub fn with_env(mut self, name: &str, value: &str) -> Site {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Flags of every process.
    pub fn with_flags(mut self, flags: &[String]) -> Site {
        self.flags.extend_from_slice(flags);
        self
    }

    /// Tests talk to every process over TLS.
    pub fn over_tls(mut self, config: Arc<ClientConfig>) -> Site {
        self.tls = Some(config);
        self
    }

    pub fn bucket(&self) -> PathBuf {
        self.data.join("bucket")
    }

    /// Local state of a process.
    fn state(&self, role: Role) -> PathBuf {
        if role == Role::All { self.data.clone() } else { self.data.join(role.name()) }
    }

    /// The log of the first ingester.
    pub fn wal(&self) -> PathBuf {
        let first = if self.shape == Shape::One { Role::All } else { Role::Ingester(0) };
        self.state(first).join("wal")
    }

    fn config(&self, role: Role, ingesters: &[String], frontends: &[String]) -> String {
        let (state, bucket) = (self.state(role).display().to_string(), self.bucket());
        let bucket = bucket.display();
        let limits = if self.extra.contains("limits_config:") { "" } else { LIMITS };
        let mut addresses = String::new();
        if role != Role::All {
            let (ingesters, frontends) = (ingesters.join(","), frontends.join(","));
            addresses = format!(
                "ingester_client:\n  addresses: [{ingesters}]\n\
                 frontend_worker:\n  frontend_address: \"{frontends}\"\n"
            );
        }
        format!(
            "target: {}\nauth_enabled: {}\n\
             server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n\
             \x20 grpc_listen_address: 127.0.0.1\n  grpc_listen_port: 0\n\
             common:\n  path_prefix: {state}\n  replication_factor: 1\n\
             \x20 storage:\n    filesystem:\n      chunks_directory: {bucket}\n\
             \x20 ring:\n    kvstore:\n      store: inmemory\n\
             {addresses}{limits}{}",
            role.target(),
            self.has_tenants,
            self.extra
        )
    }

    /// Starts a cluster here and waits until every process is ready. The site must outlive it: its
    /// folder goes with it.
    pub fn start(&self) -> Cluster<'_> {
        let mut cluster = Cluster { site: self, processes: Vec::new() };
        for role in self.shape.roles() {
            let process = Process::spawn(self.command(&cluster, role, &[]), &self.log_of(role));
            let process = process.over_tls(self.tls.clone());
            cluster.processes.push((role, process));
        }
        for (_, process) in &cluster.processes {
            process.wait_ready();
        }
        cluster
    }

    fn command(&self, cluster: &Cluster, role: Role, flags: &[String]) -> Command {
        std::fs::create_dir_all(self.state(role)).expect("data folder");
        let ingesters: Vec<String> =
            cluster.ingesters().map(|process| process.grpc.clone()).collect();
        let frontends: Vec<String> =
            cluster.with(Role::Frontend).map(|process| process.grpc.clone()).into_iter().collect();
        let file = self.dir.path().join(format!("{}.yaml", role.name()));
        std::fs::write(&file, self.config(role, &ingesters, &frontends)).expect("configuration");
        let mut command = Command::new(binary());
        command.arg(format!("-config.file={}", file.display())).args(&self.flags).args(flags);
        command.envs(self.env.iter().cloned()).current_dir(self.dir.path());
        command
    }

    fn log_of(&self, role: Role) -> PathBuf {
        self.dir.path().join(format!("{}.log", role.name()))
    }

    /// What all processes of this site said.
    pub fn log(&self) -> String {
        let logs = self.shape.roles().into_iter().map(|role| self.log_of(role));
        logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect()
    }
}

/// Running processes. Dropping it kills them.
pub struct Cluster<'a> {
    site: &'a Site,
    processes: Vec<(Role, Process)>,
}

impl Cluster<'_> {
    fn with(&self, role: Role) -> Option<&Process> {
        self.processes.iter().find(|(of, _)| *of == role).map(|(_, process)| process)
    }

    /// The process that runs `role`; the only one of a cluster in one process.
    pub fn process(&self, role: Role) -> &Process {
        let found = self.with(role).or_else(|| self.with(Role::All));
        found.unwrap_or_else(|| panic!("no {role:?}"))
    }

    fn ingesters(&self) -> impl Iterator<Item = &Process> {
        let is_ingester = |role| matches!(role, Role::Ingester(_) | Role::All);
        self.processes.iter().filter(move |(role, _)| is_ingester(*role)).map(|(_, p)| p)
    }

    /// Takes a process out, to end it; [`Cluster::start_again`] brings it back.
    pub fn take(&mut self, role: Role) -> Process {
        let at = self.processes.iter().position(|(of, _)| *of == role).expect("it runs");
        self.processes.remove(at).1
    }

    /// Starts the process of `role` again where the others know it, on the ports it had; its place
    /// in the list is that of its first start.
    pub fn start_again(&mut self, role: Role, grpc: &str) {
        let port = grpc.rsplit(':').next().expect("a port");
        let flags = [format!("-server.grpc-listen-port={port}")];
        let mut process = None;
        // Somebody else's connection may have taken the port for a moment.
        wait_for("its port is free", || {
            let command = self.site.command(self, role, &flags);
            process = Process::try_spawn(command, &self.site.log_of(role));
            process.is_some()
        });
        let process = process.expect("started").over_tls(self.site.tls.clone());
        process.wait_ready();
        self.processes.push((role, process));
        self.processes.sort_by_key(|(role, _)| *role);
    }

    /// Where pushes go, `host:port`.
    pub fn push_address(&self) -> &str {
        &self.process(Role::Distributor).http
    }

    pub fn wait_for(&self, what: &str, condition: impl FnMut() -> bool) {
        wait_for(what, condition);
    }

    /// A connection for queries.
    pub fn connect(&self) -> Connection {
        self.process(Role::Frontend).connect()
    }

    /// Asks where queries go.
    pub fn get(&self, target: &str) -> Response {
        self.process(Role::Frontend).get(target)
    }

    /// Posts where pushes go.
    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.process(Role::Distributor).post(target, headers, body)
    }

    pub fn push(&self, body: &Value) -> Response {
        self.post("/loki/api/v1/push", &[JSON], body.to_string().as_bytes())
    }

    /// Pushes that must succeed.
    pub fn push_lines(&self, app: &str, lines: impl IntoIterator<Item = (i64, String)>) {
        let response = self.push(&body_of(app, lines));
        assert_eq!(response.status, 204, "{}", response.text());
    }

    /// All lines of a selector over the test's two hours, oldest first.
    pub fn lines(&self, query: &str) -> Vec<String> {
        let response = self.query_range(query);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let streams = answer["data"]["result"].as_array().expect("a result").clone();
        let values = streams.iter().flat_map(|s| s["values"].as_array().expect("values").clone());
        values.map(|value| value[1].as_str().expect("a line").to_owned()).collect()
    }

    pub fn query_range(&self, query: &str) -> Response {
        self.get(&format!(
            "/loki/api/v1/query_range?query={}&start={START_NS}&end={END_NS}&limit=1000000&direction=forward",
            encode(query)
        ))
    }

    /// The value of an instant query with at most one series; 0 without any.
    pub fn number(&self, query: &str) -> f64 {
        let target = format!("/loki/api/v1/query?query={}&time={END_NS}", encode(query));
        let response = self.get(&target);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let result = answer["data"]["result"].as_array().expect("a vector").clone();
        assert!(result.len() < 2, "{answer}");
        result.first().map_or(0.0, |series| {
            series["value"][1].as_str().and_then(|v| v.parse().ok()).expect("a number")
        })
    }

    /// The metrics of every process, one after the other.
    pub fn metrics(&self) -> String {
        self.processes.iter().map(|(_, process)| process.get("/metrics").text()).collect()
    }

    /// Sum over all processes and label sets of a metric; `None` when it is not exposed.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sum_of(&self.metrics(), name)
    }

    /// Starts a flush of every ingester.
    pub fn start_flush(&self) {
        for ingester in self.ingesters() {
            let response = ingester.post("/flush", &[], b"");
            assert_eq!(response.status, 204, "{}", response.text());
        }
    }

    /// Flushes and waits until nothing is unflushed.
    pub fn flush(&self) {
        self.start_flush();
        wait_for("everything is flushed", || {
            self.metric("runelog_ingester_unflushed_bytes") == Some(0.0)
        });
    }

    /// The most memory any of the processes ever held, bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.processes.iter().map(|(_, process)| process.resident_bytes()).max().unwrap_or(0)
    }

    /// Signals every process; those that others call come last.
    pub fn signal(&self, signal: &str) {
        for (_, process) in self.processes.iter().rev() {
            process.signal(signal);
        }
    }

    /// SIGTERM to one process after the other, those that others call last; the first end that is
    /// no success, if there is one.
    pub fn terminate(mut self) -> ExitStatus {
        let mut ends = Vec::new();
        while let Some((_, process)) = self.processes.pop() {
            ends.push(process.terminate());
        }
        ends.iter().find(|end| !end.success()).copied().unwrap_or_else(|| ends[0])
    }

    /// Waits for the end of processes that were told to end.
    pub fn wait(mut self) -> ExitStatus {
        let ends: Vec<ExitStatus> =
            self.processes.drain(..).map(|(_, process)| process.wait()).collect();
        ends.iter().find(|end| !end.success()).copied().unwrap_or_else(|| ends[0])
    }

    /// SIGKILL to every process.
    pub fn kill(mut self) {
        for (_, process) in self.processes.drain(..) {
            process.kill();
        }
    }
}
