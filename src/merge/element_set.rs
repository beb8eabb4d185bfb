//! Elements of lists, to be found by their packed bytes.
//!
//! A list of a MiB has up to a million elements, and all of them are looked up by one operation. Those of one byte, of which there can be that many,
//! stand in a table; the others are hashed by a function that is quick for a few bytes. Its key is chosen by chance for each set, so that nobody can
//! know which elements collide.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use driftless_protocol::PackedValue;

pub(super) struct ElementSet<'a> {
    /// Whether the element of this one byte is in the set.
    short: [bool; 256],
    shorts: usize,
    long: HashSet<PackedValue<'a>, ElementKey>,
}

impl<'a> ElementSet<'a> {
    pub(super) fn with_capacity(elements: usize) -> ElementSet<'a> {
        ElementSet { short: [false; 256], shorts: 0, long: HashSet::with_capacity_and_hasher(elements, ElementKey::by_chance()) }
    }

    /// Adds an element. False: the set had it already.
    pub(super) fn insert(&mut self, element: PackedValue<'a>) -> bool {
        let &[byte] = element.packed() else { return self.long.insert(element) };
        let was_missing = !std::mem::replace(&mut self.short[usize::from(byte)], true);
        self.shorts += usize::from(was_missing);
        was_missing
    }

    pub(super) fn remove(&mut self, element: PackedValue<'a>) {
        let &[byte] = element.packed() else {
            if !self.long.is_empty() {
                self.long.remove(&element);
            }
            return;
        };
        self.shorts -= usize::from(std::mem::replace(&mut self.short[usize::from(byte)], false));
    }

    pub(super) fn contains(&self, element: PackedValue<'a>) -> bool {
        match element.packed() {
            &[byte] => self.short[usize::from(byte)],
            _ => !self.long.is_empty() && self.long.contains(&element),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shorts == 0 && self.long.is_empty()
    }
}

/// The key of a set's hashes.
struct ElementKey {
    start: u64,
    /// Odd, so that no bit of a word is lost when it is multiplied.
    factor: u64,
}

impl ElementKey {
    fn by_chance() -> ElementKey {
        let chance = RandomState::new();
        ElementKey { start: chance.hash_one(0_u8), factor: chance.hash_one(1_u8) | 1 }
    }
}

impl BuildHasher for ElementKey {
    type Hasher = ElementHasher;

    fn build_hasher(&self) -> ElementHasher {
        ElementHasher { state: self.start, factor: self.factor }
    }
}

/// Takes eight bytes at a time: each is added to the state, which is multiplied by the key, and both halves of the product are the next state.
struct ElementHasher {
    state: u64,
    factor: u64,
}

impl ElementHasher {
    fn add(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64) ^ (product >> u64::BITS) as u64;
    }
}

impl Hasher for ElementHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // Once more, so that the low bits depend on all of the last word.
        let product = u128::from(self.state) * u128::from(self.factor);
        (product as u64) ^ (product >> u64::BITS) as u64
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::Value;

    use super::*;

    #[test]
    fn a_set_has_what_was_inserted_and_not_removed() {
        let list = Value::from_json(r#"[1,-1,true,null,300,"","a","abcdefgh","abcdefghi",[],[1],{"a":1},1.5]"#.as_bytes()).expect("JSON");
        let elements: Vec<_> = list.items().expect("a list").collect();
        let mut set = ElementSet::with_capacity(elements.len());
        assert!(set.is_empty());
        for (at, element) in elements.iter().enumerate() {
            assert!(!set.contains(*element) && set.insert(*element) && !set.insert(*element) && set.contains(*element), "{at}");
        }
        for (at, element) in elements.iter().enumerate() {
            assert!(!set.is_empty() && set.contains(*element), "{at}");
            set.remove(*element);
            set.remove(*element);
            assert!(!set.contains(*element), "{at}");
        }
        assert!(set.is_empty());
    }

    /// Elements that differ in a few bits, and those that differ in their length only, spread over a table as chance would have them.
    #[test]
    fn hashes_of_similar_elements_spread() {
        let key = ElementKey::by_chance();
        let spread = |hashes: Vec<u64>| {
            let mask = hashes.len().next_power_of_two() - 1;
            let mut buckets = vec![0_u32; mask + 1];
            hashes.iter().for_each(|hash| buckets[*hash as usize & mask] += 1);
            buckets.into_iter().max().unwrap_or(0)
        };
        let numbers = (0..1_u32 << 16).map(|n| key.hash_one(n.to_be_bytes().as_slice())).collect();
        let high_bits = (0..1_u64 << 16).map(|n| key.hash_one((n << 48).to_le_bytes().as_slice())).collect();
        let lengths = (0..1_usize << 12).map(|length| key.hash_one(vec![0_u8; length].as_slice())).collect();
        // Differences in one word that a difference in the next could undo.
        let repeated = (0..1_u64 << 16).map(|n| key.hash_one([n.to_le_bytes(), n.to_le_bytes()].as_flattened())).collect();
        let top_bit = |n: u32, word: u32| (u64::from(n >> word & 1) << 63).to_le_bytes();
        let top_bits = (0..1_u32 << 16)
            .map(|n| key.hash_one(std::array::from_fn::<_, 16, _>(|word| top_bit(n, word as u32)).as_flattened()))
            .collect();
        for (name, hashes) in
            [("numbers", numbers), ("high bits", high_bits), ("lengths", lengths), ("repeated", repeated), ("top bits", top_bits)]
        {
            let most = spread(hashes);
            assert!(most < 24, "{name}: {most} in one bucket");
        }
    }

    #[test]
    fn the_factor_of_hashes_is_odd() {
        assert!((0..64).all(|_| ElementKey::by_chance().factor % 2 == 1));
    }
}
