//! A cache bounded by bytes, with its metrics.

use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::HashMap;
use base::hash::FixedState;

use crate::metrics::{CACHE_BYTES, CACHE_ENTRIES, CACHE_REQUESTS};

/// Look-ups of different keys rarely wait for each other.
const SHARDS: usize = 16;

/// Values shared by reference and thrown out by CLOCK (an approximation of least recently used
/// that costs one bit per use) when their weights sum up to more than the limit.
pub struct Cache<K, V> {
    name: &'static str,
    shards: Vec<Mutex<Shard<K, V>>>,
    limit_bytes_per_shard: u64,
}

struct Shard<K, V> {
    /// Where each key stands in `slots`.
    index: HashMap<K, usize>,
    slots: Vec<Slot<K, V>>,
    hand: usize,
    bytes: u64,
}

struct Slot<K, V> {
    key: K,
    value: Arc<V>,
    weight: u64,
    used: bool,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache that holds at most `limit_bytes`; 0 holds nothing. `name` is its metrics' label.
    pub fn new(name: &'static str, limit_bytes: u64) -> Cache<K, V> {
        let shard = || Shard { index: HashMap::default(), slots: Vec::new(), hand: 0, bytes: 0 };
        let shards = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        Cache { name, shards, limit_bytes_per_shard: limit_bytes / SHARDS as u64 }
    }

    /// The value of `key`, if it is held.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut shard = self.shard(key);
        let found = shard.index.get(key).copied();
        let value = found.map(|at| {
            shard.slots[at].used = true;
            Arc::clone(&shard.slots[at].value)
        });
        drop(shard);
        let result = if value.is_some() { "hit" } else { "miss" };
        metrics::counter!(CACHE_REQUESTS, "cache" => self.name, "result" => result).increment(1);
        value
    }

    /// Holds `value` under `key`, unless it alone is over a shard's limit.
    pub fn insert(&self, key: K, value: Arc<V>, weight: u64) {
        if weight > self.limit_bytes_per_shard {
            return;
        }
        let mut shard = self.shard(&key);
        let (bytes, entries) = (shard.bytes, shard.slots.len());
        shard.remove(&key);
        while shard.bytes + weight > self.limit_bytes_per_shard {
            shard.evict();
        }
        let at = shard.slots.len();
        shard.index.insert(key.clone(), at);
        shard.slots.push(Slot { key, value, weight, used: false });
        shard.bytes += weight;
        let grown_bytes = shard.bytes as f64 - bytes as f64;
        let grown_entries = shard.slots.len() as f64 - entries as f64;
        drop(shard);
        metrics::gauge!(CACHE_BYTES, "cache" => self.name).increment(grown_bytes);
        metrics::gauge!(CACHE_ENTRIES, "cache" => self.name).increment(grown_entries);
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).bytes).sum()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let hash = FixedState.hash_one(key);
        lock(&self.shards[(hash >> 57) as usize % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    /// Throws out the next entry that was not used since the hand last passed it.
    fn evict(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if !slot.used {
                let key = slot.key.clone();
                self.remove(&key);
                return;
            }
            slot.used = false;
            self.hand += 1;
        }
    }

    fn remove(&mut self, key: &K) {
        let Some(at) = self.index.remove(key) else { return };
        let slot = self.slots.swap_remove(at);
        self.bytes -= slot.weight;
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key.clone(), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_limit_and_keeps_what_is_used() {
        let cache: Cache<u64, u64> = Cache::new("test", 16 * 100);
        cache.insert(7, Arc::new(7), 10);
        for key in 100..10_000u64 {
            assert_eq!(cache.get(&7).as_deref(), Some(&7), "used before every insert");
            cache.insert(key, Arc::new(key), 10 + key % 20);
            assert!(cache.bytes() <= 16 * 100, "{}", cache.bytes());
        }
        let held = (100..10_000u64).filter(|key| cache.get(key).is_some()).count();
        assert!(held > 30, "{held} held");
    }

    #[test]
    fn the_value_of_a_key_is_replaced_and_too_heavy_ones_are_not_held() {
        let cache: Cache<&str, u8> = Cache::new("test", 16 * 100);
        cache.insert("a", Arc::new(1), 60);
        cache.insert("a", Arc::new(2), 70);
        assert_eq!((cache.get(&"a").as_deref(), cache.bytes()), (Some(&2), 70));
        cache.insert("b", Arc::new(3), 101);
        assert_eq!(cache.get(&"b"), None);
        let nothing: Cache<&str, u8> = Cache::new("test", 0);
        nothing.insert("a", Arc::new(1), 1);
        assert_eq!(nothing.get(&"a"), None);
    }
}
