//! Reads of datasets as a whole: their versions and sizes, where a reader begins, and the log of conflicts.

use driftless_protocol::{DatasetInfo, DatasetName};

use super::cursor::{ReadPosition, ReadStart, read_start};
use super::row_source::RowSource;
use super::rows::{self, ConflictRow, HeadRow};
use super::{Identity, Store, StoreError, keys};

impl Store {
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
