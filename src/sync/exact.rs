//! What callers without a session ask of datasets, as Amazon Cognito Sync has it: patches with exact bases, pages of a chosen size, deletion.

use driftless_protocol::{Change, DatasetName, Record};

use super::{Principal, SyncService};
use crate::committer::{JobOwner, SessionNotice, Unavailable};
use crate::merge::Bases;
use crate::store::{Admission, Cursor, DatasetState, Decision, DeleteStep, Group, Patch, RecordPage, Store};

/// The number of a patch that has none.
const UNNUMBERED: u64 = 0;

/// What a page is read with: how a dataset was when the read began, and the page.
#[derive(Clone, Debug)]
pub struct StatePage {
    pub state: DatasetState,
    pub page: RecordPage,
}

impl SyncService {
    /// Whether the principal's identity exists, in the principal's pool.
    pub async fn identity_exists(&self, who: &Principal) -> Result<bool, Unavailable> {
        let (identity, pool) = (who.identity.clone(), who.pool.name.clone());
        let read = move |store: &Store| Ok(store.merged(&identity)?.is_some() && store.pool(&identity)?.as_deref() == Some(&*pool));
        self.reader.read(&who.identity, read).await
    }

    /// Whether the principal's device is one of its identity, and not revoked.
    pub async fn is_device(&self, who: &Principal) -> Result<bool, Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        let read = move |store: &Store| Ok(store.device_admission(&identity, &device)? == Some(Admission::Admitted));
        self.reader.read(&who.identity, read).await
    }

    /// Writes a patch with exact bases and without a number; returns when it is durable. If it was written, the decision has all of its records.
    pub async fn write_exact(&self, who: &Principal, dataset: DatasetName, changes: Vec<Change>) -> Result<Decision, Unavailable> {
        let mut rules = who.pool.rules(&dataset);
        rules.bases = Bases::Exact;
        let patch = Patch { identity: who.identity.clone(), device: who.device.clone(), dataset, id: UNNUMBERED, changes };
        self.committer.write(patch, rules, 0).await?.await.map_err(|_| Unavailable::Now)?
    }

    /// The next page after a cursor, of at most so many records, and the dataset's state. Tombstones that are gone are not missed: the service that
    /// asks so does not say how long it keeps them.
    pub async fn page(&self, who: &Principal, dataset: &DatasetName, cursor: Cursor, most: usize) -> Result<StatePage, Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        let read = move |store: &Store| {
            // Read first, so that the page has all of what the state counts.
            let state = store.dataset_state(&identity, &dataset)?;
            Ok(StatePage { state, page: store.changes_with_gaps(&identity, &dataset, cursor, most)? })
        };
        let bytes_of = |read: &StatePage| read.page.records.iter().map(Record::memory_bytes).sum();
        self.reader.read_counted(&who.identity, read, bytes_of).await
    }

    /// How a dataset is.
    pub async fn dataset_state(&self, who: &Principal, dataset: &DatasetName) -> Result<DatasetState, Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        self.reader.read(&who.identity, move |store| store.dataset_state(&identity, &dataset)).await
    }

    /// The identity's datasets that exist, sorted by name.
    pub async fn dataset_states(&self, who: &Principal) -> Result<Vec<(DatasetName, DatasetState)>, Unavailable> {
        let identity = who.identity.clone();
        self.reader.read(&who.identity, move |store| store.dataset_states(&identity)).await
    }

    /// Deletes a dataset; returns its last state when that is durable, or `None` if there is none. A large one is deleted by several versions.
    pub async fn delete(&self, who: &Principal, dataset: &DatasetName) -> Result<Option<DatasetState>, Unavailable> {
        let last = self.dataset_state(who, dataset).await?;
        let retention = who.pool.retention;
        loop {
            let (identity, device, name) = (who.identity.clone(), who.device.clone(), dataset.clone());
            let decide = move |group: &mut Group<'_>, now_ms| {
                let step = group.delete_dataset(&identity, &name, &device, &retention, now_ms)?;
                let notices = match step {
                    DeleteStep::Removed { version } | DeleteStep::Deleted { version } => {
                        vec![SessionNotice::Advanced(identity.clone(), name.clone(), version)]
                    }
                    DeleteStep::NoDataset | DeleteStep::NoIdentity => Vec::new(),
                };
                Ok((step, notices))
            };
            match self.committer.transact(JobOwner::Identity(who.identity.clone()), decide).await? {
                DeleteStep::Removed { .. } => {}
                DeleteStep::Deleted { .. } => return Ok(Some(last)),
                DeleteStep::NoDataset | DeleteStep::NoIdentity => return Ok(None),
            }
        }
    }
}
