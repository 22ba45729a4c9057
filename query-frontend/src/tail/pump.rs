//! From steps to frames: holds lines back for `delay_for`, leaves slow clients behind and tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ErrorKind, Labels};
use metrics::counter;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout_at};

use crate::error::Error;
use crate::metrics::TAIL_DROPPED;

use super::follow::{Follow, Line};

/// Lines of a frame, as Loki has it.
const FRAME_LINES: usize = 100;
/// Dropped lines that are told of in a frame, as Loki has it.
const TOLD_MAX: usize = 1000;
/// Pause between two steps that brought all there was.
const POLL: Duration = Duration::from_millis(200);
/// How long a client may be slower than its lines come. Ingesters keep rows for a minute after they
/// are flushed: a tail that asks later than that has lost its place.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that wait for `delay_for`, at most; above it the oldest go out sooner.
const HELD_MAX: usize = 100_000;

/// What a client is sent at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Lines it was too slow for, the first of them: labels and instants.
    pub dropped: Vec<(Labels, i64)>,
}

/// Sends frames of `follow` until nobody takes them any more or an error ends the tail.
pub async fn pump(
    mut follow: Follow,
    history: Vec<Line>,
    delay: Duration,
    to: &mpsc::Sender<Frame>,
) -> Error {
    let mut outlet = Outlet { to, dropped: Vec::new(), late_since: None };
    let mut held = Held { delay, lines: BTreeMap::new(), count: 0 };
    outlet.put(history).await;
    let mut ticks = interval(POLL);
    let mut waits = false;
    loop {
        ticks.tick().await;
        loop {
            let (lines, is_all) = match follow.next().await {
                Ok(news) => news,
                // An ingester or querier that restarts is no reason to end: the place is kept.
                Err(error) if may_pass(&error) => {
                    if !waits {
                        tracing::warn!(%error, "a tail waits for what does not answer");
                    }
                    waits = true;
                    break;
                }
                Err(error) => return error,
            };
            waits = false;
            if outlet.to.is_closed() {
                return Error::Querier(rpc::querier::QuerierError::Cancelled);
            }
            held.add(lines);
            outlet.put(held.due()).await;
            if is_all {
                outlet.caught_up();
                break;
            }
            outlet.lags();
        }
        if outlet.to.is_closed() {
            return Error::Querier(rpc::querier::QuerierError::Cancelled);
        }
        outlet.put(held.due()).await;
        outlet.tell();
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
        || matches!(error, Error::TooManyOutstanding)
}

/// Lines that wait so that those of slower senders come before them.
struct Held {
    delay: Duration,
    /// By when they came and of when they are.
    lines: BTreeMap<(i64, u64), (Instant, Line)>,
    count: u64,
}

impl Held {
    fn add(&mut self, lines: Vec<Line>) {
        let now = Instant::now();
        for line in lines {
            self.count += 1;
            self.lines.insert((line.ts_ns, self.count), (now, line));
        }
    }

    /// Lines that came a delay ago and all that are older, in order of time.
    fn due(&mut self) -> Vec<Line> {
        let now = Instant::now();
        let is_due = |came: &Instant| now.duration_since(*came) >= self.delay;
        let last = match self.delay.is_zero() {
            true => self.lines.keys().next_back().copied(),
            false => {
                let mut due = self.lines.iter().rev().filter(|(_, (came, _))| is_due(came));
                let due = due.next().map(|(key, _)| *key);
                let over = self.lines.len().checked_sub(HELD_MAX);
                let full = over.and_then(|over| self.lines.keys().nth(over).copied());
                due.max(full)
            }
        };
        let Some((ts_ns, number)) = last else { return Vec::new() };
        let later = self.lines.split_off(&(ts_ns, number + 1));
        let due = std::mem::replace(&mut self.lines, later);
        due.into_values().map(|(_, line)| line).collect()
    }
}

/// The way to the client.
struct Outlet<'a> {
    to: &'a mpsc::Sender<Frame>,
    dropped: Vec<(Labels, i64)>,
    /// Since when there have always been more lines than were sent.
    late_since: Option<Instant>,
}

impl Outlet<'_> {
    /// Waits for room while the client is not too late; else drops what there is no room for.
    async fn put(&mut self, lines: Vec<Line>) {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            let frame: Vec<Line> = lines.by_ref().take(FRAME_LINES).collect();
            let until = self.late_since.unwrap_or_else(Instant::now) + PATIENCE;
            let permit = match self.to.try_reserve() {
                Ok(permit) => Some(permit),
                Err(_) => match timeout_at(until, self.to.reserve()).await {
                    Ok(Ok(permit)) => Some(permit),
                    // Nobody is there any more: what is not sent is not missed.
                    Ok(Err(_)) => return,
                    Err(_) => None,
                },
            };
            match permit {
                Some(permit) => {
                    permit.send(Frame { lines: frame, dropped: std::mem::take(&mut self.dropped) });
                }
                None => {
                    self.late_since.get_or_insert(until - PATIENCE);
                    self.drop(frame);
                }
            }
        }
    }

    fn drop(&mut self, lines: Vec<Line>) {
        counter!(TAIL_DROPPED).increment(lines.len() as u64);
        let room = TOLD_MAX.saturating_sub(self.dropped.len());
        self.dropped.extend(lines.into_iter().take(room).map(|line| (line.labels, line.ts_ns)));
    }

    /// Tells of dropped lines although no line has come since.
    fn tell(&mut self) {
        if !self.dropped.is_empty()
            && let Ok(permit) = self.to.try_reserve()
        {
            permit.send(Frame { lines: Vec::new(), dropped: std::mem::take(&mut self.dropped) });
        }
    }

    fn caught_up(&mut self) {
        self.late_since = None;
    }

    fn lags(&mut self) {
        self.late_since.get_or_insert_with(Instant::now);
    }
}

#[cfg(test)]
mod tests;
