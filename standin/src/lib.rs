//! A stand-in for Apple's, Google's and a browser's push service, in one process, for tests, load tests and `driftless dev`.
//!
//! It checks what they check, over real HTTP/2 with TLS by an authority of its own, and says what they say; a script says otherwise,
//! for one token or for all; a [`Trouble`] befalls all of its connections. What a sender does wrong is a complaint.
//!
//! - Three ports of this machine: Apple's production, Google and Web Push ([`Gateway::url`]), Apple's sandbox
//!   ([`Gateway::sandbox_url`]), and Google's token endpoint over plain HTTP ([`Gateway::token_uri`]).
//! - One request: `connection` -> `http2` or `http1` -> `service`, which asks `apns`, `fcm` or `webpush` whether it is
//!   in order, the `directory` what its token's script says, and lets the `ledger` remember it.
//! - `wire` puts frames into a connection that no HTTP/2 library sends at will.
//! - A request that is not in order is refused before any script is asked, and is never a push.
//! - What it remembers is bounded. It is never part of `serve`.

mod answer;
mod credentials;
mod ledger;
mod push;
mod trouble;

mod handle;

mod shared;

mod connection;
mod http1;
mod http2;
mod port;

mod control;
mod frames;
mod lines;
mod valve;
mod wire;

mod call;
mod refusal;
mod reply;
mod service;

mod apns;
mod apns_payload;
mod fcm;
mod fcm_error;
mod webpush;

mod access_tokens;
mod jwt;
mod provider_tokens;
mod sealing;
mod vapid;

mod authority;
mod clock;
mod directory;
mod scratch;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Reply};
pub use credentials::Credentials;
pub use fcm_error::FcmCode;
pub use handle::{Environment, Gateway, Ports};
pub use ledger::Counts;
pub use push::Push;
pub use trouble::Trouble;
