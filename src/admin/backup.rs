//! A backup of the whole store, read part by part while the server runs.

use tracing::info;

use super::Admin;
use crate::committer::{Committer, JobOwner, Unavailable};
use crate::logging::AUDIT;
use crate::store::{BackupPart, BackupRefused, BackupTicket};

/// A backup in progress. Dropping it ends the backup.
pub struct BackupStream {
    committer: Committer,
    ticket: BackupTicket,
    first: Option<BackupPart>,
    is_over: bool,
}

impl Admin {
    /// Begins a backup. Only one runs at a time.
    pub async fn backup(&self) -> Result<Result<BackupStream, BackupRefused>, Unavailable> {
        let begun = self.committer.transact(JobOwner::Store, |group, now_ms| Ok((group.begin_backup(now_ms)?, Vec::new()))).await?;
        if begun.is_ok() {
            info!(target: AUDIT, "backup begun");
        }
        Ok(begun.map(|(ticket, part)| BackupStream { committer: self.committer.clone(), ticket, first: Some(part), is_over: false }))
    }
}

impl BackupStream {
    /// The next part; `None` after the last one.
    pub async fn next(&mut self) -> Result<Result<Option<BackupPart>, BackupRefused>, Unavailable> {
        if let Some(first) = self.first.take() {
            return Ok(Ok(Some(first)));
        }
        if self.is_over {
            return Ok(Ok(None));
        }
        let ticket = self.ticket.clone();
        let part = self.committer.transact(JobOwner::Store, move |group, _| Ok((group.continue_backup(&ticket)?, Vec::new()))).await?;
        self.is_over = part.as_ref().map_or(true, |part| part.last);
        Ok(part.map(Some))
    }
}
