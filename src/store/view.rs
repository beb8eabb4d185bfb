//! The store as a group of writes sees it: the rows on disk, overlaid with the rows that the group has decided so far.

use std::collections::BTreeMap;

use super::engine::{Batch, Bytes, EngineError, SupervisedEngine};
use super::keys;
use super::pieces::{self, RowContent};

/// Reads the group's own rows first, then the engine's; collects the rows that the group writes.
pub(super) struct View<'a> {
    engine: &'a SupervisedEngine,
    decided: BTreeMap<Bytes, Option<Bytes>>,
    /// Rows that a decision depends on, as they are on disk.
    preconditions: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(engine: &'a SupervisedEngine) -> View<'a> {
        View { engine, decided: BTreeMap::new(), preconditions: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match self.decided.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.engine.get(key),
        }
    }

    /// All rows under a prefix. Only for rows of one owner whose number is small and bounded.
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
        // Rows that the group has deleted are still on disk, within the engine's first ones.
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
    pub(super) fn get_pieces(&self, key: &[u8]) -> Result<Option<RowContent>, EngineError> {
        let Some(first) = self.get(&pieces::piece_key(key, 0))? else { return Ok(None) };
        let more = |piece| self.get(&pieces::piece_key(key, piece))?.ok_or_else(|| EngineError::Damaged("a missing piece".to_owned()));
        RowContent::join(first, more).map(Some)
    }

    /// Adds the rows of a decision: later reads of this view see them.
    pub(super) fn decide(&mut self, batch: Batch) {
        for (key, row) in batch.preconditions {
            // A row that the group itself has written needs no precondition: nobody else sees it yet.
            if !self.decided.contains_key(&key) {
                self.preconditions.entry(key).or_insert(row);
            }
        }
        for (key, row) in batch.rows {
            self.bytes += key.len() + row.as_ref().map_or(0, Vec::len);
            self.decided.insert(key, row);
        }
    }

    /// Bytes of the keys and rows that were decided.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything that was decided, as one batch: a row that the group wrote several times stands in it once.
    pub(super) fn into_batch(self) -> Batch {
        Batch { preconditions: self.preconditions.into_iter().collect(), rows: self.decided.into_iter().collect() }
    }
}
