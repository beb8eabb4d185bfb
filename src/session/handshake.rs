//! From a socket that nobody knows to one with a principal: hello, within a deadline.

use std::time::Duration;

use driftless_protocol::{ClientMessage, CloseCode, DecodeError, RefusalCode, ServerMessage, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::socket::{Incoming, Socket};
use super::{AuthenticatedDevice, Inner, name};
use crate::sync::{Principal, SessionStart};

/// How long a socket may stay without its hello. A phone on a bad network needs seconds; a stranger gets no more.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// A socket that was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// It is told why.
    Away(CloseCode),
    /// It is gone.
    Gone,
}

/// Waits for hello and checks it; says who came.
pub(super) async fn hello<S: AsyncRead + AsyncWrite + Unpin>(inner: &Inner, socket: &mut Socket<S>) -> Result<AuthenticatedDevice, Turned> {
    let first = tokio::time::timeout(HELLO_DEADLINE, socket.next()).await;
    let bytes = match first {
        Err(_) => return Err(Turned::Away(CloseCode::HelloTimeout)),
        Ok(Incoming::End) => return Err(Turned::Gone),
        Ok(Incoming::Unfit(code)) => return Err(Turned::Away(code)),
        Ok(Incoming::Message(bytes)) => bytes,
    };
    let (token, device, client) = match socket.codec().decode_client(&bytes) {
        Ok(ClientMessage::Hello { token, device, client }) => (token, device, client),
        Ok(_) | Err(DecodeError::Refused { code: RefusalCode::UnknownType, .. }) => return Err(Turned::Away(CloseCode::HelloExpected)),
        // What is wrong with it may quote it, and it may hold a token: only its size is logged.
        Err(_) => {
            debug!(bytes = bytes.len(), "a first message that is none");
            return Err(Turned::Away(CloseCode::BadMessage));
        }
    };
    drop(bytes);
    // Such ids are the server's own writers'.
    if device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX) {
        return Err(Turned::Away(CloseCode::BadMessage));
    }
    let entered = inner.door.enter(&token, device.clone()).await;
    inner.metrics.handshake(entered.as_ref().map_or_else(|denied| denied.code(), |_| "welcome"));
    let entry = entered.map_err(|denied| {
        debug!(%device, reason = %denied, "a device was turned away");
        Turned::Away(denied.close_code())
    })?;
    debug!(identity = %entry.principal.identity, %device, ?client, "a device came in");
    Ok(entry)
}

/// The answer to a hello.
pub(super) fn welcome(inner: &Inner, who: &Principal, session: u64, arrival: SessionStart, token_expires_in_s: u64) -> ServerMessage {
    ServerMessage::Welcome {
        identity: who.identity.as_str().to_owned(),
        session: name(session),
        patch: arrival.patch,
        heartbeat_s: u64::from(inner.config.heartbeat_s),
        token_expires_in_s,
        limits: who.pool.limits,
        merged: arrival.merged,
    }
}
