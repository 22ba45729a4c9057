//! `runelog ring`: who is in the ring, and what only an operator may do to it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::config::{Config, Source};
use crate::services;
use crate::terminal::connection::{Connect, error_text, show};

/// Show and repair the ring of a cluster
#[derive(Subcommand, Debug)]
pub enum RingCommand {
    /// List the instances of the ring, as one process sees them
    Status(Status),
    /// Take out an instance that is lost for ever, with whatever only it had
    Forget(Forget),
    /// Make the store of this host the only voter, when most voters are lost for ever
    Recover(Recover),
}

/// The arguments of `status`.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    connect: Connect,
}

/// The arguments of `forget`.
#[derive(Args, Debug)]
pub struct Forget {
    /// Its name, or its store
    instance: String,
    #[command(flatten)]
    connect: Connect,
}

/// The arguments of `recover`.
#[derive(Args, Debug)]
pub struct Recover {
    /// The configuration that the process of this host runs with; it must not run now
    #[arg(long = "config.file")]
    file: PathBuf,
    /// Replace ${VAR}, ${VAR:-default} and $VAR in it
    #[arg(long = "config.expand-env")]
    expand_env: bool,
    /// Says that the other voters never come back: with one of them there would be two rings
    #[arg(long)]
    others_are_lost: bool,
}

/// What `/ring` says.
#[derive(Deserialize)]
struct View {
    shards: Vec<Shard>,
    others: Vec<Shard>,
    cluster: String,
    version: u64,
    replication_factor: u8,
    read_replication_factor: u8,
    leader: Option<String>,
}

#[derive(Deserialize)]
struct Shard {
    id: String,
    state: String,
    store: String,
    zone: String,
    next_zone: Option<String>,
    address: String,
    roles: Vec<String>,
    voter: bool,
    owned: f64,
    departure: Option<Departure>,
}

#[derive(Deserialize)]
struct Departure {
    uncleared_by: Vec<String>,
}

impl RingCommand {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            RingCommand::Status(status) => status.run().await,
            RingCommand::Forget(forget) => forget.run().await,
            // It opens a bucket: much more than the others hold while they wait.
            RingCommand::Recover(recover) => Box::pin(recover.run()).await,
        }
    }
}

impl Status {
    async fn run(self) -> Result<ExitCode> {
        let view: View = self.connect.open()?.plain("ring").await?;
        write!(io::stdout().lock(), "{view}")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Display for View {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (cluster, version, factor) = (&self.cluster, self.version, self.replication_factor);
        write!(f, "cluster {cluster}, version {version}, replication factor {factor}")?;
        if self.read_replication_factor != factor {
            write!(f, " (reads count on {})", self.read_replication_factor)?;
        }
        writeln!(f, ", leader {}", self.leader.as_deref().unwrap_or("unknown"))?;
        self.all().try_for_each(|shard| self.write_shard(shard, f))
    }
}

impl View {
    fn all(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().chain(&self.others)
    }

    fn write_shard(&self, shard: &Shard, f: &mut Formatter<'_>) -> fmt::Result {
        let voice = match shard.voter {
            _ if self.leader.as_ref() == Some(&shard.store) => "leader",
            true => "voter",
            false => "-",
        };
        let (state, owned) = (&shard.state, 100.0 * shard.owned);
        let zone = if shard.zone.is_empty() { "-" } else { &shard.zone };
        let (store, address, id) = (&shard.store, &shard.address, &shard.id);
        let roles = shard.roles.join(",");
        write!(f, "{state:<9} {voice:<6} {owned:>5.1} %  {store}  {address:<21}  {zone:<10}")?;
        write!(f, "  {id}  {roles}")?;
        if let Some(next) = &shard.next_zone {
            write!(f, "  next zone {next}")?;
        }
        let waits_for = shard.departure.iter().flat_map(|departure| &departure.uncleared_by);
        let name =
            |store: &String| self.all().find(|other| other.store == *store).map(|other| &*other.id);
        let names: Vec<&str> = waits_for.filter_map(name).collect();
        if !names.is_empty() {
            write!(f, "  until cleared by {}", names.join(", "))?;
        }
        writeln!(f)
    }
}

impl Forget {
    async fn run(self) -> Result<ExitCode> {
        let connection = self.connect.open()?;
        let request = connection.post_with("ring", &[("forget", self.instance.clone())])?;
        // It sends a browser back to the page, and this client too.
        let response = request.send().await.context("no answer")?;
        if !response.status().is_success() {
            let status = show(response.status());
            bail!("the server answered {status}: {}", error_text(response).await);
        }
        eprintln!("{} is forgotten", self.instance);
        Ok(ExitCode::SUCCESS)
    }
}

impl Recover {
    async fn run(self) -> Result<ExitCode> {
        if !self.others_are_lost {
            bail!("--others-are-lost must say that the other voters never come back");
        }
        let source =
            Source { file: Some(self.file), expand_env: self.expand_env, ..Source::default() };
        let (store, recovered) = services::recover_ring(&Config::load(&source)?).await?;
        let before: Vec<String> = recovered.voters.iter().map(ToString::to_string).collect();
        println!("store {store} is the only voter now; there were: {}", before.join(", "));
        println!("the ring's state has version {}", recovered.version);
        if recovered.uncommitted > 0 {
            let count = recovered.uncommitted;
            println!("{count} changes count now of which nobody knows whether they did before");
        }
        println!("start the process, then `runelog ring forget` each instance that is lost");
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_waits_for_something_says_for_what() {
        let shard = |id: &str, more: serde_json::Value| {
            let mut shard = json!({
                "id": id, "state": "ACTIVE", "store": format!("STORE-{id}"), "zone": "z1",
                "next_zone": null, "address": "h:1", "roles": ["ingester"], "voter": true,
                "owned": 0.5, "departure": null,
            });
            shard.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            shard
        };
        let view = |shards: Vec<serde_json::Value>, reads: u8| {
            let view = json!({
                "shards": shards, "others": [], "cluster": "C", "version": 7, "leader": "STORE-a",
                "replication_factor": 3, "read_replication_factor": reads,
            });
            serde_json::from_value::<View>(view).unwrap().to_string()
        };
        let quiet = view(vec![shard("a", json!({})), shard("b", json!({"zone": ""}))], 3);
        let expected = "cluster C, version 7, replication factor 3, leader STORE-a\n\
            ACTIVE    leader  50.0 %  STORE-a  h:1                    z1          a  ingester\n\
            ACTIVE    voter   50.0 %  STORE-b  h:1                    -           b  ingester\n";
        assert_eq!(quiet, expected);
        let leaving = json!({"state": "LEAVING", "departure": {"uncleared_by": ["STORE-a", "?"]}});
        let moving = json!({"next_zone": "z2"});
        let busy = view(vec![shard("a", moving), shard("b", leaving)], 2);
        let lines: Vec<&str> = busy.lines().collect();
        assert!(lines[0].contains("replication factor 3 (reads count on 2), "), "{busy}");
        assert!(lines[1].ends_with("a  ingester  next zone z2"), "{busy}");
        assert!(lines[2].ends_with("b  ingester  until cleared by a"), "{busy}");
    }
}
