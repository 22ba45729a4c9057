//! `runelog labels`: names of labels, or values of one.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::time::{Clock, SystemClock};

use crate::terminal::connection::Connect;
use crate::terminal::time::{self, duration, instant};

/// Lists label names, or the values of one label.
#[derive(clap::Args, Debug)]
pub struct Labels {
    /// List the values of this label
    pub name: Option<String>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    connect: Connect,
}

/// The range that `labels` and `series` look at.
#[derive(clap::Args, Clone, Debug)]
pub struct Range {
    /// How far back from the end to look
    #[arg(long, default_value = "1h", value_parser = duration)]
    since: Duration,
    /// First instant (RFC 3339 or Unix time); wins over --since
    #[arg(long, value_parser = instant)]
    from: Option<i64>,
    /// Last instant; now if not given
    #[arg(long, value_parser = instant)]
    to: Option<i64>,
}

impl Range {
    /// The parameters of a request.
    pub fn params(&self, clock: &dyn Clock) -> Vec<(&'static str, String)> {
        let end_ns = self.to.unwrap_or_else(|| clock.now().0);
        let since_ns = time::nanoseconds(self.since);
        let start_ns = self.from.unwrap_or_else(|| end_ns.saturating_sub(since_ns));
        vec![("start", start_ns.to_string()), ("end", end_ns.to_string())]
    }
}

impl Labels {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode> {
        let path = match &self.name {
            Some(name) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                ensure!(!name.is_empty() && name.chars().all(plain), "{name:?} names no label");
                format!("loki/api/v1/label/{name}/values")
            }
            None => "loki/api/v1/labels".to_owned(),
        };
        let params = self.range.params(&SystemClock);
        let found: Option<Vec<String>> = self.connect.open()?.get(&path, &params).await?;
        print(found.unwrap_or_default())
    }
}

/// One per line.
pub fn print(lines: Vec<String>) -> Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}").context("writing the result")?;
    }
    out.flush().context("writing the result")?;
    Ok(ExitCode::SUCCESS)
}
