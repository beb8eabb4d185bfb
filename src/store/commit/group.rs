//! A group: writes that are decided one after the other, each on top of those before it, and become durable together.
//!
//! Every kind of write adds its own `impl Group` beside its rows. Only the committer makes groups, and one at a time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use driftless_protocol::{DatasetName, DeviceId};
use foldhash::HashMap;

use super::super::engine::CommitOutcome;
use super::super::live_identity::LiveIdentity;
use super::super::owners::{GroupOutcomes, JobPart};
use super::super::row_source::RowSource;
use super::super::rows::{self, AckRow, HeadRow};
use super::super::view::View;
use super::super::{Identity, Store, StoreError, keys};

pub struct Group<'a> {
    pub(in crate::store) view: View<'a>,
    pub(in crate::store) store: &'a Store,
    /// The identities that were looked up: `None` if there is no such identity.
    pub(in crate::store) identities: HashMap<Identity, Option<LiveIdentity>>,
}

/// Why a job was not decided. It has left nothing in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// A row that it needs cannot be read, or one that it makes cannot be stored.
    Store(StoreError),
    /// Its decision panicked: a fault of the program, which the log has with its place.
    Panicked,
    /// Another writer has committed to its owners since the group began, and it cannot be decided on rows of before and after that. It is to be
    /// decided again, in another group.
    Stale,
}

impl JobFailure {
    /// The name in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            JobFailure::Store(StoreError::Damaged(_)) => "damaged",
            JobFailure::Store(_) => "store",
            JobFailure::Panicked => "panic",
            JobFailure::Stale => "stale",
        }
    }
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobFailure::Store(error) => error.fmt(f),
            JobFailure::Panicked => f.write_str("its decision panicked"),
            JobFailure::Stale => f.write_str("another writer was faster"),
        }
    }
}

impl Store {
    pub fn group(&self) -> Group<'_> {
        Group { view: View::new(&*self.engine, self.known_rows.take()), store: self, identities: HashMap::default() }
    }
}

impl Group<'_> {
    /// Decides one job, and says to which part of the group it belongs. If it fails or panics, the group is as it was before (I10).
    pub fn run<T>(&mut self, decide: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<(T, JobPart), JobFailure> {
        let decided = catch_unwind(AssertUnwindSafe(|| decide(self)));
        let kept = match decided {
            Ok(Ok(value)) => self.view.keep_job().map(|part| (value, part)).map_err(JobFailure::Store),
            Ok(Err(error)) => Err(JobFailure::Store(error)),
            Err(_) => Err(JobFailure::Panicked),
        };
        let kept = kept.map_err(|failure| if self.view.is_job_current() { failure } else { JobFailure::Stale });
        if kept.is_err() {
            self.view.drop_job();
            // What it has noted of identities may stand in rows that are dropped.
            self.identities.clear();
        }
        kept
    }

    /// Records that a device has everything up to a version. An older acknowledgement changes nothing, nor does one of a version that the
    /// dataset does not have, nor one of a device that was forgotten or revoked since it sent it.
    pub fn acknowledge(&mut self, identity: &Identity, device: &DeviceId, dataset: &DatasetName, version: u64) -> Result<(), StoreError> {
        if !self.has_identity(identity)? || !self.is_admitted(identity, device)? {
            return Ok(());
        }
        let key = keys::ack(identity, device, dataset);
        let before = self.view.row::<AckRow>(&key)?;
        if before.is_none_or(|before| before.version < version) && self.has_version(identity, dataset, version)? {
            let row = rows::encode(&AckRow { version })?;
            self.view.decide(vec![(key, Some(row))]);
        }
        Ok(())
    }

    fn has_version(&self, identity: &Identity, dataset: &DatasetName, version: u64) -> Result<bool, StoreError> {
        let head = self.view.row::<HeadRow>(&keys::head(identity, dataset))?;
        Ok(head.is_some_and(|head| version <= head.version))
    }

    /// Bytes of the keys and rows that the group writes.
    pub fn row_bytes(&self) -> usize {
        self.view.row_bytes()
    }

    /// The work that the group's jobs have been so far: the bytes that they read, wrote and computed on, whether or not anything came of it, and
    /// some for each row.
    pub fn work_bytes(&self) -> usize {
        self.view.work_bytes()
    }

    /// Makes the group durable: each part whose owners nobody else has written to since. After an error other than a full disk the outcome is
    /// unknown: all of it or nothing may be found on disk later.
    pub fn commit(mut self) -> Result<GroupOutcomes, StoreError> {
        self.view.keep_job()?;
        let (batches, owners) = self.view.into_batches();
        let behind = self.store.capture.behind(&batches);
        let committed = if batches.is_empty() { Ok(Vec::new()) } else { self.store.engine.commit(batches) };
        let outcomes = committed.inspect_err(|error| {
            // On a full disk nothing was applied, and a backup under way continues. After any other error the rows may turn up later, and the
            // backup would miss them.
            if !matches!(error, StoreError::Full(_)) {
                self.store.capture.end();
            }
        })?;
        let applied = behind.into_iter().zip(&outcomes).filter(|(_, outcome)| **outcome == CommitOutcome::Applied);
        self.store.capture.capture(applied.flat_map(|(rows, _)| rows));
        let (known, outcomes) = owners.with_outcomes(outcomes);
        self.store.known_rows.put_back(known);
        Ok(outcomes)
    }
}
