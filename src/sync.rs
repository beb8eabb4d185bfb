//! The requests that a [`Principal`] may make on its datasets: write, acknowledge, read changes, list. Sockets and HTTP both
//! go through here.
//!
//! Invariant: a principal can reach no identity but its own, because no method takes another one as an argument.

mod cognito_devices;
mod exact;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_protocol::{
    Change, DatasetInfo, DatasetName, DeviceId, Epoch, LinkedLogin, Provider, PushLossReason, PushLost, Record, Registration,
};

pub use cognito_devices::CognitoRegisterError;
pub use exact::StatePage;

use crate::clock::Clock;
use crate::committer::{AckKey, Committer, JobOwner, PendingReply, ReadOwner, Reader, Unavailable};
use crate::merge::ConflictPolicy;
use crate::pools::Pool;
use crate::push::{PushService, RegistrationRejected};
use crate::store::{
    Admission, Cursor, DeadToken, Decision, Group, Identity, LoginKey, Patch, ReadPosition, ReadResult, ReadStart, RegisterOutcome, Store,
    TokenLoss,
};

/// An authenticated device: an identity of a pool, on a device.
#[derive(Clone, Debug)]
pub struct Principal {
    pub pool: Arc<Pool>,
    pub identity: Identity,
    pub device: DeviceId,
}

/// A device's token as the store judges it: whose it is, and when it was issued, in seconds since 1970 (UTC), if it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginToken {
    pub issuer: Arc<str>,
    pub subject: String,
    pub issued_s: Option<u64>,
}

impl LoginToken {
    /// The token's login, in a pool.
    pub fn login<'a>(&'a self, pool: &'a str) -> LoginKey<'a> {
        LoginKey { pool, issuer: &self.issuer, subject: &self.subject }
    }
}

/// What an identity's logins mean to a device with a token of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginsState {
    /// The logins that were linked to the identity, the newest first.
    pub linked: Vec<LinkedLogin>,
    /// The device's token is refused, like all tokens of its login that were issued until then, in seconds since 1970 (UTC).
    pub refused_until_s: Option<u64>,
}

/// A patch as a device sends it.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The device's own number for the patch.
    pub id: u64,
    pub changes: Vec<Change>,
    /// The device offers a write again that a restored backup lost or a merge left out.
    pub offer: bool,
}

/// The facts that a device needs when its session starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStart {
    /// The device's highest decided patch number.
    pub newest_patch: u64,
    /// Identities that were merged into the device's own.
    pub merged: Vec<String>,
    /// Logins that were linked to the identity, the newest first.
    pub linked: Vec<LinkedLogin>,
    /// The device is registered for pushes, but has no token any more.
    pub push_lost: Option<PushLost>,
    /// Since when the server has what the device did, in milliseconds since 1970 (UTC); `None`: the server does not know the device.
    pub known_since_ms: Option<u64>,
}

/// Why an acknowledgement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// The dataset has no such version yet; this is its newest one.
    Ahead(u64),
    Unavailable(Unavailable),
}

/// Why a registration for pushes failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterError {
    Rejected(RegistrationRejected),
    Unavailable(Unavailable),
}

/// How long "last seen" of a registration may be out of date, in milliseconds. It is used to find devices that were away for weeks, so a day is
/// precise enough, and a device that reconnects often causes few writes.
const LAST_SEEN_PRECISION_MS: u64 = 24 * 3600 * 1000;

/// Access to the datasets. Clones share it.
#[derive(Clone)]
pub struct SyncService {
    reader: Reader,
    committer: Committer,
    push: PushService,
    clock: Clock,
}

impl SyncService {
    pub fn new(reader: Reader, committer: Committer, push: PushService, clock: Clock) -> SyncService {
        SyncService { reader, committer, push, clock }
    }

    /// The id of the store's history.
    pub fn epoch(&self) -> &Epoch {
        self.reader.store().epoch()
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Submits a patch, for the session with this number (0 for a write without a session). Waits while the committer's queue is full.
    pub async fn write(
        &self,
        who: &Principal,
        dataset: DatasetName,
        request: WriteRequest,
        session: u64,
    ) -> Result<PendingReply<Decision>, Unavailable> {
        let WriteRequest { id, changes, offer } = request;
        let mut rules = who.pool.rules(&dataset);
        if offer {
            // A write from before a restore or a merge must not overwrite newer values.
            rules.policy = ConflictPolicy::Reject;
        }
        let patch = Patch { identity: who.identity.clone(), device: who.device.clone(), dataset, id, changes };
        self.committer.write(patch, rules, session).await
    }

    /// The facts that a device needs when its session starts. `None` if its identity no longer exists, or the device was revoked, or its token is
    /// refused. Marks the device as seen.
    pub async fn start_session(&self, who: &Principal, token: LoginToken) -> Result<Option<SessionStart>, Unavailable> {
        let pool = Arc::clone(&who.pool.name);
        let (identity, device, now_ms) = (who.identity.clone(), who.device.clone(), self.clock.unix_ms());
        let read = move |store: &Store| {
            let Some(merged) = store.merged(&identity)? else { return Ok(None) };
            // The device may have been revoked since it was authenticated.
            if store.device_admission(&identity, &device)? == Some(Admission::Revoked) {
                return Ok(None);
            }
            if store.refused_until(token.login(&pool), &identity, token.issued_s)?.is_some() {
                return Ok(None);
            }
            let linked = store.linked_logins(&identity)?;
            let push_lost = store.lost_token(&identity, &device)?.map(push_lost);
            let (newest_patch, known_since_ms) = (store.newest_patch_id(&identity, &device)?, store.known_since_ms(&identity, &device)?);
            let start = SessionStart { newest_patch, merged, linked, push_lost, known_since_ms };
            Ok(Some((start, store.should_mark_seen(&identity, &device, LAST_SEEN_PRECISION_MS, now_ms)?)))
        };
        let Some((start, must_be_marked)) = self.reader.read(&who.identity, read).await? else { return Ok(None) };
        if must_be_marked {
            // If this fails, a wake is not postponed: the device gets one push too many and loses nothing.
            let _ = self.write_last_seen(who).await;
        }
        Ok(Some(start))
    }

    /// What the identity's logins mean to a device with this token.
    pub async fn logins_state(&self, who: &Principal, token: LoginToken) -> Result<LoginsState, Unavailable> {
        let (identity, pool) = (who.identity.clone(), Arc::clone(&who.pool.name));
        let read = move |store: &Store| {
            let refused_until_s = store.refused_until(token.login(&pool), &identity, token.issued_s)?;
            Ok(LoginsState { linked: store.linked_logins(&identity)?, refused_until_s })
        };
        self.reader.read(&who.identity, read).await
    }

    /// Records that a device is connected, if anything depends on it: a wake that is due for the device is postponed.
    pub async fn mark_seen(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device, now_ms) = (who.identity.clone(), who.device.clone(), self.clock.unix_ms());
        let is_due = move |store: &Store| store.should_mark_seen(&identity, &device, LAST_SEEN_PRECISION_MS, now_ms);
        match self.reader.read(&who.identity, is_due).await? {
            true => self.write_last_seen(who).await,
            false => Ok(()),
        }
    }

    async fn write_last_seen(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.committer
            .transact(JobOwner::Identity(who.identity.clone()), move |group, now_ms| {
                Ok((group.mark_seen(&identity, &device, now_ms)?, Vec::new()))
            })
            .await
    }

    /// Registers a device for pushes; returns when the registration is durable.
    pub async fn register(&self, who: &Principal, registration: Registration) -> Result<(), RegisterError> {
        self.push.check_registration(&who.pool.name, &registration).map_err(RegisterError::Rejected)?;
        let (identity, device) = (who.identity.clone(), who.device.clone());
        let transaction = move |group: &mut Group<'_>, now_ms| Ok((group.register(&identity, &device, &registration, now_ms)?, Vec::new()));
        match self.committer.transact(JobOwner::Identity(who.identity.clone()), transaction).await {
            Ok(RegisterOutcome::Done) => Ok(()),
            // The identity was erased or merged; the session is about to be closed for that reason.
            Ok(RegisterOutcome::NoIdentity) => Err(RegisterError::Unavailable(Unavailable::Now)),
            Err(why) => Err(RegisterError::Unavailable(why)),
        }
    }

    /// Removes a device's registration for pushes; returns when that is durable.
    pub async fn unregister(&self, who: &Principal) -> Result<(), Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.committer
            .transact(JobOwner::Identity(who.identity.clone()), move |group, _| Ok((group.unregister(&identity, &device)?, Vec::new())))
            .await
    }

    /// The public key of each Web Push app of the principal's pool, as browsers take it, by the apps' names.
    pub fn application_server_keys(&self, who: &Principal) -> BTreeMap<String, String> {
        self.push.application_server_keys(&who.pool.name)
    }

    /// The push provider and the app of a device's registration.
    pub async fn registered(&self, who: &Principal) -> Result<Option<(Provider, String)>, Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        self.reader.read(&who.identity, move |store| store.live_registration(&identity, &device)).await
    }

    /// Where a read begins for a device that has seen `seen`, and the first page from there.
    pub async fn open(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        seen: Option<ReadPosition>,
    ) -> Result<(ReadStart, ReadResult), Unavailable> {
        let (identity, dataset) = (who.identity.clone(), dataset.clone());
        let read = move |store: &Store| {
            let start = store.start(&identity, &dataset, seen.as_ref())?;
            let first = store.changes(&identity, &dataset, start.cursor())?;
            Ok((start, first))
        };
        self.reader.read_counted(&who.identity, read, |(_, first)| read_bytes(first)).await
    }

    /// The next page after a cursor.
    pub fn changes<'s>(
        &'s self,
        who: &Principal,
        dataset: &DatasetName,
        cursor: Cursor,
    ) -> impl Future<Output = Result<ReadResult, Unavailable>> + Send + use<'s> {
        let (owner, identity, dataset) = (ReadOwner::from(&who.identity), who.identity.clone(), dataset.clone());
        self.reader.read_counted(owner, move |store| store.changes(&identity, &dataset, cursor), read_bytes)
    }

    /// The identity's datasets.
    pub async fn list(&self, who: &Principal) -> Result<Vec<DatasetInfo>, Unavailable> {
        let identity = who.identity.clone();
        self.reader.read_counted(&who.identity, move |store| store.datasets(&identity), |listed| size_of_val(listed.as_slice())).await
    }

    /// Hands over an acknowledgement of a version that the device was sent, without waiting until it is durable.
    pub fn submit_ack(&self, who: &Principal, dataset: DatasetName, version: u64) -> Result<(), Unavailable> {
        self.committer.submit_ack(ack_key(who, dataset), version)
    }

    /// Records an acknowledgement durably, if the dataset has such a version.
    pub async fn acknowledge(&self, who: &Principal, dataset: DatasetName, version: u64) -> Result<(), AckError> {
        let (identity, name) = (who.identity.clone(), dataset.clone());
        let newest = self.reader.read(&who.identity, move |store| store.version(&identity, &name)).await.map_err(AckError::Unavailable)?;
        if version > newest {
            return Err(AckError::Ahead(newest));
        }
        self.committer.acknowledge(ack_key(who, dataset), version).await.map_err(AckError::Unavailable)
    }
}

/// What a read returned takes in memory, in bytes.
pub fn read_bytes(read: &ReadResult) -> usize {
    match read {
        ReadResult::Page(page) => page.records.iter().map(Record::memory_bytes).sum(),
        ReadResult::Behind(_) => 0,
    }
}

fn push_lost(token: DeadToken) -> PushLost {
    let reason = match token.loss {
        TokenLoss::Dead => PushLossReason::Dead,
        TokenLoss::Moved => PushLossReason::Moved,
    };
    PushLost { reason, at_ms: token.at_ms }
}

fn ack_key(who: &Principal, dataset: DatasetName) -> AckKey {
    AckKey { identity: who.identity.clone(), device: who.device.clone(), dataset }
}
