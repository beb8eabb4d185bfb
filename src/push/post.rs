//! The offices of all pools: where whoever registers or wakes a device asks for its pool's.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use driftless_protocol::{PushTarget, RefusalCode, Registration};

use super::halts::{AppKey, CircuitBreakers};
use super::wakes::Held;
use super::{PushConfig, PushConfigError, PushGateways, Shown, Verdict, Wake, WakeSettings, Whom};

/// A pool's office, and how its devices are woken.
#[derive(Clone)]
pub struct PoolPush {
    /// The way to the gateways.
    pub office: PushGateways,
    /// Whom to wake when.
    pub wakes: WakeSettings,
    /// What is shown to a user when no silent wake is left.
    pub shown: Shown,
}

impl PoolPush {
    /// Reads a pool's credentials.
    pub fn new(config: &PushConfig, wakes: WakeSettings) -> Result<PoolPush, PushConfigError> {
        let shown = Shown { title: config.title.clone(), text: config.text.clone() };
        Ok(PoolPush { office: PushGateways::new(config)?, wakes, shown })
    }

    /// Sends a wake. A token that its environment does not know is tried in the other one, once; if it is taken there, that is where it belongs.
    pub async fn wake(&self, target: &PushTarget, app: &str, wake: &Wake) -> (Verdict, Option<PushTarget>) {
        let verdict = self.office.send(target, app, wake).await;
        let other = match (&verdict, target) {
            (Verdict::OtherEnvironment { .. }, PushTarget::Apns(token)) => PushTarget::ApnsSandbox(token.clone()),
            (Verdict::OtherEnvironment { .. }, PushTarget::ApnsSandbox(token)) => PushTarget::Apns(token.clone()),
            _ => return (verdict, None),
        };
        match self.office.send(&other, app, wake).await {
            accepted @ Verdict::Accepted { .. } => (accepted, Some(other)),
            Verdict::Later { reason, after_ms, whom: _ } => (Verdict::Later { reason, after_ms, whom: Whom::Device }, None),
            // What the other environment has against us says nothing about this one.
            Verdict::Dead { .. } | Verdict::OtherEnvironment { .. } | Verdict::Refused { .. } => (verdict, None),
        }
    }
}

/// Why a registration cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationRejected {
    /// The pool has no credential for the app and provider.
    UnknownApp(String),
    /// The token or subscription is none.
    BadTarget(String),
}

impl RegistrationRejected {
    /// What the device is told: for programs, and for people.
    pub fn refusal(self) -> (RefusalCode, String) {
        match self {
            RegistrationRejected::UnknownApp(why) => (RefusalCode::UnknownApp, why),
            RegistrationRejected::BadTarget(why) => (RefusalCode::BadPushToken, why),
        }
    }
}

/// All of them; cheap to clone. They can be exchanged while the server runs: an operator rotates a key.
#[derive(Clone, Default)]
pub struct PushService {
    desks: Arc<RwLock<HashMap<String, Arc<PoolPush>>>>,
    halts: CircuitBreakers,
}

/// How often devices of an app without credential are looked at again, in milliseconds.
const NO_CREDENTIAL_MS: u64 = 5 * 60 * 1000;

impl PushService {
    /// With these.
    pub fn new(desks: HashMap<String, PoolPush>) -> PushService {
        let post = PushService::default();
        post.exchange(desks);
        post
    }

    /// Puts others in their place. What is under way ends with the old ones.
    pub fn exchange(&self, desks: HashMap<String, PoolPush>) {
        let desks = desks.into_iter().map(|(pool, desk)| (pool, Arc::new(desk))).collect();
        *self.desks.write().unwrap_or_else(PoisonError::into_inner) = desks;
        self.halts.resume();
    }

    /// Apps whose wakes are held back.
    pub fn halts(&self) -> &CircuitBreakers {
        &self.halts
    }

    /// Why and until when an app's wakes are held back.
    pub fn held(&self, app: &AppKey, desk: &PoolPush, now_ms: u64) -> Option<Held> {
        if !desk.office.knows(app.provider, &app.app) {
            return Some(Held { until_ms: now_ms + NO_CREDENTIAL_MS, why: "the pool has no credential for the app".to_owned() });
        }
        self.halts.held(app, now_ms)
    }

    /// A pool's.
    pub fn desk(&self, pool: &str) -> Option<Arc<PoolPush>> {
        self.desks.read().unwrap_or_else(PoisonError::into_inner).get(pool).cloned()
    }

    /// The shortest grace of all pools, in milliseconds.
    pub fn shortest_grace_ms(&self) -> u64 {
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        desks.values().map(|desk| desk.wakes.grace_ms).min().unwrap_or(0)
    }

    /// Whether a pool can wake a device there.
    pub fn check(&self, pool: &str, registration: &Registration) -> Result<(), RegistrationRejected> {
        let Registration { target, app, .. } = registration;
        let provider = target.provider();
        let desk = self.desk(pool).filter(|desk| desk.office.knows(provider, app));
        let Some(desk) = desk else {
            return Err(RegistrationRejected::UnknownApp(format!("the pool {pool} has no {provider} credential for the app {app:.100}")));
        };
        desk.office.check(target, app).map_err(RegistrationRejected::BadTarget)
    }
}
