//! Rows that the writer has read lately, in memory: most writes are of people who wrote a moment ago.
//!
//! What is known of an owner was read after its fence was taken, or written by this store at that fence. It counts for nothing once the fence is
//! another one, so another writer's commits are never missed. Only groups use it: readers ask the engine.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;

use super::engine::{Bytes, Fence, Owner};
use super::keys::{self, RowKind};

/// Bytes that are known of all owners: some thousand people.
const CACHE_BYTES: usize = 16 << 20;

/// Bytes that are known of one owner: the state of some datasets, of the records that are written again and again, and of the newest patches of
/// some devices. Beyond it all is forgotten, and read again when it is needed.
const OWNER_BYTES: usize = 128 << 10;

/// The largest row that is kept: those that are read for every write are far smaller.
const ROW_BYTES: usize = 2 << 10;

/// Bytes that a row takes in memory beside its key and value: their allocations and its place in the map.
const ROW_OVERHEAD_BYTES: usize = 100;

/// What is known of all owners. The owners that no group has asked for lately are forgotten first.
#[derive(Default)]
pub(super) struct RowCache {
    recent: HashMap<Owner, KnownRows>,
    recent_bytes: usize,
    /// Those that were the recent ones until these were too many.
    older: HashMap<Owner, KnownRows>,
}

/// The cache of a store. A group takes it and puts it back when it is committed: there is one group at a time, another one would find it empty.
#[derive(Clone, Default)]
pub(super) struct StoreCache(Arc<Mutex<RowCache>>);

/// Rows of one owner, as they are at a fence; a row that does not exist is known, too.
pub(super) struct KnownRows {
    fence: Fence,
    rows: HashMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl RowCache {
    /// Takes what is known of an owner out, for a group that has taken its fence; nothing is, if another writer has committed since.
    pub(super) fn take(&mut self, id: &[u8], fence: impl FnOnce(&Owner) -> Fence) -> (Owner, KnownRows) {
        let recent = self.recent.remove_entry(id).inspect(|(_, known)| self.recent_bytes -= known.bytes);
        let (owner, mut known) = recent.or_else(|| self.older.remove_entry(id)).unwrap_or_else(|| (Owner::from(id), KnownRows::none_at(0)));
        let fence = fence(&owner);
        if known.fence != fence {
            known = KnownRows::none_at(fence);
        }
        (owner, known)
    }

    /// Keeps what is known of an owner after a group.
    pub(super) fn keep(&mut self, owner: Owner, known: KnownRows) {
        self.recent_bytes += known.bytes;
        self.recent.insert(owner, known);
        if self.recent_bytes > CACHE_BYTES / 2 {
            self.older = std::mem::take(&mut self.recent);
            self.recent_bytes = 0;
        }
    }
}

impl StoreCache {
    pub(super) fn take(&self) -> RowCache {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put_back(&self, cache: RowCache) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cache;
    }

    /// Takes what is known for what is there, also if another writer has committed since: to show that a test finds it.
    #[cfg(test)]
    pub(super) fn ignore_fences(&self, fence: impl Fn(&Owner) -> Fence) {
        let mut cache = self.take();
        let RowCache { recent, older, .. } = &mut cache;
        recent.iter_mut().chain(older).for_each(|(owner, known)| known.fence = fence(owner));
        self.put_back(cache);
    }
}

impl KnownRows {
    pub(super) fn none_at(fence: Fence) -> KnownRows {
        KnownRows { fence, rows: HashMap::default(), bytes: 0 }
    }

    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    /// A row, if it is known whether it exists.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(key)
    }

    /// Notes a row that was read. Those of a version are read only by the write that replaces them.
    pub(super) fn note_read(&mut self, key: &[u8], row: &Option<Bytes>) {
        if row_bytes(row) <= ROW_BYTES && !keys::is_written_once(key) {
            self.insert(key, row);
        }
    }

    fn insert(&mut self, key: &[u8], row: &Option<Bytes>) {
        if self.bytes > OWNER_BYTES {
            self.rows.clear();
            self.bytes = 0;
        }
        self.bytes += key.len() + row_bytes(row) + ROW_OVERHEAD_BYTES;
        self.rows.insert(key.to_vec(), row.clone());
    }

    /// Notes a row that is written, if it was read before: what is only written is not asked for. But a record is, by the write that replaces it.
    pub(super) fn note_written(&mut self, key: &[u8], row: &Option<Bytes>) {
        let Some(known) = self.rows.get_mut(key) else {
            if row.as_ref().is_some_and(|row| row.len() <= ROW_BYTES) && RowKind::Record.is_of(key) {
                self.insert(key, row);
            }
            return;
        };
        self.bytes -= row_bytes(known);
        match (known, row) {
            (Some(known), Some(row)) if row.len() <= ROW_BYTES => {
                known.clear();
                known.extend_from_slice(row);
                self.bytes += row.len();
            }
            (known, Some(row)) if row.len() <= ROW_BYTES => {
                *known = Some(row.clone());
                self.bytes += row.len();
            }
            _ => {
                self.rows.remove(key);
                self.bytes -= key.len() + ROW_OVERHEAD_BYTES;
            }
        }
    }

    /// Notes that the owner's rows were committed: its fence is one higher, or more if somebody else has committed, too.
    pub(super) fn note_commit(&mut self) {
        self.fence += 1;
    }
}

fn row_bytes(row: &Option<Bytes>) -> usize {
    row.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use driftless_protocol::DatasetName;

    use super::*;
    use crate::store::Identity;

    fn row(value: &[u8]) -> Option<Bytes> {
        Some(value.to_vec())
    }

    fn taken(cache: &mut RowCache, id: &str, fence: Fence) -> KnownRows {
        cache.take(id.as_bytes(), |_| fence).1
    }

    #[test]
    fn rows_are_known_until_somebody_else_commits() {
        let mut cache = RowCache::default();
        let mut known = taken(&mut cache, "a", 7);
        known.note_read(b"head", &row(b"1"));
        known.note_read(b"none", &None);
        known.note_written(b"head", &row(b"2"));
        known.note_written(b"never read", &row(b"2"));
        known.note_commit();
        cache.keep(Owner::from(&b"a"[..]), known);
        let known = taken(&mut cache, "a", 8);
        assert_eq!([b"head".as_slice(), b"none", b"never read"].map(|key| known.get(key).cloned()), [Some(row(b"2")), Some(None), None]);
        cache.keep(Owner::from(&b"a"[..]), known);
        let known = taken(&mut cache, "a", 9);
        assert_eq!((known.get(b"head"), known.fence()), (None, 9), "the fence is another one");
    }

    #[test]
    fn what_is_written_counts_its_bytes_and_what_is_deleted_or_large_is_read_again() {
        let mut known = KnownRows::none_at(0);
        for key in [b"a", b"b", b"c", b"d"] {
            known.note_read(key, &row(b"1234"));
        }
        known.note_read(b"e", &None);
        known.note_read(b"f", &row(&[0; ROW_BYTES + 1]));
        known.note_written(b"b", &None);
        known.note_written(b"c", &row(&[0; ROW_BYTES + 1]));
        known.note_written(b"d", &row(b"123456789"));
        known.note_written(b"e", &row(b"12"));
        assert_eq!([b"b", b"c", b"f"].map(|key| known.get(key).is_some()), [false; 3]);
        let bytes = |known: &KnownRows| known.rows.iter().map(|(key, row)| key.len() + row_bytes(row) + ROW_OVERHEAD_BYTES).sum::<usize>();
        assert_eq!((known.bytes, known.rows.len()), (bytes(&known), 3));
    }

    #[test]
    fn a_record_is_known_from_its_write_until_the_write_that_replaces_it() {
        let (identity, dataset) = (Identity::from("a"), DatasetName::new("settings").expect("a name"));
        let (record, history) = (keys::record(&identity, &dataset, 1, 0), keys::history(&identity, &dataset, 1));
        let mut known = KnownRows::none_at(0);
        known.note_written(&record, &row(b"value"));
        known.note_written(&history, &row(b"before"));
        assert_eq!((known.get(&record), known.get(&history)), (Some(&row(b"value")), None), "no write asks for history");
        known.note_written(&record, &None);
        assert_eq!((known.rows.len(), known.bytes), (0, 0));
        known.note_written(&record, &row(&[0; ROW_BYTES + 1]));
        assert_eq!(known.get(&record), None, "large ones are read again");
    }

    #[test]
    fn one_owner_and_all_of_them_are_bounded() {
        let mut cache = RowCache::default();
        for owner in 0..1000_u32 {
            let (id, mut known) = cache.take(&owner.to_be_bytes(), |_| 0);
            for n in 0..1000_u32 {
                known.note_read(&n.to_be_bytes(), &row(&[0; 100]));
                assert!(known.bytes <= OWNER_BYTES + ROW_BYTES);
            }
            assert!(known.get(&999_u32.to_be_bytes()).is_some());
            cache.keep(id, known);
            let held = cache.recent.values().chain(cache.older.values()).map(|known| known.bytes).sum::<usize>();
            assert!(held <= CACHE_BYTES + OWNER_BYTES && cache.recent_bytes <= held);
        }
        assert!(cache.older.len() > 10, "the newest owners of before are still known");
        assert!(taken(&mut cache, "never seen", 0).rows.is_empty());
    }

    #[test]
    fn an_owner_that_writes_again_and_again_counts_once() {
        let mut cache = RowCache::default();
        for fence in 0..9 {
            let (id, mut known) = cache.take(b"a", |_| fence);
            known.note_read(b"head", &row(&[0; ROW_BYTES]));
            known.note_commit();
            assert!(known.get(b"head").is_some(), "a row of the largest size is kept");
            let bytes = known.bytes;
            cache.keep(id, known);
            assert_eq!((cache.recent_bytes, cache.recent.len()), (bytes, 1));
        }
    }
}
