//! Erases an identity: its logins at once, everything else in steps.

use super::commit::Group;
use super::engine::RowBatch;
use super::job_steps::{STEP_BYTES, STEP_ROWS};
use super::jobs::JobProgress;
use super::keys::RowKind;
use super::row_source::RowSource;
use super::rows::{self, JobRow};
use super::{Identity, StoreError, index_rows, keys};

/// The outcome of a request to erase an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseStart {
    /// The identity no longer exists; its rows are deleted step by step.
    Begun,
    NoIdentity,
}

impl Group<'_> {
    /// Begins to erase an identity.
    pub fn erase(&mut self, identity: &Identity) -> Result<EraseStart, StoreError> {
        if !self.has_identity(identity)? {
            return Ok(EraseStart::NoIdentity);
        }
        let mut batch = RowBatch::new();
        for (login, own) in self.login_rows(identity)? {
            batch.extend([(login, None), (own, None)]);
        }
        self.count_erasure(&mut batch)?;
        batch.push((keys::identity(identity), None));
        batch.push((keys::job(identity), Some(rows::encode(&JobRow::Erase)?)));
        self.view.decide(batch);
        self.identities.insert(identity.clone(), None);
        Ok(EraseStart::Begun)
    }

    /// Deletes some of the rows that an identity owns; when none is left, also the row of its job.
    pub(super) fn delete_some(&mut self, identity: &Identity) -> Result<JobProgress, StoreError> {
        let (mut batch, mut bytes) = (RowBatch::new(), 0);
        for kind in RowKind::owned_by_identity().filter(|kind| *kind != RowKind::Job) {
            let prefix = keys::of_identity(kind, identity);
            for (key, row) in self.view.first_of(&prefix, STEP_ROWS.saturating_sub(batch.len()), STEP_BYTES - bytes)? {
                bytes += key.len() + row.len();
                batch.extend(index_rows::index_key(kind, identity, &key, &row)?.map(|row| (row, None)));
                batch.push((key, None));
            }
            if batch.len() >= STEP_ROWS || bytes >= STEP_BYTES {
                self.view.decide(batch);
                return Ok(JobProgress::Unfinished);
            }
        }
        batch.push((keys::job(identity), None));
        self.view.decide(batch);
        Ok(JobProgress::Done)
    }
}
