//! A consistent copy of the store while it is written to, and a fresh store from such a copy.
//!
//! The copy is made in steps, between groups of writes. Each step reads the next rows in the order of their keys; rows behind that point that a group
//! changes meanwhile are noted and go into the copy with the next step. At the end the copy is the store as it was before the group of the last step.
//! Nothing is held up for longer than a step takes, and what is noted is bounded.

mod blocks;
mod restore;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use blocks::{BackupChecker, BackupDamage, BackupSummary};
pub use restore::{RestoreError, restore};

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::{Store, StoreError, migrate};
use blocks::{Head, Row, Writer};

/// Rows, and about how many bytes of them, that a step reads: as long as a group of writes takes.
const STEP_ROWS: usize = 1024;
const STEP_BYTES: usize = 1024 * 1024;

/// Bytes of changed rows that wait for the reader of a copy. Beyond it the copy is given up: its reader is slower than the writers.
const NOTED_BYTES: usize = 64 * 1024 * 1024;

/// Where a store's copy under way is noted.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Mutex<Option<Copy>>>);

/// A copy under way.
struct Copy {
    /// Whoever asked for it; when that is gone, so is the copy.
    asker: Weak<()>,
    /// Rows below this were read.
    cursor: Bytes,
    /// Rows below it that changed since, in order.
    noted: Vec<Row>,
    noted_bytes: usize,
    writer: Writer,
}

/// The right to ask for a copy's steps. Dropping it ends the copy.
#[derive(Clone, Debug)]
pub struct BackupTicket(Arc<()>);

/// Why there is no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRefused {
    /// Another one is under way.
    Busy,
    /// Its reader was too slow for the rate of writes, or the store failed meanwhile.
    TooSlow,
}

/// Some of a copy.
#[derive(Debug)]
pub struct BackupPart {
    /// Bytes of the file.
    pub bytes: Vec<u8>,
    /// Rows in it.
    pub rows: u64,
    /// Whether it is the last.
    pub last: bool,
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, Option<Copy>> {
        // A copy that another thread left in the middle of a step is given up by its asker's going.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up a copy under way.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// What a group changes behind the point that a copy has reached.
    pub(super) fn behind(&self, batch: &Batch) -> Vec<Row> {
        let copy = self.lock();
        let Some(under_way) = copy.as_ref() else { return Vec::new() };
        batch.rows.iter().filter(|(key, _)| *key < under_way.cursor).cloned().collect()
    }

    /// Notes that. Called once the group is durable.
    pub(super) fn note(&self, rows: Vec<Row>) {
        let mut copy = self.lock();
        let Some(under_way) = copy.as_mut() else { return };
        if under_way.asker.strong_count() == 0 || under_way.noted_bytes > NOTED_BYTES {
            *copy = None;
            return;
        }
        under_way.noted_bytes += rows.iter().map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len)).sum::<usize>();
        under_way.noted.extend(rows);
    }
}

impl Group<'_> {
    /// Begins a copy: the first part of the file, and the right to ask for more.
    pub fn begin_backup(&mut self, now_ms: u64) -> Result<Result<(BackupTicket, BackupPart), BackupRefused>, StoreError> {
        let mut copy = self.store.tap.lock();
        if copy.as_ref().is_some_and(|copy| copy.asker.strong_count() > 0) {
            return Ok(Err(BackupRefused::Busy));
        }
        let ticket = BackupTicket(Arc::new(()));
        let mut writer = Writer::default();
        let head = Head { store_format: migrate::FORMAT, epoch: self.store.epoch.clone(), made_ms: now_ms };
        let bytes = writer.begin(&head)?;
        *copy = Some(Copy { asker: Arc::downgrade(&ticket.0), cursor: Bytes::new(), noted: Vec::new(), noted_bytes: 0, writer });
        Ok(Ok((ticket, BackupPart { bytes, rows: 0, last: false })))
    }

    /// The next part of a copy: first what changed behind its point, then rows from there on.
    ///
    /// What this group has decided so far is not on disk yet: it is noted when it is.
    pub fn continue_backup(&mut self, ticket: &BackupTicket) -> Result<Result<BackupPart, BackupRefused>, StoreError> {
        let mut tap = self.store.tap.lock();
        let Some(copy) = tap.as_mut().filter(|copy| std::ptr::eq(copy.asker.as_ptr(), Arc::as_ptr(&ticket.0))) else {
            return Ok(Err(BackupRefused::TooSlow));
        };
        let mut rows = std::mem::take(&mut copy.noted);
        copy.noted_bytes = 0;
        let (read, at_end) = self.store.read_on(&copy.cursor)?;
        if let Some((last, _)) = read.last() {
            copy.cursor = [last.as_slice(), &[0]].concat();
        }
        rows.extend(read);
        let mut bytes = copy.writer.rows(&rows)?;
        if at_end {
            bytes.extend(copy.writer.end()?);
            *tap = None;
        }
        Ok(Ok(BackupPart { bytes, rows: rows.len() as u64, last: at_end }))
    }
}

impl Store {
    /// The rows from a key on, of about a step; and whether they are the last.
    fn read_on(&self, start: &[u8]) -> Result<(Vec<Row>, bool), StoreError> {
        // No kind is `0xff`.
        let end = [u8::MAX];
        let (mut rows, mut bytes, mut start) = (Vec::new(), 0, start.to_vec());
        while rows.len() < STEP_ROWS && bytes < STEP_BYTES {
            let chunk = self.engine.scan(&start, &end, 32)?;
            let at_end = chunk.len() < 32;
            bytes += chunk.iter().map(|(key, row)| key.len() + row.len()).sum::<usize>();
            rows.extend(chunk.into_iter().map(|(key, row)| (key, Some(row))));
            if at_end {
                return Ok((rows, true));
            }
            if let Some((last, _)) = rows.last() {
                start = [last.as_slice(), &[0]].concat();
            }
        }
        Ok((rows, false))
    }
}
