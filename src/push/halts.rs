//! Apps whose wakes are held back: because their credential or topic is refused, until an operator mends it; or for a while, because their gateway asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;

use super::wakes::{ASKED_MOST_MS, Held, back_off_ms};

/// How often devices of a stopped app are looked at again, in milliseconds.
const LOOK_AGAIN_MS: u64 = 5 * 60 * 1000;

/// So many tokens in a row that belong to another sender are no phones' mistakes: the app's own credential is another project's.
const MANY_STRANGERS: u32 = 10;

/// An app of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppKey {
    /// The pool.
    pub pool: String,
    /// Who carries its wakes.
    pub provider: Provider,
    /// Its id.
    pub app: String,
}

#[derive(Clone, Debug)]
enum Halt {
    /// Until it is resumed.
    Stopped { why: String, since_ms: u64 },
    /// For a while.
    Paused { why: String, until_ms: u64, failures: u32 },
}

/// An app that is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedApp {
    /// Which.
    pub app: AppKey,
    /// What its gateway said.
    pub why: String,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// All of them; cheap to clone. As many as there are apps in the configuration.
#[derive(Clone, Default)]
pub struct CircuitBreakers {
    halts: Arc<Mutex<BTreeMap<AppKey, Halt>>>,
    /// Tokens in a row that belong to another sender.
    strangers: Arc<Mutex<BTreeMap<AppKey, u32>>>,
}

impl CircuitBreakers {
    /// Why and until when an app's wakes are held back.
    pub fn held(&self, app: &AppKey, now_ms: u64) -> Option<Held> {
        match self.lock().get(app)? {
            Halt::Stopped { why, .. } => Some(Held { until_ms: now_ms + LOOK_AGAIN_MS, why: why.clone() }),
            Halt::Paused { why, until_ms, .. } => Some(Held { until_ms: *until_ms, why: why.clone() }),
        }
    }

    /// Stops an app. True if it was not stopped before.
    pub fn stop(&self, app: AppKey, why: &str, now_ms: u64) -> bool {
        let stopped = Halt::Stopped { why: why.to_owned(), since_ms: now_ms };
        !matches!(self.lock().insert(app, stopped), Some(Halt::Stopped { .. }))
    }

    /// Pauses an app for so long, or with back-off.
    pub fn pause(&self, app: AppKey, why: &str, after_ms: Option<u64>, now_ms: u64, chance: u32) {
        let mut halts = self.lock();
        let failures = match halts.get(&app) {
            Some(Halt::Stopped { .. }) => return,
            // Others of the same burst.
            Some(Halt::Paused { until_ms, .. }) if *until_ms > now_ms => return,
            Some(Halt::Paused { failures, .. }) => failures + 1,
            None => 0,
        };
        let until_ms = now_ms + after_ms.map_or_else(|| back_off_ms(failures, chance), |asked_ms| asked_ms.min(ASKED_MOST_MS));
        halts.insert(app, Halt::Paused { why: why.to_owned(), until_ms, failures });
    }

    /// A token belongs to another sender. True once when there were many in a row.
    pub fn strange(&self, app: &AppKey) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = strangers.entry(app.clone()).or_insert(0);
        *count = count.saturating_add(1);
        *count == MANY_STRANGERS
    }

    /// An app's gateway took a wake.
    pub fn flows(&self, app: &AppKey) {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
        let mut halts = self.lock();
        if matches!(halts.get(app), Some(Halt::Paused { .. })) {
            halts.remove(app);
        }
    }

    /// All go on: what was refused may be mended.
    pub fn resume(&self) {
        self.lock().clear();
    }

    /// Those that are stopped.
    pub fn stopped(&self) -> Vec<StoppedApp> {
        let one = |(app, halt): (&AppKey, &Halt)| match halt {
            Halt::Stopped { why, since_ms } => Some(StoppedApp { app: app.clone(), why: why.clone(), since_ms: *since_ms }),
            Halt::Paused { .. } => None,
        };
        self.lock().iter().filter_map(one).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppKey, Halt>> {
        self.halts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppKey {
        AppKey { pool: "demo".to_owned(), provider: Provider::Fcm, app: "app".to_owned() }
    }

    #[test]
    fn many_tokens_of_another_sender_in_a_row_are_told_once() {
        let halts = CircuitBreakers::default();
        let told = (0..30).filter(|_| halts.strange(&app())).count();
        assert_eq!(told, 1);
        halts.flows(&app());
        assert!((1..MANY_STRANGERS).all(|_| !halts.strange(&app())) && halts.strange(&app()));
    }

    #[test]
    fn a_stop_holds_until_it_is_resumed_and_a_pause_until_its_end() {
        let halts = CircuitBreakers::default();
        halts.pause(app(), "503", Some(1_000), 100, 0);
        halts.pause(app(), "503", Some(9_000), 200, 0);
        assert_eq!(halts.held(&app(), 300).map(|held| held.until_ms), Some(1_100), "others of the same burst");
        assert!(halts.stop(app(), "BadTopic", 400) && !halts.stop(app(), "BadTopic", 500));
        halts.flows(&app());
        halts.pause(app(), "503", None, 600, 0);
        assert_eq!(halts.stopped().len(), 1);
        halts.resume();
        assert_eq!((halts.held(&app(), 700), halts.stopped().len()), (None, 0));
    }
}
