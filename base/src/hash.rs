//! Hash maps whose order and speed do not depend on the process, and the one byte hash.
//!
//! `std::collections::HashMap` is banned: its seed is random per process, so a simulation run with
//! the same seed would not give the same event log.

use std::hash::{BuildHasher, Hasher};

/// A map with a fixed hash. Iteration order is arbitrary but the same in every run of one build.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// A set with a fixed hash.
pub type HashSet<K> = hashbrown::HashSet<K, FixedState>;

/// 64-bit hash of bytes (xxh3). Stored on disk: never change it.
#[inline]
pub fn hash64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// 128-bit hash of bytes (xxh3). Identifies a row among rows of one stream and instant.
#[inline]
pub fn hash128(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// Builds [`FixedHasher`]s.
#[derive(Clone, Copy, Default, Debug)]
pub struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;
    #[inline]
    fn build_hasher(&self) -> FixedHasher {
        FixedHasher(0x9e37_79b9_7f4a_7c15)
    }
}

/// A multiply-fold hasher for small keys; byte strings go through xxh3.
#[derive(Clone, Copy, Debug)]
pub struct FixedHasher(u64);

impl FixedHasher {
    #[inline]
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(0xa076_1d64_78bd_642f_u64);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FixedHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.mix(hash64(bytes));
    }
    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }
    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }
    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.mix(value as u64);
        self.mix((value >> 64) as u64);
    }
    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.mix(value as u64);
    }
    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}
