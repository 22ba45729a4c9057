//! `sim`: seeds of the simulation, one with its whole event log or many with what they broke.

use anyhow::{Context, Result, bail};

use crate::process::{run, words};

/// Runs `--seed N` or `--seeds A..B`.
pub fn sim(arguments: &[String]) -> Result<()> {
    let mut seeds = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--seed" => {
                let seed: u64 = value.parse().with_context(|| format!("{value} is no seed"))?;
                seeds = Some(format!("{seed}..{}", seed + 1));
            }
            "--seeds" => seeds = Some(value.clone()),
            other => bail!("unknown option {other}"),
        }
    }
    let seeds = seeds.context("say --seed N or --seeds A..B")?;
    let test = "cluster::seeds::every_seed_keeps_every_promise";
    let line = format!(
        "cargo test --quiet --release --workspace --test sim -- --exact {test} \
         --nocapture"
    );
    let mut command = words(&line);
    // Backtraces of the failing test say nothing: the event log does.
    command.env("RUNELOG_SIM_SEEDS", seeds).env("RUST_BACKTRACE", "0");
    run(&mut command)
}
