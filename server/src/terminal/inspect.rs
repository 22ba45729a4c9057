//! `runelog inspect`: what is in a file that the server wrote, and what of it is damaged.
//!
//! A file is known by its magic, whatever it is called. Nothing is written, and the process that
//! owns the file may be running.

mod catalog;
mod part;
mod report;
mod wal;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base::{Labels, PageView};

use crate::terminal::time::Zone;
use report::{Cell, Report};

/// The largest file that is read; parts are at most about a gigabyte.
const MAX_FILE_BYTES: u64 = 8 << 30;

/// Shows what is in a file.
///
/// Understands parts and bundles of parts, segments of the write-ahead log, the store file beside
/// them, cluster.json, and the objects of the catalog: commits, the floor of the log, day
/// checkpoints, id tables and manifests. Ends with 1 if anything in a file is damaged; the rest is
/// shown.
#[derive(clap::Args, Debug)]
pub struct Inspect {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object per file
    #[arg(long)]
    json: bool,
    /// Print this many rows of a part or segment
    #[arg(long, default_value_t = 0, value_name = "N")]
    rows: usize,
    /// Print all rows of every table (JSON always has them)
    #[arg(long)]
    all: bool,
    /// Zone of printed timestamps
    #[arg(short = 'z', long, value_enum, default_value = "local")]
    timezone: Zone,
}

impl Inspect {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut sound = true;
        for (at, path) in self.files.iter().enumerate() {
            let shown = path.display();
            let metadata = std::fs::metadata(path).with_context(|| format!("read {shown}"))?;
            ensure!(metadata.is_file(), "{shown} is no file");
            let len_bytes = metadata.len();
            ensure!(len_bytes <= MAX_FILE_BYTES, "{shown} has {len_bytes} bytes: too many");
            let bytes = std::fs::read(path).with_context(|| format!("read {shown}"))?;
            let name = path.file_name().and_then(|name| name.to_str());
            let report = look(bytes, name, self.rows);
            sound &= report.is_sound();
            if self.json {
                serde_json::to_writer(&mut out, &report.json(&shown.to_string()))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                let gap = if at > 0 { "\n" } else { "" };
                write!(out, "{gap}{shown}: ")?;
                report.write(&mut out, self.timezone, self.all)?;
            }
        }
        out.flush()?;
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is in `bytes`, which stood in a file called `name`. Shows at most `rows` rows.
fn look(bytes: Vec<u8>, name: Option<&str>, rows: usize) -> Report {
    let is_segment_name = name.is_some_and(|name| name.ends_with(".wal"));
    if bytes.starts_with(wal::MAGIC) || is_segment_name {
        return wal::segment(&bytes, name, rows);
    }
    if let Some(report) = catalog::object(&bytes) {
        return report;
    }
    if bytes.first() == Some(&b'{') && name.is_none_or(|name| name == "cluster.json") {
        return catalog::cluster(&bytes);
    }
    if let Some(report) = wal::store(&bytes) {
        return report;
    }
    part::parts(bytes, rows)
}

/// The first rows of a page, and whose streams they are.
fn rows(view: &PageView<'_>, streams: &[Labels], limit: usize, out: &mut Vec<Vec<Cell>>) {
    for row in 0..view.len().min(limit) {
        let run = view.runs.iter().find(|run| row < run.end as usize);
        let labels = run.and_then(|run| streams.get(run.stream as usize));
        let metadata: Vec<String> = view
            .metadata
            .iter()
            .filter_map(|column| Some((column.name, column.get(row)?)))
            .map(|(name, value)| format!("{name}={:?}", String::from_utf8_lossy(value)))
            .collect();
        out.push(vec![
            Cell::Time(view.ts_ns[row]),
            labels.map_or(Cell::None, Cell::text),
            Cell::Text(metadata.join(" ")),
            Cell::text(String::from_utf8_lossy(view.lines.get(row))),
        ]);
    }
}

/// Any bytes as a file that somebody looks into: the report can be printed both ways.
#[doc(hidden)]
pub fn fuzz_inspect(data: &[u8]) {
    for name in [None, Some("0000000000000001.wal"), Some("cluster.json")] {
        let report = look(data.to_vec(), name, 5);
        let mut text = Vec::new();
        report.write(&mut text, Zone::Utc, false).expect("memory takes every byte");
        assert!(text.ends_with(b"\n"));
        report.json("file");
    }
}

#[cfg(test)]
mod tests;
