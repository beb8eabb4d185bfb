//! Sleeping devices are woken, once, by a push that carries no data.
//!
//! - [`wakes`] decides who is owed a wake and when, and what a gateway's answer means for the debt: pure.
//! - The [`Courier`] acts: it finds what is due in the store, sends through the pool's [`Office`], and keeps what came of it.
//! - The [`Post`] has the offices of all pools.
//! - One wake goes into an [`Office`], one [`Verdict`] comes out. What a gateway is asked (`notice`, `apns`, `fcm`, `webpush`) and what its
//!   answers mean are pure; connections (`lanes`, `strangers`) know nothing of pushes. Nothing there decides when to send, or what becomes of a token.
//!
//! A wake carries no content, nothing waits without a bound, and no token, address or secret is in a reason, an error or a log.
//! Never here: sessions, the hub, HTTP routes. Nobody asks whether a device is online.

mod courier;
mod halts;
mod post;
pub mod wakes;

mod office;
mod opening;

mod config;
mod config_error;
mod credentials;

mod notice;
mod verdict;

mod apns;
mod fcm;
mod webpush;

mod bearer;
mod endpoint;
mod provider_token;
mod vapid;

mod address;
mod answer;
mod retry_after;

mod connect;
mod held;
mod lane;
mod lanes;
mod pace;
mod strangers;
mod tls;

#[cfg(test)]
mod gateway_stand_in;
#[cfg(test)]
mod h2_stand_in;
#[cfg(test)]
mod lanes_tests;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls_stand_in;
#[cfg(test)]
mod token_stand_in;

pub use courier::Courier;
pub use halts::{AppKey, Halts, Stopped};
pub use post::{Desk, NotTaken, Post};
pub use wakes::WakeSettings;

pub use config::{APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, Config, FCM_SERVER, FcmConfig, WebpushConfig};
pub use config_error::ConfigError;
pub use notice::{Form, Shown, Wake};
pub use office::{Office, SEND_TIMEOUT};
pub use verdict::{Fault, Verdict, Whom};
