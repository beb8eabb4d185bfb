//! Speaks to push gateways: APNs, FCM, and the push services of Web Push subscriptions.
//!
//! One wake goes into an [`PushGateways`], one [`Verdict`] comes out. What a gateway is asked (`notice`, `apns`, `fcm`, `webpush`) and what its
//! answers mean are pure; connections (`lanes`, `strangers`) know nothing of pushes. Nothing here decides when to send, when to try again, or
//! what becomes of a token.
//!
//! - A wake carries no content: what a user is shown is the pool's own words.
//! - Nothing waits without a bound, and everything that is kept or read has one.
//! - No token, address or secret is in a reason, an error or a log.

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

pub use config::{APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, FcmConfig, PushConfig, WebpushConfig};
pub use config_error::PushConfigError;
pub use notice::{Form, Shown, Wake};
pub use office::{PushGateways, SEND_TIMEOUT};
pub use verdict::{Fault, Verdict, Whom};
