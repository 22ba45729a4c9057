//! Log lines as they are printed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::terminal::query::walk::Entry;
use crate::terminal::time::Zone;

/// Names and values of one stream.
pub type LabelSet = BTreeMap<String, String>;

/// How a line is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Timestamp, labels, line
    Default,
    /// The line and nothing else
    Raw,
    /// One JSON object per line, with labels and timestamp
    Jsonl,
}

/// Flags that say how lines are printed; the same for all commands that print some.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// How lines are printed
    #[arg(short = 'o', long = "output", value_enum, default_value = "default")]
    pub format: Format,
    /// Zone of printed timestamps
    #[arg(short = 'z', long, value_enum, default_value = "local")]
    pub timezone: Zone,
    /// Print no labels
    #[arg(long)]
    pub no_labels: bool,
    /// Print only these labels (may be given several times)
    #[arg(long, value_name = "NAME")]
    pub include_label: Vec<String>,
    /// Do not print these labels (may be given several times)
    #[arg(long, value_name = "NAME")]
    pub exclude_label: Vec<String>,
    /// Pad labels to this many characters; 0 pads to the longest of a batch
    #[arg(long, default_value_t = 0)]
    pub labels_length: usize,
    /// Print nothing but the result
    #[arg(short, long)]
    pub quiet: bool,
}

/// Prints entries; remembers which labels all of them share.
pub struct Printer<'a, W> {
    options: &'a Output,
    out: W,
    /// What every stream so far has in common; [`None`] before the first.
    common: Option<LabelSet>,
    /// Common labels are said once and left out of each line.
    fold_common: bool,
}

/// One line of `--output jsonl`.
#[derive(Serialize)]
struct JsonLine<'a> {
    labels: &'a LabelSet,
    line: &'a str,
    timestamp: String,
}

impl<'a, W: Write> Printer<'a, W> {
    /// A printer to `out`.
    pub fn new(options: &'a Output, out: W, fold_common: bool) -> Printer<'a, W> {
        Printer { options, out, common: None, fold_common }
    }

    /// Prints `entries` in their order. Gives the note to standard error, if labels turned out to
    /// be common to all.
    pub fn print(&mut self, entries: &[Entry]) -> io::Result<Option<String>> {
        let note = self.fold(entries);
        let mut shown: Vec<Option<(LabelSet, String)>> = Vec::new();
        let mut width = self.options.labels_length;
        for entry in entries {
            if shown.len() <= entry.stream {
                shown.resize(entry.stream + 1, None);
            }
            if shown[entry.stream].is_none() {
                let labels = self.visible(&entry.labels);
                let text = braces(&labels);
                if self.options.labels_length == 0 {
                    width = width.max(text.chars().count());
                }
                shown[entry.stream] = Some((labels, text));
            }
        }
        for entry in entries {
            let (labels, text) = shown[entry.stream].as_ref().expect("filled above");
            self.line(entry, labels, text, width)?;
        }
        self.out.flush()?;
        Ok(note.filter(|_| !self.options.quiet))
    }

    fn line(
        &mut self,
        entry: &Entry,
        labels: &LabelSet,
        text: &str,
        width: usize,
    ) -> io::Result<()> {
        let zone = self.options.timezone;
        match self.options.format {
            Format::Raw => writeln!(self.out, "{}", entry.line),
            Format::Jsonl => {
                let timestamp = zone.exact(entry.ts_ns);
                let line = JsonLine { labels, line: &entry.line, timestamp };
                serde_json::to_writer(&mut self.out, &line)?;
                writeln!(self.out)
            }
            Format::Default => {
                let (timestamp, line) = (zone.seconds(entry.ts_ns), entry.line.trim());
                if self.options.no_labels {
                    writeln!(self.out, "{timestamp} {line}")
                } else {
                    writeln!(self.out, "{timestamp} {text:<width$} {line}")
                }
            }
        }
    }

    /// Keeps in `common` what the streams of `entries` share too; gives a note when that changed.
    fn fold(&mut self, entries: &[Entry]) -> Option<String> {
        if !self.fold_common {
            return None;
        }
        let before = self.common.as_ref().map(LabelSet::len);
        for entry in entries {
            match &mut self.common {
                None => {
                    let mut first = (*entry.labels).clone();
                    // What is asked for is printed on each line.
                    first.retain(|name, _| !self.options.include_label.contains(name));
                    self.common = Some(first);
                }
                Some(common) if !common.is_empty() => {
                    common.retain(|name, value| entry.labels.get(name) == Some(value));
                }
                Some(_) => break,
            }
        }
        let common = self.common.as_ref()?;
        let changed = before != Some(common.len()) && !common.is_empty();
        changed.then(|| format!("Common labels: {}", braces(common)))
    }

    fn visible(&self, labels: &LabelSet) -> LabelSet {
        let mut labels = labels.clone();
        if self.options.no_labels {
            labels.clear();
        }
        let (include, exclude) = (&self.options.include_label, &self.options.exclude_label);
        labels.retain(|name, value| {
            let is_common =
                self.common.as_ref().is_some_and(|common| common.get(name) == Some(value));
            !is_common && (include.is_empty() || include.contains(name)) && !exclude.contains(name)
        });
        labels
    }
}

/// Labels in the form of a selector: `{a="b", c="d"}`.
pub fn braces(labels: &LabelSet) -> String {
    let mut out = String::from("{");
    for (name, value) in labels {
        if out.len() > 1 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&base::quote::quote(value));
    }
    out.push('}');
    out
}

/// Whether the reader of our output went away: `runelog query … | head` is no failure. A connection to
/// a server that breaks the same way is one: it may have hung up on who shows no certificate.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_ours = !error.chain().any(|cause| cause.is::<reqwest::Error>());
    let is_broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    is_ours && error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_broken))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("because of {0}")]
    struct Because(#[source] reqwest::Error);

    #[test]
    fn a_pipe_that_breaks_on_the_way_to_a_server_is_a_failure_and_one_to_a_reader_is_none() {
        let broken = || Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_closed_pipe(&broken().context("writing the result").unwrap_err()));
        assert!(!is_closed_pipe(&anyhow::anyhow!("something else")));
        // An error means that a provider is installed already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let of_server = reqwest::Client::new().get("http://").build().unwrap_err();
        let of_server = io::Error::new(io::ErrorKind::BrokenPipe, Because(of_server));
        let of_server = anyhow::Error::from(of_server).context("no answer");
        assert!(!is_closed_pipe(&of_server), "{of_server:#}");
    }
}
