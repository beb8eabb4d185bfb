//! Background jobs on a whole identity: erasing it, or merging it into another one.
//!
//! A job begins with one atomic batch (`erase`, `merge_identity`). After it no device signs in as that identity and nothing is written to it, and
//! a row (`w`) holds the job. The rest follows in bounded steps; a step that was committed may be run again after a crash. When the row
//! is gone, the job is done.

use driftless_protocol::DatasetName;

use super::commit::Group;
use super::keys::RowKind;
use super::merge_identity::MergePolicies;
use super::row_source::RowSource;
use super::rows::{self, JobRow};
use super::{Identity, RetentionPolicy, Store, StoreError, keys};

/// The result of one step of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobProgress {
    /// There are more steps.
    Unfinished,
    /// A dataset, or a part of it, moved into this identity, where it has this version now. There are more steps.
    Moved(Identity, DatasetName, u64),
    Done,
}

impl Store {
    /// Up to `limit` identities with an unfinished job, in the order of the store, behind one of them.
    pub fn background_jobs(&self, after: Option<&Identity>, limit: usize) -> Result<Vec<Identity>, StoreError> {
        let prefix = keys::of_kind(RowKind::Job);
        let start = after.map_or_else(|| prefix.clone(), |last| keys::prefix_end(&keys::job(last)));
        let rows = self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?;
        rows.iter().map(|(key, _)| Ok(Identity::from(keys::KeyParts::after(key, &prefix)?.name()?))).collect()
    }
}

impl Group<'_> {
    /// Takes one step of an identity's job.
    pub fn run_job_step(&mut self, identity: &Identity, retention: &RetentionPolicy, now_ms: u64) -> Result<JobProgress, StoreError> {
        let Some(row) = self.view.get(&keys::job(identity))? else { return Ok(JobProgress::Done) };
        let (into, policies) = match rows::decode(&row)? {
            JobRow::Erase => return self.delete_some(identity),
            JobRow::Merge { into, policy, datasets } => (Identity::from(into.as_str()), MergePolicies { policy, datasets }),
        };
        // An identity that was erased meanwhile takes nothing in: the rest of the merged one is deleted, too.
        if !self.has_identity(&into)? {
            return self.delete_some(identity);
        }
        // First, as acknowledgements move with their dataset to devices that are there.
        if self.move_some_devices(&into)? {
            return Ok(JobProgress::Unfinished);
        }
        match self.merge_next_dataset(identity, &into, &policies, retention, now_ms)? {
            Some((dataset, version)) => Ok(JobProgress::Moved(into, dataset, version)),
            None => self.delete_some(identity),
        }
    }
}
