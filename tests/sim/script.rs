//! The scripted run that every sweep repeats.

use base::disk::sim::Keep;

use crate::machine::{Machine, Process, START_NS};
use crate::world::{Row, World};

fn row(app: &str, at: i64, line: &str) -> Row {
    let trace = (at % 2 == 0).then(|| format!("t{at}"));
    Row { app: app.to_owned(), ts_ns: START_NS + at, line: line.to_owned(), trace }
}

/// Pushes of the script: several streams, late rows, exact duplicates inside a push, across pushes
/// and across a flush.
fn pushes() -> Vec<Vec<Row>> {
    vec![
        vec![row("a", 10, "one"), row("b", 10, "one"), row("a", 11, "two"), row("a", 11, "two")],
        vec![row("a", 5, "late"), row("b", 12, "x"), row("a", 11, "two")],
        // After the first flush: a retry of the first push, and rows between old ones.
        vec![row("a", 10, "one"), row("b", 10, "one"), row("a", 11, "two")],
        vec![row("a", 11, "other"), row("c", 1, "new stream"), row("b", 11, "between")],
        vec![row("a", 20, "last"), row("c", 2, "last")],
    ]
}

/// What a process that may die on the way did. `Err` is a broken promise; a fault that the system
/// reported is not.
pub async fn run(machine: &mut Machine, world: &mut World) -> Result<(), String> {
    let mut pushes = pushes().into_iter();
    let Ok(mut process) = machine.start().await else { return Ok(()) };
    for _ in 0..2 {
        push(world, &mut process, &mut pushes).await;
        settle_check(machine, world, &process, "after a push").await?;
    }
    for _ in 0..2 {
        let _refused = world.flush(&process).await;
        settle_check(machine, world, &process, "after the first flush").await?;
    }
    for _ in 0..2 {
        push(world, &mut process, &mut pushes).await;
        settle_check(machine, world, &process, "after a push over flushed rows").await?;
    }
    let _refused = world.flush(&process).await;
    settle_check(machine, world, &process, "after the second flush").await?;
    push(world, &mut process, &mut pushes).await;
    settle_check(machine, world, &process, "at the end").await
}

async fn push(
    world: &mut World,
    process: &mut Process,
    pushes: &mut impl Iterator<Item = Vec<Row>>,
) {
    let rows = pushes.next().expect("the script has enough pushes");
    if world.push(process, &rows).await.is_err() {
        // A client sends again what was not acknowledged; it may be refused again.
        let _refused = world.push(process, &rows).await;
    }
}

/// A query may fail while the machine is failing, but it may not lie.
async fn settle_check(
    machine: &Machine,
    world: &World,
    process: &Process,
    when: &str,
) -> Result<(), String> {
    match world.check(process, when).await {
        Err(error) if error.contains(": query: ") || error.contains(": count: ") => {
            machine.bucket.settle().await;
            match world.check(process, when).await {
                Err(error) if error.contains(": query: ") || error.contains(": count: ") => Ok(()),
                told => told,
            }
        }
        told => told,
    }
}

/// Restarts without faults, and holds the system to everything it acknowledged.
pub async fn aftermath(machine: &mut Machine, world: &mut World, keep: Keep) -> Result<(), String> {
    machine.bucket.settle().await;
    machine.crash(keep);
    let process = machine.start().await.map_err(|error| format!("restart: {error}"))?;
    world.check(&process, "after the restart").await?;
    world.flush(&process).await.map_err(|error| format!("flush after the restart: {error}"))?;
    world.check(&process, "after the last flush").await?;
    drop(process);
    machine.lose_disk();
    let process = machine.start().await.map_err(|error| format!("on the bucket alone: {error}"))?;
    world.check_flushed(&process, "on the bucket alone").await
}

/// One runtime and thread for a whole case.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
