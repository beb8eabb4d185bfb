//! Wakes devices that are not connected: one push without content for all that a device is owed.
//!
//! - `wakes` decides, purely, which device is owed a wake and when, and what a gateway's verdict means for the debt and the token.
//! - The [`Courier`] acts: it reads due identities from the store, sends through the pool's [`PushGateways`] and stores the results.
//! - The [`PushService`] holds the push settings and gateways of every pool; an operator can replace them while the server runs.
//! - `gateways` turns one wake into one [`Verdict`].
//! - Wakes of an identity that is erased are cancelled where they wait (`cancellations`).
//!
//! This module never uses sessions, the hub or HTTP routes: it does not ask whether a device is online.

mod active_rounds;
mod breakers;
mod cancellations;
mod courier;
mod failure_log;
mod gateways;
mod round;
mod service;
pub(crate) mod wakes;

pub use breakers::{AppKey, CircuitBreakers, StoppedApp};
pub use courier::Courier;
pub use gateways::{
    APNS_SANDBOX_SERVER, APNS_SERVER, AlertText, ApnsConfig, FCM_SERVER, FailureCause, FaultScope, FcmConfig, PayloadFormat, PushConfig,
    PushConfigError, PushGateways, RefusalCause, SEND_TIMEOUT, VapidKeyPair, Verdict, Wake, WebpushConfig, new_vapid_key_pair,
    read_vapid_public_key,
};
pub use service::{PoolPush, PushService, RegistrationRejected};
pub use wakes::WakeSettings;
