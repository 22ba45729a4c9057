//! `runelog query`: log lines as logcli prints them, metrics as JSON.

pub(crate) mod walk;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use base::time::{Clock, SystemClock};
use serde_json::Value;

use crate::terminal::connection::{Connect, Connection, QueryAnswer};
use crate::terminal::output::{Output, Printer};
use crate::terminal::query::walk::{Request, Stream, Walk};
use crate::terminal::time::{self, duration, instant};

const RANGE: &str = "loki/api/v1/query_range";
const INSTANT: &str = "loki/api/v1/query";

/// Runs a LogQL query.
///
/// Log queries print one line per entry, newest first unless --forward is given; labels that all
/// streams share are said once on standard error. Metric queries print the result as JSON. More
/// entries than the server gives at once are asked for in batches; none is lost or doubled, also
/// when many share an instant.
#[derive(clap::Args, Debug)]
pub struct Query {
    /// The query, such as '{app="web"} |= "error"'
    pub query: String,
    /// How far back from the end to look
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub since: Duration,
    /// First instant (RFC 3339 or Unix time); wins over --since
    #[arg(long, value_parser = instant)]
    pub from: Option<i64>,
    /// One past the last instant; now if not given
    #[arg(long, value_parser = instant)]
    pub to: Option<i64>,
    /// Evaluate at this one instant instead of over a range (`now` is understood)
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["from", "to"])]
    pub now: Option<Moment>,
    /// Most lines to print; 0 = all
    #[arg(long, default_value_t = 30)]
    pub limit: u64,
    /// Most lines to ask for at once
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub batch: u64,
    /// Oldest first
    #[arg(long)]
    pub forward: bool,
    /// Resolution of a metric query, such as 15s
    #[arg(long, value_parser = duration)]
    pub step: Option<Duration>,
    /// Least distance between two lines of a stream
    #[arg(long, value_parser = duration)]
    pub interval: Option<Duration>,
    /// Say on standard error what the query cost
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// The instant of `--now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When the query is sent.
    Now,
    /// Nanoseconds since 1970.
    At(i64),
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == "now" { Ok(Moment::Now) } else { instant(text).map(Moment::At) }
}

impl Query {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode> {
        let connection = self.connect.open()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let printed = self.print(&connection, &SystemClock, &mut out, &mut io::stderr()).await;
        out.flush().context("writing the result")?;
        printed?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints the result to `out` and everything else to `notes`.
    async fn print(
        &self,
        connection: &Connection,
        clock: &dyn Clock,
        out: &mut impl Write,
        notes: &mut impl Write,
    ) -> Result<()> {
        if let Some(at) = self.now {
            let at = match at {
                Moment::Now => clock.now().0,
                Moment::At(ts_ns) => ts_ns,
            };
            let params = [
                ("query", self.query.clone()),
                ("time", at.to_string()),
                ("limit", if self.limit == 0 { self.batch } else { self.limit }.to_string()),
                ("direction", self.direction().to_owned()),
            ];
            let answer = connection.query(INSTANT, &params).await?;
            return self.metrics(&answer, out, notes);
        }
        let end_ns = self.to.unwrap_or_else(|| clock.now().0);
        let since_ns = time::nanoseconds(self.since);
        let start_ns = self.from.unwrap_or_else(|| end_ns.saturating_sub(since_ns));
        self.range(connection, start_ns..end_ns, out, notes).await
    }

    async fn range(
        &self,
        connection: &Connection,
        range: std::ops::Range<i64>,
        out: &mut impl Write,
        notes: &mut impl Write,
    ) -> Result<()> {
        let wanted = (self.limit > 0).then_some(self.limit);
        let mut walk = Walk::new(self.forward, range, self.batch, wanted);
        let mut printer = Printer::new(&self.output, &mut *out, true);
        while let Some(request) = walk.next() {
            let answer = connection.query(RANGE, &self.params(&request)).await?;
            if answer.kind != "streams" {
                drop(printer);
                return self.metrics(&answer, out, notes);
            }
            let streams: Vec<Stream> =
                serde_json::from_str(answer.result.get()).context("reading the streams")?;
            let entries = walk.take(streams)?;
            if let Some(note) = printer.print(&entries)? {
                writeln!(notes, "{note}")?;
            }
            self.tell_stats(&answer, notes)?;
        }
        Ok(())
    }

    fn params(&self, request: &Request) -> Vec<(&'static str, String)> {
        let mut params = vec![
            ("query", self.query.clone()),
            ("start", request.start_ns.to_string()),
            ("end", request.end_ns.to_string()),
            ("limit", request.limit.to_string()),
            ("direction", self.direction().to_owned()),
        ];
        let seconds = |duration: Duration| duration.as_secs_f64().to_string();
        params.extend(self.step.map(|step| ("step", seconds(step))));
        params.extend(self.interval.map(|interval| ("interval", seconds(interval))));
        params
    }

    fn direction(&self) -> &'static str {
        if self.forward { "forward" } else { "backward" }
    }

    fn metrics(
        &self,
        answer: &QueryAnswer,
        out: &mut impl Write,
        notes: &mut impl Write,
    ) -> Result<()> {
        let result: Value = serde_json::from_str(answer.result.get())?;
        serde_json::to_writer_pretty(&mut *out, &result).map_err(io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
        self.tell_stats(answer, notes)
    }

    fn tell_stats(&self, answer: &QueryAnswer, notes: &mut impl Write) -> Result<()> {
        if self.stats && !self.output.quiet {
            let mut lines = Vec::new();
            flatten("", &answer.stats, &mut lines);
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in lines {
                writeln!(notes, "{name:<width$}  {value}")?;
            }
        }
        Ok(())
    }
}

/// `{"a":{"b":1}}` as `a.b` and `1`; what is zero is left out.
fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, out);
            }
        }
        Value::Null => {}
        Value::Number(number) if number.as_f64() == Some(0.0) => {}
        value => out.push((path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests;
