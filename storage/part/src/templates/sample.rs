//! Which lines are looked at: mining all of them would cost more than the rest of a flush.

use base::{PageView, Run, StrView};

use super::{LEVEL, Miner, Template};

/// One row of about so many is looked at when a part is written.
const STRIDE: u32 = 64;
/// Of each stream so many rows are looked at in any case,
const FIRST_ROWS: u32 = 4;
/// as long as they are not more than this in all: there may be a stream per row.
const FIRST_ROWS_MAX: u32 = 4096;

/// Learns templates from some rows of the pages it is shown.
#[derive(Debug)]
pub struct Sampler {
    miner: Miner,
    stride: u32,
    random: u32,
    /// Rows until the next one that is looked at.
    skip: u32,
    stream: Option<u32>,
    /// First rows of `stream` that are still to be looked at.
    first: u32,
    first_left: u32,
}

impl Default for Sampler {
    /// As for a part that is written.
    fn default() -> Sampler {
        Sampler::of_every(STRIDE)
    }
}

impl Sampler {
    /// Looks at one row of about `stride`, and at the first of each stream.
    pub fn of_every(stride: u32) -> Sampler {
        Sampler {
            miner: Miner::default(),
            stride: stride.clamp(1, 1 << 20),
            random: 0x9e37_79b9,
            skip: 0,
            stream: None,
            first: 0,
            first_left: FIRST_ROWS_MAX,
        }
    }

    /// Looks at rows of a page whose streams are wanted.
    pub fn page(&mut self, page: &PageView<'_>, wants: impl Fn(u32) -> bool) {
        let levels = page.metadata.iter().find(|column| column.name == LEVEL);
        let level = |row| levels.and_then(|column| column.get(row)).unwrap_or_default();
        self.rows(page.runs, page.lines, level, wants);
    }

    /// Looks at rows; `level` knows a row's.
    pub(crate) fn rows<'a>(
        &mut self,
        runs: &[Run],
        lines: StrView<'_>,
        level: impl Fn(usize) -> &'a [u8],
        wants: impl Fn(u32) -> bool,
    ) {
        let mut from = 0;
        for run in runs {
            let rows = from..run.end;
            from = run.end;
            if !wants(run.stream) {
                continue;
            }
            if self.stream.replace(run.stream) != Some(run.stream) {
                self.first = FIRST_ROWS.min(self.first_left);
                self.first_left -= self.first;
            }
            let mut at = rows.start;
            while at < rows.end {
                let mut stands_for = 1;
                if self.first > 0 {
                    self.first -= 1;
                } else if self.skip < rows.end - at {
                    at += self.skip;
                    self.skip = self.distance();
                    stands_for = u64::from(self.stride);
                } else {
                    self.skip -= rows.end - at;
                    break;
                }
                let row = at as usize;
                self.miner.line(run.stream, level(row), lines.get(row), stands_for);
                at += 1;
            }
        }
    }

    /// Takes in a template of a part whose rows are copied.
    pub(crate) fn template(&mut self, template: &Template) {
        self.miner.template(template);
    }

    /// What it learned.
    pub fn finish(self) -> Vec<Template> {
        self.miner.finish()
    }

    /// From one row to the next, at random, because lines often come in turns. (Xorshift: the same
    /// rows are looked at whenever the same part is written.)
    fn distance(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % (2 * self.stride - 1)
    }
}
