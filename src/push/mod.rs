//! Sleeping devices are woken, once, by a push that carries no data.
//!
//! - [`wakes`] decides who is owed a wake and when, and what a gateway's answer means for the debt: pure.
//! - The [`Courier`] acts: it finds what is due in the store, sends through the pool's [`PushGateways`], and keeps what came of it.
//! - The [`PushService`] has the offices of all pools.
//! - One wake goes into an [`PushGateways`], one [`Verdict`] comes out (`gateways`).
//!
//! Never here: sessions, the hub, HTTP routes. Nobody asks whether a device is online.

mod courier;
mod gateways;
mod halts;
mod post;
mod visit;
pub mod wakes;

pub use courier::Courier;
pub use gateways::{
    APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, Fault, FcmConfig, Form, PushConfig, PushConfigError, PushGateways,
    SEND_TIMEOUT, Shown, Verdict, Wake, WebpushConfig, Whom,
};
pub use halts::{AppKey, CircuitBreakers, StoppedApp};
pub use post::{PoolPush, PushService, RegistrationRejected};
pub use wakes::WakeSettings;
