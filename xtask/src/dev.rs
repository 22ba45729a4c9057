//! A cluster of five processes on this machine, to try things on: three ingesters in three zones, a
//! distributor, and the rest. It lives as long as this command.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{run, words};
use crate::server::{Server, free_ports};

/// Name, target and zone of each process, in the order of their start.
const PROCESSES: [(&str, &str, &str); 5] = [
    ("ingester-a", "ingester", "zone-a"),
    ("ingester-b", "ingester", "zone-b"),
    ("ingester-c", "ingester", "zone-c"),
    ("distributor", "distributor", "zone-a"),
    ("queries", "query-frontend,querier,compactor", "zone-b"),
];

/// Builds the binary, starts the processes, says how to talk to them, waits for Ctrl-C.
pub fn run_cluster() -> Result<()> {
    run(&mut words("cargo build --release"))?;
    let dir = std::env::temp_dir().join(format!("runelog-dev-{}", std::process::id()));
    let result = serve(&dir);
    // What was written is only for this run.
    let removed = std::fs::remove_dir_all(&dir);
    result?;
    removed.with_context(|| format!("removing {}", dir.display()))
}

fn serve(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let ports = free_ports(PROCESSES.len());
    let join: Vec<String> = ports[..3].iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let mut servers = Vec::new();
    for ((name, target, zone), port) in PROCESSES.iter().zip(&ports) {
        let file = config(dir, (name, target, zone), *port, &join.join(", "))?;
        let server = Server::start_apart(&file, &dir.join(format!("{name}.log")))?;
        servers.push((name, server));
    }
    for (name, server) in &servers {
        server.wait_ready().with_context(|| format!("{name}: see {}", dir.display()))?;
    }
    tell(dir, &servers);
    wait_for_interrupt()?;
    println!("stopping");
    while let Some((name, server)) = servers.pop() {
        // One that was killed to see what happens is no failure of the others.
        if let Err(error) = server.terminate() {
            println!("{name}: {error}");
        }
    }
    Ok(())
}

/// Returns at Ctrl-C.
fn wait_for_interrupt() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(tokio::signal::ctrl_c()).context("waiting for Ctrl-C")
}

fn config(
    dir: &Path,
    (name, target, zone): (&str, &str, &str),
    port: u16,
    join: &str,
) -> Result<PathBuf> {
    let state = dir.join(name);
    std::fs::create_dir_all(&state)?;
    let text = format!(
        "target: {target}\nauth_enabled: false\n\
         server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: 0\n\
         \x20 grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {port}\n\
         common:\n  path_prefix: {}\n  storage:\n    filesystem:\n      chunks_directory: {}\n\
         ring:\n  instance_id: {name}\n  instance_zone: {zone}\n  join: [{join}]\n\
         limits_config:\n  reject_old_samples: false\n",
        state.display(),
        dir.join("bucket").display(),
    );
    let file = dir.join(format!("{name}.yaml"));
    std::fs::write(&file, text)?;
    Ok(file)
}

fn tell(dir: &Path, servers: &[(&&str, Server)]) {
    println!("\nconfigurations and logs: {}\n", dir.display());
    for (name, server) in servers {
        println!("  {name:<12} pid {:<8} http://{}/ring", server.pid(), server.http);
    }
    let (distributor, queries) = (&servers[3].1.http, &servers[4].1.http);
    println!(
        "\npush:  echo hello | target/release/runelog push --addr http://{distributor} --label app=dev\n\
         query: target/release/runelog query --addr http://{queries} '{{app=\"dev\"}}'\n\
         ring:  curl -H 'Accept: application/json' http://{queries}/ring\n\
         break: kill -9 PID\n\nCtrl-C stops all of it."
    );
}
