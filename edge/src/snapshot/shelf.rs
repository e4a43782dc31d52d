//! A map that is bounded by what its values take: least recently used out.

use lru::LruCache;
use serde::Serialize;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What an entry takes beside its value: the list's node with the key, its
/// place in the table, and what the allocator adds.
const ENTRY_LEN: usize = 96;

/// Keys must be uniformly distributed in their last eight bytes, as hashes and
/// ids are: nothing is mixed any more.
pub struct Shelf<K, V> {
    entries: LruCache<K, Weighed<V>, BuildHasherDefault<LastBytes>>,
    budget: usize,
    stats: ShelfStats,
}

struct Weighed<V> {
    value: V,
    bytes: usize,
}

/// What a shelf holds at the moment, and what happened on it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShelfStats {
    pub count: usize,
    pub bytes: usize,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}

impl<K: Eq + Hash, V> Shelf<K, V> {
    /// Holds values of `budget` bytes together, or a larger one alone.
    pub fn new(budget: usize) -> Self {
        Self {
            entries: LruCache::unbounded_with_hasher(BuildHasherDefault::default()),
            budget,
            stats: ShelfStats::default(),
        }
    }

    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.get_if(key, |_| true)
    }

    /// The value of `key`, if it `is_right`. Otherwise it is as good as missing.
    pub fn get_if(&mut self, key: &K, is_right: impl FnOnce(&V) -> bool) -> Option<&V> {
        let found = self.entries.get(key).map(|entry| &entry.value).filter(|value| is_right(value));
        match found {
            Some(_) => self.stats.hits += 1,
            None => self.stats.misses += 1,
        }
        found
    }

    /// Whether it is there; nobody is looking for it.
    pub fn holds(&self, key: &K) -> bool {
        self.entries.contains(key)
    }

    /// Without an order that means anything; nobody is looking for one.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, entry)| &entry.value)
    }

    /// `bytes` is what `value` takes.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        let bytes = bytes + ENTRY_LEN;
        if let Some(earlier) = self.entries.put(key, Weighed { value, bytes }) {
            self.stats.bytes -= earlier.bytes;
        }
        self.stats.bytes += bytes;
        while self.stats.bytes > self.budget && self.entries.len() > 1 {
            let Some((_, evicted)) = self.entries.pop_lru() else { break };
            self.stats.bytes -= evicted.bytes;
            self.stats.evictions += 1;
        }
    }

    pub fn stats(&self) -> ShelfStats {
        ShelfStats { count: self.entries.len(), ..self.stats }
    }
}

impl<K: Eq + Hash, V> fmt::Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelf({:?} of {} bytes)", self.stats(), self.budget)
    }
}

/// The last eight bytes are the hash. Big-endian, because the table takes the
/// place from the low bits, and in a UUID it is the high ones that are fixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastBytes(u64);

impl Hasher for LastBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_be_bytes(*last);
        }
    }

    fn write_usize(&mut self, _length: usize) {
        // All keys of a shelf have the same.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> [u8; 16] {
        [number; 16]
    }

    fn shelf_of(budget: usize) -> Shelf<[u8; 16], u8> {
        Shelf::new(budget + 3 * ENTRY_LEN)
    }

    fn put(shelf: &mut Shelf<[u8; 16], u8>, number: u8, bytes: usize) {
        shelf.put(key(number), number, bytes);
    }

    fn held(shelf: &Shelf<[u8; 16], u8>) -> Vec<u8> {
        (0..10).filter(|number| shelf.holds(&key(*number))).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut shelf = shelf_of(300);
        (1..=3).for_each(|number| put(&mut shelf, number, 100));
        assert_eq!(shelf.get(&key(1)), Some(&1));
        put(&mut shelf, 4, 100);
        assert_eq!(held(&shelf), [1, 3, 4]);
        put(&mut shelf, 5, 10);
        assert_eq!(held(&shelf), [1, 4, 5]);
        let ShelfStats { count, bytes, hits, misses, evictions } = shelf.stats();
        assert_eq!((count, bytes, hits, misses, evictions), (3, 210 + 3 * ENTRY_LEN, 1, 0, 2));
    }

    #[test]
    fn one_larger_than_the_budget_is_held_alone() {
        let mut shelf = shelf_of(300);
        (1..=3).for_each(|number| put(&mut shelf, number, 100));
        put(&mut shelf, 4, 5_000);
        assert_eq!(held(&shelf), [4]);
        assert_eq!(shelf.get(&key(4)), Some(&4));
        put(&mut shelf, 5, 100);
        assert_eq!(held(&shelf), [5]);
        assert_eq!(shelf.stats().bytes, 100 + ENTRY_LEN);
    }

    #[test]
    fn one_that_comes_again_counts_once() {
        let mut shelf = shelf_of(300);
        (0..100).for_each(|_| put(&mut shelf, 1, 200));
        put(&mut shelf, 1, 20);
        assert_eq!((shelf.stats().count, shelf.stats().bytes), (1, 20 + ENTRY_LEN));
        assert_eq!(shelf.stats().evictions, 0);
    }

    #[test]
    fn a_wrong_one_is_a_miss() {
        let mut shelf = shelf_of(300);
        put(&mut shelf, 1, 1);
        assert_eq!(shelf.get_if(&key(1), |value| *value == 2), None);
        assert_eq!(shelf.get(&key(2)), None);
        assert_eq!((shelf.stats().hits, shelf.stats().misses), (0, 2));
    }

    #[test]
    fn keys_that_differ_in_their_last_bytes_hash_differently() {
        use std::hash::{BuildHasher, BuildHasherDefault};
        let hash = |key: [u8; 32]| BuildHasherDefault::<LastBytes>::default().hash_one(key);
        let mut key = [7; 32];
        let before = hash(key);
        key[31] = 8;
        assert_ne!(hash(key), before);
    }
}
