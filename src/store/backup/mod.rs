//! A consistent copy of the store while writes go on, and a new store from such a copy.
//!
//! A backup is made in steps, between groups of writes. Each step reads the next rows in the order of their keys. A row behind that point
//! that a group changes meanwhile is captured, and the next step writes it to the backup again. At the end the backup is the store as it
//! was before the group of the last step. No group waits for longer than a step takes, which reads a bounded number of rows and hands the
//! captured ones over as they are; the file is encoded elsewhere. The captured changes are bounded.

mod blocks;
mod capture;
mod restore;

pub use blocks::{BACKUP_FORMAT, BackupChecker, BackupDamage, BackupHeader, BackupRow, BackupSummary, BackupWriter};
pub use capture::BackupTicket;
pub use restore::{RestoreError, restore};

pub(super) use capture::BackupCapture;

use super::commit::Group;
use super::job_steps::{STEP_BYTES, STEP_ROWS};
use super::{Store, StoreError, format};
use capture::RunningBackup;

/// Rows that a step asks the engine for at a time.
const CHUNK_ROWS: usize = 32;

/// Why a backup does not begin or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRefused {
    /// Another backup is under way.
    Busy,
    /// The backup was given up: its reader was too slow for the rate of writes, or the store failed meanwhile.
    TooSlow,
}

/// What one step adds to a backup.
#[derive(Debug)]
pub struct BackupPart {
    /// The rows to append to the file, in this order. There can be as many as writers have changed since the last step, up to 64 MiB.
    pub rows: Vec<BackupRow>,
    /// Whether the backup is complete.
    pub last: bool,
}

impl Group<'_> {
    /// Begins a backup: how the file begins, and the ticket for its parts.
    pub fn begin_backup(&mut self, now_ms: u64) -> Result<Result<(BackupTicket, BackupHeader), BackupRefused>, StoreError> {
        let mut running = self.store.capture.lock();
        if running.as_ref().is_some_and(RunningBackup::has_requester) {
            return Ok(Err(BackupRefused::Busy));
        }
        let header = BackupHeader { store_format: format::ROW_FORMAT, epoch: self.store.epoch.clone(), made_ms: now_ms };
        let (ticket, backup) = RunningBackup::new();
        *running = Some(backup);
        Ok(Ok((ticket, header)))
    }

    /// The next part of a backup: first the captured changes, then rows from the backup's point on.
    ///
    /// It reads what is on disk, without the decisions of this group. They are captured when the group is durable.
    pub fn continue_backup(&mut self, ticket: &BackupTicket) -> Result<Result<BackupPart, BackupRefused>, StoreError> {
        let mut running = self.store.capture.lock();
        let Some(backup) = running.as_mut().filter(|backup| backup.belongs_to(ticket)) else {
            return Ok(Err(BackupRefused::TooSlow));
        };
        let mut rows = backup.take_captured();
        let (read, at_end) = self.store.read_step(&backup.cursor)?;
        if let Some((last, _)) = read.last() {
            backup.cursor = [last.as_slice(), &[0]].concat();
        }
        // They are read beside the view.
        self.view.count_rows(read.iter().map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len)));
        rows.extend(read);
        if at_end {
            *running = None;
        }
        Ok(Ok(BackupPart { rows, last: at_end }))
    }
}

impl Store {
    /// The rows of one step from a key on, and whether they are the last of the store.
    fn read_step(&self, start: &[u8]) -> Result<(Vec<BackupRow>, bool), StoreError> {
        // No key begins with `0xff`.
        let end = [u8::MAX];
        let (mut rows, mut bytes, mut start) = (Vec::new(), 0, start.to_vec());
        while rows.len() < STEP_ROWS && bytes < STEP_BYTES {
            let chunk = self.engine.scan(&start, &end, CHUNK_ROWS)?;
            let at_end = chunk.len() < CHUNK_ROWS;
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
