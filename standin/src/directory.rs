//! The devices that the gateway knows, and what is to be said to each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;

use super::answer::Answer;
use super::sealing::Keys;

#[derive(Default)]
pub(super) struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    devices: HashMap<String, Device>,
    apps: HashSet<String>,
    scripts: HashMap<String, VecDeque<Answer>>,
    otherwise: Option<Answer>,
}

/// One installation of an app.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) provider: Provider,
    pub(super) app: String,
    /// Since when the app is gone from it, in Unix milliseconds.
    pub(super) gone_ms: Option<u64>,
    /// What opens its messages; of Web Push only, and only if the gateway made the subscription.
    pub(super) keys: Option<Arc<Keys>>,
    /// Requests for it.
    attempts: u64,
    /// Pushes accepted for it.
    accepted: usize,
}

impl Device {
    pub(super) fn new(provider: Provider, app: &str, keys: Option<Arc<Keys>>) -> Device {
        Device { provider, app: app.to_owned(), gone_ms: None, keys, attempts: 0, accepted: 0 }
    }
}

impl Directory {
    pub(super) fn add(&self, token: &str, device: Device) {
        let mut inner = self.lock();
        inner.apps.insert(device.app.clone());
        inner.devices.insert(token.to_owned(), device);
    }

    /// The app is gone from the device.
    pub(super) fn remove(&self, token: &str, now_ms: u64) {
        if let Some(device) = self.lock().devices.get_mut(token) {
            device.gone_ms = Some(now_ms);
        }
    }

    /// Looks at a device, and counts the request.
    pub(super) fn ask<R>(&self, token: &str, look: impl FnOnce(Option<&Device>) -> R) -> R {
        let mut inner = self.lock();
        let device = inner.devices.get_mut(token);
        look(device.map(|device| {
            device.attempts += 1;
            &*device
        }))
    }

    /// Whether an app has any device.
    pub(super) fn knows_app(&self, app: &str) -> bool {
        self.lock().apps.contains(app)
    }

    /// Counts a push that was accepted, once it was kept.
    pub(super) fn accepted(&self, token: &str) {
        if let Some(device) = self.lock().devices.get_mut(token) {
            device.accepted += 1;
        }
    }

    pub(super) fn accepted_of(&self, token: &str) -> usize {
        self.lock().devices.get(token).map_or(0, |device| device.accepted)
    }

    pub(super) fn attempts_of(&self, token: &str) -> u64 {
        self.lock().devices.get(token).map_or(0, |device| device.attempts)
    }

    /// Adds to a script.
    pub(super) fn script(&self, name: &str, answers: impl IntoIterator<Item = Answer>) {
        self.lock().scripts.entry(name.to_owned()).or_default().extend(answers);
    }

    /// What is said when there is no script, or when it is used up.
    pub(super) fn otherwise(&self, answer: Answer) {
        self.lock().otherwise = Some(answer);
    }

    /// What the script of a token says next.
    pub(super) fn next(&self, name: &str) -> Answer {
        let mut inner = self.lock();
        let Inner { scripts, otherwise, .. } = &mut *inner;
        let default = || otherwise.clone().unwrap_or(Answer::Accept);
        let Some(script) = scripts.get_mut(name) else { return default() };
        match script.front() {
            Some(Answer::Always(answer)) => (**answer).clone(),
            Some(_) => script.pop_front().unwrap_or_else(default),
            None => {
                scripts.remove(name);
                default()
            }
        }
    }

    /// Forgets a script, an answer for ever too.
    pub(super) fn unscript(&self, name: &str) {
        self.lock().scripts.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
