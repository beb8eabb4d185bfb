//! Erases an identity: its logins at once, everything else in steps.

use super::commit::Group;
use super::engine::Batch;
use super::jobs::JobProgress;
use super::keys::Kind;
use super::rows::{self, WorkRow};
use super::{Identity, StoreError, keys, owned};

/// Rows that one step deletes.
const STEP_ROWS: usize = 1024;

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
        if !self.is_there(identity)? {
            return Ok(EraseStart::NoIdentity);
        }
        let mut batch = Batch::default();
        for (login, own) in self.login_rows(identity)? {
            batch.rows.extend([(login, None), (own, None)]);
        }
        self.count_erasure(&mut batch)?;
        batch.rows.push((keys::identity(identity), None));
        batch.rows.push((keys::work(identity), Some(rows::encode(&WorkRow::Erase)?)));
        self.view.decide(batch);
        self.identities.insert(identity.clone(), None);
        Ok(EraseStart::Begun)
    }

    /// Deletes some of the rows that an identity owns; when none is left, also the row of its job.
    pub(super) fn delete_some(&mut self, identity: &Identity) -> Result<JobProgress, StoreError> {
        let mut batch = Batch::default();
        for owned in owned::OWNED.iter().filter(|owned| owned.kind != Kind::Work) {
            let prefix = keys::owned(owned.kind, identity);
            let limit = STEP_ROWS.saturating_sub(batch.rows.len());
            for (key, row) in self.view.scan_some(&prefix, &keys::after(&prefix), limit)? {
                batch.rows.extend(owned::elsewhere(owned.kind, identity, &key, &row)?.map(|row| (row, None)));
                batch.rows.push((key, None));
            }
            if batch.rows.len() >= STEP_ROWS {
                self.view.decide(batch);
                return Ok(JobProgress::Unfinished);
            }
        }
        batch.rows.push((keys::work(identity), None));
        self.view.decide(batch);
        Ok(JobProgress::Done)
    }
}
