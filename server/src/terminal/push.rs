//! `runelog push`: lines of files or of standard input, sent in bodies of about a megabyte.
//!
//! One thread reads and decompresses, one task cuts lines and builds bodies, a few requests are
//! under way at a time. **Invariant:** memory is bounded by the number of connections times a body,
//! and the process ends with success only if the server has every line.

mod body;
mod deliver;
mod lines;
mod progress;
mod timestamp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use base::random::SystemRandom;
use base::time::{Clock, SystemClock};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::terminal::connection::Connect;
use crate::terminal::output::LabelSet;
use body::{Body, Builder};
use deliver::{Outcome, Sender};
use lines::{Chunk, Line, MAX_LINE_BYTES, Source, Splitter};
use progress::Progress;
use timestamp::Stamper;

/// Lines that wait for more are sent after this time without any: somebody may be watching.
const LINGER: Duration = Duration::from_millis(250);

/// Sends lines to a server.
///
/// Each line of a FILE is one entry; .gz and .zst are decompressed; a carriage return before the
/// line feed is dropped. Lines get the labels given, job="runelog-push" unless one is, and
/// filename="FILE" for files. Their timestamp is the time of sending, always growing, so that order
/// stays; --timestamp-field takes it from the line instead.
///
/// Requests that the server cannot take now (429, 5xx, no connection) are repeated; they are stored
/// once all the same. Ends with 1 if the server refused anything, and shows its text.
#[derive(clap::Args, Debug)]
pub struct Push {
    /// Files; `-` or none is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A label of the lines (may be given several times)
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Do not add the label filename
    #[arg(long)]
    no_filename: bool,
    /// Take the timestamp from this field of JSON or logfmt lines
    #[arg(long, value_name = "FIELD")]
    timestamp_field: Option<String>,
    /// Requests under way at a time; 4, or 1 with --timestamp-field, because servers refuse lines
    /// that come long after newer ones of their stream
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: Option<u16>,
    /// How often a request is repeated before the push gives up
    #[arg(long, default_value_t = 10)]
    retries: u32,
    /// Show neither progress nor summary
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is NAME=VALUE")?;
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    if !is_name {
        return Err(format!("{name:?} is no label name: letters, digits and _"));
    }
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Ok((name.to_owned(), unquoted.unwrap_or(value).to_owned()))
}

impl Push {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode> {
        let connection = self.connect.open()?;
        let mut sources: Vec<Source> = self.files.iter().map(|file| Source::new(file)).collect();
        if sources.is_empty() {
            sources.push(Source::Stdin);
        }
        let mut total_bytes = Some(0);
        for source in &sources {
            let len_bytes = source.len_bytes()?;
            total_bytes = total_bytes.zip(len_bytes).map(|(total, len)| total + len);
        }
        let clock = SystemClock;
        let random = SystemRandom;
        let sender = Sender {
            connection: &connection,
            retries: self.retries,
            clock: &clock,
            random: &random,
        };
        let progress = Progress::new(&clock, total_bytes, self.quiet);
        let mut run = Run { push: &self, sources: &sources, sender, progress };
        let ended = run.run().await;
        let summary = run.progress.summary();
        if !self.quiet {
            println!("{summary}");
        }
        let rejected = run.progress.counts().rejected;
        ended?;
        Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn labels_of(&self, source: &Source) -> LabelSet {
        let mut labels = BTreeMap::from([("job".to_owned(), "runelog-push".to_owned())]);
        if let (Source::File(_), false) = (source, self.no_filename) {
            labels.insert("filename".to_owned(), source.name());
        }
        labels.extend(self.labels.iter().cloned());
        labels
    }

    fn connections(&self) -> usize {
        let usual = if self.timestamp_field.is_some() { 1 } else { 4 };
        usize::from(self.connections.unwrap_or(usual))
    }
}

struct Run<'a> {
    push: &'a Push,
    sources: &'a [Source],
    sender: Sender<'a>,
    progress: Progress<'a>,
}

impl Run<'_> {
    async fn run(&mut self) -> Result<()> {
        let (sender, connections) = (self.sender.clone(), self.push.connections());
        let mut reading = Reading::start(self.push, self.sources, sender.clock)?;
        let (waits, mut told) = tokio::sync::mpsc::channel(64);
        let deliver = |body: Body| {
            let (sender, waits) = (&sender, waits.clone());
            async move {
                // A full queue loses no more than a count.
                let waiting = |why: &str, wait| drop(waits.try_send((why.to_owned(), wait)));
                let outcome = sender.deliver(&body, waiting).await;
                (body, outcome)
            }
        };
        let mut under_way = FuturesUnordered::new();
        let (mut open, mut failure) = (true, None);
        while open || !under_way.is_empty() {
            tokio::select! {
                biased;
                Some((why, wait)) = told.recv() => self.waits(&why, wait),
                Some((body, outcome)) = under_way.next() => self.done(&body, outcome)?,
                bodies = reading.next(), if open && under_way.len() < connections => {
                    match bodies {
                        Ok(Some(bodies)) => under_way.extend(bodies.into_iter().map(&deliver)),
                        Ok(None) => open = false,
                        // What was read before still gets its answer.
                        Err(error) => (open, failure) = (false, Some(error)),
                    }
                    self.count(&mut reading);
                }
            }
            self.progress.update(reading.read_bytes());
        }
        failure.map_or(Ok(()), Err)
    }

    fn waits(&mut self, why: &str, wait: Duration) {
        self.progress.counts().retries += 1;
        self.progress.tell(&format!("runelog: {why}; again in {wait:.1?}"));
    }

    fn done(&mut self, body: &Body, outcome: Outcome) -> Result<()> {
        let counts = self.progress.counts();
        match outcome {
            Outcome::Accepted => {
                counts.bodies += 1;
                counts.lines += body.lines;
                counts.line_bytes += body.line_bytes;
            }
            Outcome::Rejected(text) => {
                counts.bodies += 1;
                counts.rejected_bodies += 1;
                counts.rejected += body.lines;
                self.progress.tell(&format!("runelog: refused: {text}"));
            }
            Outcome::Failed(text) => bail!("the push ended early: {text}"),
        }
        Ok(())
    }

    /// What reading found to be wrong with lines.
    fn count(&mut self, reading: &mut Reading<'_>) {
        self.progress.counts().replaced += std::mem::take(&mut reading.replaced);
        for (name, number) in reading.too_long.drain(..) {
            self.progress.counts().rejected += 1;
            let limit = MAX_LINE_BYTES >> 20;
            self.progress.tell(&format!("runelog: {name}: line {number} is over {limit} MiB"));
        }
    }
}

/// Lines on their way from the sources into bodies.
struct Reading<'a> {
    push: &'a Push,
    clock: &'a dyn Clock,
    chunks: tokio::sync::mpsc::Receiver<Chunk>,
    /// The current source and those after it.
    sources: std::slice::Iter<'a, Source>,
    builder: Builder,
    splitter: Splitter,
    stamper: Stamper,
    read_bytes: Arc<AtomicU64>,
    replaced: u64,
    /// Source and number of lines that are too long.
    too_long: Vec<(String, u64)>,
}

impl<'a> Reading<'a> {
    fn start(push: &'a Push, sources: &'a [Source], clock: &'a dyn Clock) -> Result<Reading<'a>> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let labels = sources.first().map(|source| push.labels_of(source)).unwrap_or_default();
        Ok(Reading {
            push,
            clock,
            chunks: lines::read(sources.to_vec(), Arc::clone(&read_bytes))?,
            sources: sources.iter(),
            builder: Builder::new(&labels),
            splitter: Splitter::default(),
            stamper: Stamper::new(push.timestamp_field.clone()),
            read_bytes,
            replaced: 0,
            too_long: Vec::new(),
        })
    }

    /// Bytes read of the sources, before decompression.
    fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Bodies to send, often none yet; [`None`] at the end. Nothing is lost when it is dropped
    /// before it is ready.
    async fn next(&mut self) -> Result<Option<Vec<Body>>> {
        let mut ready = Vec::new();
        match tokio::time::timeout(LINGER, self.chunks.recv()).await {
            Ok(Some(Chunk::Bytes(bytes))) => self.add(&bytes, &mut ready),
            Ok(Some(Chunk::End)) => {
                self.end_source(&mut ready);
                if let Some(source) = self.sources.as_slice().first() {
                    self.builder.set_labels(&self.push.labels_of(source));
                } else {
                    ready.extend(self.builder.finish());
                }
            }
            Ok(Some(Chunk::Failed(error))) => bail!("read {}: {error}", self.name()),
            Ok(None) => return Ok(None),
            Err(_elapsed) => ready.extend(self.builder.finish()),
        }
        Ok(Some(ready))
    }

    fn add(&mut self, bytes: &[u8], ready: &mut Vec<Body>) {
        self.stamper.set_now(self.clock.now().0);
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.split(bytes, |line| self.line(line, ready));
        self.splitter = splitter;
    }

    fn end_source(&mut self, ready: &mut Vec<Body>) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.end(|line| self.line(line, ready));
        self.sources.next();
    }

    fn line(&mut self, line: Line<'_>, ready: &mut Vec<Body>) {
        let bytes = match line {
            Line::Text(bytes) => bytes,
            Line::TooLong(number) => return self.too_long.push((self.name(), number)),
        };
        let text = String::from_utf8_lossy(bytes);
        self.replaced += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        let ts_ns = self.stamper.stamp(&text);
        self.builder.push(ts_ns, &text);
        if self.builder.is_full() {
            ready.extend(self.builder.finish());
        }
    }

    fn name(&self) -> String {
        self.sources.as_slice().first().map(Source::name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
