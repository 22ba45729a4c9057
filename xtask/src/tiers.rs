//! What CI runs, in order, each tier with a time budget that is printed, never asserted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{run, words};
use crate::{codegen, compat, configuration, conformance, tidy, tools};

struct Tier {
    name: &'static str,
    budget: Duration,
    work: fn() -> Result<()>,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// One release build serves every tier; the budgets are for two cores and add up to under an hour.
const TIERS: &[Tier] = &[
    Tier { name: "verify", budget: minutes(5), work: verify },
    Tier { name: "tools", budget: minutes(3), work: tools::install },
    Tier { name: "build", budget: minutes(20), work: build },
    Tier { name: "unit", budget: minutes(6), work: unit },
    Tier { name: "sim", budget: minutes(3), work: sim },
    Tier { name: "e2e", budget: minutes(6), work: e2e },
    Tier { name: "clients", budget: minutes(3), work: clients },
    Tier { name: "cluster", budget: minutes(5), work: cluster },
    Tier { name: "conformance", budget: minutes(6), work: conformance },
];

/// Runs every tier; stops at the first that fails.
pub fn test() -> Result<()> {
    let mut table = String::new();
    for tier in TIERS {
        eprintln!("\n== {} (budget {} min)", tier.name, tier.budget.as_secs() / 60);
        let started = now();
        let result = (tier.work)();
        let took = started.elapsed();
        let mark = if took > tier.budget { "  OVER BUDGET" } else { "" };
        table.push_str(&format!(
            "{:<12} {:>6.1} s of {:>4} s{mark}\n",
            tier.name,
            took.as_secs_f64(),
            tier.budget.as_secs()
        ));
        if let Err(error) = result {
            eprint!("\n{table}");
            return Err(error.context(format!("tier {} failed", tier.name)));
        }
    }
    eprint!("\n{table}");
    let skipped = tools::skipped();
    if !skipped.is_empty() {
        eprintln!("skipped: {}", skipped.join(", "));
        if std::env::var_os("CI").is_some() {
            bail!("CI forbids skipping: {}", skipped.join(", "));
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods)] // a developer command may look at the clock
fn now() -> Instant {
    Instant::now()
}

/// The fast static part.
pub fn verify() -> Result<()> {
    run(&mut words("cargo fmt --all --check"))?;
    run(&mut words("cargo clippy --quiet --workspace --all-targets -- -D warnings"))?;
    tidy::run()?;
    codegen::run(true)?;
    docs(true)
}

/// The generated pages: writes them, or with `check` says which is out of date.
pub fn docs(check: bool) -> Result<()> {
    compat::run(check)?;
    configuration::run(check)
}

/// The only command that writes.
pub fn fix() -> Result<()> {
    codegen::run(false)?;
    run(&mut words("cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged"))?;
    run(&mut words("cargo fmt --all"))?;
    docs(false)
}

/// One command for binaries and tests: two would unify features differently and compile tokio and
/// all above it twice.
fn build() -> Result<()> {
    run(&mut words("cargo build --release --workspace --all-targets"))
}

fn unit() -> Result<()> {
    let line = "cargo test --release --workspace --exclude runelog-tests --lib --bins --tests";
    run(&mut words(line))
}

fn sim() -> Result<()> {
    run(&mut words("cargo test --release --workspace --test sim --test allocations"))
}

fn e2e() -> Result<()> {
    // The tests start servers and disks of their own; two at a time is what two cores carry.
    let line = "cargo test --release --workspace --test e2e -- --test-threads=2";
    run(&mut words(line))
}

fn clients() -> Result<()> {
    let line = "cargo test --release --workspace --test clients -- --test-threads=2";
    run(&mut words(line))
}

fn cluster() -> Result<()> {
    // A test is seven processes or more and eight clients: one at a time.
    run(&mut words("cargo test --release --workspace --test cluster -- --test-threads=1"))
}

/// Every way a call can take and every place a row can be at least once; not every pair of them.
const CONFORMANCE: [&str; 6] = [
    "--rows head",
    "--rows parts --wire",
    "--topology separate --rows half",
    "--topology two-ingesters --rows parts",
    "--topology separate --rows merging",
    "--topology ring --rows head --restarting",
];

fn conformance() -> Result<()> {
    for line in CONFORMANCE {
        eprintln!("\n-- conformance {line}");
        let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
        conformance::run(&conformance::Options::parse(&line)?).with_context(|| line.join(" "))?;
    }
    Ok(())
}
