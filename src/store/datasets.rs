//! Reads of datasets as a whole: their versions and sizes, where a reader begins, and the log of conflicts.

use driftless_protocol::{DatasetInfo, DatasetName, DeviceId};

use super::cursor::{ReadPosition, ReadStart, read_start};
use super::row_source::RowSource;
use super::rows::{self, ConflictRow, HeadRow, IdentityRow};
use super::{Identity, Store, StoreError, keys};

/// A dataset, as its head says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetState {
    pub version: u64,
    pub records: u64,
    /// Bytes of the living records' keys and values.
    pub bytes: u64,
    /// When it was made, or made anew after it was deleted, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// When its newest version was made, in milliseconds since 1970 (UTC).
    pub modified_ms: u64,
    /// The device that made its newest version.
    pub by: Option<DeviceId>,
    /// The version that deleted it last; 0 if none did.
    pub deleted: u64,
}

impl DatasetState {
    /// Whether it was written, and not deleted since.
    pub fn exists(&self) -> bool {
        self.version > self.deleted
    }

    fn of(head: HeadRow) -> DatasetState {
        let HeadRow { version, records, bytes, made_ms, modified_ms, by, deleted, .. } = head;
        DatasetState { version, records, bytes, made_ms, modified_ms, by, deleted }
    }
}

impl Store {
    /// The state of a dataset. One whose head is gone is as deleted by the highest version that its identity has retired.
    pub fn dataset_state(&self, identity: &Identity, dataset: &DatasetName) -> Result<DatasetState, StoreError> {
        if let Some(head) = self.engine.row::<HeadRow>(&keys::head(identity, dataset))? {
            return Ok(DatasetState::of(head));
        }
        let retired = self.engine.row::<IdentityRow>(&keys::identity(identity))?.map_or(0, |row| row.retired);
        Ok(DatasetState { version: retired, deleted: retired, ..DatasetState::default() })
    }

    /// The datasets of an identity that exist, sorted by name.
    pub fn dataset_states(&self, identity: &Identity) -> Result<Vec<(DatasetName, DatasetState)>, StoreError> {
        let prefix = keys::heads(identity);
        let mut states = Vec::new();
        for (key, row) in self.engine.all_of(&prefix)? {
            let state = DatasetState::of(rows::decode(&row)?);
            if state.exists() {
                states.push((keys::KeyParts::after(&key, &prefix)?.dataset()?, state));
            }
        }
        states.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(states)
    }

    /// The version of a dataset; 0 if it was never written.
    pub fn version(&self, identity: &Identity, dataset: &DatasetName) -> Result<u64, StoreError> {
        Ok(self.head(identity, dataset)?.version)
    }

    /// The dataset's head row; the default if it was never written.
    pub(super) fn head(&self, identity: &Identity, dataset: &DatasetName) -> Result<HeadRow, StoreError> {
        Ok(self.engine.row(&keys::head(identity, dataset))?.unwrap_or_default())
    }

    /// All datasets of an identity that were ever written, sorted by name.
    pub fn datasets(&self, identity: &Identity) -> Result<Vec<DatasetInfo>, StoreError> {
        let prefix = keys::heads(identity);
        let mut datasets = Vec::new();
        for (key, row) in self.engine.all_of(&prefix)? {
            let dataset = keys::KeyParts::after(&key, &prefix)?.dataset()?;
            let head: HeadRow = rows::decode(&row)?;
            let HeadRow { version, records, bytes, .. } = head;
            if version > 0 {
                datasets.push(DatasetInfo { dataset, epoch: self.epoch.clone(), version, records, bytes });
            }
        }
        datasets.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        Ok(datasets)
    }

    /// Where a reader begins; `seen` is how far it says that it has read.
    pub fn start(&self, identity: &Identity, dataset: &DatasetName, seen: Option<&ReadPosition>) -> Result<ReadStart, StoreError> {
        let head = self.head(identity, dataset)?;
        Ok(read_start(&head, &self.epoch, &self.lineage, seen))
    }

    /// The conflicts that a dataset remembers, oldest first.
    pub fn conflicts(&self, identity: &Identity, dataset: &DatasetName) -> Result<Vec<ConflictRow>, StoreError> {
        let prefix = keys::conflicts(identity, dataset);
        let rows = self.engine.all_of(&prefix)?;
        let mut conflicts = rows.iter().map(|(_, row)| rows::decode(row)).collect::<Result<Vec<ConflictRow>, _>>()?;
        conflicts.sort_by_key(|conflict| conflict.number);
        Ok(conflicts)
    }
}
