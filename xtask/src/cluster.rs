//! Servers that make one cluster, and a door in front of them with one address.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::server::{Server, free_ports, poll};

/// Which processes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Every service in one.
    #[default]
    One,
    /// Each service in its own, one ingester.
    Separate,
    /// Each service in its own, two ingesters.
    TwoIngesters,
    /// Each service in its own, three ingesters in three zones, each row on all of them.
    Ring,
}

impl Topology {
    /// `one`, `separate`, `two-ingesters` or `ring`.
    pub fn parse(name: &str) -> Result<Topology> {
        Ok(match name {
            "one" => Topology::One,
            "separate" => Topology::Separate,
            "two-ingesters" => Topology::TwoIngesters,
            "ring" => Topology::Ring,
            other => bail!("no topology {other:?}: one, separate, two-ingesters or ring"),
        })
    }
}

/// Copies of a row in a ring.
const RING_FACTOR: usize = 3;

/// What every process of a cluster is started with.
pub struct Setting<'a> {
    /// Writes the configuration of a process whose local state is the folder given; `target`,
    /// addresses and ports are added.
    pub config: &'a (dyn Fn(&Path) -> String + Sync),
    /// Folder of everything that is written.
    pub dir: &'a Path,
    /// Added to the environment.
    pub env: &'a [(&'a str, &'a str)],
}

/// Running servers, by what they do; in one process all of them are the same.
pub struct Cluster {
    pub ingesters: Vec<Arc<Server>>,
    pub distributor: Arc<Server>,
    pub frontend: Arc<Server>,
    pub querier: Arc<Server>,
}

impl Cluster {
    /// Starts the processes and waits until all are ready.
    pub fn start(topology: Topology, setting: &Setting) -> Result<Cluster> {
        let start = |name: &str, target: &str, ingesters: &[Arc<Server>], frontend: &str| {
            setting.start(name, target, ingesters, frontend).map(Arc::new)
        };
        if topology == Topology::Ring {
            return Cluster::ring(setting);
        }
        let cluster = if topology == Topology::One {
            let one = start("all", "all", &[], "")?;
            Cluster {
                ingesters: vec![one.clone()],
                distributor: one.clone(),
                frontend: one.clone(),
                querier: one,
            }
        } else {
            let count = if topology == Topology::TwoIngesters { 2 } else { 1 };
            let ingesters = (0..count)
                .map(|number| start(&format!("ingester-{number}"), "ingester", &[], ""))
                .collect::<Result<Vec<_>>>()?;
            let frontend = start("query-frontend", "query-frontend", &[], "")?;
            let querier = start("querier", "querier", &ingesters, &frontend.grpc)?;
            let distributor = start("distributor", "distributor", &ingesters, "")?;
            Cluster { ingesters, distributor, frontend, querier }
        };
        for server in cluster.servers() {
            server.wait_ready()?;
        }
        Ok(cluster)
    }

    /// Processes that find each other by `ring.join`.
    fn ring(setting: &Setting) -> Result<Cluster> {
        let targets =
            ["ingester", "ingester", "ingester", "query-frontend", "querier", "distributor"];
        let ports = free_ports(targets.len());
        let join: Vec<String> = ports[..3].iter().map(|p| format!("\"127.0.0.1:{p}\"")).collect();
        let mut servers = Vec::new();
        for (number, (target, port)) in targets.iter().zip(&ports).enumerate() {
            let name = format!("{target}-{number}");
            let more = format!(
                "\ntarget: {target}\nring:\n  instance_id: {name}\n  \
                 instance_zone: zone-{number}\n  join: [{}]\n",
                join.join(", ")
            );
            servers.push(Arc::new(setting.start_on(&name, *port, RING_FACTOR, &more)?));
        }
        for server in &servers {
            server.wait_ready()?;
            poll("it reads three copies", || {
                let answer = server.request("GET", "/ring", "Accept: application/json\r\n", b"")?;
                let view = answer.text.replace(' ', "");
                Ok(view.contains(&format!("\"read_replication_factor\":{RING_FACTOR}")))
            })?;
        }
        let mut servers = servers.into_iter();
        let ingesters: Vec<Arc<Server>> = servers.by_ref().take(3).collect();
        let mut next = || servers.next().context("one per target");
        let (frontend, querier, distributor) = (next()?, next()?, next()?);
        Ok(Cluster { ingesters, distributor, frontend, querier })
    }

    /// Every process.
    fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.ingesters.iter().chain([&self.distributor, &self.frontend, &self.querier])
    }

    /// Flushes every ingester and waits until nothing is unflushed.
    pub fn flush(&self) -> Result<()> {
        for ingester in &self.ingesters {
            let answer = ingester.request("POST", "/flush", "", b"")?;
            if answer.status != 204 {
                bail!("/flush answered {}", answer.text);
            }
        }
        for ingester in &self.ingesters {
            poll("everything is flushed", || {
                Ok(ingester.metric("runelog_ingester_unflushed_bytes")? == 0.0)
            })?;
        }
        Ok(())
    }
}

impl Setting<'_> {
    /// Starts a process.
    pub fn start(
        &self,
        name: &str,
        target: &str,
        ingesters: &[Arc<Server>],
        frontend: &str,
    ) -> Result<Server> {
        let state = self.dir.join("data").join(name);
        std::fs::create_dir_all(&state)?;
        let addresses: Vec<&str> = ingesters.iter().map(|server| server.grpc.as_str()).collect();
        let mut config = (self.config)(&state);
        config.push_str(&format!("\ntarget: {target}\n"));
        if target != "all" {
            config.push_str(&format!(
                "ingester_client:\n  addresses: [{}]\n\
                 frontend_worker:\n  frontend_address: \"{frontend}\"\n",
                addresses.join(", ")
            ));
        }
        self.run(name, &config)
    }

    /// Starts a process on a gRPC port that the others were told, with so many copies of a row.
    fn start_on(&self, name: &str, port: u16, factor: usize, more: &str) -> Result<Server> {
        let state = self.dir.join("data").join(name);
        std::fs::create_dir_all(&state)?;
        let config = (self.config)(&state)
            .replace("grpc_listen_port: 0", &format!("grpc_listen_port: {port}"))
            .replace("replication_factor: 1", &format!("replication_factor: {factor}"));
        self.run(name, &(config + more))
    }

    fn run(&self, name: &str, config: &str) -> Result<Server> {
        let file = self.dir.join(format!("{name}.yaml"));
        std::fs::write(&file, config)?;
        Server::start(&file, &self.dir.join(format!("{name}.log")), self.env)
    }
}

/// An ingester of a cluster that is ended and started again, over and over.
pub struct Restarts {
    server: Option<Server>,
    config: PathBuf,
    log: PathBuf,
}

impl Restarts {
    /// Takes the last ingester out of a cluster that nobody else holds.
    pub fn of(cluster: &mut Cluster, dir: &Path) -> Result<Restarts> {
        let last = cluster.ingesters.pop().context("a cluster has ingesters")?;
        let name = format!("ingester-{}", cluster.ingesters.len());
        let server = Arc::into_inner(last).context("nobody else holds an ingester")?;
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        Ok(Restarts { server: Some(server), config: file("yaml"), log: file("log") })
    }

    /// Restarts it until `is_over`; how often.
    pub fn run(&mut self, is_over: impl Fn() -> bool) -> Result<usize> {
        let mut count = 0;
        while !is_over() {
            self.server.take().context("it runs")?.terminate()?;
            let server = Server::start(&self.config, &self.log, &[])?;
            server.wait_ready()?;
            self.server = Some(server);
            count += 1;
        }
        Ok(count)
    }
}

/// One address in front of a cluster, for a checker that knows of one server only: requests go by
/// their path to the process that answers it, one request a connection.
pub struct Door {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// Its processes end with the door: nobody else holds them for longer than a request.
    _cluster: Arc<Cluster>,
    requests: Arc<Requests>,
}

/// How many there were, for whoever waits for some.
#[derive(Default)]
struct Requests {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Requests {
    fn add(&self, more: usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add(more);
        self.changed.notify_all();
    }
}

/// Paths of pushes.
const PUSHES: [&str; 3] = ["/loki/api/v1/push", "/api/prom/push", "/otlp/v1/logs"];
/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;

impl Door {
    /// Listens as long as this program runs; without a door no request is answered. `/flush`
    /// flushes every ingester if `flushes`, else it answers and does nothing.
    pub fn open(cluster: Arc<Cluster>, flushes: bool) -> Result<Door> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let inside = Arc::downgrade(&cluster);
        let requests: Arc<Requests> = Arc::default();
        let counted = requests.clone();
        let accept = move || {
            for client in listener.incoming().flatten() {
                let Some(cluster) = inside.upgrade() else { return };
                counted.add(1);
                let serve = move || {
                    if let Err(error) = serve(client, &cluster, flushes) {
                        eprintln!("door: {error:#}");
                    }
                };
                // Without a thread the client sees its connection end.
                let _ = std::thread::Builder::new().spawn(serve);
            }
        };
        std::thread::Builder::new().spawn(accept)?;
        Ok(Door { address, _cluster: cluster, requests })
    }

    /// Returns when so many requests have come, or nobody waits any more.
    pub fn wait_for_requests(&self, wanted: usize) {
        let count = self.requests.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.requests.changed.wait_while(count, |count| *count < wanted);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets go whoever waits for requests.
    pub fn let_go(&self) {
        self.requests.add(usize::MAX);
    }
}

fn serve(mut client: TcpStream, cluster: &Cluster, flushes: bool) -> Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read = client.read(&mut piece)?;
        if read == 0 || head.len() > MAX_HEAD_BYTES {
            return Ok(());
        }
        head.extend_from_slice(&piece[..read]);
    }
    let line = String::from_utf8_lossy(&head);
    let target = line.split(' ').nth(1).context("a request line")?;
    let path = target.split('?').next().unwrap_or_default();
    let server = match path {
        "/flush" => {
            if flushes {
                cluster.flush()?;
            }
            client.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
            return Ok(());
        }
        path if PUSHES.contains(&path) => &cluster.distributor,
        path if path.starts_with("/ingester/") => &cluster.ingesters[0],
        _ => &cluster.frontend,
    };
    let mut upstream = TcpStream::connect(&server.http)?;
    upstream.write_all(&head)?;
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    // The client sends the rest of its body; that it went away ends the request.
    std::thread::Builder::new().spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    })?;
    std::io::copy(&mut upstream, &mut client)?;
    let _ = client.shutdown(Shutdown::Both);
    Ok(())
}
