//! The push settings and gateways of every pool. The courier, registrations and the admin commands look a pool up here.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use driftless_protocol::{Provider, PushTarget, RefusalCode, Registration};

use super::breakers::{AppKey, CircuitBreakers};
use super::cancellations::WakeCancellations;
use super::failure_log::FailureLog;
use super::wakes::Hold;
use super::{AlertText, FaultScope, PushConfig, PushConfigError, PushGateways, RefusalCause, Verdict, Wake, WakeSettings};
use crate::auth::OutboundProxy;
use crate::clock::Clock;
use crate::store::Identity;

/// A pool's push settings, with its gateways.
#[derive(Clone)]
pub struct PoolPush {
    pub gateways: PushGateways,
    pub wakes: WakeSettings,
    /// What a user sees when the budget for silent wakes is used up.
    pub alert: AlertText,
}

impl PoolPush {
    /// Reads the pool's credentials. Blocks on the disk.
    pub fn new(config: &PushConfig, wakes: WakeSettings, proxy: &OutboundProxy) -> Result<PoolPush, PushConfigError> {
        let alert = AlertText { title: config.title.clone(), text: config.text.clone() };
        Ok(PoolPush { gateways: PushGateways::new(config, proxy)?, wakes, alert })
    }

    /// Sends a wake. If APNs says that the token belongs to the other environment, sends it there once; on success the second value is the
    /// target in that environment, which the device should be registered with.
    pub async fn wake(&self, target: &PushTarget, app: &str, wake: &Wake, clock: Clock) -> (Verdict, Option<PushTarget>) {
        let verdict = self.gateways.send(target, app, wake, clock).await;
        let other = match (&verdict, target) {
            (Verdict::OtherEnvironment { .. }, PushTarget::Apns(token)) => PushTarget::ApnsSandbox(token.clone()),
            (Verdict::OtherEnvironment { .. }, PushTarget::ApnsSandbox(token)) => PushTarget::Apns(token.clone()),
            _ => return (verdict, None),
        };
        match self.gateways.send(&other, app, wake, clock).await {
            accepted @ Verdict::Accepted { .. } => (accepted, Some(other)),
            Verdict::Later { failure, reason, after_ms, scope: _ } => {
                (Verdict::Later { failure, reason, after_ms, scope: FaultScope::Device }, None)
            }
            // The other environment did not look at the token, for example because the key is for one environment only: the token may be good there.
            Verdict::Refused { failure, reason: other_reason, cause } => {
                let reason = verdict.failure().map_or(String::new(), |(_, reason)| format!("{reason}, other environment: {other_reason}"));
                let cause = if cause == RefusalCause::App { RefusalCause::Mismatch } else { cause };
                (Verdict::Refused { failure, reason, cause }, None)
            }
            Verdict::Dead { .. } | Verdict::OtherEnvironment { .. } => (verdict, None),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationRejected {
    /// The pool has no credential for this provider and app.
    UnknownApp(String),
    /// The token or subscription cannot be sent to.
    BadTarget(String),
}

impl RegistrationRejected {
    /// The protocol's refusal code, and a message for the app's developer.
    pub fn refusal(self) -> (RefusalCode, String) {
        match self {
            RegistrationRejected::UnknownApp(why) => (RefusalCode::UnknownApp, why),
            RegistrationRejected::BadTarget(why) => (RefusalCode::BadPushToken, why),
        }
    }
}

/// Cheap to clone. The pools can be replaced while the server runs, so that an operator can rotate a key.
#[derive(Clone, Default)]
pub struct PushService {
    pools: Arc<RwLock<HashMap<String, Arc<PoolPush>>>>,
    breakers: CircuitBreakers,
    failures: FailureLog,
    cancellations: WakeCancellations,
}

/// How long devices of an app without a credential wait before the courier checks again, in milliseconds.
const NO_CREDENTIAL_MS: u64 = 5 * 60 * 1000;

impl PushService {
    pub fn new(pools: HashMap<String, PoolPush>) -> PushService {
        let service = PushService::default();
        service.replace(pools);
        service
    }

    /// Replaces every pool's push settings and resumes stopped apps. Sends that are in flight finish with the old settings.
    pub fn replace(&self, pools: HashMap<String, PoolPush>) {
        let pools = pools.into_iter().map(|(name, pool)| (name, Arc::new(pool))).collect();
        *self.pools.write().unwrap_or_else(PoisonError::into_inner) = pools;
        self.breakers.resume();
    }

    /// What sends wakes to an identity's devices, until it ends or the identity is erased: then it is dropped where it waits, and there is no result.
    /// It reads whether the identity is there.
    pub async fn unless_erased<T>(&self, identity: &Identity, sending: impl Future<Output = T>) -> Option<T> {
        self.cancellations.begin(identity.clone()).run(sending).await
    }

    /// Drops the wakes to an identity's devices that wait for a gateway. An erasure calls it once it is durable: nobody is
    /// woken after it.
    pub fn cancel_wakes(&self, identity: &Identity) {
        self.cancellations.cancel(identity);
    }

    pub(super) fn failure_log(&self) -> &FailureLog {
        &self.failures
    }

    pub fn breakers(&self) -> &CircuitBreakers {
        &self.breakers
    }

    /// Why and until when no wake is sent for this app, if so.
    pub fn hold(&self, app: &AppKey, pool: &PoolPush, now_ms: u64) -> Option<Hold> {
        if !pool.gateways.has_app(app.provider, &app.app) {
            return Some(Hold { until_ms: now_ms + NO_CREDENTIAL_MS, why: "the pool has no credential for the app".to_owned() });
        }
        self.breakers.hold(app, now_ms)
    }

    pub fn pool(&self, name: &str) -> Option<Arc<PoolPush>> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The shortest grace of all pools, in milliseconds.
    pub fn shortest_grace_ms(&self) -> u64 {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.values().map(|pool| pool.wakes.grace_ms).min().unwrap_or(0)
    }

    /// The public key of each of a pool's Web Push apps, as browsers take it, by the apps' names.
    pub fn application_server_keys(&self, pool_name: &str) -> BTreeMap<String, String> {
        self.pool(pool_name).map(|pool| pool.gateways.application_server_keys()).unwrap_or_default()
    }

    /// The pool's app of a provider, if it has exactly one.
    pub fn only_app(&self, pool_name: &str, provider: Provider) -> Option<String> {
        self.pool(pool_name)?.gateways.only_app(provider)
    }

    /// Whether the pool can send wakes to what a device registers.
    pub fn check_registration(&self, pool_name: &str, registration: &Registration) -> Result<(), RegistrationRejected> {
        let Registration { target, app, .. } = registration;
        let provider = target.provider();
        let Some(pool) = self.pool(pool_name).filter(|pool| pool.gateways.has_app(provider, app)) else {
            return Err(RegistrationRejected::UnknownApp(format!(
                "the pool {pool_name} has no {provider} credential for the app {app:.100}"
            )));
        };
        pool.gateways.check_target(target, app).map_err(RegistrationRejected::BadTarget)
    }
}
