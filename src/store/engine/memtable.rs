//! The rows of commits, in memory: the newest value of each, and the values that a long scan still needs.

use std::collections::BTreeMap;

use super::batch::Bytes;
use super::packed_rows::PackedRows;
use super::primitives::Arc;

/// Rows and bytes after which a chunk ends: commits wait while a chunk of the active memtable is copied, some ten microseconds.
const CHUNK_ROWS: usize = 64;
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes that a replaced value takes in memory beside its key and itself: their allocations and its place in the map.
const REPLACED_OVERHEAD_BYTES: usize = 100;

/// Says of a key whether it is set in one commit, deleted in a later one, and never used again.
pub(super) type WrittenOnce = fn(&[u8]) -> bool;

/// A value to set, or to delete the row (`None`).
pub(super) type RowValue = Option<Bytes>;

#[derive(Default)]
pub(super) struct Memtable {
    /// The newest value of each row.
    pub rows: PackedRows,
    /// Whether it was read from a journal file: a crash may have interrupted the flush of its rows, so some may be in the tree.
    pub is_replayed: bool,
    /// The number of commits.
    commits: u64,
    /// Shared by the scans that come back for more chunks. While there is one, commits keep what they replace.
    holders: Arc<()>,
    replaced: ReplacedValues,
    replaced_bytes: usize,
}

/// What commits replaced of each row, the oldest first.
pub(super) type ReplacedValues = BTreeMap<Bytes, Vec<ReplacedValue>>;

/// What a row was before a commit.
pub(super) struct ReplacedValue {
    commit: u64,
    /// `None`: the memtable did not have the row.
    value: Option<RowValue>,
}

/// The memtable as it was after some commit. As long as this lives, the memtable can be read as it was then.
pub(super) struct MemtableVersion {
    commits: u64,
    _holder: Arc<()>,
}

/// Some rows of a range, in order.
#[derive(Default)]
pub(super) struct Chunk {
    pub rows: Vec<(Bytes, RowValue)>,
    /// Where the next chunk begins; `None`: there are no more rows that the scan could need.
    pub next: Option<Bytes>,
}

impl Memtable {
    /// Sets the rows of a commit. Returns replaced values that no scan needs any more, for the caller to free.
    ///
    /// A row whose key is written once and that is set and deleted here leaves nothing: there is nothing below that a mark would hide, unless the
    /// memtable was replayed.
    pub(super) fn apply(&mut self, rows: &[(Bytes, RowValue)], is_written_once: WrittenOnce) -> ReplacedValues {
        self.commits += 1;
        let keeps_replaced = Arc::strong_count(&self.holders) > 1;
        let mut unneeded = ReplacedValues::new();
        if !keeps_replaced && !self.replaced.is_empty() {
            unneeded = std::mem::take(&mut self.replaced);
            self.replaced_bytes = 0;
        }
        for (key, row) in rows {
            if keeps_replaced {
                self.keep_replaced(key);
            } else if row.is_none() && !self.is_replayed && is_written_once(key) && self.rows.remove(key) {
                continue;
            }
            self.rows.set(key, row.as_deref());
        }
        unneeded
    }

    /// What its rows and the replaced values take in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.replaced_bytes
    }

    fn keep_replaced(&mut self, key: &[u8]) {
        let value = self.rows.get(key).map(|row| row.map(<[u8]>::to_vec));
        self.replaced_bytes += key.len() + value.iter().flatten().map(Vec::len).sum::<usize>() + REPLACED_OVERHEAD_BYTES;
        self.replaced.entry(key.to_vec()).or_default().push(ReplacedValue { commit: self.commits, value });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The memtable as it is now, for [`Memtable::chunk_at`].
    pub(super) fn version(&self) -> MemtableVersion {
        MemtableVersion { commits: self.commits, _holder: Arc::clone(&self.holders) }
    }

    /// The next rows of a range, as they are now. `wanted`: how many rows the scan lacks.
    pub(super) fn chunk(&self, start: &[u8], end: &[u8], wanted: usize) -> Chunk {
        self.read_chunk(start, end, wanted, self.commits)
    }

    /// The next rows of a range, as they were at a version.
    pub(super) fn chunk_at(&self, version: &MemtableVersion, start: &[u8], end: &[u8], wanted: usize) -> Chunk {
        self.read_chunk(start, end, wanted, version.commits)
    }

    fn read_chunk(&self, start: &[u8], end: &[u8], wanted: usize, commits: u64) -> Chunk {
        let mut rows = Vec::new();
        let (mut seen, mut bytes, mut values) = (0, 0, 0);
        for (key, newest) in self.rows.range(start, end) {
            if values >= wanted {
                break;
            }
            if seen >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                return Chunk { rows, next: Some(key) };
            }
            seen += 1;
            let Some(row) = self.value_at(&key, newest, commits) else { continue };
            bytes += key.len() + row.map_or(0, <[u8]>::len);
            values += usize::from(row.is_some());
            rows.push((key, row.map(<[u8]>::to_vec)));
        }
        Chunk { rows, next: None }
    }

    /// A row as it was after a number of commits; `None`: the memtable did not have it.
    fn value_at<'a>(&'a self, key: &[u8], newest: Option<&'a [u8]>, commits: u64) -> Option<Option<&'a [u8]>> {
        if commits == self.commits || self.replaced.is_empty() {
            return Some(newest);
        }
        // The first commit after them that replaced the row; a row that is set again and again has many.
        let replaced = |values: &'a Vec<ReplacedValue>| values.get(values.partition_point(|replaced| replaced.commit <= commits));
        match self.replaced.get(key).and_then(replaced) {
            Some(replaced) => replaced.value.as_ref().map(Option::as_deref),
            None => Some(newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Bytes {
        format!("k{n:04}").into_bytes()
    }

    fn memtable(rows: usize, value: &[u8]) -> Memtable {
        let mut memtable = Memtable::default();
        memtable.apply(&(0..rows).map(|n| (key(n), Some(value.to_vec()))).collect::<Vec<_>>(), |_| false);
        memtable
    }

    fn keys(chunk: &Chunk) -> Vec<Bytes> {
        chunk.rows.iter().map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn a_chunk_ends_after_some_rows_some_bytes_or_the_rows_that_the_scan_needs() {
        let small = memtable(100, b"v");
        let first = small.chunk(b"k", b"l", usize::MAX);
        assert_eq!((keys(&first), first.next), ((0..CHUNK_ROWS).map(key).collect(), Some(key(CHUNK_ROWS))));
        let second = small.chunk(&key(CHUNK_ROWS), b"l", usize::MAX);
        assert_eq!((keys(&second), second.next), ((CHUNK_ROWS..100).map(key).collect(), None));
        let needed = small.chunk(b"k", b"l", 5);
        assert_eq!((keys(&needed), needed.next), ((0..5).map(key).collect(), None), "no other chunk is needed");
        let large = memtable(100, &[0; CHUNK_BYTES / 2]).chunk(b"k", b"l", usize::MAX);
        assert_eq!((keys(&large), large.next), ((0..2).map(key).collect(), Some(key(2))));
    }

    #[test]
    fn deleted_rows_are_not_counted_as_those_that_the_scan_needs_and_bound_a_chunk_all_the_same() {
        let mut memtable = memtable(100, b"v");
        memtable.apply(&(0..70).map(|n| (key(n), None)).collect::<Vec<_>>(), |_| false);
        let chunk = memtable.chunk(b"k", b"l", 1);
        assert_eq!((chunk.rows.len(), chunk.next), (CHUNK_ROWS, Some(key(CHUNK_ROWS))));
        assert_eq!(memtable.chunk(&key(CHUNK_ROWS), b"l", 1).rows.len(), 70 - CHUNK_ROWS + 1);
    }

    #[test]
    fn a_version_is_read_as_it_was_and_what_it_needs_is_counted_until_it_is_dropped() {
        let mut memtable = memtable(3, b"first");
        let version = memtable.version();
        let before = memtable.memory_bytes();
        for value in [b"second", b"third!"] {
            memtable.apply(&[(key(0), Some(value.to_vec())), (key(1), None), (key(7), Some(value.to_vec()))], |_| false);
        }
        let first: Vec<_> = (0..3).map(|n| (key(n), Some(b"first".to_vec()))).collect();
        assert_eq!(memtable.chunk_at(&version, b"k", b"l", usize::MAX).rows, first);
        let newest =
            [(key(0), Some(b"third!".to_vec())), (key(1), None), (key(2), Some(b"first".to_vec())), (key(7), Some(b"third!".to_vec()))];
        assert_eq!(memtable.chunk(b"k", b"l", usize::MAX).rows, newest);
        assert!(memtable.memory_bytes() > before + 6 * REPLACED_OVERHEAD_BYTES, "two commits replaced three rows each, and one is new");
        let values = 2 * "first".len() + "second".len() + "second".len();
        assert_eq!(
            memtable.replaced_bytes,
            values + 6 * (key(0).len() + REPLACED_OVERHEAD_BYTES),
            "a row that was new or deleted had no value"
        );
        drop(version);
        assert_eq!(memtable.apply(&[], |_| false).len(), 3, "the replaced values of three rows");
        let mut same = Memtable::default();
        same.apply(&newest, |_| false);
        assert_eq!(memtable.memory_bytes(), same.memory_bytes(), "as if nothing had been kept");
    }

    #[test]
    fn a_row_that_is_written_once_leaves_nothing_unless_an_open_scan_needs_it() {
        let (set, delete) = (|n| vec![(key(n), Some(b"v".to_vec()))], |n| vec![(key(n), None)]);
        let mut memtable = Memtable::default();
        memtable.apply(&set(1), |_| true);
        memtable.apply(&delete(1), |_| true);
        assert!(memtable.is_empty() && memtable.memory_bytes() == 0);
        memtable.apply(&delete(1), |_| true);
        assert_eq!(memtable.rows.get(&key(1)), Some(None), "it was set below, and has to be hidden there");
        memtable.apply(&set(2), |key| key.ends_with(b"3"));
        memtable.apply(&delete(2), |key| key.ends_with(b"3"));
        assert_eq!(memtable.rows.get(&key(2)), Some(None), "such a key may be used again");
        memtable.apply(&set(4), |_| true);
        let version = memtable.version();
        memtable.apply(&delete(4), |_| true);
        assert_eq!(memtable.chunk_at(&version, &key(3), b"l", usize::MAX).rows, set(4));
    }
}
