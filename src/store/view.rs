//! The store as a group of writes sees it: the rows on disk, overlaid with the rows that the group has decided so far.
//!
//! The rows of the job that is being decided are a layer of their own. They join the group's when the job is done, or are dropped as if the
//! job had never been (I10).

use std::cell::Cell;
use std::collections::BTreeMap;

use super::engine::{Batch, Bytes, EngineError, ROW_BYTES, SupervisedEngine};
use super::keys;
use super::pieces::{self, RowContent};

/// The work of finding a row, as bytes.
const ROW_WORK_BYTES: usize = 256;

/// Reads the job's own rows first, then the group's, then the engine's; collects the rows that they write.
pub(super) struct View<'a> {
    engine: &'a SupervisedEngine,
    /// What the group's jobs have decided.
    decided: BTreeMap<Bytes, Option<Bytes>>,
    /// What the job that is being decided has written so far.
    job: BTreeMap<Bytes, Option<Bytes>>,
    /// Rows that a decision depends on, as they are on disk.
    preconditions: BTreeMap<Bytes, Option<Bytes>>,
    /// Those that the job that is being decided has added.
    job_preconditions: Vec<(Bytes, Option<Bytes>)>,
    /// Bytes that all jobs have read, written and computed on, also those that failed or changed nothing.
    work_bytes: Cell<usize>,
}

impl<'a> View<'a> {
    pub(super) fn new(engine: &'a SupervisedEngine) -> View<'a> {
        View {
            engine,
            decided: BTreeMap::new(),
            job: BTreeMap::new(),
            preconditions: BTreeMap::new(),
            job_preconditions: Vec::new(),
            work_bytes: Cell::new(0),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let row = match self.job.get(key).or_else(|| self.decided.get(key)) {
            Some(row) => row.clone(),
            None => self.engine.get(key)?,
        };
        self.count_work(ROW_WORK_BYTES + row.as_ref().map_or(0, Vec::len));
        Ok(row)
    }

    /// All rows under a prefix. Only for rows of one owner whose number is small and bounded.
    pub(super) fn scan(&self, prefix: &[u8]) -> Result<BTreeMap<Bytes, Bytes>, EngineError> {
        let end = keys::prefix_end(prefix);
        let rows = self.engine.scan(prefix, &end, usize::MAX)?.into_iter().collect();
        Ok(self.overlaid(rows, prefix, &end))
    }

    /// The first rows of a range, up to a limit.
    pub(super) fn scan_some(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        // Rows that the group has deleted are still on disk, within the engine's first ones.
        let deleted = self.overlay(start, end).filter(|(_, row)| row.is_none()).count();
        let rows = self.engine.scan(start, end, limit.saturating_add(deleted))?.into_iter().collect();
        Ok(self.overlaid(rows, start, end).into_iter().take(limit).collect())
    }

    /// The written rows of a range: those of the job come last, as they replace the group's.
    fn overlay(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        let range = || start.to_vec()..end.to_vec();
        self.decided.range(range()).chain(self.job.range(range()))
    }

    fn overlaid(&self, mut rows: BTreeMap<Bytes, Bytes>, start: &[u8], end: &[u8]) -> BTreeMap<Bytes, Bytes> {
        for (key, row) in self.overlay(start, end) {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        self.count_work(rows.iter().map(|(key, row)| ROW_WORK_BYTES + key.len() + row.len()).sum());
        rows
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
            if !self.job.contains_key(&key) && !self.decided.contains_key(&key) {
                self.job_preconditions.push((key, row));
            }
        }
        for (key, row) in batch.rows {
            self.count_work(ROW_WORK_BYTES + key.len() + row.as_ref().map_or(0, Vec::len));
            self.job.insert(key, row);
        }
    }

    /// Adds the job's rows to the group's. Adds none of them if one is larger than the engine takes: it would refuse the whole group.
    pub(super) fn keep_job(&mut self) -> Result<(), EngineError> {
        if let Some((key, _)) = self.job.iter().find(|(_, row)| row.as_ref().is_some_and(|row| row.len() > ROW_BYTES)) {
            let error = EngineError::Io(format!("row {} has more than {ROW_BYTES} bytes", key.escape_ascii()));
            self.drop_job();
            return Err(error);
        }
        for (key, row) in self.job_preconditions.drain(..) {
            self.preconditions.entry(key).or_insert(row);
        }
        self.decided.extend(std::mem::take(&mut self.job));
        Ok(())
    }

    /// Drops what the job has written: later reads of this view see the group as it was before.
    pub(super) fn drop_job(&mut self) {
        self.job.clear();
        self.job_preconditions.clear();
    }

    /// Bytes of the keys and rows that were decided.
    pub(super) fn row_bytes(&self) -> usize {
        let bytes = |(key, row): (&Bytes, &Option<Bytes>)| key.len() + row.as_ref().map_or(0, Vec::len);
        self.decided.iter().chain(&self.job).map(bytes).sum()
    }

    /// Bytes that the group's jobs have read, written and computed on, with [`ROW_WORK_BYTES`] for each row.
    pub(super) fn work_bytes(&self) -> usize {
        self.work_bytes.get()
    }

    /// Counts bytes that a decision looks at.
    pub(super) fn count_work(&self, bytes: usize) {
        self.work_bytes.set(self.work_bytes.get().saturating_add(bytes));
    }

    /// Everything that was decided, as one batch: a row that the group wrote several times stands in it once.
    pub(super) fn into_batch(self) -> Batch {
        Batch { preconditions: self.preconditions.into_iter().collect(), rows: self.decided.into_iter().collect() }
    }
}
