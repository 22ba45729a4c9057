//! What everybody in a simulation shares: time, chance, the event log, faults, the first violation.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::random::{Random, SeededRandom};
use base::task::sim::Process;
use base::time::SimClock;
use base::{Clock, UnixNanos};

use super::profile::Profile;

/// 2024-05-02 03:00:00 UTC: a few hours after a midnight that rows lie around.
pub const START: UnixNanos = UnixNanos(1_714_618_800_000_000_000);

/// How long after its end a fault explains that something is unavailable: calls time out, peers
/// are avoided for a while, clients are retried.
const GRACE: Duration = Duration::from_secs(60);

/// Draws that are a pure function of the seed and of who draws.
pub struct Chance(SeededRandom);

impl Chance {
    pub fn new(seed: u64, who: &str) -> Chance {
        let hash = base::hash::hash128(who.as_bytes()) as u64;
        Chance(SeededRandom::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash))
    }

    /// A number in `0..end`.
    pub fn below(&self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }

    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True `per_mille` times of a thousand.
    pub fn happens(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub fn pick<'a, T>(&self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// Short mostly, long now and then: milliseconds.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(if self.happens(30) { self.below(3_000) } else { self.below(8) })
    }

    pub fn seconds(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from * 1000, to * 1000))
    }
}

pub struct World {
    pub seed: u64,
    pub profile: Profile,
    pub clock: SimClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: String,
    echo: bool,
    events: u64,
    violation: Option<String>,
    /// Monotonic nanoseconds until which something may be unavailable.
    faulty_until_ns: u64,
    /// Faults that last until they are ended.
    open_faults: u64,
    are_faults_over: bool,
    /// (from, to) that hear nothing of each other.
    cuts: BTreeSet<(String, String)>,
    /// Whose questions to ingesters wait.
    held: BTreeSet<String>,
}

impl World {
    pub fn new(seed: u64, profile: Profile, echo: bool) -> Arc<World> {
        let clock = SimClock::new(START);
        let state = Mutex::new(State { echo, ..State::default() });
        Arc::new(World { seed, profile, clock, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn chance(&self, who: &str) -> Chance {
        Chance::new(self.seed, who)
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// Adds a line to the event log.
    pub fn event(&self, who: &str, what: std::fmt::Arguments<'_>) {
        let now_ms = self.now_ns() / 1_000_000;
        let mut state = self.state();
        let from = state.log.len();
        let (s, ms) = (now_ms / 1000, now_ms % 1000);
        let _ = writeln!(state.log, "{s:>7}.{ms:03} {who:<14} {what}");
        state.events += 1;
        if state.echo {
            eprint!("{}", &state.log[from..]);
        }
    }

    pub fn log(&self) -> String {
        self.state().log.clone()
    }

    pub fn events(&self) -> u64 {
        self.state().events
    }

    /// A promise was broken. The first one counts.
    pub fn violate(&self, what: String) {
        self.event("CHECKER", format_args!("VIOLATION {what}"));
        self.state().violation.get_or_insert(what);
    }

    pub fn violation(&self) -> Option<String> {
        self.state().violation.clone()
    }

    /// Something is wrong from now until `lasting` has passed.
    pub fn fault(&self, lasting: Duration) {
        let until_ns = self.now_ns() + (lasting + GRACE).as_nanos() as u64;
        let mut state = self.state();
        state.faulty_until_ns = state.faulty_until_ns.max(until_ns);
    }

    /// Something is wrong until [`World::end_fault`].
    pub fn begin_fault(&self) {
        self.state().open_faults += 1;
    }

    pub fn end_fault(&self) {
        self.state().open_faults -= 1;
        self.fault(Duration::ZERO);
    }

    /// Whether a fault explains that something is not available.
    pub fn is_faulty(&self) -> bool {
        let now_ns = self.now_ns();
        let state = self.state();
        state.open_faults > 0 || now_ns < state.faulty_until_ns
    }

    /// From now on nothing goes wrong that did not before.
    pub fn end_faults(&self) {
        let mut state = self.state();
        state.are_faults_over = true;
        state.cuts.clear();
        state.held.clear();
    }

    /// Whether this fault comes true.
    pub fn strikes(&self, chance: &Chance, per_mille: u64) -> bool {
        let drawn = chance.happens(per_mille);
        drawn && !self.state().are_faults_over
    }

    pub fn cut(&self, from: &str, to: &str) {
        self.state().cuts.insert((from.to_owned(), to.to_owned()));
    }

    pub fn mend(&self, from: &str, to: &str) {
        self.state().cuts.remove(&(from.to_owned(), to.to_owned()));
    }

    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        let state = self.state();
        !state.cuts.is_empty() && state.cuts.contains(&(from.to_owned(), to.to_owned()))
    }

    /// From now on what a node asks ingesters is on its way.
    pub fn hold(&self, node: &str) {
        self.state().held.insert(node.to_owned());
    }

    /// What was on its way arrives.
    pub fn release(&self, node: &str) {
        self.state().held.remove(node);
    }

    /// Returns when nothing holds up what a node asks.
    pub async fn pass(&self, node: &str) {
        let is_held = || {
            let state = self.state();
            !state.held.is_empty() && state.held.contains(node)
        };
        while is_held() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stalls a process for a while of its time; it does not notice.
    pub fn stall(self: &Arc<Self>, process: &Process, lasting: Duration) {
        if process.is_stalled() || process.is_dead() {
            return;
        }
        self.event(process.name(), format_args!("stalls for {} s", lasting.as_secs()));
        self.fault(lasting);
        process.stall();
        let (world, process) = (Arc::clone(self), process.clone());
        base::task::sim::outside(async move {
            tokio::time::sleep(lasting).await;
            if !process.is_dead() {
                world.event(process.name(), format_args!("wakes"));
            }
            process.wake();
        });
    }
}

/// Adds a line to the event log of a world.
macro_rules! event {
    ($world:expr, $who:expr, $($text:tt)*) => { $world.event($who, format_args!($($text)*)) };
}
pub(crate) use event;
