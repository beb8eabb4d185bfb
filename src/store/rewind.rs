//! Restores a dataset to an earlier version: as a new version, which reaches all devices like any write.

use driftless_protocol::{Content, DatasetName, DeviceId, Record};

use super::commit::Group;
use super::engine::RowBatch;
use super::history::{self, Undo, VersionNotKept};
use super::history_row::VersionOrigin;
use super::row_source::RowSource;
use super::rows::{self, HeadRow};
use super::version::{CurrentRecord, CurrentRecords, NewVersion};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{ContentState, DatasetHead, StoredRecord};

/// The device that writes the version that a restore makes.
const OPERATOR_DEVICE: &str = "~operator";

/// The outcome of a request to restore a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindOutcome {
    Written {
        version: u64,
        /// How many records differ from before.
        records: usize,
    },
    /// The dataset is as it was at that version: there is no new version.
    Same,
    VersionNotKept(VersionNotKept),
    NoIdentity,
}

/// The records that a restore changes.
struct RewoundRecords {
    head: DatasetHead,
    records: Vec<StoredRecord>,
    current: CurrentRecords,
}

impl Group<'_> {
    /// Restores a dataset to a version. The pool's bounds do not apply: a state that was accepted once may be restored.
    pub fn rewind(
        &mut self,
        identity: &Identity,
        dataset: &DatasetName,
        to: u64,
        retention: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<RewindOutcome, StoreError> {
        if !self.has_identity(identity)? {
            return Ok(RewindOutcome::NoIdentity);
        }
        let head: HeadRow = self.view.row(&keys::head(identity, dataset))?.unwrap_or_default();
        let row = |version| self.view.content(&keys::history(identity, dataset, version));
        let undo = match history::undo(&head, to, row)? {
            Ok(undo) => undo,
            Err(not_kept) => return Ok(RewindOutcome::VersionNotKept(not_kept)),
        };
        let device = DeviceId::new(OPERATOR_DEVICE).map_err(|error| StoreError::Io(error.to_string()))?;
        let RewoundRecords { head: after, records, current } = self.restore_records(identity, dataset, &device, &head, undo, now_ms)?;
        if records.is_empty() {
            return Ok(RewindOutcome::Same);
        }
        let mut batch = RowBatch::new();
        let new_version = NewVersion { identity, dataset, device: &device, origin: VersionOrigin::Restored(to), retention, now_ms };
        let version = new_version.write(&mut batch, head, after, &records, &current, Vec::new())?.version;
        self.record_debt(identity, dataset, version, &device, now_ms, &mut batch)?;
        self.view.decide(batch);
        Ok(RewindOutcome::Written { version, records: records.len() })
    }

    fn content_of(&self, identity: &Identity, dataset: &DatasetName, record: Option<&CurrentRecord>) -> Result<Content, StoreError> {
        let record = record.map(|record| self.view.read_record(identity, dataset, record)).transpose()?;
        Ok(record.map_or(Content::Removed, |stored| stored.record.content))
    }

    /// The records that differ from their state in `undo`, with that state as their new one.
    fn restore_records(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        device: &DeviceId,
        head: &HeadRow,
        undo: Undo,
        now_ms: u64,
    ) -> Result<RewoundRecords, StoreError> {
        let mut after = DatasetHead { version: head.version + 1, ..head.head() };
        let (mut records, mut current) = (Vec::new(), CurrentRecords::new());
        for (key, then) in undo {
            let then = then.as_deref().map(rows::decode_record).transpose()?.map_or(Content::Removed, |stored| stored.record.content);
            let now = self.view.current_record(identity, dataset, &key)?;
            let state = now.as_ref().map(|now| now.pointer.state());
            if state.unwrap_or(ContentState::Removed) == ContentState::of(&then)
                && self.content_of(identity, dataset, now.as_ref())? == then
            {
                continue;
            }
            after.replace(&key, state, ContentState::of(&then));
            let others_version = now.as_ref().map_or(0, |now| now.pointer.version);
            if let Some(now) = &now {
                self.view.read_content(identity, dataset, now)?;
            }
            let record = Record { key: key.clone(), content: then, version: after.version, modified_ms: now_ms, device: device.clone() };
            records.push(StoredRecord { record, others_version });
            current.extend(now.map(|now| (key, now)));
        }
        Ok(RewoundRecords { head: after, records, current })
    }
}
