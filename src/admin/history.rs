//! A dataset's past: what changed, how it was, what differs, and back to it.

use driftless_protocol::{DatasetName, Record};

use super::{Admin, Asked, Missing, is_there};
use crate::committer::Notice;
use crate::store::{Conflict, Difference, History, Identity, NotKept, Rewound, Store, StoreError};

impl Admin {
    /// Up to `limit` versions below `below`, newest first; `below` absent: from the newest on.
    pub async fn history(&self, identity: Identity, dataset: DatasetName, below: Option<u64>, limit: u64) -> Asked<History> {
        self.look(identity, dataset, move |store, identity, dataset| Ok(Ok(store.history(identity, dataset, below, limit)?))).await
    }

    /// The dataset's records as they were at a version.
    pub async fn at(&self, identity: Identity, dataset: DatasetName, version: u64) -> Asked<Vec<Record>> {
        self.look(identity, dataset, move |store, identity, dataset| store.at(identity, dataset, version)).await
    }

    /// What differs between two versions.
    pub async fn compare(&self, identity: Identity, dataset: DatasetName, first: u64, second: u64) -> Asked<Vec<Difference>> {
        self.look(identity, dataset, move |store, identity, dataset| store.compare(identity, dataset, first, second)).await
    }

    /// The newest conflicts, the newest first.
    pub async fn conflicts(&self, identity: Identity, dataset: DatasetName) -> Asked<Vec<Conflict>> {
        self.look(identity, dataset, move |store, identity, dataset| Ok(Ok(store.conflicts(identity, dataset)?))).await
    }

    /// Restores a dataset to a version, as a new one that reaches all devices like any write; the new version and how many records
    /// changed, or `None` if it is as it was then already.
    pub async fn restore_version(&self, identity: Identity, dataset: DatasetName, to: u64) -> Asked<Option<(u64, usize)>> {
        let keep = match self.rules(&identity).await? {
            Ok((keep, _)) => keep,
            Err(missing) => return Ok(Err(missing)),
        };
        let exists = self.look(identity.clone(), dataset.clone(), |_, _, _| Ok(Ok(()))).await?;
        if let Err(missing) = exists {
            return Ok(Err(missing));
        }
        let rewound = self.committer.act(move |group, now_ms| {
            let rewound = group.rewind(&identity, &dataset, to, &keep, now_ms)?;
            let notices = match rewound {
                Rewound::Written { version, .. } => vec![Notice::Jumped(identity, dataset, version)],
                Rewound::Same | Rewound::NotKept(_) | Rewound::NoIdentity => Vec::new(),
            };
            Ok((rewound, notices))
        });
        Ok(match rewound.await? {
            Rewound::Written { version, records } => Ok(Some((version, records))),
            Rewound::Same => Ok(None),
            Rewound::NotKept(not_kept) => Err(Missing::Version(not_kept)),
            Rewound::NoIdentity => Err(Missing::Identity),
        })
    }

    /// Reads something of a dataset that is there.
    async fn look<T, F>(&self, identity: Identity, dataset: DatasetName, look: F) -> Asked<T>
    where
        T: Send + 'static,
        F: FnOnce(&Store, &Identity, &DatasetName) -> Result<Result<T, NotKept>, StoreError> + Send + 'static,
    {
        let read = move |store: &Store| {
            if !is_there(store, &identity)? {
                return Ok(Err(Missing::Identity));
            }
            if store.version(&identity, &dataset)? == 0 {
                return Ok(Err(Missing::Dataset));
            }
            Ok(look(store, &identity, &dataset)?.map_err(Missing::Version))
        };
        self.reader.read(read).await
    }
}
