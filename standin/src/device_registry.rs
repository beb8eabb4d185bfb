//! The devices that the gateway knows, and the scripted responses for each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;

use super::scripted_response::ScriptedResponse;
use super::webpush_decryption::SubscriptionKeys;

#[derive(Default)]
pub(crate) struct DeviceRegistry {
    state: Mutex<RegistryState>,
}

#[derive(Default)]
struct RegistryState {
    devices: HashMap<String, RegisteredDevice>,
    apps: HashSet<String>,
    scripts: HashMap<String, VecDeque<ScriptedResponse>>,
    default_response: Option<ScriptedResponse>,
}

/// One installation of an app.
#[derive(Clone)]
pub(crate) struct RegisteredDevice {
    pub(crate) provider: Provider,
    pub(crate) app: String,
    /// When the app was removed from the device, in Unix milliseconds.
    pub(crate) unregistered_ms: Option<u64>,
    /// Decrypts the device's messages. Only for a Web Push subscription that the gateway created.
    pub(crate) keys: Option<Arc<SubscriptionKeys>>,
    /// Requests for the device.
    attempts: u64,
    /// Pushes accepted for the device.
    accepted: usize,
}

impl RegisteredDevice {
    pub(crate) fn new(provider: Provider, app: &str, keys: Option<Arc<SubscriptionKeys>>) -> RegisteredDevice {
        RegisteredDevice { provider, app: app.to_owned(), unregistered_ms: None, keys, attempts: 0, accepted: 0 }
    }
}

impl DeviceRegistry {
    pub(crate) fn add(&self, token: &str, device: RegisteredDevice) {
        let mut state = self.lock();
        state.apps.insert(device.app.clone());
        state.devices.insert(token.to_owned(), device);
    }

    /// The app was removed from the device.
    pub(crate) fn mark_unregistered(&self, token: &str, now_ms: u64) {
        if let Some(device) = self.lock().devices.get_mut(token) {
            device.unregistered_ms = Some(now_ms);
        }
    }

    /// Reads a device, and counts the request against it.
    pub(crate) fn look_up<R>(&self, token: &str, read: impl FnOnce(Option<&RegisteredDevice>) -> R) -> R {
        let mut state = self.lock();
        let device = state.devices.get_mut(token);
        read(device.map(|device| {
            device.attempts += 1;
            &*device
        }))
    }

    /// Whether any device has this app.
    pub(crate) fn knows_app(&self, app: &str) -> bool {
        self.lock().apps.contains(app)
    }

    /// Counts an accepted push. Called after the push was stored, so that a waiter that sees the count also finds the push.
    pub(crate) fn count_accepted(&self, token: &str) {
        if let Some(device) = self.lock().devices.get_mut(token) {
            device.accepted += 1;
        }
    }

    pub(crate) fn accepted_count(&self, token: &str) -> usize {
        self.lock().devices.get(token).map_or(0, |device| device.accepted)
    }

    pub(crate) fn attempt_count(&self, token: &str) -> u64 {
        self.lock().devices.get(token).map_or(0, |device| device.attempts)
    }

    /// Appends to the script of a token.
    pub(crate) fn add_script(&self, token: &str, responses: impl IntoIterator<Item = ScriptedResponse>) {
        self.lock().scripts.entry(token.to_owned()).or_default().extend(responses);
    }

    /// Sets the response for tokens without a script or with an exhausted one.
    pub(crate) fn set_default_response(&self, response: ScriptedResponse) {
        self.lock().default_response = Some(response);
    }

    /// Takes the next response from the script of a token.
    pub(crate) fn next_response(&self, token: &str) -> ScriptedResponse {
        let mut state = self.lock();
        let RegistryState { scripts, default_response, .. } = &mut *state;
        let default = || default_response.clone().unwrap_or(ScriptedResponse::Accept);
        let Some(script) = scripts.get_mut(token) else { return default() };
        match script.front() {
            Some(ScriptedResponse::Always(response)) => (**response).clone(),
            Some(_) => script.pop_front().unwrap_or_else(default),
            None => {
                scripts.remove(token);
                default()
            }
        }
    }

    /// Removes the script of a token, [`ScriptedResponse::Always`] included.
    pub(crate) fn clear_script(&self, token: &str) {
        self.lock().scripts.remove(token);
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
