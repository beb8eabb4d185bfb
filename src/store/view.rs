//! The store as a group of writes sees it: what is on disk, under what the group has decided so far.

use std::collections::BTreeMap;

use super::engine::{Batch, Bytes, EngineError, Handle};
use super::keys;
use super::pieces::{self, Whole};

/// Reads through to the engine, collects writes.
pub(super) struct View<'a> {
    engine: &'a Handle,
    decided: BTreeMap<Bytes, Option<Bytes>>,
    /// Rows that something was decided on, as they are on disk.
    guards: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(engine: &'a Handle) -> View<'a> {
        View { engine, decided: BTreeMap::new(), guards: BTreeMap::new(), bytes: 0 }
    }

    /// One row.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match self.decided.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.engine.get(key),
        }
    }

    /// All rows under a prefix. For the few rows of one owner only: their number is bounded.
    pub(super) fn scan(&self, prefix: &[u8]) -> Result<BTreeMap<Bytes, Bytes>, EngineError> {
        let end = keys::prefix_end(prefix);
        let mut rows: BTreeMap<Bytes, Bytes> = self.engine.scan(prefix, &end, usize::MAX)?.into_iter().collect();
        for (key, row) in self.decided.range(prefix.to_vec()..end) {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows)
    }

    /// The first rows of a range, up to a limit.
    pub(super) fn scan_some(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let decided: Vec<_> = self.decided.range(start.to_vec()..end.to_vec()).collect();
        // What the group has deleted may hide as many rows.
        let deleted = decided.iter().filter(|(_, row)| row.is_none()).count();
        let mut rows: BTreeMap<Bytes, Bytes> = self.engine.scan(start, end, limit.saturating_add(deleted))?.into_iter().collect();
        for (key, row) in decided {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// A content that may be cut into pieces.
    pub(super) fn get_pieces(&self, key: &[u8]) -> Result<Option<Whole>, EngineError> {
        let Some(first) = self.get(&pieces::piece_key(key, 0))? else { return Ok(None) };
        let more = |piece| self.get(&pieces::piece_key(key, piece))?.ok_or_else(|| EngineError::Damaged("a missing piece".to_owned()));
        Whole::of(first, more).map(Some)
    }

    /// Adds a batch: later reads of this view see it.
    pub(super) fn decide(&mut self, batch: Batch) {
        for (key, row) in batch.guards {
            // What the group itself has decided needs no guard: nobody else sees it.
            if !self.decided.contains_key(&key) {
                self.guards.entry(key).or_insert(row);
            }
        }
        for (key, row) in batch.rows {
            self.bytes += key.len() + row.as_ref().map_or(0, Vec::len);
            self.decided.insert(key, row);
        }
    }

    /// Bytes of the rows that were decided.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that was decided, as one batch: what the group wrote several times stands in it once.
    pub(super) fn into_batch(self) -> Batch {
        Batch { guards: self.guards.into_iter().collect(), rows: self.decided.into_iter().collect() }
    }
}
