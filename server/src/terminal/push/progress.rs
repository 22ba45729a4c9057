//! What a push says while it runs and at its end.

use std::collections::BTreeSet;
use std::time::Duration;

use base::time::Clock;
use base::units::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Different texts of the server that are shown in full.
const MAX_TEXTS: usize = 10;

/// Counts and shows.
pub struct Progress<'a> {
    bar: ProgressBar,
    clock: &'a dyn Clock,
    began_ns: u64,
    counts: Counts,
    /// Texts that were shown, with their numbers blanked.
    shown: BTreeSet<String>,
    untold: u64,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines the server acknowledged.
    pub lines: u64,
    /// Bytes of those.
    pub line_bytes: u64,
    /// Requests that were answered for good.
    pub bodies: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// Lines of bodies that were refused in whole or in part, and lines that could not be sent.
    pub rejected: u64,
    /// Bodies that were refused in whole or in part.
    pub rejected_bodies: u64,
    /// Lines with bytes that are not UTF-8, which were replaced.
    pub replaced: u64,
}

impl<'a> Progress<'a> {
    /// Shows a bar on standard error if that is a terminal. `total_bytes` is unknown for a pipe.
    pub fn new(clock: &'a dyn Clock, total_bytes: Option<u64>, quiet: bool) -> Progress<'a> {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(total_bytes, target);
        let template = match total_bytes {
            Some(_) => "{bar:30} {bytes}/{total_bytes} {msg} {eta}",
            None => "{spinner} {bytes} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let began_ns = clock.monotonic_ns();
        let (counts, shown) = (Counts::default(), BTreeSet::new());
        Progress { bar, clock, began_ns, counts, shown, untold: 0 }
    }

    /// The counts, to be changed.
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Redraws the bar; `read_bytes` of the input were read.
    pub fn update(&self, read_bytes: u64) {
        self.bar.set_position(read_bytes);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.rates());
        }
    }

    /// Shows `text` unless one that differs only in numbers was shown already.
    pub fn tell(&mut self, text: &str) {
        if self.shown.contains(&blanked(text)) {
            return;
        }
        if self.shown.len() >= MAX_TEXTS {
            self.untold += 1;
            return;
        }
        self.shown.insert(blanked(text));
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Removes the bar; the one line that is left.
    pub fn summary(&mut self) -> String {
        self.bar.finish_and_clear();
        if self.untold > 0 {
            eprintln!("{} more texts of other kinds are not shown", self.untold);
        }
        let c = &self.counts;
        let mut text = format!(
            "pushed {} lines, {} in {:.1?}: {}; {} requests, {} retries",
            c.lines,
            ByteSize(c.line_bytes),
            self.took(),
            self.rates(),
            c.bodies,
            c.retries
        );
        if c.rejected_bodies > 0 {
            let bodies = c.rejected_bodies;
            text.push_str(&format!("; the {bodies} refused requests may have been stored in part"));
        }
        if c.replaced > 0 {
            text.push_str(&format!("; {} lines were not UTF-8 and were mended", c.replaced));
        }
        text
    }

    fn took(&self) -> Duration {
        Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(self.began_ns))
    }

    fn rates(&self) -> String {
        let seconds = self.took().as_secs_f64().max(1e-3);
        let lines = self.counts.lines as f64 / seconds;
        let megabytes = self.counts.line_bytes as f64 / 1e6 / seconds;
        format!("{lines:.0} lines/s, {megabytes:.1} MB/s, {} rejected", self.counts.rejected)
    }
}

/// `text` with each number as `#`.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_numbers_are_one() {
        assert_eq!(blanked("limit 12, got 345"), blanked("limit 7, got 1"));
        assert_ne!(blanked("limit 12"), blanked("rate 12"));
    }
}
