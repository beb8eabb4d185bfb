//! What a [`Principal`] may ask: write, acknowledge, changes since, list. Sockets and HTTP both come through here, and only here.
//!
//! A principal can name no identity but its own: there is no argument for another one.

use std::sync::Arc;

use driftless_protocol::{Change, DatasetInfo, DatasetName, DeviceId, Epoch, Limits};

use crate::clock::Clock;
use crate::committer::{AckOf, Answer, Committer, Reader, Unavailable};
use crate::merge::Policy;
use crate::store::{Cursor, Decision, Identity, Keeping, Patch, Reading, Rules, Seen, Start, Store};

/// A pool as far as its data is concerned.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// The first part of its identities.
    pub region: Arc<str>,
    /// Its bounds.
    pub limits: Limits,
    /// What happens on a conflict, where the dataset does not say.
    pub policy: Policy,
    /// What happens on a conflict, by dataset.
    pub datasets: Vec<(DatasetName, Policy)>,
    /// How long what is of the past is kept.
    pub keep: Keeping,
}

impl Pool {
    fn rules(&self, dataset: &DatasetName) -> Rules {
        let policy = self.datasets.iter().find(|(name, _)| name == dataset).map_or(self.policy, |(_, policy)| *policy);
        Rules { limits: self.limits, policy, keep: self.keep }
    }
}

/// Somebody whose token was checked: an identity of a pool, on a device.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The pool.
    pub pool: Arc<Pool>,
    /// The identity.
    pub identity: Identity,
    /// The device.
    pub device: DeviceId,
}

/// A patch as a device sends it.
#[derive(Clone, Debug)]
pub struct Writing {
    /// The device's number for it.
    pub id: u64,
    /// What.
    pub changes: Vec<Change>,
    /// It was written before, and lost by a restored backup or left out by a merge.
    pub offer: bool,
}

/// What a device is told when it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its highest patch number.
    pub patch: u64,
    /// Identities that were merged into its own.
    pub merged: Vec<String>,
}

/// An acknowledgement that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// There is no such version yet; this is the newest.
    Ahead(u64),
    /// The store cannot.
    Unavailable(Unavailable),
}

/// Access to the data; cheap to clone.
#[derive(Clone)]
pub struct Sync {
    reader: Reader,
    committer: Committer,
    clock: Clock,
}

impl Sync {
    /// Over a reader and its committer.
    pub fn new(reader: Reader, committer: Committer, clock: Clock) -> Sync {
        Sync { reader, committer, clock }
    }

    /// The id of the store's history.
    pub fn epoch(&self) -> &Epoch {
        self.reader.store().epoch()
    }

    /// The clocks that everything here goes by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Hands in a patch, for the session with this number (0: none). Waits while the committer's queue is full.
    pub async fn write(
        &self,
        who: &Principal,
        dataset: DatasetName,
        writing: Writing,
        session: u64,
    ) -> Result<Answer<Decision>, Unavailable> {
        let Writing { id, changes, offer } = writing;
        let mut rules = who.pool.rules(&dataset);
        if offer {
            // What a device had before a restore or a merge is not the last word.
            rules.policy = Policy::Reject;
        }
        let patch = Patch { identity: who.identity.clone(), device: who.device.clone(), dataset, id, changes };
        self.committer.write(patch, rules, session).await
    }

    /// What a device is told when it comes in; `None` if its identity is not there any more.
    pub async fn arrival(&self, who: &Principal) -> Result<Option<Arrival>, Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        let read = move |store: &Store| {
            let Some(merged) = store.merged(&identity)? else { return Ok(None) };
            Ok(Some(Arrival { patch: store.newest_patch(&identity, &device)?, merged }))
        };
        self.reader.read(read).await
    }

    /// Where a reader that has seen this begins.
    pub async fn start(&self, who: &Principal, dataset: &DatasetName, seen: Option<Seen>) -> Result<Start, Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        self.reader.read(move |store| store.start(&identity, &dataset, seen.as_ref())).await
    }

    /// The next page after a cursor.
    pub async fn changes(&self, who: &Principal, dataset: &DatasetName, cursor: Cursor) -> Result<Reading, Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        self.reader.read(move |store| store.changes(&identity, &dataset, cursor)).await
    }

    /// The identity's datasets.
    pub async fn list(&self, who: &Principal) -> Result<Vec<DatasetInfo>, Unavailable> {
        let identity = who.identity.clone();
        self.reader.read(move |store| store.datasets(&identity)).await
    }

    /// Notes that a device has everything up to a version that it was sent.
    pub async fn note_ack(&self, who: &Principal, dataset: DatasetName, version: u64) -> Result<(), Unavailable> {
        self.committer.note(ack_of(who, dataset), version).await
    }

    /// Records an acknowledgement durably, if there is such a version.
    pub async fn acknowledge(&self, who: &Principal, dataset: DatasetName, version: u64) -> Result<(), AckError> {
        let (identity, name) = (who.identity.clone(), dataset.clone());
        let head = self.reader.read(move |store| store.version(&identity, &name)).await.map_err(AckError::Unavailable)?;
        if version > head {
            return Err(AckError::Ahead(head));
        }
        self.committer.acknowledge(ack_of(who, dataset), version).await.map_err(AckError::Unavailable)
    }
}

fn ack_of(who: &Principal, dataset: DatasetName) -> AckOf {
    AckOf { identity: who.identity.clone(), device: who.device.clone(), dataset }
}
