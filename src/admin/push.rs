//! Why did this phone not wake? An identity's devices, what is owed to them, what became of their wakes; and a wake to try it out.

use driftless_protocol::{DatasetName, DeviceId, Provider};
use tracing::info;

use super::{Admin, AdminResult, NotFound, is_there};
use crate::committer::SessionNotice;
use crate::push::wakes::{self, NoWakeReason, WakeDecision};
use crate::push::{AppKey, StoppedApp, Verdict, Wake};
use crate::store::{DeliveryLogEntry, DeliveryStatus, DeviceInfo, Group, Identity, Store, WakeRound, WakeTarget};

/// How long a wake that tries it out may wait for its device, in seconds.
const TEST_S: u64 = 3600;

/// The dataset that such a wake names.
const TEST_DATASET: &str = "driftless.test";

/// A device, and how it is woken.
#[derive(Clone, Debug)]
pub struct Awake {
    /// The device.
    pub device: DeviceInfo,
    /// Its registration, if it has one.
    pub sleeper: Option<WakeTarget>,
    /// What is to be done for it now.
    pub now: Now,
}

/// What is to be done for a device now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    /// It has no registration.
    NotRegistered,
    /// Nothing is owed to any device of the identity.
    Nothing,
    /// Nothing will be sent, and why.
    Rests(String),
    /// A wake waits until then, in milliseconds since 1970 (UTC), and why.
    Waits(u64, String),
    /// A wake is on its way, for this version of a dataset.
    Due(DatasetName, u64),
}

/// What became of a wake that tried it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The device has no registration, or its token is dead: why.
    NoToken(String),
    /// What the gateway said.
    Said {
        /// Who carried it.
        provider: Provider,
        /// The app that it was for.
        app: String,
        /// `accepted`, `dead`, `later` or `refused`.
        outcome: &'static str,
        /// The gateway's reason, or its id for the wake.
        detail: String,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
}

impl Admin {
    /// The devices of an identity, by their ids.
    pub async fn devices(&self, identity: Identity) -> AdminResult<Vec<Awake>> {
        let of = identity.clone();
        let read = move |store: &Store| {
            if !is_there(store, &of)? {
                return Ok(Err(NotFound::Identity));
            }
            Ok(Ok((store.devices(&of)?, store.wake_round(&of)?, store.wake_targets(&of)?)))
        };
        let (devices, round, sleepers) = match self.reader.read(read).await? {
            Ok(found) => found,
            Err(missing) => return Ok(Err(missing)),
        };
        let one = |device: DeviceInfo| {
            let known = round.as_ref().map_or(&sleepers, |round| &round.targets);
            let sleeper = known.iter().find(|sleeper| sleeper.device == device.device).cloned();
            let now = self.now(round.as_ref(), sleeper.as_ref());
            Awake { device, sleeper, now }
        };
        Ok(Ok(devices.into_iter().map(one).collect()))
    }

    fn now(&self, round: Option<&WakeRound>, sleeper: Option<&WakeTarget>) -> Now {
        let Some(sleeper) = sleeper else { return Now::NotRegistered };
        if let Some(reason) = NoWakeReason::no_token(sleeper) {
            return Now::Rests(reason.to_string());
        }
        let Some(round) = round else { return Now::Nothing };
        let Some(desk) = self.post.pool(&round.pool) else { return Now::Rests("the pool has no push in its configuration".to_owned()) };
        let now_ms = self.clock.unix_ms();
        let app = AppKey { pool: round.pool.clone(), provider: sleeper.provider, app: sleeper.app.clone() };
        let held = self.post.hold(&app, &desk, now_ms);
        match wakes::decide(round, sleeper, &desk.wakes, held.as_ref(), now_ms) {
            WakeDecision::Skip(reason) => Now::Rests(reason.to_string()),
            WakeDecision::Wait(until_ms, reason) => Now::Waits(until_ms, reason.to_string()),
            WakeDecision::Send(sending) => Now::Due(sending.dataset, sending.version),
        }
    }

    /// A device and its log, the newest first.
    pub async fn push_log(&self, identity: Identity, device: DeviceId) -> AdminResult<(Awake, Vec<DeliveryLogEntry>)> {
        let devices = match self.devices(identity.clone()).await? {
            Ok(devices) => devices,
            Err(missing) => return Ok(Err(missing)),
        };
        let Some(awake) = devices.into_iter().find(|awake| awake.device.device == device) else { return Ok(Err(NotFound::Device)) };
        let log = self.reader.read(move |store| store.delivery_log(&identity, &device)).await?;
        Ok(Ok((awake, log)))
    }

    /// Wakes a device now, whatever it is owed, and says what its gateway said. It comes out of no budget, and no token is taken away for it.
    pub async fn push_test(&self, identity: Identity, device: DeviceId, shown: bool) -> AdminResult<Tried> {
        let (of, name) = (identity.clone(), device.clone());
        let read = move |store: &Store| {
            if !is_there(store, &of)? {
                return Ok(Err(NotFound::Identity));
            }
            let sleeper = store.wake_targets(&of)?.into_iter().find(|sleeper| sleeper.device == name);
            Ok(Ok((store.pool(&of)?.unwrap_or_default(), sleeper)))
        };
        let (pool, sleeper) = match self.reader.read(read).await? {
            Ok(found) => found,
            Err(missing) => return Ok(Err(missing)),
        };
        let Some(sleeper) = sleeper else { return Ok(Ok(Tried::NoToken("the device has not registered".to_owned()))) };
        let Some(target) = &sleeper.target else {
            let why = sleeper.dead.map_or_else(String::new, |dead| dead.reason);
            return Ok(Ok(Tried::NoToken(format!("its token is dead: {why}"))));
        };
        let Some(desk) = self.post.pool(&pool) else {
            return Ok(Ok(Tried::NoToken("the pool has no push in its configuration".to_owned())));
        };
        let Ok(dataset) = DatasetName::new(TEST_DATASET) else { return Ok(Err(NotFound::Dataset)) };
        let (began_ms, expires_unix_s) = (self.clock.elapsed_ms(), self.clock.unix_ms() / 1000 + TEST_S);
        let alert = shown.then(|| desk.alert.clone());
        let wake = Wake { pool, identity: identity.as_str().to_owned(), dataset: dataset.clone(), version: 0, alert, expires_unix_s };
        let (verdict, _) = desk.wake(target, &sleeper.app, &wake).await;
        let took_ms = self.clock.elapsed_ms() - began_ms;
        let (outcome, detail) = said(&verdict);
        let told = DeliveryStatus::RegistrationChanged(format!("tried out by an operator: {outcome} {detail}"));
        self.committer
            .transact(move |group, now_ms| {
                if group.has_identity(&identity)? {
                    group.append_delivery_log(&identity, &device, DeliveryLogEntry::new(now_ms, None, told))?;
                }
                Ok(((), Vec::new()))
            })
            .await?;
        Ok(Ok(Tried::Said { provider: target.provider(), app: sleeper.app, outcome, detail, took_ms }))
    }

    /// Revokes a device: its session ends, its token is taken away, and it comes in no more; all in one act. Or lets it in again.
    pub async fn revoke(&self, identity: Identity, device: DeviceId, revoke: Revoke) -> AdminResult<()> {
        let (of, name) = (identity.clone(), device.clone());
        let act = move |group: &mut Group<'_>, now_ms| {
            let known = group.set_revoked(&of, &name, (revoke == Revoke::Yes).then_some(now_ms))?;
            let notices = if known && revoke == Revoke::Yes { vec![SessionNotice::Revoked(of, name)] } else { Vec::new() };
            Ok((known, notices))
        };
        let known = self.committer.transact(act).await?;
        if known {
            info!(%identity, %device, ?revoke, "an operator changed whether a device may come in");
        }
        Ok(if known { Ok(()) } else { Err(NotFound::Device) })
    }

    /// Apps whose wakes are stopped because their gateway refuses them.
    pub fn push_stopped(&self) -> Vec<StoppedApp> {
        self.post.breakers().stopped()
    }

    /// Lets all of them go on.
    pub fn push_resume(&self) -> Vec<StoppedApp> {
        let stopped = self.post.breakers().stopped();
        self.post.breakers().resume();
        stopped
    }
}

/// Whether a device is to be revoked, or let in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// It is revoked.
    Yes,
    /// It is let in again.
    Back,
}

fn said(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Accepted { id } => ("accepted", id.clone().unwrap_or_default()),
        Verdict::Dead { reason, .. } | Verdict::OtherEnvironment { reason } => ("dead", reason.clone()),
        Verdict::Later { reason, .. } => ("later", reason.clone()),
        Verdict::Refused { reason, .. } => ("refused", reason.clone()),
    }
}
