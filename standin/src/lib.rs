//! A stand-in for the push services of Apple, Google and browsers, in one process: for tests, load tests and `driftless dev`.
//!
//! It checks what the real services check, over real HTTP/2 with TLS from its own certificate authority, and answers as they do.
//! A test can script other responses, for one token or for all, and inject a [`ConnectionFault`] into all connections.
//! Every request that a real service would reject is recorded as a violation by the sender.
//!
//! - It listens on three ports of this machine: [`StandInGateway::url`] serves Apple's production environment, Google and Web Push,
//!   [`StandInGateway::sandbox_url`] Apple's sandbox, and [`StandInGateway::token_uri`] Google's token endpoint over plain HTTP.
//! - A request goes `connection` -> `http2` or `http1` -> `respond`. `respond` has `apns`, `fcm` or `webpush` check the request,
//!   takes the next scripted response from `device_registry`, and records the push in `push_log`.
//! - `frame_injector` inserts HTTP/2 frames that no HTTP/2 library sends on demand.
//! - A request that fails its check is rejected before any script is consulted, and never counts as a push.
//! - Everything that it stores is bounded.
//! - It must not depend on the server's crate: what it checks must not be the code that it checks.

mod access_tokens;
mod apns;
mod apns_payload;
mod apns_tokens;
mod authority;
mod clock;
mod connection;
mod connection_control;
mod connection_registry;
mod controlled_stream;
mod credentials;
mod device_registry;
mod fault;
mod fcm;
mod fcm_error;
mod fcm_platforms;
mod frame_injector;
mod frames;
mod gateway;
mod http1;
mod http2;
mod jwt;
mod listener;
mod push_log;
mod random;
mod received_push;
mod rejection;
mod request;
mod respond;
mod response;
mod scripted_response;
mod state;
mod temp_folder;
mod vapid;
mod webpush;
mod webpush_decryption;

#[cfg(test)]
mod tests;

pub use credentials::SenderCredentials;
pub use fault::ConnectionFault;
pub use fcm_error::FcmErrorCode;
pub use gateway::{ApnsEnvironment, ListenPorts, StandInGateway};
pub use push_log::GatewayCounts;
pub use received_push::ReceivedPush;
pub use response::HttpResponse;
pub use scripted_response::ScriptedResponse;
