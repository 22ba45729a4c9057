//! Subcommands: what a person at a terminal does with logs and with files.
//!
//! Owns: `push`, `query`, `labels`, `series`, `tail` (clients of any server that speaks Loki's API)
//! `ring status`, `ring forget`, and `inspect`, `config check`, `ring recover` (readers of files; the
//! last one writes). Does not own: serving, whose flags are
//! [`crate::args`]; a first argument without a dash is what tells the two apart.
//!
//! **Invariant:** output that a program may read goes to standard output, everything else (common
//! labels, progress, statistics, errors) to standard error. Exit codes: 0 all went well, 1 something
//! did not, 2 the command line is wrong.

mod config_check;
pub(crate) mod connection;
mod inspect;
mod labels;
mod output;
mod push;
mod query;
mod ring;
mod series;
mod tail;
#[cfg(test)]
mod testing;
mod time;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

#[doc(hidden)]
pub use inspect::fuzz_inspect;

/// The command line of the subcommands.
#[derive(Parser, Debug)]
#[command(
    name = "runelog",
    about = "A log store that speaks Loki's API and LogQL",
    after_help = "Without a subcommand runelog serves: see `runelog -help` for its flags.",
    disable_version_flag = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send lines of files or of standard input to a server
    Push(push::Push),
    /// Run a LogQL query and print what it finds
    Query(query::Query),
    /// List label names, or the values of one label
    Labels(labels::Labels),
    /// List the streams that a selector matches
    Series(series::Series),
    /// Print new lines as they come, until Ctrl-C
    Tail(tail::Tail),
    /// Show what is in a part, a log segment or an object of the catalog
    Inspect(inspect::Inspect),
    /// Explain configurations
    #[command(subcommand)]
    Config(config_check::ConfigCommand),
    /// Show and repair the ring of a cluster
    #[command(subcommand)]
    Ring(ring::RingCommand),
}

/// With the program's name. The server's flags of its configuration are written with one dash, too, also
/// where a subcommand takes them.
fn words(args: Vec<String>) -> impl Iterator<Item = String> {
    let word = |arg: String| if arg.starts_with("-config.") { format!("-{arg}") } else { arg };
    std::iter::once("runelog".to_owned()).chain(args.into_iter().map(word))
}

/// Runs the subcommand that the arguments after the program's name call for.
pub fn run(args: Vec<String>) -> ExitCode {
    let cli = match Cli::try_parse_from(words(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help was asked for: that is no failure, and it goes to standard output.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runelog: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Push(push) => block_on(push.run()),
        Command::Query(query) => block_on(query.run()),
        Command::Labels(labels) => block_on(labels.run()),
        Command::Series(series) => block_on(series.run()),
        Command::Tail(tail) => block_on(tail.run()),
        Command::Inspect(inspect) => inspect.run(),
        Command::Config(command) => config_check::run(&command),
        Command::Ring(command) => block_on(command.run()),
    }
}

fn block_on(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("runelog")
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(work);
    // A request that is still under way must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Name and purpose of each subcommand, for the text of `-help`.
pub fn commands() -> Vec<(String, String)> {
    let cli = Cli::command();
    let about = |command: &clap::Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        (command.get_name().to_owned(), about)
    };
    cli.get_subcommands().map(about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_configuration_take_one_dash_or_two() {
        for dashes in ["-", "--"] {
            let line = format!(
                "ring recover {dashes}config.file=c {dashes}config.expand-env --others-are-lost"
            );
            let args = line.split(' ').map(str::to_owned).collect();
            let cli = Cli::try_parse_from(words(args)).expect("both are taken");
            assert!(matches!(cli.command, Command::Ring(ring::RingCommand::Recover(_))), "{line}");
        }
    }
}
