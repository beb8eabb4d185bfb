//! What a [`Principal`] may ask: write, acknowledge, changes since, list. Sockets and HTTP both come through here, and only here.
//!
//! A principal can name no identity but its own: there is no argument for another one.

use std::sync::Arc;

use driftless_protocol::{Change, DatasetInfo, DatasetName, DeviceId, Epoch, Limits, Provider, Registration};

use crate::clock::Clock;
use crate::committer::{AckKey, Answer, Committer, Reader, Unavailable};
use crate::merge::ConflictPolicy;
use crate::push::{PushService, RegistrationRejected};
use crate::store::{
    Admission, Cursor, DatasetRules, Decision, Identity, Patch, ReadPosition, ReadResult, ReadStart, RegisterOutcome, RetentionPolicy,
    Store,
};

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
    pub policy: ConflictPolicy,
    /// What happens on a conflict, by dataset.
    pub datasets: Vec<(DatasetName, ConflictPolicy)>,
    /// How long what is of the past is kept.
    pub keep: RetentionPolicy,
}

impl Pool {
    fn rules(&self, dataset: &DatasetName) -> DatasetRules {
        let policy = self.datasets.iter().find(|(name, _)| name == dataset).map_or(self.policy, |(_, policy)| *policy);
        DatasetRules { limits: self.limits, policy, retention: self.keep }
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
pub struct WriteRequest {
    /// The device's number for it.
    pub id: u64,
    /// What.
    pub changes: Vec<Change>,
    /// It was written before, and lost by a restored backup or left out by a merge.
    pub offer: bool,
}

/// What a device is told when it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStart {
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

/// A registration that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// It is not taken.
    RegistrationRejected(RegistrationRejected),
    /// The store cannot.
    Unavailable(Unavailable),
}

/// How long after a device was seen it is noted again, in milliseconds: a day is fine for what counts in weeks.
const SEEN_AGAIN_MS: u64 = 24 * 3600 * 1000;

/// Access to the data; cheap to clone.
#[derive(Clone)]
pub struct Sync {
    reader: Reader,
    committer: Committer,
    post: PushService,
    clock: Clock,
}

impl Sync {
    /// Over a reader, its committer, and where devices are woken.
    pub fn new(reader: Reader, committer: Committer, post: PushService, clock: Clock) -> Sync {
        Sync { reader, committer, post, clock }
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
        writing: WriteRequest,
        session: u64,
    ) -> Result<Answer<Decision>, Unavailable> {
        let WriteRequest { id, changes, offer } = writing;
        let mut rules = who.pool.rules(&dataset);
        if offer {
            // What a device had before a restore or a merge is not the last word.
            rules.policy = ConflictPolicy::Reject;
        }
        let patch = Patch { identity: who.identity.clone(), device: who.device.clone(), dataset, id, changes };
        self.committer.write(patch, rules, session).await
    }

    /// What a device is told when it comes in, which is noted if anything depends on it; `None` if its identity is not there any more, or the
    /// device was revoked.
    pub async fn arrive(&self, who: &Principal) -> Result<Option<SessionStart>, Unavailable> {
        let (identity, device, now_ms) = (who.identity.clone(), who.device.clone(), self.clock.unix_ms());
        let read = move |store: &Store| {
            let Some(merged) = store.merged(&identity)? else { return Ok(None) };
            // It may have been revoked after it was let in.
            if store.device_admission(&identity, &device)? == Some(Admission::Revoked) {
                return Ok(None);
            }
            let arrival = SessionStart { patch: store.newest_patch_id(&identity, &device)?, merged };
            Ok(Some((arrival, store.should_mark_seen(&identity, &device, SEEN_AGAIN_MS, now_ms)?)))
        };
        let Some((arrival, is_to_be_seen)) = self.reader.read(read).await? else { return Ok(None) };
        if is_to_be_seen {
            // A wake that is not put off is one too many, no loss.
            let _ = self.note_seen(who).await;
        }
        Ok(Some(arrival))
    }

    /// Notes that a device is there, if anything depends on it: a wake that waits for it is put off.
    pub async fn greet(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device, now_ms) = (who.identity.clone(), who.device.clone(), self.clock.unix_ms());
        match self.reader.read(move |store| store.should_mark_seen(&identity, &device, SEEN_AGAIN_MS, now_ms)).await? {
            true => self.note_seen(who).await,
            false => Ok(()),
        }
    }

    async fn note_seen(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.committer.act(move |group, now_ms| Ok((group.mark_seen(&identity, &device, now_ms)?, Vec::new()))).await
    }

    /// Has a device woken by pushes from now on; returns when that is durable.
    pub async fn register(&self, who: &Principal, registration: Registration) -> Result<(), RegisterError> {
        self.post.check(&who.pool.name, &registration).map_err(RegisterError::RegistrationRejected)?;
        let (identity, device) = (who.identity.clone(), who.device.clone());
        let act = self.committer.act(move |group, now_ms| Ok((group.register(&identity, &device, &registration, now_ms)?, Vec::new())));
        match act.await {
            Ok(RegisterOutcome::Done) => Ok(()),
            // Its session is about to be told why.
            Ok(RegisterOutcome::NoIdentity) => Err(RegisterError::Unavailable(Unavailable::Now)),
            Err(why) => Err(RegisterError::Unavailable(why)),
        }
    }

    /// Has a device woken no more; returns when that is durable.
    pub async fn unregister(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.committer.act(move |group, _| Ok((group.unregister(&identity, &device)?, Vec::new()))).await
    }

    /// Who wakes a device, and for which app.
    pub async fn registered(&self, who: &Principal) -> Result<Option<(Provider, String)>, Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.reader.read(move |store| store.live_registration(&identity, &device)).await
    }

    /// Where a reader that has seen this begins, and the first page from there.
    pub async fn open(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        seen: Option<ReadPosition>,
    ) -> Result<(ReadStart, ReadResult), Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        let read = move |store: &Store| {
            let start = store.start(&identity, &dataset, seen.as_ref())?;
            let reading = store.changes(&identity, &dataset, start.cursor())?;
            Ok((start, reading))
        };
        self.reader.read(read).await
    }

    /// The next page after a cursor.
    pub async fn changes(&self, who: &Principal, dataset: &DatasetName, cursor: Cursor) -> Result<ReadResult, Unavailable> {
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

fn ack_of(who: &Principal, dataset: DatasetName) -> AckKey {
    AckKey { identity: who.identity.clone(), device: who.device.clone(), dataset }
}
