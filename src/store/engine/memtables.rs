//! The rows in memory that are in the journal and not yet in the tree. Reads look here first, then in the tree.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::batch::Bytes;
use super::error::EngineError;
use super::tree::Tree;

/// The fewest rows that a scan reads of the tree after its first read.
const MIN_CHUNK_ROWS: usize = 64;

/// Bytes that a row takes in memory beside its key and value: their allocations and its place in the map.
const ROW_OVERHEAD_BYTES: usize = 100;

/// Rows to set and to delete (`None`), the newest value of each.
#[derive(Default)]
pub(super) struct Memtable {
    pub rows: BTreeMap<Bytes, Option<Bytes>>,
    /// The capacity of all keys and values plus the overhead of each row, in bytes.
    pub bytes: usize,
}

impl Memtable {
    pub(super) fn set(&mut self, key: Bytes, row: Option<Bytes>) {
        let key_bytes = key.capacity();
        self.bytes += row.as_ref().map_or(0, Vec::capacity);
        match self.rows.insert(key, row) {
            Some(old) => self.bytes -= old.map_or(0, |old| old.capacity()),
            None => self.bytes += key_bytes + ROW_OVERHEAD_BYTES,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// All rows above the tree.
#[derive(Default)]
pub(super) struct Memtables {
    /// Takes the rows of new commits.
    pub active: Memtable,
    /// Is being flushed. It hides the tree's rows until all of its own are there.
    pub immutable: Option<Arc<Memtable>>,
}

impl Memtables {
    /// A row as the memtables have it; `None`: it is in neither, and the caller has to read the tree.
    fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.active.rows.get(key).or_else(|| self.immutable.as_ref()?.rows.get(key))
    }

    /// The value of a row, from the memtables or else from the tree.
    pub(super) fn get(&self, tree: &dyn Tree, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.find(key).map_or_else(|| tree.get(key), |row| Ok(row.clone()))
    }

    /// Up to `limit` rows of a range, in order, merged from both memtables and the tree; the newest value of each key wins. The tree is
    /// read in chunks, because the memtables may hide many of its rows.
    pub(super) fn scan(&self, tree: &dyn Tree, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut all = Vec::new();
        if start >= end {
            return Ok(all);
        }
        let range = (Bound::Included(start), Bound::Excluded(end));
        let mut active = self.active.rows.range::<[u8], _>(range).peekable();
        let mut immutable = self.immutable.iter().flat_map(|memtable| memtable.rows.range::<[u8], _>(range)).peekable();
        let mut below = Vec::new().into_iter().peekable();
        let (mut from, mut least) = (Some(start.to_vec()), 0);
        while all.len() < limit {
            if below.peek().is_none()
                && let Some(start) = from.take()
            {
                // The first chunk is as small as the limit allows: often no row of it is hidden, and no other chunk is read.
                let wanted = (limit - all.len()).max(least);
                least = MIN_CHUNK_ROWS;
                let chunk = tree.scan(&start, end, wanted)?;
                from = chunk.last().filter(|_| chunk.len() == wanted).map(|(last, _)| [last.as_slice(), &[0]].concat());
                below = chunk.into_iter().peekable();
            }
            let keys = [active.peek().map(|(key, _)| *key), immutable.peek().map(|(key, _)| *key), below.peek().map(|(key, _)| key)];
            let Some(next) = keys.into_iter().flatten().min() else { break };
            let [in_active, in_immutable, in_tree] = keys.map(|key| key == Some(next));
            let found = in_tree.then(|| below.next()).flatten();
            let hidden = in_immutable.then(|| immutable.next()).flatten();
            let newest = in_active.then(|| active.next()).flatten().or(hidden);
            all.extend(match newest {
                Some((key, row)) => row.as_ref().map(|row| (key.clone(), row.clone())),
                None => found,
            });
        }
        Ok(all)
    }
}
