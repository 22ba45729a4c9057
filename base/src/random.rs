//! Randomness that a simulation can seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ulid::Ulid;

use crate::time::Clock;

/// Where random numbers and fresh ids come from.
pub trait Random: Send + Sync + 'static {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;

    /// A fresh ULID at the given clock's time.
    fn ulid(&self, clock: &dyn Clock) -> Ulid {
        let ms = (clock.now().0.max(0) / 1_000_000) as u64;
        let random = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        Ulid::from_parts(ms, random & ((1 << 80) - 1))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn next_u64(&self) -> u64 {
        // Ulid draws 80 bits from the thread's generator, which the system seeded.
        let bits = Ulid::generate().random();
        (bits >> 8) as u64
    }
}

/// SplitMix64: the same seed gives the same numbers.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// A source that is a pure function of `seed`.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self.0.fetch_add(step, Ordering::SeqCst).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A list of numbers given in advance, then zeros: for tests that need one exact draw.
#[derive(Debug, Default)]
pub struct ScriptedRandom(Mutex<Vec<u64>>);

impl ScriptedRandom {
    /// Draws come from the front of `numbers`.
    pub fn new(mut numbers: Vec<u64>) -> ScriptedRandom {
        numbers.reverse();
        ScriptedRandom(Mutex::new(numbers))
    }
}

impl Random for ScriptedRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().map(|mut list| list.pop().unwrap_or(0)).unwrap_or(0)
    }
}
