//! A device's open socket, from its first message to its close.
//!
//! `handshake` turns an unauthenticated socket into one with a [`Principal`](crate::sync::Principal). Only then is there an [`OpenSession`].
//! Its `driver` moves bytes and leaves decisions to two pure parts: `timers` (which deadline is due) and `subscription` (which change or page of
//! a dataset is next).
//!
//! - A sleeping session owns no buffer, no timer, no queue and no thread: only a socket, its signals and its cursors.
//! - A request that fails is refused by itself. Only a frame that is no message closes the socket, always with a code that says why.
//! - A peer that does not read costs no memory: nothing is encoded for it, and when it reads again it skips to the newest values.

mod authenticator;
mod closing;
mod context;
mod delivery;
mod drain;
mod driver;
mod frame_tracker;
mod framed;
mod handshake;
mod live;
mod logins;
mod open;
mod outgoing;
mod progress;
mod read_ahead;
mod received;
mod replies;
mod requests;
mod services;
mod socket;
mod source;
mod subscription;
mod timer_wheel;
mod timers;
mod token_timer;

use std::sync::Arc;

use driftless_protocol::{Codec, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Instrument, Span, debug_span};

pub use authenticator::{AuthError, AuthenticatedDevice, Authenticator, login_token};
pub use drain::{DrainControl, DrainWatch};
use driver::SessionDriver;
pub use progress::{FLOOR_BYTES_PER_S, SlowTransfer, SlowTransfers, TransferDeadline, TransferParty};
pub use services::SessionConfig;
use services::{NO_SESSION, SessionServices, first_session, session_name};
pub use source::RequestSource;
pub use timer_wheel::TimerWheel;
pub use timers::{HEARTBEAT_S, LONGEST_HEARTBEAT_S, STALL_MS};
pub use token_timer::RENEWAL_MS;

use crate::clock::RunningClock;
use crate::committer::Unavailable;
use crate::hub::Hub;
pub use crate::identity::SignInPurpose;
use crate::limits::MemoryBudgets;
use crate::metrics::Metrics;
use crate::sync::SyncService;

/// Opens sessions. Clones share everything that sessions use.
#[derive(Clone)]
pub struct Sessions {
    services: Arc<SessionServices>,
}

impl Sessions {
    pub fn new(
        authenticator: Authenticator,
        sync: SyncService,
        hub: Hub,
        wheel: TimerWheel,
        clock: RunningClock,
        metrics: Metrics,
        config: SessionConfig,
    ) -> Sessions {
        let (slow_transfers, next_session) = (SlowTransfers::default(), first_session());
        let memory = MemoryBudgets::new(config.memory);
        let services = SessionServices { authenticator, sync, hub, wheel, clock, slow_transfers, memory, metrics, config, next_session };
        Sessions { services: Arc::new(services) }
    }

    /// The places of slow transfers, which sessions and requests share.
    pub fn slow_transfers(&self) -> &SlowTransfers {
        &self.services.slow_transfers
    }

    /// The memory of messages and answers, which sessions and requests share.
    pub fn memory(&self) -> &MemoryBudgets {
        &self.services.memory
    }

    /// Waits for the hello on a socket that was opened from there, authenticates the device and welcomes it. `None` if the handshake was rejected or the peer
    /// disconnected.
    pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S, codec: Codec, from: RequestSource) -> Option<OpenSession<'_, S>> {
        let number = self.services.next_session();
        let span = debug_span!("session", session = %session_name(number));
        let driver = open::open(&self.services, socket::SessionSocket::new(io, codec), number, from).instrument(span.clone()).await?;
        Some(OpenSession { driver: Box::new(driver), span })
    }

    /// What a session of this device would be welcomed with, for a device that opens none. `None` if its identity no longer exists or the device
    /// was revoked since it was authenticated.
    pub async fn welcome(&self, device: &AuthenticatedDevice) -> Result<Option<ServerMessage>, Unavailable> {
        let (services, who) = (&self.services, &device.principal);
        let expires_in_s = device.expires_s.saturating_sub(services.now().unix_ms / 1000);
        let start = services.sync.start_session(who, device.token()).await?;
        Ok(start.map(|start| handshake::welcome_message(services, who, NO_SESSION, start, expires_in_s)))
    }
}

/// A session whose device was welcomed.
pub struct OpenSession<'a, S> {
    driver: Box<SessionDriver<'a, S>>,
    span: Span,
}

impl<S: AsyncRead + AsyncWrite + Unpin> OpenSession<'_, S> {
    /// Runs the session until it is closed. This future is small, because a server holds very many of them and nearly all wait.
    pub fn run(self) -> impl Future<Output = ()> {
        self.driver.run().instrument(self.span)
    }
}

#[cfg(test)]
mod tests;
