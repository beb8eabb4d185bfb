//! The backup under way: how far it has read the store, and the changes that groups of writes make behind that point.
//!
//! The store holds it, and every commit of a group looks at it. There is at most one backup at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::blocks::BackupRow;
use crate::store::engine::{Batch, Bytes};

/// Bytes of captured changes that wait for the next step. A backup with more is given up: its reader is slower than the writers.
const CAPTURED_BYTES: usize = 64 * 1024 * 1024;

/// The place of a store's backup under way. A clone is the same place.
#[derive(Clone, Default)]
pub(in crate::store) struct BackupCapture(Arc<Mutex<Option<RunningBackup>>>);

pub(super) struct RunningBackup {
    /// Dangles once the holder of the ticket is gone, which ends the backup.
    requester: Weak<()>,
    /// The backup has read the rows below this key.
    pub(super) cursor: Bytes,
    /// Rows below the cursor that changed since, in the order of the changes.
    captured: Vec<BackupRow>,
    captured_bytes: usize,
}

/// The right to continue a backup. Dropping it ends the backup.
#[derive(Clone, Debug)]
pub struct BackupTicket(Arc<()>);

impl RunningBackup {
    pub(super) fn new() -> (BackupTicket, RunningBackup) {
        let ticket = BackupTicket(Arc::new(()));
        let requester = Arc::downgrade(&ticket.0);
        (ticket, RunningBackup { requester, cursor: Bytes::new(), captured: Vec::new(), captured_bytes: 0 })
    }

    pub(super) fn has_requester(&self) -> bool {
        self.requester.strong_count() > 0
    }

    pub(super) fn belongs_to(&self, ticket: &BackupTicket) -> bool {
        std::ptr::eq(self.requester.as_ptr(), Arc::as_ptr(&ticket.0))
    }

    /// All of them at once: it moves a list, whatever is in it.
    pub(super) fn take_captured(&mut self) -> Vec<BackupRow> {
        self.captured_bytes = 0;
        std::mem::take(&mut self.captured)
    }
}

impl BackupCapture {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<RunningBackup>> {
        // A panic in the middle of a step also drops the requester's ticket, which ends the backup.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the backup under way.
    pub(in crate::store) fn end(&self) {
        *self.lock() = None;
    }

    /// The rows of each batch behind the point that the backup has reached; nothing if there is no backup.
    pub(in crate::store) fn behind(&self, batches: &[Batch]) -> Vec<Vec<BackupRow>> {
        let running = self.lock();
        let Some(backup) = running.as_ref() else { return Vec::new() };
        let behind = |batch: &Batch| batch.rows.iter().filter(|(key, _)| *key < backup.cursor).cloned().collect();
        batches.iter().map(behind).collect()
    }

    /// Captures these rows for the next step. The group calls it once their batches are durable.
    pub(in crate::store) fn capture(&self, rows: impl Iterator<Item = BackupRow>) {
        let mut running = self.lock();
        let Some(backup) = running.as_mut() else { return };
        if !backup.has_requester() || backup.captured_bytes > CAPTURED_BYTES {
            *running = None;
            return;
        }
        for (key, row) in rows {
            backup.captured_bytes += key.len() + row.as_ref().map_or(0, Vec::len);
            backup.captured.push((key, row));
        }
    }
}
