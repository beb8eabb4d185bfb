//! Ordered rows in little memory: a row is one allocation of its exact size, and rows whose keys begin alike keep that beginning once.
//!
//! Most keys begin with the identity that owns the row. The less a row takes, the more often it is set before its memtable is full, and only its
//! newest value is written to the tree.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::batch::Bytes;

/// Bytes of a key that its row shares with others: all rows of an identity begin with them. A shorter key is shared whole. Keys that are cut
/// after so many bytes have the order that they have uncut.
const SHARED_BYTES: usize = 40;

/// Bytes that a row takes in memory beside its own: its place in the set and the rest of its allocation.
const ROW_OVERHEAD_BYTES: usize = 48;

/// Bytes that a shared beginning takes beside its own: its place in the map, and the set's first node.
const GROUP_OVERHEAD_BYTES: usize = 300;

/// Bytes of a row before the rest of its key: that rest's length, and whether the row is deleted.
const HEADER_BYTES: usize = 4;

/// The bit of the header that marks a deleted row.
const DELETED: u32 = 1 << 31;

/// The newest value of each row; `None` is a mark that the row is deleted.
#[derive(Default)]
pub(super) struct PackedRows {
    groups: BTreeMap<Box<[u8]>, BTreeSet<PackedRow>>,
    bytes: usize,
}

/// The rest of the key's length, the rest of the key, the value.
struct PackedRow(Box<[u8]>);

impl PackedRow {
    fn new(rest: &[u8], value: Option<&[u8]>) -> PackedRow {
        // A journal's record has four bytes for a key's length, too.
        let header = rest.len() as u32 | if value.is_none() { DELETED } else { 0 };
        PackedRow([&header.to_ne_bytes(), rest, value.unwrap_or_default()].concat().into_boxed_slice())
    }

    fn parts(&self) -> (&[u8], Option<&[u8]>) {
        let (header, row) = self.0.split_first_chunk::<HEADER_BYTES>().unwrap_or((&[0; HEADER_BYTES], &[]));
        let header = u32::from_ne_bytes(*header);
        let (rest, value) = row.split_at((header & !DELETED) as usize);
        (rest, (header & DELETED == 0).then_some(value))
    }

    fn memory_bytes(&self) -> usize {
        self.0.len() + ROW_OVERHEAD_BYTES
    }
}

impl Borrow<[u8]> for PackedRow {
    fn borrow(&self) -> &[u8] {
        self.parts().0
    }
}

impl Ord for PackedRow {
    fn cmp(&self, other: &PackedRow) -> Ordering {
        self.parts().0.cmp(other.parts().0)
    }
}

impl PartialOrd for PackedRow {
    fn partial_cmp(&self, other: &PackedRow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PackedRow {
    fn eq(&self, other: &PackedRow) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PackedRow {}

fn cut(key: &[u8]) -> (&[u8], &[u8]) {
    key.split_at(key.len().min(SHARED_BYTES))
}

impl PackedRows {
    /// What all rows take in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A row's value or the mark that it is deleted, if there is either.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let (shared, rest) = cut(key);
        Some(self.groups.get(shared)?.get(rest)?.parts().1)
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let (shared, rest) = cut(key);
        let group = match self.groups.get_mut(shared) {
            Some(group) => group,
            None => {
                self.bytes += shared.len() + GROUP_OVERHEAD_BYTES;
                self.groups.entry(shared.into()).or_default()
            }
        };
        let row = PackedRow::new(rest, value);
        self.bytes += row.memory_bytes();
        if let Some(before) = group.replace(row) {
            self.bytes -= before.memory_bytes();
        }
    }

    /// Drops a row and its mark. Returns whether there was one.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let (shared, rest) = cut(key);
        let Some(group) = self.groups.get_mut(shared) else { return false };
        let Some(row) = group.take(rest) else { return false };
        self.bytes -= row.memory_bytes();
        if group.is_empty() {
            self.groups.remove(shared);
            self.bytes -= shared.len() + GROUP_OVERHEAD_BYTES;
        }
        true
    }

    /// The rows from a key on, in the order of their keys.
    pub(super) fn starting_at(&self, start: &[u8]) -> impl Iterator<Item = (Bytes, Option<&[u8]>)> {
        let (first, first_rest) = cut(start);
        let (first, first_rest) = (first.to_vec(), first_rest.to_vec());
        let groups = self.groups.range::<[u8], _>((Bound::Included(first.as_slice()), Bound::Unbounded));
        groups.flat_map(move |(shared, group)| {
            let from = if **shared == *first { first_rest.as_slice() } else { &[] };
            group.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).map(|row| {
                let (rest, value) = row.parts();
                ([shared, rest].concat(), value)
            })
        })
    }

    /// The rows of a range, in the order of their keys.
    pub(super) fn range<'a>(&'a self, start: &[u8], end: &'a [u8]) -> impl Iterator<Item = (Bytes, Option<&'a [u8]>)> {
        self.starting_at(start).take_while(move |(key, _)| key.as_slice() < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_map(rows: &PackedRows) -> BTreeMap<Bytes, Option<Bytes>> {
        rows.starting_at(&[]).map(|(key, value)| (key, value.map(<[u8]>::to_vec))).collect()
    }

    /// Keys around the length that is shared, many of which begin alike, with empty ones among them.
    fn random_key(random: &mut fastrand::Rng) -> Bytes {
        let length = *random.choice(&[0, 1, SHARED_BYTES - 1, SHARED_BYTES, SHARED_BYTES + 1, SHARED_BYTES + 3]).expect("some");
        (0..length).map(|at| if at % 23 == 0 || at + 3 > length { *random.choice(&[0, 1, u8::MAX]).expect("some") } else { 7 }).collect()
    }

    #[test]
    fn they_are_an_ordered_map_whatever_their_keys() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut rows, mut model) = (PackedRows::default(), BTreeMap::<Bytes, Option<Bytes>>::new());
            for _ in 0..600 {
                let (key, value) = (random_key(&mut random), vec![random.u8(..); random.usize(..40)]);
                match random.u8(..4) {
                    0 => assert_eq!(rows.remove(&key), model.remove(&key).is_some()),
                    1 => {
                        rows.set(&key, None);
                        model.insert(key.clone(), None);
                    }
                    _ => {
                        rows.set(&key, Some(&value));
                        model.insert(key.clone(), Some(value));
                    }
                }
                assert_eq!(rows.get(&key).map(|value| value.map(<[u8]>::to_vec)), model.get(&key).cloned());
            }
            assert_eq!((to_map(&rows), rows.is_empty()), (model.clone(), model.is_empty()));
            for _ in 0..100 {
                let (start, end) = (random_key(&mut random), random_key(&mut random));
                let expected: Vec<_> = model.range(start.clone()..).take_while(|(key, _)| **key < end).collect();
                let found: Vec<_> = rows.range(&start, &end).map(|(key, value)| (key, value.map(<[u8]>::to_vec))).collect();
                assert!(found.iter().map(|(key, value)| (key, value)).eq(expected), "{start:?} to {end:?}");
            }
            model.keys().for_each(|key| assert!(rows.remove(key)));
            assert_eq!((rows.memory_bytes(), rows.is_empty()), (0, true), "all that was counted is subtracted");
        }
    }

    #[test]
    fn a_small_row_of_an_identity_takes_little_more_than_what_it_has() {
        let mut rows = PackedRows::default();
        let key = |n: usize| [&[7; SHARED_BYTES], format!("record {n:10}").as_bytes()].concat();
        (0..100).for_each(|n| rows.set(&key(n), Some(&[0; 50])));
        assert!(rows.memory_bytes() < 100 * (key(0).len() + 50 + 30), "{}", rows.memory_bytes());
        let before = rows.memory_bytes();
        (0..100).for_each(|n| rows.set(&key(n), Some(&[0; 50])));
        assert_eq!(rows.memory_bytes(), before, "the newest values only");
    }
}
