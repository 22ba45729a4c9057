//! `runelog series`: the streams that a selector matches.

use std::process::ExitCode;

use anyhow::Result;
use base::time::SystemClock;

use crate::terminal::connection::Connect;
use crate::terminal::labels::{self, Range};
use crate::terminal::output::{LabelSet, braces};

/// Lists the streams that a selector matches.
#[derive(clap::Args, Debug)]
pub struct Series {
    /// The selector, such as '{app="web"}'
    pub selector: String,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    connect: Connect,
}

impl Series {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode> {
        let mut params = self.range.params(&SystemClock);
        params.push(("match[]", self.selector));
        let found: Option<Vec<LabelSet>> =
            self.connect.open()?.get("loki/api/v1/series", &params).await?;
        let mut lines: Vec<String> = found.unwrap_or_default().iter().map(braces).collect();
        lines.sort();
        labels::print(lines)
    }
}
