//! Merges part files of one tenant and day, and says what it cost and what came out.
//!
//! `cargo run --release -p runelog-part --example merge -- [--recut] FILE...`
//!
//! `--recut` first writes each part anew by itself, as today's writer cuts it, lines decoded.

extern crate runelog_part as part;

use std::sync::Arc;

use bytes::Bytes;
use part::{Codec, Copies, Error, Footer, Image, Input, Merge, Options};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let recut = paths.first().is_some_and(|first| first == "--recut");
    if recut {
        paths.remove(0);
    }
    let read = |path: &String| std::fs::read(path).map(Bytes::from);
    let mut parts: Vec<Bytes> = paths.iter().map(read).collect::<std::io::Result<_>>()?;
    if recut {
        for part in &mut parts {
            let other = Options { codec: Codec::Lz4, ..Options::flushed() };
            let (as_lz4, _) = merge(std::slice::from_ref(part), &other)?;
            *part = merge(&[as_lz4.bytes], &Options::flushed())?.0.bytes;
        }
    }
    for part in &parts {
        show("input", part)?;
    }
    let began = cpu_ns();
    let (merged, copies) = merge(&parts, &Options::flushed())?;
    let took = cpu_ns() - began;
    show("output", &merged.bytes)?;
    let raw = merged.line_bytes as f64;
    println!(
        "{:.0} CPU-ms, {:.3} CPU-s per GB; {} pages copied, {:.1} % of lines",
        took as f64 / 1e6,
        took as f64 / raw,
        copies.pages,
        copies.line_bytes as f64 * 100.0 / raw
    );
    Ok(())
}

fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn merge(parts: &[Bytes], options: &Options) -> Result<(Image, Copies)> {
    let mut inputs: Vec<Input<Error>> = Vec::new();
    for part in parts {
        let footer = Arc::new(Footer::open(part, part.len() as u64)?);
        inputs.push(Input { footer, reader: Arc::new(part.clone()) });
    }
    let first = &inputs.first().ok_or("no parts")?.footer;
    let mut merge = Merge::new(first.tenant(), first.day(), &inputs, options)?;
    let mut bytes = Vec::with_capacity(parts.iter().map(Bytes::len).sum());
    while let Some(chunk) = merge.next()? {
        bytes.extend_from_slice(&chunk);
    }
    let &summary = merge.summary().ok_or("no rows")?;
    Ok((Image { bytes: bytes.into(), summary }, merge.copies()))
}

fn show(what: &str, part: &Bytes) -> Result<()> {
    let survey = part::Survey::of(part)?;
    let footer = &survey.footer;
    let raw = footer.line_bytes() as f64;
    let of = |wanted: fn(&part::What) -> bool| -> f64 {
        let pieces = survey.pieces.iter().filter(|piece| wanted(&piece.what));
        pieces.map(|piece| piece.stored_bytes).sum::<u64>() as f64 * 100.0 / raw
    };
    let pages: usize = (0..footer.groups().len()).map(|group| footer.pages(group).len()).sum();
    println!(
        "{what}: {} rows, {} streams, {} groups, {pages} pages of {:.0} KiB, {:.2} % of raw: \
         lines {:.2}, ids {:.2}, trigrams {:.2}, sections {:.3}; sound {}",
        footer.rows(),
        footer.streams().len(),
        footer.groups().len(),
        raw / 1024.0 / pages as f64,
        part.len() as f64 * 100.0 / raw,
        of(|what| matches!(what, part::What::Lines { .. })),
        of(|what| matches!(what, part::What::Ids(_))),
        of(|what| matches!(what, part::What::Trigrams(_))),
        of(|what| matches!(what, part::What::Section(_))),
        survey.is_sound()
    );
    Ok(())
}
