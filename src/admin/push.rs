//! Why was this device not woken? An identity's devices with their registrations, their next wake and its reason, their delivery logs; and test wakes.

use driftless_protocol::{DatasetName, DeviceId, Provider};
use tracing::info;

use super::{Admin, AdminResult, NotFound, exists};
use crate::auth::LEEWAY_S;
use crate::committer::{JobOwner, ReadOwner, SessionNotice};
use crate::logging::AUDIT;
use crate::push::wakes::{self, NoWakeReason, WakeDecision};
use crate::push::{AppKey, FailureCause, StoppedApp, Verdict, Wake};
use crate::store::{DeliveryLogEntry, DeliveryStatus, DeviceInfo, Group, Identity, Store, WakeRound, WakeTarget};

/// How long the push gateway may keep a test wake for its device, in seconds.
const TEST_WAKE_TTL_S: u64 = 3600;

/// The dataset that a test wake names.
const TEST_WAKE_DATASET: &str = "driftless.test";

/// Why no device of a pool is woken that has no push settings.
const NO_PUSH: &str = "the pool has no push in its configuration";

/// A device, its registration for pushes, and whether it is to be woken.
#[derive(Clone, Debug)]
pub struct DeviceWakeState {
    pub device: DeviceInfo,
    pub target: Option<WakeTarget>,
    pub wake: WakeState,
}

/// Whether the server is to wake a device now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeState {
    NotRegistered,
    /// The identity has no debts.
    NoDebts,
    /// The server will not wake the device, for this reason.
    NotWoken(String),
    /// The next wake is not before this time, in milliseconds since 1970 (UTC), for this reason.
    Waiting(u64, String),
    /// The courier sends a wake for this version of a dataset.
    Due(DatasetName, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestWakeResult {
    /// The device cannot be woken, for this reason: it has no registration, or its token is dead.
    NoToken(String),
    /// The push gateway answered.
    Answered {
        provider: Provider,
        app: String,
        /// `accepted`, `dead`, `later` or `refused`.
        outcome: &'static str,
        /// Why the wake failed; `None`: it was accepted.
        cause: Option<FailureCause>,
        /// The gateway's reason, or its id of the push.
        detail: String,
        took_ms: u64,
    },
}

impl Admin {
    /// The devices of an identity, in the order of their ids.
    pub async fn devices(&self, identity: Identity) -> AdminResult<Vec<DeviceWakeState>> {
        let of = identity.clone();
        let read = move |store: &Store| {
            if !exists(store, &of)? {
                return Ok(Err(NotFound::Identity));
            }
            Ok(Ok((store.devices(&of)?, store.wake_round(&of)?, store.wake_targets(&of)?)))
        };
        let (devices, round, targets) = match self.reader.read(ReadOwner::Server, read).await? {
            Ok(found) => found,
            Err(missing) => return Ok(Err(missing)),
        };
        let with_state = |device: DeviceInfo| {
            let known = round.as_ref().map_or(&targets, |round| &round.targets);
            let target = known.iter().find(|target| target.device == device.device).cloned();
            let wake = self.wake_state(round.as_ref(), target.as_ref());
            DeviceWakeState { device, target, wake }
        };
        Ok(Ok(devices.into_iter().map(with_state).collect()))
    }

    fn wake_state(&self, round: Option<&WakeRound>, target: Option<&WakeTarget>) -> WakeState {
        let Some(target) = target else { return WakeState::NotRegistered };
        if let Some(reason) = NoWakeReason::no_token(target) {
            return WakeState::NotWoken(reason.to_string());
        }
        let Some(round) = round else { return WakeState::NoDebts };
        let Some(pool) = self.push.pool(&round.pool) else { return WakeState::NotWoken(NO_PUSH.to_owned()) };
        let now_ms = self.clock.unix_ms();
        let hold = self.push.hold(&AppKey::of(&round.pool, target), &pool, now_ms);
        match wakes::decide(target, &pool.wakes, hold.as_ref(), now_ms) {
            WakeDecision::Skip(reason) => WakeState::NotWoken(reason.to_string()),
            WakeDecision::Wait(until_ms, reason) => WakeState::Waiting(until_ms, reason.to_string()),
            WakeDecision::Send(due) => WakeState::Due(due.dataset, due.version),
        }
    }

    /// A device and its delivery log, newest first.
    pub async fn push_log(&self, identity: Identity, device: DeviceId) -> AdminResult<(DeviceWakeState, Vec<DeliveryLogEntry>)> {
        let devices = match self.devices(identity.clone()).await? {
            Ok(devices) => devices,
            Err(missing) => return Ok(Err(missing)),
        };
        let Some(state) = devices.into_iter().find(|state| state.device.device == device) else { return Ok(Err(NotFound::Device)) };
        let log = self.reader.read(ReadOwner::Server, move |store| store.delivery_log(&identity, &device)).await?;
        Ok(Ok((state, log)))
    }

    /// Wakes a device now, also without a debt, and returns the push gateway's answer. A test wake uses no push budget, and its answer never marks a
    /// token dead.
    pub async fn push_test(&self, identity: Identity, device: DeviceId, shown: bool) -> AdminResult<TestWakeResult> {
        let sending = self.send_test(identity.clone(), device, shown);
        self.push.unless_erased(&identity, sending).await.unwrap_or(Ok(Err(NotFound::Identity)))
    }

    async fn send_test(&self, identity: Identity, device: DeviceId, shown: bool) -> AdminResult<TestWakeResult> {
        let (of, name) = (identity.clone(), device.clone());
        let read = move |store: &Store| {
            if !exists(store, &of)? {
                return Ok(Err(NotFound::Identity));
            }
            let target = store.wake_targets(&of)?.into_iter().find(|target| target.device == name);
            Ok(Ok((store.pool(&of)?.unwrap_or_default(), target)))
        };
        let (pool_name, target) = match self.reader.read(ReadOwner::Server, read).await? {
            Ok(found) => found,
            Err(missing) => return Ok(Err(missing)),
        };
        let Some(target) = target else { return Ok(Ok(TestWakeResult::NoToken("the device has not registered".to_owned()))) };
        let Some(address) = &target.target else {
            let why = target.dead.map_or_else(String::new, |dead| dead.reason);
            return Ok(Ok(TestWakeResult::NoToken(format!("it has no token: {why}"))));
        };
        let Some(pool) = self.push.pool(&pool_name) else { return Ok(Ok(TestWakeResult::NoToken(NO_PUSH.to_owned()))) };
        let Ok(dataset) = DatasetName::new(TEST_WAKE_DATASET) else { return Ok(Err(NotFound::Dataset)) };
        let (began_ms, expires_unix_s) = (self.clock.elapsed_ms(), self.clock.unix_ms() / 1000 + TEST_WAKE_TTL_S);
        let alert = shown.then(|| pool.alert.clone());
        let wake = Wake {
            pool: pool_name,
            identity: identity.as_str().to_owned(),
            dataset: dataset.clone(),
            version: 0,
            cognito_pool: target.cognito_pool.clone(),
            alert,
            expires_unix_s,
        };
        let (verdict, _) = pool.wake(address, &target.app, &wake, self.clock).await;
        let took_ms = self.clock.elapsed_ms() - began_ms;
        let (outcome, failure) = (verdict.outcome(), verdict.failure());
        let cause = failure.map(|(cause, _)| cause);
        let detail = failure.map_or_else(|| accepted_id(&verdict), |(_, reason)| reason.to_owned());
        let provider = address.provider();
        info!(%identity, %device, %provider, app = target.app, outcome, cause = cause.map(FailureCause::label), reason = detail, "test wake sent");
        let status = DeliveryStatus::Note(format!("test wake by an operator: {outcome} {detail}"));
        self.committer
            .transact(JobOwner::Identity(identity.clone()), move |group, now_ms| {
                if group.has_identity(&identity)? {
                    group.append_delivery_log(&identity, &device, DeliveryLogEntry::new(now_ms, None, status.clone()))?;
                }
                Ok(((), Vec::new()))
            })
            .await?;
        Ok(Ok(TestWakeResult::Answered { provider, app: target.app, outcome, cause, detail, took_ms }))
    }

    /// Revokes a device in one batch: its session ends, its push token is deleted, and the server no longer accepts it. Or allows it again.
    /// Returns until when tokens were issued that are refused from now on, in seconds since 1970 (UTC).
    pub async fn set_device_access(&self, identity: Identity, device: DeviceId, access: DeviceAccess) -> AdminResult<Option<u64>> {
        let (of, name) = (identity.clone(), device.clone());
        let transaction = move |group: &mut Group<'_>, now_ms| {
            let known = group.set_revoked(&of, &name, (access != DeviceAccess::Allowed).then_some(now_ms), now_ms)?;
            let refused_until_s = (known && access == DeviceAccess::RevokedWithTokens).then_some(now_ms / 1000 + LEEWAY_S);
            let mut notices = Vec::new();
            // Before the other notice: the device is told that it was revoked, not only that its token is refused.
            if known && access != DeviceAccess::Allowed {
                notices.push(SessionNotice::Revoked(of.clone(), name.clone()));
            }
            if let Some(until_s) = refused_until_s {
                group.refuse_tokens(&of, until_s)?;
                notices.push(SessionNotice::LoginsChanged(of.clone()));
            }
            Ok((known.then_some(refused_until_s), notices))
        };
        let Some(refused_until_s) = self.committer.transact(JobOwner::Identity(identity.clone()), transaction).await? else {
            return Ok(Err(NotFound::Device));
        };
        match access {
            DeviceAccess::Revoked => info!(target: AUDIT, %identity, %device, "device revoked"),
            DeviceAccess::RevokedWithTokens => {
                info!(target: AUDIT, %identity, %device, "device revoked, and the identity's earlier tokens refused")
            }
            DeviceAccess::Allowed => info!(target: AUDIT, %identity, %device, "device allowed"),
        }
        Ok(Ok(refused_until_s))
    }

    /// Forgets a device in one batch: all that is its own is deleted, and its session ends. It can come back at once, as a new device.
    pub async fn forget_device(&self, identity: Identity, device: DeviceId) -> AdminResult<()> {
        let (of, name) = (identity.clone(), device.clone());
        let transaction = move |group: &mut Group<'_>, _| {
            let known = group.forget_device(&of, &name)?;
            Ok((known, if known { vec![SessionNotice::Forgotten(of.clone(), name.clone())] } else { Vec::new() }))
        };
        if !self.committer.transact(JobOwner::Identity(identity.clone()), transaction).await? {
            return Ok(Err(NotFound::Device));
        }
        info!(target: AUDIT, %identity, %device, "device forgotten");
        Ok(Ok(()))
    }

    /// Apps to which the server sends no pushes, because their push gateway refused them.
    pub fn push_stopped(&self) -> Vec<StoppedApp> {
        self.push.breakers().stopped()
    }

    /// Resumes pushes to all stopped apps, and returns these apps.
    pub fn push_resume(&self) -> Vec<StoppedApp> {
        let stopped = self.push.breakers().stopped();
        self.push.breakers().resume();
        stopped
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceAccess {
    Allowed,
    Revoked,
    /// Revoked, and the tokens of all logins of the identity that were issued until now are refused.
    RevokedWithTokens,
}

/// The gateway's id of an accepted push.
fn accepted_id(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted { id: Some(id) } => id.clone(),
        _ => String::new(),
    }
}
