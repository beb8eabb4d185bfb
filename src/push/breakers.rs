//! Circuit breakers: apps whose wakes are held back. An app is *stopped* when its gateway refuses the app's credential or topic, until an
//! operator corrects that and resumes it; it is *paused* for a while when its gateway is unreachable or asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;

use super::wakes::{Hold, retry_wait_ms};
use crate::store::WakeTarget;

/// How often the courier checks whether a stopped app was resumed, in milliseconds.
const STOPPED_RECHECK_MS: u64 = 5 * 60 * 1000;

/// From this many mismatches in a row it is no single device's mistake: the app's own credential is another project's, or its topic another app's.
const MANY_MISMATCHES: u32 = 10;

/// An app of a pool at one provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppKey {
    pub pool: String,
    pub provider: Provider,
    /// The app's name or topic.
    pub app: String,
}

impl AppKey {
    /// The app that a target of this pool is registered for.
    pub fn of(pool: &str, target: &WakeTarget) -> AppKey {
        AppKey { pool: pool.to_owned(), provider: target.provider, app: target.app.clone() }
    }
}

#[derive(Clone, Debug)]
enum BreakerState {
    Stopped { why: String, since_ms: u64 },
    Paused { why: String, until_ms: u64, failures: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedApp {
    pub app: AppKey,
    /// The gateway's reason.
    pub why: String,
    /// In milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// Cheap to clone. Bounded by the number of apps in the configuration.
#[derive(Clone, Default)]
pub struct CircuitBreakers {
    breakers: Arc<Mutex<BTreeMap<AppKey, BreakerState>>>,
    /// Tokens that do not fit the credential in a row.
    mismatches: Arc<Mutex<BTreeMap<AppKey, u32>>>,
}

impl CircuitBreakers {
    /// Why and until when no wake is sent for this app, if so.
    pub fn hold(&self, app: &AppKey, now_ms: u64) -> Option<Hold> {
        match self.lock().get(app)? {
            BreakerState::Stopped { why, .. } => Some(Hold { until_ms: now_ms + STOPPED_RECHECK_MS, why: why.clone() }),
            BreakerState::Paused { why, until_ms, .. } => Some(Hold { until_ms: *until_ms, why: why.clone() }),
        }
    }

    /// Stops an app until [`CircuitBreakers::resume`]. Returns true if it was not stopped before.
    pub fn stop(&self, app: AppKey, why: &str, now_ms: u64) -> bool {
        let stopped = BreakerState::Stopped { why: why.to_owned(), since_ms: now_ms };
        !matches!(self.lock().insert(app, stopped), Some(BreakerState::Stopped { .. }))
    }

    /// Pauses an app for `after_ms`, or by back-off if the gateway names no time.
    pub fn pause(&self, app: AppKey, why: &str, after_ms: Option<u64>, now_ms: u64, chance: u32) {
        let mut breakers = self.lock();
        let failures = match breakers.get(&app) {
            Some(BreakerState::Stopped { .. }) => return,
            // This failure belongs to the burst that paused the app: it is not counted again.
            Some(BreakerState::Paused { until_ms, .. }) if *until_ms > now_ms => return,
            Some(BreakerState::Paused { failures, .. }) => failures + 1,
            None => 0,
        };
        let until_ms = now_ms + retry_wait_ms(after_ms, failures, chance);
        breakers.insert(app, BreakerState::Paused { why: why.to_owned(), until_ms, failures });
    }

    /// Counts a token that does not fit the app's credential. Returns true exactly when the count reaches `MANY_MISMATCHES`.
    pub fn record_mismatch(&self, app: &AppKey) -> bool {
        let mut mismatches = self.mismatches.lock().unwrap_or_else(PoisonError::into_inner);
        let count = mismatches.entry(app.clone()).or_insert(0);
        *count = count.saturating_add(1);
        *count == MANY_MISMATCHES
    }

    /// The app's gateway accepted a wake: ends a pause, but not a stop.
    pub fn record_accepted(&self, app: &AppKey) {
        self.mismatches.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
        let mut breakers = self.lock();
        if matches!(breakers.get(app), Some(BreakerState::Paused { .. })) {
            breakers.remove(app);
        }
    }

    /// Ends every stop and pause. Mismatches are counted from the beginning: the credential may be another one now.
    pub fn resume(&self) {
        self.lock().clear();
        self.mismatches.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn stopped(&self) -> Vec<StoppedApp> {
        let stopped_app = |(app, breaker): (&AppKey, &BreakerState)| match breaker {
            BreakerState::Stopped { why, since_ms } => Some(StoppedApp { app: app.clone(), why: why.clone(), since_ms: *since_ms }),
            BreakerState::Paused { .. } => None,
        };
        self.lock().iter().filter_map(stopped_app).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppKey, BreakerState>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wakes::MAX_GATEWAY_WAIT_MS;
    use super::*;

    fn app() -> AppKey {
        AppKey { pool: "demo".to_owned(), provider: Provider::Fcm, app: "app".to_owned() }
    }

    #[test]
    fn many_mismatches_in_a_row_are_reported_once() {
        let breakers = CircuitBreakers::default();
        let reported = (0..30).filter(|_| breakers.record_mismatch(&app())).count();
        assert_eq!(reported, 1);
        breakers.record_accepted(&app());
        assert!((1..MANY_MISMATCHES).all(|_| !breakers.record_mismatch(&app())) && breakers.record_mismatch(&app()));
        breakers.resume();
        assert!((1..MANY_MISMATCHES).all(|_| !breakers.record_mismatch(&app())) && breakers.record_mismatch(&app()));
    }

    #[test]
    fn no_gateway_pauses_an_app_for_longer_than_the_bound() {
        let breakers = CircuitBreakers::default();
        breakers.pause(app(), "503", Some(u64::MAX), 100, 0);
        assert_eq!(breakers.hold(&app(), 300).map(|hold| hold.until_ms), Some(100 + MAX_GATEWAY_WAIT_MS));
    }

    #[test]
    fn a_stop_lasts_until_it_is_resumed_and_a_pause_until_its_end() {
        let breakers = CircuitBreakers::default();
        breakers.pause(app(), "503", Some(7_000), 100, 0);
        breakers.pause(app(), "503", Some(9_000), 200, 0);
        assert_eq!(breakers.hold(&app(), 300).map(|hold| hold.until_ms), Some(7_100), "the second failure is of the same burst");
        assert!(breakers.stop(app(), "BadTopic", 400) && !breakers.stop(app(), "BadTopic", 500));
        breakers.record_accepted(&app());
        breakers.pause(app(), "503", None, 600, 0);
        assert_eq!(breakers.stopped().len(), 1);
        breakers.resume();
        assert_eq!((breakers.hold(&app(), 700), breakers.stopped().len()), (None, 0));
    }
}
