//! A dataset's past: what changed, how it was, what differs, and back to it.

use driftless_protocol::{DatasetName, Record};

use super::{Admin, AdminResult, NotFound, is_there};
use crate::committer::SessionNotice;
use crate::store::{Conflict, DatasetHistory, Identity, RecordDiff, RewindOutcome, Store, StoreError, VersionNotKept};

impl Admin {
    /// Up to `limit` versions below `below`, newest first; `below` absent: from the newest on.
    pub async fn history(&self, identity: Identity, dataset: DatasetName, below: Option<u64>, limit: u64) -> AdminResult<DatasetHistory> {
        self.look(identity, dataset, move |store, identity, dataset| Ok(Ok(store.history(identity, dataset, below, limit)?))).await
    }

    /// The dataset's records as they were at a version.
    pub async fn at(&self, identity: Identity, dataset: DatasetName, version: u64) -> AdminResult<Vec<Record>> {
        self.look(identity, dataset, move |store, identity, dataset| store.records_at(identity, dataset, version)).await
    }

    /// What differs between two versions.
    pub async fn compare(&self, identity: Identity, dataset: DatasetName, first: u64, second: u64) -> AdminResult<Vec<RecordDiff>> {
        self.look(identity, dataset, move |store, identity, dataset| store.compare(identity, dataset, first, second)).await
    }

    /// The newest conflicts, the newest first.
    pub async fn conflicts(&self, identity: Identity, dataset: DatasetName) -> AdminResult<Vec<Conflict>> {
        self.look(identity, dataset, move |store, identity, dataset| Ok(Ok(store.conflicts(identity, dataset)?))).await
    }

    /// Restores a dataset to a version, as a new one that reaches all devices like any write; the new version and how many records
    /// changed, or `None` if it is as it was then already.
    pub async fn restore_version(&self, identity: Identity, dataset: DatasetName, to: u64) -> AdminResult<Option<(u64, usize)>> {
        let keep = match self.rules(&identity).await? {
            Ok((keep, _)) => keep,
            Err(missing) => return Ok(Err(missing)),
        };
        let exists = self.look(identity.clone(), dataset.clone(), |_, _, _| Ok(Ok(()))).await?;
        if let Err(missing) = exists {
            return Ok(Err(missing));
        }
        let rewound = self.committer.transact(move |group, now_ms| {
            let rewound = group.rewind(&identity, &dataset, to, &keep, now_ms)?;
            let notices = match rewound {
                RewindOutcome::Written { version, .. } => vec![SessionNotice::Advanced(identity, dataset, version)],
                RewindOutcome::Same | RewindOutcome::VersionNotKept(_) | RewindOutcome::NoIdentity => Vec::new(),
            };
            Ok((rewound, notices))
        });
        Ok(match rewound.await? {
            RewindOutcome::Written { version, records } => Ok(Some((version, records))),
            RewindOutcome::Same => Ok(None),
            RewindOutcome::VersionNotKept(not_kept) => Err(NotFound::Version(not_kept)),
            RewindOutcome::NoIdentity => Err(NotFound::Identity),
        })
    }

    /// Reads something of a dataset that is there.
    async fn look<T, F>(&self, identity: Identity, dataset: DatasetName, look: F) -> AdminResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Store, &Identity, &DatasetName) -> Result<Result<T, VersionNotKept>, StoreError> + Send + 'static,
    {
        let read = move |store: &Store| {
            if !is_there(store, &identity)? {
                return Ok(Err(NotFound::Identity));
            }
            if store.version(&identity, &dataset)? == 0 {
                return Ok(Err(NotFound::Dataset));
            }
            Ok(look(store, &identity, &dataset)?.map_err(NotFound::Version))
        };
        self.reader.read(read).await
    }
}
