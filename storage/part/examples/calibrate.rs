//! What this machine does in a second, so that figures of different machines can be compared.
//!
//! `cargo run --release -p runelog-part --example calibrate -- DIR`
//!
//! One thread, best of several runs, over pages of 256 KiB of JSON lines made here. fdatasync of
//! 64 KiB that were appended to a file in DIR: the median.

use std::io::Write as _;
use std::path::Path;

use base::random::{Random, SeededRandom};
use base::time::{Clock, SystemClock};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PAGE_BYTES: usize = 256 << 10;
const PAGES: usize = 64;
const RUNS: usize = 7;
const SYNCS: usize = 64;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).ok_or("usage: calibrate DIR")?;
    let pages = pages();
    let raw: usize = pages.iter().map(Vec::len).sum();
    let finder = memchr::memmem::Finder::new(b"quorum lease lost");
    let searched =
        rate(raw, || Ok(pages.iter().filter(|page| finder.find(page).is_some()).count()))?;
    println!("memmem          {searched:6.2} GB/s");
    let lz4: Vec<Vec<u8>> = pages.iter().map(|page| lz4_flex::block::compress(page)).collect();
    let compressed =
        rate(raw, || Ok(pages.iter().map(|p| lz4_flex::block::compress(p).len()).sum()))?;
    let inflate =
        |page: &Vec<u8>| lz4_flex::block::decompress(page, PAGE_BYTES).map(|raw| raw.len());
    let inflated = rate(raw, || Ok(lz4.iter().map(inflate).sum::<std::result::Result<_, _>>()?))?;
    println!(
        "lz4             {compressed:6.2} GB/s in, {inflated:5.2} out, {:.3}",
        share(&lz4, raw)
    );
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let zstd: Vec<Vec<u8>> =
        pages.iter().map(|page| compressor.compress(page)).collect::<std::io::Result<_>>()?;
    let compressed = rate(raw, || {
        let mut bytes = 0;
        for page in &pages {
            bytes += compressor.compress(page)?.len();
        }
        Ok(bytes)
    })?;
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let inflated = rate(raw, || {
        let mut bytes = 0;
        for page in &zstd {
            bytes += decompressor.decompress(page, PAGE_BYTES)?.len();
        }
        Ok(bytes)
    })?;
    println!(
        "zstd-1          {compressed:6.2} GB/s in, {inflated:5.2} out, {:.3}",
        share(&zstd, raw)
    );
    println!("fdatasync       {:6.2} ms", syncs(Path::new(&dir))?);
    Ok(())
}

/// Pages of lines with ids, numbers and words, a sixth of which is new in every line.
fn pages() -> Vec<Vec<u8>> {
    let random = SeededRandom::new(7);
    let words = ["checkout", "payment accepted", "cart updated", "timeout talking to upstream"];
    let page = |_| {
        let mut page = Vec::with_capacity(PAGE_BYTES + 512);
        while page.len() < PAGE_BYTES {
            let (id, number) = (random.next_u64(), random.next_u64());
            let word = words[(number % 4) as usize];
            let status = 200 + number % 5 * 100;
            let line = format!(
                "{{\"level\":\"info\",\"requestId\":\"{id:016x}\",\"message\":\"{word}\",\
                 \"statusCode\":{status},\"responseTime\":{},\"service\":\"shop\",\
                 \"url\":\"/api/v1/orders/{}\"}}\n",
                number % 9973,
                number % 997
            );
            page.extend_from_slice(line.as_bytes());
        }
        page.truncate(PAGE_BYTES);
        page
    };
    (0..PAGES).map(page).collect()
}

/// GB of `raw` per second, best of several runs.
fn rate(raw: usize, mut work: impl FnMut() -> Result<usize>) -> Result<f64> {
    let mut best = u64::MAX;
    for _ in 0..RUNS {
        let began = SystemClock.monotonic_ns();
        std::hint::black_box(work()?);
        best = best.min(SystemClock.monotonic_ns() - began);
    }
    Ok(raw as f64 / best as f64)
}

fn share(compressed: &[Vec<u8>], raw: usize) -> f64 {
    compressed.iter().map(Vec::len).sum::<usize>() as f64 / raw as f64
}

/// Median milliseconds.
fn syncs(dir: &Path) -> Result<f64> {
    let path = dir.join("calibrate.tmp");
    let mut file = std::fs::File::create(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; 64 << 10])?;
        let began = SystemClock.monotonic_ns();
        file.sync_data()?;
        took.push(SystemClock.monotonic_ns() - began);
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok(took[SYNCS / 2] as f64 / 1e6)
}
