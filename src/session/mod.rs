//! A device's open socket, from its first message to its goodbye.
//!
//! `handshake` turns a socket that nobody knows into one with a [`Principal`](crate::sync::Principal); only then is there a `driver`, which
//! moves bytes and asks the pure parts what to do: `machine` (time), `following` (what to send of a dataset).
//!
//! - A sleeping session owns no buffer, no timer, no queue and no thread: a socket, a mailbox, its cursors.
//! - A request that fails is refused by itself. Only what is no message at all ends the socket, always with a code that says why.
//! - A peer that does not read costs no memory: nothing is taken for it, and when it reads again it skips to the newest values.

mod desk;
mod door;
mod driver;
mod following;
mod handshake;
mod heartbeat;
mod machine;
mod requests;
mod socket;
mod tap;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_protocol::Codec;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Instrument, Span, debug_span};

pub use door::{AuthError, AuthenticatedDevice, Authenticator};
pub use heartbeat::Wheel;
pub use machine::{HEARTBEAT_S, LONGEST_HEARTBEAT_S, RENEWAL_MS, STALL_MS};

use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::sync::Sync;
use machine::Now;

/// How sessions are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// How often a device says something, in seconds; at most [`LONGEST_HEARTBEAT_S`].
    pub heartbeat_s: u32,
    /// The window over which devices are told to come back after a restart, in milliseconds.
    pub reconnect_spread_ms: u64,
}

/// What sessions need of the rest of the server; cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    door: Authenticator,
    sync: Sync,
    hub: Hub,
    wheel: Wheel,
    metrics: Metrics,
    config: SessionConfig,
    next: AtomicU64,
}

impl Sessions {
    /// Over the parts that they use.
    pub fn new(door: Authenticator, sync: Sync, hub: Hub, wheel: Wheel, metrics: Metrics, config: SessionConfig) -> Sessions {
        // Numbers of sessions tell them apart in the log of several runs, too. 0 is nobody's: it stands for writes without a session.
        let next = AtomicU64::new((random() >> 12) + 1);
        Sessions { inner: Arc::new(Inner { door, sync, hub, wheel, metrics, config, next }) }
    }

    /// Lets a socket in: waits for its hello, and welcomes it. `None` if it was turned away, or went.
    pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S, codec: Codec) -> Option<Session<'_, S>> {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let span = debug_span!("session", session = %name(number));
        let driver = driver::begin(&self.inner, socket::Socket::new(io, codec), number).instrument(span.clone()).await?;
        Some(Session { driver: Box::new(driver), span })
    }
}

/// A session that was welcomed.
pub struct Session<'a, S> {
    driver: Box<driver::Driver<'a, S>>,
    span: Span,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Serves it to its end. This future is small: there are very many, and nearly all of them wait.
    pub fn run(self) -> impl Future<Output = ()> {
        self.driver.run().instrument(self.span)
    }
}

impl Inner {
    fn now(&self) -> Now {
        let clock = self.sync.clock();
        Now { elapsed_ms: clock.elapsed_ms(), unix_ms: clock.unix_ms() }
    }
}

/// A session's number as it is shown.
fn name(number: u64) -> String {
    format!("{number:x}")
}

fn random() -> u64 {
    // Without the system's random source nothing of this is secret, only less well spread.
    getrandom::u64().unwrap_or(1)
}

#[cfg(test)]
mod tests;
