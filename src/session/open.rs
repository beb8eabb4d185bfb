//! Opens a session: the handshake on a socket, then the welcome.

use std::collections::VecDeque;

use driftless_protocol::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite};

use super::authenticator::AuthError;
use super::context::{SessionContext, SessionEnd};
use super::driver::{SessionDriver, close};
use super::handshake::{self, HandshakeError};
use super::live::LiveSession;
use super::received::ReceivedBytes;
use super::services::SessionServices;
use super::socket::SessionSocket;
use super::source::RequestSource;
use super::timers::SessionTimers;
use crate::hub::SessionSignals;
use crate::sync::LoginToken;

/// Performs the handshake on a socket. `None` if it was rejected or the peer disconnected.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    services: &SessionServices,
    mut socket: SessionSocket<S>,
    session: u64,
    from: RequestSource,
) -> Option<SessionDriver<'_, S>> {
    let authenticated = match handshake::receive_hello(services, &mut socket, &from).await {
        Ok(authenticated) => authenticated,
        Err(HandshakeError::Disconnected) => {
            services.metrics.handshake_finished("disconnected");
            return None;
        }
        Err(HandshakeError::Unauthenticated(error)) => {
            return refuse(services, &mut socket, error).await;
        }
        Err(HandshakeError::Rejected(why)) => {
            services.metrics.handshake_finished(why.code.reason());
            let reconnect_after_ms = services.reconnect_after(why.code);
            close(&mut socket, why, reconnect_after_ms).await;
            return None;
        }
    };
    let client = from.client;
    let opened = services.authenticator.within_limits(&client, authenticated.principal.pool.used.open_session());
    let counted = match opened {
        Ok(counted) => counted,
        Err(error) => return refuse(services, &mut socket, error).await,
    };
    services.metrics.handshake_finished("welcome");
    let now = services.now();
    let timers = SessionTimers::new(now, authenticated.expires_s, services.config.heartbeat_s);
    let expires_in_s = timers.token().expires_in_s(now.unix_ms);
    let token = authenticated.token();
    let intake = ReceivedBytes::new(client, counted);
    let signals = SessionSignals::with_codec(session, socket.codec());
    let context = SessionContext::new(services, authenticated.principal, signals, token.clone(), timers, socket.counter(), intake);
    let session = LiveSession { socket, context, subscriptions: Vec::new(), patches: VecDeque::new(), read_ahead: None };
    let mut driver = SessionDriver::new(session);
    match welcome(&mut driver.session, token, expires_in_s).await {
        Ok(()) => Some(driver),
        Err(end) => {
            driver.finish(end).await;
            None
        }
    }
}

/// Closes a socket whose device was not authenticated.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin, T>(
    services: &SessionServices,
    socket: &mut SessionSocket<S>,
    error: AuthError,
) -> Option<T> {
    services.metrics.handshake_finished(error.code());
    let reconnect_after_ms = match error {
        // Spread, so that those who were refused together do not come back together.
        AuthError::LimitExceeded(_) => error.retry_after_ms().map(|after_ms| services.spread_ms(after_ms)),
        _ => error.retry_after_ms(),
    };
    close(socket, (&error).into(), reconnect_after_ms).await;
    None
}

/// Replies to the hello. The hub knows the session before this reads the identity: if the identity is erased after the read, the session
/// gets a signal.
async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut LiveSession<'_, S>,
    token: LoginToken,
    expires_in_s: u64,
) -> Result<(), SessionEnd> {
    let SessionContext { services, who, signals, .. } = &session.context;
    match services.sync.start_session(who, token).await {
        Ok(Some(start)) if start.known_since_ms.is_some() => {
            let welcome = handshake::welcome_message(services, who, signals.session(), start, expires_in_s);
            session.send(&welcome).await
        }
        // The identity was erased, merged or the device revoked or forgotten since it was authenticated. The device has to sign in again.
        Ok(Some(_) | None) => Err(CloseCode::Moved.into()),
        Err(_) => Err(CloseCode::ServerError.into()),
    }
}
