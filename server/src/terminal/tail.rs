//! `runelog tail`: new lines as they come.
//!
//! Asks for the range behind what it has printed, forward, again and again, and each time a little
//! of what it has seen too: a line that arrives late within that overlap is printed once, late.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::HashMap;
use base::time::{Clock, SystemClock};

use crate::terminal::connection::{Connect, Connection};
use crate::terminal::output::{Output, Printer};
use crate::terminal::query::walk::{Entry, Request, Stream, Walk, key};
use crate::terminal::time::{self, duration};

const RANGE: &str = "loki/api/v1/query_range";
/// Entries of one request.
const BATCH: u64 = 1_000;
/// How far into the future lines are looked for: the clocks of senders differ.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Prints new lines as they come, oldest first, until Ctrl-C.
///
/// Begins with the last --limit lines of --since. It polls `query_range`: a line that arrives while
/// newer ones of the selection are at most --overlap newer is printed, and none is printed twice.
#[derive(clap::Args, Debug)]
pub struct Tail {
    /// A log query, such as '{app="web"} |= "error"'
    query: String,
    /// Lines to begin with
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// How far back the lines to begin with may lie
    #[arg(long, default_value = "1h", value_parser = duration)]
    since: Duration,
    /// How much is looked at again for lines that arrive late
    #[arg(long, default_value = "5s", value_parser = duration)]
    overlap: Duration,
    /// Pause between two requests
    #[arg(long, default_value = "1s", value_parser = duration)]
    poll: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Tail {
    /// Runs until Ctrl-C, which is a good end.
    pub async fn run(self) -> Result<ExitCode> {
        let connection = self.connect.open()?;
        tokio::select! {
            ended = self.follow(&connection) => ended.map(|()| ExitCode::SUCCESS),
            signal = tokio::signal::ctrl_c() => {
                signal.context("watching Ctrl-C")?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    async fn follow(&self, connection: &Connection) -> Result<()> {
        let clock = SystemClock;
        let mut follow = Follow::new(time::nanoseconds(self.overlap));
        let mut out = BufWriter::new(io::stdout());
        let history = self.history(connection, clock.now().0, &mut follow).await?;
        self.print(&history, &mut out)?;
        let mut answered = true;
        loop {
            tokio::time::sleep(self.poll).await;
            let now_ns = clock.now().0;
            match self.poll(connection, now_ns, &mut follow, &mut out).await {
                Ok(()) => answered = true,
                Err(error) if is_output(&error) => return Err(error),
                // A server that restarts is no reason to end; what it has is asked for later.
                Err(error) => {
                    if answered {
                        eprintln!("runelog: {error:#}; trying again");
                    }
                    answered = false;
                }
            }
        }
    }

    /// The lines to begin with, oldest first.
    async fn history(
        &self,
        connection: &Connection,
        now_ns: i64,
        follow: &mut Follow,
    ) -> Result<Vec<Entry>> {
        let start_ns = now_ns.saturating_sub(time::nanoseconds(self.since));
        let range = start_ns..now_ns.saturating_add(time::nanoseconds(AHEAD));
        // One at least, to know where "new" begins.
        let wanted = self.limit.max(1);
        let mut walk = Walk::new(false, range, BATCH, Some(wanted));
        let mut entries = Vec::new();
        while let Some(request) = walk.next() {
            entries.extend(walk.take(self.ask(connection, "backward", request).await?)?);
        }
        entries.reverse();
        let is_cut = entries.len() as u64 == wanted;
        follow.begin(start_ns, now_ns, &entries, is_cut);
        if self.limit == 0 {
            entries.clear();
        }
        Ok(entries)
    }

    async fn poll(
        &self,
        connection: &Connection,
        now_ns: i64,
        follow: &mut Follow,
        out: &mut impl Write,
    ) -> Result<()> {
        let range = follow.from_ns..now_ns.saturating_add(time::nanoseconds(AHEAD));
        let mut walk = Walk::new(true, range, BATCH, None);
        follow.begin_walk();
        while let Some(request) = walk.next() {
            let mut entries = walk.take(self.ask(connection, "forward", request).await?)?;
            entries.retain(|entry| follow.is_new(entry));
            self.print(&entries, out)?;
            // What comes next in this walk is not older.
            follow.advance(now_ns);
        }
        Ok(())
    }

    async fn ask(
        &self,
        connection: &Connection,
        direction: &str,
        request: Request,
    ) -> Result<Vec<Stream>> {
        let params = [
            ("query", self.query.clone()),
            ("start", request.start_ns.to_string()),
            ("end", request.end_ns.to_string()),
            ("limit", request.limit.to_string()),
            ("direction", direction.to_owned()),
        ];
        let answer = connection.query(RANGE, &params).await?;
        ensure!(answer.kind == "streams", "only a log query can be followed");
        serde_json::from_str(answer.result.get()).context("reading the streams")
    }

    /// Labels are never folded: what is common now need not be common later.
    fn print(&self, entries: &[Entry], out: &mut impl Write) -> Result<()> {
        if !entries.is_empty() {
            Printer::new(&self.output, out, false).print(entries).context("writing the result")?;
        }
        Ok(())
    }
}

/// The chain has an error of our own output, not of the network.
fn is_output(error: &anyhow::Error) -> bool {
    error.to_string() == "writing the result"
}

/// What was printed, as far back as it may come again.
#[derive(Debug)]
struct Follow {
    overlap_ns: i64,
    /// The next request begins here.
    from_ns: i64,
    newest_ns: i64,
    /// Number of the current walk.
    walk: u64,
    /// Entries at or after `from_ns`, by instant.
    known: BTreeMap<i64, HashMap<u128, Known>>,
}

/// An entry that was printed. Two rows may look the same behind a pipeline: both are printed.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    printed: u32,
    /// How often it came in walk number `walk`.
    came: u32,
    walk: u64,
}

impl Follow {
    fn new(overlap_ns: i64) -> Follow {
        Follow { overlap_ns, from_ns: 0, newest_ns: i64::MIN, walk: 0, known: BTreeMap::new() }
    }

    /// `entries` of `start_ns..` are known; if `is_cut`, the older ones of that range are not, and
    /// are not wanted either.
    fn begin(&mut self, start_ns: i64, now_ns: i64, entries: &[Entry], is_cut: bool) {
        let oldest = entries.first().map(|entry| entry.ts_ns);
        self.from_ns = oldest.filter(|_| is_cut).unwrap_or(start_ns);
        for entry in entries {
            self.is_new(entry);
        }
        self.advance(now_ns);
    }

    /// A walk from `from_ns` on begins.
    fn begin_walk(&mut self) {
        self.walk += 1;
    }

    /// Whether `entry` of this walk is to be printed; from then on it is known.
    fn is_new(&mut self, entry: &Entry) -> bool {
        self.newest_ns = self.newest_ns.max(entry.ts_ns);
        let known = self.known.entry(entry.ts_ns).or_default().entry(key(entry)).or_default();
        if known.walk != self.walk {
            (known.walk, known.came) = (self.walk, 0);
        }
        known.came += 1;
        let is_new = known.came > known.printed;
        known.printed = known.printed.max(known.came);
        is_new
    }

    /// The next walk begins an overlap before the newest line. A line from the future does not
    /// count as newest: it would hide the present.
    fn advance(&mut self, now_ns: i64) {
        if self.newest_ns == i64::MIN {
            return;
        }
        let from_ns = self.newest_ns.min(now_ns).saturating_sub(self.overlap_ns);
        self.from_ns = from_ns.max(self.from_ns);
        self.known = self.known.split_off(&self.from_ns);
    }
}

#[cfg(test)]
mod tests;
