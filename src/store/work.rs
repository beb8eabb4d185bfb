//! What is done to a whole identity: it is erased, or merged into another one.
//!
//! It begins with one atomic batch, after which nobody comes in as that identity and nothing is written to it, and which leaves a note of what is to be
//! done (`w`). The rest goes in bounded steps, of which any number may be repeated after a crash. When the note is gone, all is done.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::identities::with_merged;
use super::keys::RowKind;
use super::moving::MERGER;
use super::rows::{self, IdentityRow, JobRow, PatchRow};
use super::{Identity, RetentionPolicy, Store, StoreError, index_rows, keys, push};
use crate::merge::Policy;

/// Rows that one step deletes.
const STEP_ROWS: usize = 1024;

/// What became of the wish to erase an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseStart {
    /// It is no longer there; its rows go step by step.
    Begun,
    /// There is no such identity.
    NoIdentity,
}

/// What became of the wish to merge an identity into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeStart {
    /// Its logins and devices lead to the other one; its datasets follow step by step.
    Begun,
    /// There is no such identity.
    NoIdentity(Identity),
    /// It is the same one.
    Same,
    /// They belong to different pools.
    OtherPool,
}

/// The policies by which records of both sides are merged.
#[derive(Clone, Debug, Default)]
pub struct MergePolicies {
    /// Of datasets that are not named.
    pub policy: Policy,
    /// By dataset.
    pub datasets: Vec<(DatasetName, Policy)>,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobProgress {
    /// Some of it.
    Some,
    /// A dataset moved into this identity, where it has this version now.
    Moved(Identity, DatasetName, u64),
    /// All is done.
    Done,
}

impl Store {
    /// Identities with work under way: up to `limit`.
    pub fn works(&self, limit: usize) -> Result<Vec<Identity>, StoreError> {
        let prefix = keys::of_kind(RowKind::Job);
        let rows = self.engine.scan(&prefix, &keys::prefix_end(&prefix), limit)?;
        rows.iter().map(|(key, _)| Ok(Identity::from(keys::KeyParts::after(key, &prefix)?.name()?))).collect()
    }
}

impl Group<'_> {
    /// Begins to erase an identity.
    pub fn erase(&mut self, identity: &Identity) -> Result<EraseStart, StoreError> {
        if !self.has_identity(identity)? {
            return Ok(EraseStart::NoIdentity);
        }
        let mut batch = Batch::default();
        for (login, own) in self.login_rows(identity)? {
            batch.rows.extend([(login, None), (own, None)]);
        }
        self.count_erasure(&mut batch)?;
        batch.rows.push((keys::identity(identity), None));
        batch.rows.push((keys::job(identity), Some(rows::encode(&JobRow::Erase)?)));
        self.view.decide(batch);
        self.there.insert(identity.clone(), None);
        Ok(EraseStart::Begun)
    }

    /// Begins to merge an identity into another one: its logins, devices and patch results go over at once, so that a device which sends
    /// again what was not answered is answered rightly by either.
    pub fn merge(&mut self, from: &Identity, into: &Identity, policies: &MergePolicies) -> Result<MergeStart, StoreError> {
        if from == into {
            return Ok(MergeStart::Same);
        }
        for identity in [from, into] {
            if !self.has_identity(identity)? {
                return Ok(MergeStart::NoIdentity(identity.clone()));
            }
        }
        let pool = |row: Option<IdentityRow>| row.map(|row| row.pool);
        if pool(self.identity_row(from)?) != pool(self.identity_row(into)?) {
            return Ok(MergeStart::OtherPool);
        }
        self.move_registrations(from, into)?;
        let (Some(mut from_row), Some(into_row)) = (self.identity_row(from)?, self.identity_row(into)?) else {
            return Ok(MergeStart::NoIdentity(from.clone()));
        };
        let mut batch = Batch::default();
        self.clear_debts(from, &mut batch)?;
        self.repoint_logins(from, into, &mut batch)?;
        self.repoint_works(from, into, &mut batch)?;
        self.move_devices(from, into, &mut batch)?;
        let merged = with_merged(into_row, from, from_row.clone());
        from_row.moved_to = Some(into.as_str().to_owned());
        let MergePolicies { policy, datasets } = policies.clone();
        let work = JobRow::Merge { into: into.as_str().to_owned(), policy, datasets };
        batch.rows.push((keys::identity(into), Some(rows::encode(&merged)?)));
        batch.rows.push((keys::identity(from), Some(rows::encode(&from_row)?)));
        batch.rows.push((keys::job(from), Some(rows::encode(&work)?)));
        self.view.decide(batch);
        self.there.insert(from.clone(), None);
        Ok(MergeStart::Begun)
    }

    /// One step of the work on an identity.
    pub fn work(&mut self, identity: &Identity, keep: &RetentionPolicy, now_ms: u64) -> Result<JobProgress, StoreError> {
        let Some(row) = self.view.get(&keys::job(identity))? else { return Ok(JobProgress::Done) };
        match rows::decode(&row)? {
            JobRow::Erase => self.sweep(identity),
            JobRow::Merge { into, policy, datasets } => match self.resting_place(into)? {
                Some(into) => self.move_next(identity, &into, &MergePolicies { policy, datasets }, keep, now_ms),
                // Whoever had it all is erased, so this goes too.
                None => self.sweep(identity),
            },
        }
    }

    /// Where an identity's data goes; `None`: whoever was to have it is erased.
    fn resting_place(&mut self, into: String) -> Result<Option<Identity>, StoreError> {
        let into = Identity::from(into.as_str());
        Ok(if self.has_identity(&into)? { Some(into) } else { None })
    }

    /// What is on its way into an identity that is merged itself goes on to the other one.
    fn repoint_works(&self, from: &Identity, into: &Identity, batch: &mut Batch) -> Result<(), StoreError> {
        for (key, row) in self.view.scan(&keys::of_kind(RowKind::Job))? {
            if let JobRow::Merge { into: old, policy, datasets } = rows::decode(&row)?
                && old == from.as_str()
            {
                let work = JobRow::Merge { into: into.as_str().to_owned(), policy, datasets };
                batch.rows.push((key, Some(rows::encode(&work)?)));
            }
        }
        Ok(())
    }

    fn move_next(
        &mut self,
        from: &Identity,
        into: &Identity,
        policies: &MergePolicies,
        keep: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<JobProgress, StoreError> {
        let prefix = keys::heads(from);
        let Some((key, _)) = self.view.scan_some(&prefix, &keys::prefix_end(&prefix), 1)?.pop() else { return self.sweep(from) };
        let dataset = keys::KeyParts::after(&key, &prefix)?.dataset()?;
        let policy = policies.datasets.iter().find(|(name, _)| *name == dataset).map_or(policies.policy, |(_, policy)| *policy);
        let version = self.move_dataset(from, into, &dataset, policy, keep, now_ms)?;
        // Also if nothing of it was taken: devices that come along have another dataset of this name.
        let mut batch = Batch::default();
        let merger = DeviceId::new(MERGER).map_err(|error| StoreError::Io(error.to_string()))?;
        self.record_debt(into, &dataset, version, &merger, now_ms, &mut batch)?;
        self.view.decide(batch);
        Ok(JobProgress::Moved(into.clone(), dataset, version))
    }

    fn move_devices(&mut self, from: &Identity, into: &Identity, batch: &mut Batch) -> Result<(), StoreError> {
        for kind in [RowKind::Device, RowKind::Patch, RowKind::PushBudget, RowKind::DeliveryLog] {
            let (old, new) = (keys::of_identity(kind, from), keys::of_identity(kind, into));
            for (key, row) in self.view.scan(&old)? {
                let moved = [new.as_slice(), &key[old.len()..]].concat();
                let stays = match self.view.get(&moved)? {
                    Some(there) if kind == RowKind::Patch => rows::decode::<PatchRow>(&there)?.id >= rows::decode::<PatchRow>(&row)?.id,
                    there => there.is_some(),
                };
                if !stays {
                    // What it was woken for has other versions there.
                    let row = if kind == RowKind::PushBudget { push::without_woken(&row)? } else { row };
                    batch.rows.push((moved, Some(row)));
                }
                batch.rows.push((key, None));
            }
        }
        Ok(())
    }

    /// Deletes some of what an identity owns; when nothing is left, also the note that there was something to do.
    fn sweep(&mut self, identity: &Identity) -> Result<JobProgress, StoreError> {
        let mut batch = Batch::default();
        for kind in RowKind::owned_by_identity().filter(|kind| *kind != RowKind::Job) {
            let prefix = keys::of_identity(kind, identity);
            let room = STEP_ROWS.saturating_sub(batch.rows.len());
            for (key, row) in self.view.scan_some(&prefix, &keys::prefix_end(&prefix), room)? {
                batch.rows.extend(index_rows::index_key(kind, identity, &key, &row)?.map(|row| (row, None)));
                batch.rows.push((key, None));
            }
            if batch.rows.len() >= STEP_ROWS {
                self.view.decide(batch);
                return Ok(JobProgress::Some);
            }
        }
        batch.rows.push((keys::job(identity), None));
        self.view.decide(batch);
        Ok(JobProgress::Done)
    }
}

/// A dataset's rows under another identity.
pub(super) fn rekeyed(key: &[u8], old: &[u8], new: &[u8]) -> Bytes {
    [new, &key[old.len()..]].concat()
}
