//! Developer commands: `cargo xtask <command>`.

mod bench;
mod clients;
mod cluster;
mod codegen;
mod compat;
mod configuration;
mod conformance;
mod dev;
mod fuzz;
mod process;
mod server;
mod sim;
mod tidy;
mod tiers;
mod tools;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask verify               formatting, clippy, tidy, generated docs: the fast static part
cargo xtask test                 verify and every tier, as CI runs it
cargo xtask tools                install the real programs and clients that tiers need
cargo xtask fix                  the only command that writes: fmt, clippy --fix, docs, codegen
cargo xtask tidy                 floors, file sizes, words that must not appear
cargo xtask docs [--check]       generate docs/compat.md, docs/configuration.md
cargo xtask codegen [--check]    generate the messages and services of proto/
cargo xtask conformance [--url U] [--group G]... [--show N] [--wire] [--split DURATION]
                        [--topology one|separate|two-ingesters|ring] [--restarting]
                        [--rows head|parts|half|merging]
                                 recorded requests against a fresh cluster, or any URL
cargo xtask bench [--gb N] [--streams N] [--set DIR] [--processes 4]
                                 generate a set, push it, query it, report
cargo xtask dev                  five processes, three of them ingesters in three zones; until Ctrl-C
cargo xtask sim --seed N | --seeds A..B
                                 one seed of the simulation with its event log, or many
cargo xtask fuzz [TARGET] [--seconds N]
                                 fuzz decoders with the nightly toolchain
";

fn main() -> Result<()> {
    std::env::set_current_dir(process::workspace_root())?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    match command {
        "verify" => tiers::verify(),
        "test" => tiers::test(),
        "tools" => tools::install(),
        "fix" => tiers::fix(),
        "tidy" => tidy::run(),
        "docs" => tiers::docs(rest.iter().any(|argument| argument == "--check")),
        "codegen" => codegen::run(rest.iter().any(|argument| argument == "--check")),
        "conformance" => conformance::run(&conformance::Options::parse(rest)?),
        "dev" => dev::run_cluster(),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "sim" => sim::sim(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown command {other:?}\n\n{USAGE}"),
    }
}
