//! `runelog ring`: who is in the ring, and what only an operator may do to it.

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
    leader: Option<String>,
}

#[derive(Deserialize)]
struct Shard {
    id: String,
    state: String,
    store: String,
    zone: String,
    address: String,
    roles: Vec<String>,
    voter: bool,
    owned: f64,
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
        let mut out = io::stdout().lock();
        let leader = view.leader.as_deref();
        writeln!(
            out,
            "cluster {}, version {}, replication factor {}, leader {}",
            view.cluster,
            view.version,
            view.replication_factor,
            leader.unwrap_or("unknown"),
        )?;
        for shard in view.shards.iter().chain(&view.others) {
            let voice = match shard.voter {
                _ if leader == Some(&shard.store) => "leader",
                true => "voter",
                false => "-",
            };
            let zone = if shard.zone.is_empty() { "-" } else { &shard.zone };
            writeln!(
                out,
                "{:<9} {:<6} {:>5.1} %  {}  {:<21}  {zone:<10}  {}  {}",
                shard.state,
                voice,
                100.0 * shard.owned,
                shard.store,
                shard.address,
                shard.id,
                shard.roles.join(","),
            )?;
        }
        Ok(ExitCode::SUCCESS)
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
