//! The store as a group of writes sees it: the rows on disk, overlaid with the rows that the group has decided so far.
//!
//! - The rows of the job that is being decided are a layer of their own. They join the group's when the job is done, or are dropped as if the
//!   job had never been (I10).
//! - It notes the owner of every row that is read or written, and its fence before the first read: a group that decided on rows which have
//!   changed since is stale, and nothing else guards it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;

use super::Identity;
use super::engine::{Batch, Bytes, Engine, EngineError, ROW_BYTES, RowBatch};
use super::keys;
use super::owners::{CommittedOwners, GroupOwners, JobPart, WrittenRow};
use super::row_cache::RowCache;
use super::row_source::RowSource;

/// The work of finding a row, as bytes.
const ROW_WORK_BYTES: usize = 256;

/// Reads the job's own rows first, then the group's, then the engine's; collects the rows that they write.
pub(super) struct View<'a> {
    engine: &'a dyn Engine,
    /// What the job that is being decided has written so far.
    job: BTreeMap<Bytes, WrittenRow>,
    owners: RefCell<GroupOwners>,
    /// Bytes that all jobs have read, written and computed on, also those that failed or changed nothing.
    work_bytes: Cell<usize>,
}

impl<'a> View<'a> {
    pub(super) fn new(engine: &'a dyn Engine, cache: RowCache) -> View<'a> {
        let owners = RefCell::new(GroupOwners::new(cache));
        View { engine, job: BTreeMap::new(), owners, work_bytes: Cell::new(0) }
    }

    /// Notes that the job depends on rows of the owner of this one, and returns the owner's place.
    fn note(&self, key: &[u8]) -> usize {
        self.owners.borrow_mut().note(keys::owner(key), |owner| self.engine.fence(owner))
    }

    /// Notes that the job depends on what the group has read of an identity before.
    pub(super) fn note_identity(&self, identity: &Identity) {
        self.note(&keys::identity(identity));
    }

    /// Adds the rows of a decision: later reads of this view see them.
    pub(super) fn decide(&mut self, batch: RowBatch) {
        for (key, value) in batch {
            let owner = self.note(&key);
            self.count_work(ROW_WORK_BYTES + key.len() + value.as_ref().map_or(0, Vec::len));
            self.job.insert(key, WrittenRow { owner, value });
        }
    }

    /// Adds the job's rows to the group's. Adds none of them if one is larger than the engine takes: it would refuse the whole group.
    pub(super) fn keep_job(&mut self) -> Result<JobPart, EngineError> {
        if let Some((key, _)) = self.job.iter().find(|(_, row)| row.value.as_ref().is_some_and(|value| value.len() > ROW_BYTES)) {
            let error = EngineError::Io(format!("row {} has more than {ROW_BYTES} bytes", key.escape_ascii()));
            self.drop_job();
            return Err(error);
        }
        Ok(self.owners.get_mut().keep_job(std::mem::take(&mut self.job)))
    }

    /// Whether nobody else has committed to the job's owners since the group noted them.
    pub(super) fn is_job_current(&self) -> bool {
        self.owners.borrow().is_job_current(|owner| self.engine.fence(owner))
    }

    /// Drops what the job has written: later reads of this view see the group as it was before.
    pub(super) fn drop_job(&mut self) {
        self.job.clear();
        self.owners.get_mut().drop_job();
    }

    /// Bytes of the keys and rows that were decided.
    pub(super) fn row_bytes(&self) -> usize {
        let bytes = |key: &Bytes, value: &Option<Bytes>| key.len() + value.as_ref().map_or(0, Vec::len);
        let decided: usize = self.owners.borrow().all_decided().map(|(key, value)| bytes(key, value)).sum();
        decided + self.job.iter().map(|(key, row)| bytes(key, &row.value)).sum::<usize>()
    }

    /// Bytes that the group's jobs have read, written and computed on, with [`ROW_WORK_BYTES`] for each row.
    pub(super) fn work_bytes(&self) -> usize {
        self.work_bytes.get()
    }

    /// Counts rows that a decision has read elsewhere, by their bytes.
    pub(super) fn count_rows(&self, rows: impl Iterator<Item = usize>) {
        self.count_work(rows.map(|bytes| ROW_WORK_BYTES + bytes).sum());
    }

    /// Counts bytes that a decision looks at.
    pub(super) fn count_work(&self, bytes: usize) {
        self.work_bytes.set(self.work_bytes.get().saturating_add(bytes));
    }

    /// Everything that was decided, as batches of owners that belong together. A row that the group wrote several times stands in them once.
    pub(super) fn into_batches(self) -> (Vec<Batch>, CommittedOwners) {
        self.owners.into_inner().into_batches()
    }
}

impl RowSource for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let owner = self.note(key);
        let row = match self.job.get(key) {
            Some(row) => row.value.clone(),
            None => self.owners.borrow_mut().row(owner, key, || self.engine.get(key))?,
        };
        self.count_work(ROW_WORK_BYTES + row.as_ref().map_or(0, Vec::len));
        Ok(row)
    }

    /// A range of rows of one owner.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let owner = self.note(start);
        let range = (Bound::Included(start), Bound::Excluded(end));
        let owners = self.owners.borrow();
        // The rows of the job come last, as they replace the group's.
        let written = || {
            let job = self.job.range::<[u8], _>(range).map(|(key, row)| (key, &row.value));
            owners.decided(owner).range::<[u8], _>(range).chain(job)
        };
        if start >= end || written().next().is_none() {
            let rows = self.engine.scan(start, end, limit)?;
            self.count_work(rows.iter().map(|(key, row)| ROW_WORK_BYTES + key.len() + row.len()).sum());
            return Ok(rows);
        }
        // Rows that the group has deleted are still on disk, within the engine's first ones.
        let deleted = written().filter(|(_, value)| value.is_none()).count();
        let mut rows: BTreeMap<Bytes, Bytes> = self.engine.scan(start, end, limit.saturating_add(deleted))?.into_iter().collect();
        for (key, value) in written() {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        self.count_work(rows.iter().map(|(key, row)| ROW_WORK_BYTES + key.len() + row.len()).sum());
        Ok(rows.into_iter().take(limit).collect())
    }
}

#[cfg(test)]
mod tests;
