//! Sends wakes to push gateways: APNs, FCM, and the third-party push services that Web Push subscriptions name.
//!
//! One wake goes into [`PushGateways`], one [`Verdict`] comes out. What a gateway is sent (`payload`, `apns`, `fcm`, `webpush`) and what its
//! responses mean are pure functions; the clients (`connection_pool`, `third_party`) know nothing of wakes. Nothing here decides when to send,
//! when to retry, or what happens to a token.
//!
//! - A wake carries no content: an alert's text is the pool's own.
//! - Every wait, queue, cache and body that is read has a bound (I8).
//! - No token, endpoint or secret is in a reason, an error or a log (I9). A gateway that the configuration names is named; a push service that a
//!   device named is not.

mod push_gateways;

mod apps;
mod open;

mod config;
mod config_error;
mod credentials;

mod failure;
mod payload;
mod verdict;

mod apns;
mod fcm;
mod webpush;

mod access_token;
mod endpoint;
mod endpoint_url;
mod provider_token;
mod vapid;
mod vapid_key;

mod address;
mod response;
mod retry_after;

mod connect;
mod connection;
mod connection_limits;
mod connection_pool;
mod keep_alive;
mod permitted_stream;
mod proxied_connector;
mod resolver;
mod third_party;
mod tls;
mod transport_fault;

#[cfg(test)]
mod connect_proxy_stand_in;
#[cfg(test)]
mod connection_pool_tests;
#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod h2_frame_stand_in;
#[cfg(test)]
mod h2_gateway_stand_in;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls_push_service_stand_in;
#[cfg(test)]
mod token_endpoint_stand_in;
#[cfg(test)]
mod webpush_receiver;

pub use config::{APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, FcmConfig, PushConfig, WebpushConfig};
pub use config_error::PushConfigError;
pub use failure::FailureCause;
pub use payload::{AlertText, PayloadFormat, Wake};
pub use push_gateways::{PushGateways, SEND_TIMEOUT};
pub use vapid_key::{VapidKeyPair, new_vapid_key_pair, read_vapid_public_key};
pub use verdict::{FaultScope, RefusalCause, Verdict};
