//! From an unauthenticated socket to one with a principal: a hello within a deadline.

use std::time::Duration;

use driftless_protocol::{ClientMessage, CloseCode, DecodeError, RefusalCode, ServerMessage, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::authenticator::{AuthError, AuthenticatedDevice};
use super::services::{SessionServices, session_name};
use super::socket::{Incoming, SessionSocket};
use crate::sync::{Principal, SessionStart};

/// How long a socket may stay open without a hello. A phone on a bad network needs seconds; an unauthenticated peer gets no more.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// The server closes the socket with this code.
    Rejected(CloseCode),
    /// The peer disconnected.
    Disconnected,
}

/// Waits for the hello, and authenticates the device.
pub(super) async fn receive_hello<S: AsyncRead + AsyncWrite + Unpin>(
    services: &SessionServices,
    socket: &mut SessionSocket<S>,
) -> Result<AuthenticatedDevice, HandshakeError> {
    let first = tokio::time::timeout(HELLO_DEADLINE, socket.next()).await;
    let bytes = match first {
        Err(_) => return Err(HandshakeError::Rejected(CloseCode::HelloTimeout)),
        Ok(Incoming::Closed) => return Err(HandshakeError::Disconnected),
        Ok(Incoming::Invalid(code)) => return Err(HandshakeError::Rejected(code)),
        Ok(Incoming::Message(bytes)) => bytes,
    };
    let (token, device, client) = match socket.codec().decode_client(&bytes) {
        Ok(ClientMessage::Hello { token, device, client }) => (token, device, client),
        Ok(_) | Err(DecodeError::Refused { code: RefusalCode::UnknownType, .. }) => {
            return Err(HandshakeError::Rejected(CloseCode::HelloExpected));
        }
        // The decoder's error may quote the message, and the message may hold a token: only its size is logged (I9).
        Err(_) => {
            debug!(bytes = bytes.len(), "handshake rejected: first message cannot be decoded");
            return Err(HandshakeError::Rejected(CloseCode::BadMessage));
        }
    };
    drop(bytes);
    // Reserved ids name the server's own writers.
    if device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX) {
        return Err(HandshakeError::Rejected(CloseCode::BadMessage));
    }
    let authenticated = services.authenticator.authenticate(&token, device.clone()).await;
    services.metrics.handshake_finished(authenticated.as_ref().map_or_else(|error| error.code(), |_| "welcome"));
    let authenticated = authenticated.map_err(|error| {
        match error {
            // The verifier has logged the reason.
            AuthError::Token(_) => {}
            AuthError::TooManyDevices | AuthError::Revoked | AuthError::Unavailable => {
                debug!(%device, reason = %error, "handshake rejected");
            }
        }
        HandshakeError::Rejected(error.close_code())
    })?;
    debug!(identity = %authenticated.principal.identity, %device, ?client, "device authenticated");
    Ok(authenticated)
}

/// The reply to a hello.
pub(super) fn welcome_message(
    services: &SessionServices,
    who: &Principal,
    session: u64,
    start: SessionStart,
    token_expires_in_s: u64,
) -> ServerMessage {
    ServerMessage::Welcome {
        identity: who.identity.as_str().to_owned(),
        session: session_name(session),
        patch: start.newest_patch,
        heartbeat_s: u64::from(services.config.heartbeat_s),
        token_expires_in_s,
        limits: who.pool.limits,
        merged: start.merged,
    }
}
