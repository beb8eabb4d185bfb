//! A dataset's history: its versions, its records at a version, differences, conflicts, and restoring a version.

use driftless_protocol::{DatasetName, Record};
use tracing::info;

use super::{Admin, AdminResult, NotFound, ReadMemory, exists};
use crate::committer::{ReadOwner, RewindOutcome};
use crate::logging::AUDIT;
use crate::store::{Conflict, DatasetHistory, Identity, RecordDiff, Store, StoreError, VersionNotKept};

/// What was read of a whole dataset, and the memory that it counts as.
pub type HeldRead<T> = (T, ReadMemory);

impl Admin {
    /// Up to `limit` versions below `below`, newest first; without `below` from the newest version.
    pub async fn history(
        &self,
        identity: Identity,
        dataset: DatasetName,
        below: Option<u64>,
        limit: u64,
    ) -> AdminResult<HeldRead<DatasetHistory>> {
        self.read_held(identity, dataset, move |store, identity, dataset| Ok(Ok(store.history(identity, dataset, below, limit)?))).await
    }

    /// The dataset's records as they were at a version.
    pub async fn records_at(&self, identity: Identity, dataset: DatasetName, version: u64) -> AdminResult<HeldRead<Vec<Record>>> {
        self.read_held(identity, dataset, move |store, identity, dataset| store.records_at(identity, dataset, version)).await
    }

    /// The records that differ between two versions.
    pub async fn compare(
        &self,
        identity: Identity,
        dataset: DatasetName,
        first: u64,
        second: u64,
    ) -> AdminResult<HeldRead<Vec<RecordDiff>>> {
        self.read_held(identity, dataset, move |store, identity, dataset| store.compare(identity, dataset, first, second)).await
    }

    /// The conflicts in the dataset's bounded log, newest first.
    pub async fn conflicts(&self, identity: Identity, dataset: DatasetName) -> AdminResult<Vec<Conflict>> {
        self.read_dataset(identity, dataset, move |store, identity, dataset| Ok(Ok(store.conflicts(identity, dataset)?))).await
    }

    /// Restores a dataset to a version by writing new versions, which all devices receive like any write. Returns the last of them and how many
    /// records changed; `None` if no record differs. A record that is written meanwhile keeps what was written.
    pub async fn restore_version(&self, identity: Identity, dataset: DatasetName, to: u64) -> AdminResult<Option<(u64, usize)>> {
        let Some((retention, _)) = self.links.pool_policies(&identity).await? else { return Ok(Err(NotFound::Identity)) };
        // The plan of a restore holds as much as a comparison, until its last part is written.
        let _memory = match self.read_held(identity.clone(), dataset.clone(), |_, _, _| Ok(Ok(()))).await? {
            Ok(((), memory)) => memory,
            Err(missing) => return Ok(Err(missing)),
        };
        let (of, name) = (identity.clone(), dataset.clone());
        let now_ms = self.clock.unix_ms();
        let rewound = self.committer.rewind(&self.reader, identity, dataset, to, retention, now_ms);
        Ok(match rewound.await? {
            RewindOutcome::Written { version, records } => {
                info!(target: AUDIT, identity = %of, dataset = %name, to, version, records, "dataset restored to a version");
                Ok(Some((version, records)))
            }
            RewindOutcome::Same => Ok(None),
            RewindOutcome::VersionNotKept(not_kept) => Err(NotFound::Version(not_kept)),
            RewindOutcome::NoIdentity => Err(NotFound::Identity),
        })
    }

    /// Runs a read of much of a dataset, if the dataset exists. It begins when there is memory for it.
    async fn read_held<T, F>(&self, identity: Identity, dataset: DatasetName, read: F) -> AdminResult<HeldRead<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Store, &Identity, &DatasetName) -> Result<Result<T, VersionNotKept>, StoreError> + Send + 'static,
    {
        let count = |store: &Store, identity: &Identity, dataset: &DatasetName| Ok(Ok(store.history_read_bytes(identity, dataset)?));
        let bytes = match self.read_dataset(identity.clone(), dataset.clone(), count).await? {
            Ok(bytes) => bytes,
            Err(missing) => return Ok(Err(missing)),
        };
        let memory = self.whole_reads.take(bytes).await;
        Ok(self.read_dataset(identity, dataset, read).await?.map(|found| (found, memory)))
    }

    /// Runs a read of a dataset, if the dataset exists.
    async fn read_dataset<T, F>(&self, identity: Identity, dataset: DatasetName, read: F) -> AdminResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Store, &Identity, &DatasetName) -> Result<Result<T, VersionNotKept>, StoreError> + Send + 'static,
    {
        let checked_read = move |store: &Store| {
            if !exists(store, &identity)? {
                return Ok(Err(NotFound::Identity));
            }
            if store.version(&identity, &dataset)? == 0 {
                return Ok(Err(NotFound::Dataset));
            }
            Ok(read(store, &identity, &dataset)?.map_err(NotFound::Version))
        };
        self.reader.read(ReadOwner::Server, checked_read).await
    }
}
