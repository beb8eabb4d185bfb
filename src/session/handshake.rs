//! From an unauthenticated socket to one with a principal: a hello within a deadline.

use std::time::Duration;

use driftless_protocol::{ClientMessage, CloseCode, Codec, DecodeError, DeviceId, RefusalCode, ServerMessage, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::authenticator::{AuthError, AuthenticatedDevice};
use super::closing::Closing;
use super::progress::TransferDeadline;
use super::services::{SessionServices, session_name};
use super::socket::{Incoming, SessionSocket};
use super::source::RequestSource;
use crate::identity::SignInPurpose;
use crate::sync::{Principal, SessionStart};

/// How long a socket may stay open without a hello, in milliseconds. A phone on a bad network needs seconds; an unauthenticated peer gets no
/// more, but for a hello that arrives faster than the floor: with its 32 KiB that is 43 seconds at most.
const HELLO_MS: u64 = 10_000;

/// The same for a socket that says nothing at all while the server's connections are short, in milliseconds.
const HELLO_WHEN_SHORT_MS: u64 = 2_000;

/// How often is looked whether connections are short, in milliseconds.
const SHORT_CHECK_MS: u64 = 1_000;

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// The server closes the socket, and tells the peer why.
    Rejected(Closing),
    /// The device was not authenticated.
    Unauthenticated(AuthError),
    /// The peer disconnected.
    Disconnected,
}

/// A hello whose fields are valid; its token is not verified yet.
#[derive(Debug, PartialEq, Eq)]
struct Hello {
    token: String,
    device: DeviceId,
    client: String,
}

/// Waits for the hello, and authenticates the device.
pub(super) async fn receive_hello<S: AsyncRead + AsyncWrite + Unpin>(
    services: &SessionServices,
    socket: &mut SessionSocket<S>,
    from: &RequestSource,
) -> Result<AuthenticatedDevice, HandshakeError> {
    let hello = match receive_first(services, socket, from).await {
        FirstMessage::Late => Err(Closing::because(CloseCode::HelloTimeout, "no hello arrived in time")),
        FirstMessage::Draining => Err(CloseCode::Restarting.into()),
        FirstMessage::Arrived(Incoming::Closed) => return Err(HandshakeError::Disconnected),
        FirstMessage::Arrived(Incoming::Invalid(fault)) => Err(Closing::of_frame(fault, socket.codec(), limits::HELLO_BYTES)),
        FirstMessage::Arrived(Incoming::Message(bytes)) => {
            // The decoder's error may quote the message, and the message may hold a token: only its size is logged (I9).
            read_hello(socket.codec(), &bytes)
                .inspect_err(|why| debug!(bytes = bytes.len(), reason = why.code.reason(), "handshake rejected: no valid hello"))
        }
    };
    let Hello { token, device, client } = hello.map_err(HandshakeError::Rejected)?;
    let mut drain = from.drain.clone();
    let authenticated = tokio::select! {
        // What is at hand is answered, also if the drain has begun.
        biased;
        authenticated = services.authenticator.authenticate(&token, device.clone(), SignInPurpose::Use, from) => authenticated,
        // The issuer's keys may take as long as the whole drain, and the device has been told nothing yet.
        () = drain.begun() => return Err(HandshakeError::Rejected(CloseCode::Restarting.into())),
    };
    let authenticated = authenticated.map_err(|error| {
        match error {
            // The verifier has logged the reason.
            AuthError::Token(_) => {}
            AuthError::TooManyDevices
            | AuthError::Revoked
            | AuthError::TokenRevoked { .. }
            | AuthError::OriginNotAllowed
            | AuthError::LimitExceeded(_)
            | AuthError::Unavailable => {
                debug!(%device, reason = %error, "handshake rejected");
            }
        }
        HandshakeError::Unauthenticated(error)
    })?;
    debug!(identity = %authenticated.principal.identity, %device, ?client, address = %from.client.address(), "device authenticated");
    Ok(authenticated)
}

/// The hello in the first message, or how the socket is closed: with every fault of a hello said to the peer.
fn read_hello(codec: Codec, bytes: &[u8]) -> Result<Hello, Closing> {
    let hello_expected = |cause: &str| Closing::because(CloseCode::HelloExpected, format!("the first message must be hello{cause}"));
    match codec.decode_client(bytes) {
        // Reserved ids name the server's own writers.
        Ok(ClientMessage::Hello { device, .. }) if device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX) => {
            let cause = format!("a device's id must not begin with {}, which is reserved for the server", limits::RESERVED_DEVICE_PREFIX);
            Err(Closing::because(CloseCode::BadMessage, cause))
        }
        Ok(ClientMessage::Hello { token, device, client }) => Ok(Hello { token, device, client }),
        Ok(_) => Err(hello_expected("")),
        Err(DecodeError::Refused { code: RefusalCode::UnknownType, message, .. }) => Err(hello_expected(&format!(": {message}"))),
        Err(DecodeError::Refused { message, .. }) => {
            Err(Closing::because(CloseCode::BadMessage, format!("the first message is no valid hello: {message}")))
        }
        Err(DecodeError::Broken(why)) => Err(Closing::of_broken(codec, &why)),
    }
}

/// How the wait for the first message ended.
enum FirstMessage {
    Arrived(Incoming),
    Late,
    /// The server drains, and nothing of this socket is in progress.
    Draining,
}

/// Waits for the first message. Time in which the process was paused does not count, as for every session.
async fn receive_first<S: AsyncRead + AsyncWrite + Unpin>(
    services: &SessionServices,
    socket: &mut SessionSocket<S>,
    from: &RequestSource,
) -> FirstMessage {
    let (counter, began_ms) = (socket.counter(), services.now().elapsed_ms);
    let mut deadline = TransferDeadline::new(began_ms, HELLO_MS, counter.bytes().received);
    let (mut next, mut drain) = (std::pin::pin!(socket.next()), from.drain.clone());
    loop {
        let now_ms = services.now().elapsed_ms;
        deadline.count(now_ms, counter.bytes().received);
        let is_silent = counter.bytes().received == 0;
        let gives_way = is_silent && now_ms >= began_ms + HELLO_WHEN_SHORT_MS && from.capacity.is_short();
        if deadline.is_over(now_ms) || gives_way {
            return FirstMessage::Late;
        }
        let left_ms = deadline.at_ms() - now_ms;
        let wait_ms = if is_silent { left_ms.min(SHORT_CHECK_MS) } else { left_ms };
        tokio::select! {
            biased;
            incoming = &mut next => return FirstMessage::Arrived(incoming),
            () = drain.begun() => return FirstMessage::Draining,
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        }
    }
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
        linked: start.linked,
        push_lost: start.push_lost,
        known_since_ms: start.known_since_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(codec: Codec, bytes: &[u8]) -> (CloseCode, String) {
        let why = read_hello(codec, bytes).expect_err("no valid hello");
        (why.code, why.cause.expect("every fault of a hello is explained"))
    }

    #[test]
    fn every_fault_of_a_hello_is_explained() {
        let long_id = format!(r#"{{"type":"hello","token":"t","device":"{}","client":"c"}}"#, "d".repeat(257));
        let long_client = format!(r#"{{"type":"hello","token":"t","device":"d","client":"{}"}}"#, "c".repeat(129));
        for (text, code, cause) in [
            (r#"{"type":"hello","device":"d","client":"c"}"#, CloseCode::BadMessage, "token"),
            (r#"{"type":"hello","token":"t","client":"c"}"#, CloseCode::BadMessage, "device"),
            (r#"{"type":"hello","token":"t","device":"d"}"#, CloseCode::BadMessage, "client"),
            (r#"{"type":"hello","token":7,"device":"d","client":"c"}"#, CloseCode::BadMessage, "text"),
            (r#"{"type":"hello","token":"t","device":"a b","client":"c"}"#, CloseCode::BadMessage, "a device's id must be"),
            (long_id.as_str(), CloseCode::BadMessage, "a device's id must be 1 to 256"),
            (long_client.as_str(), CloseCode::BadMessage, "client must be at most 128 bytes"),
            (r#"{"type":"hello","token":"t","device":"~operator","client":"c"}"#, CloseCode::BadMessage, "reserved"),
            (r#"{"token":"t","device":"d","client":"c"}"#, CloseCode::BadMessage, "type"),
            (r#"{"type":"fly"}"#, CloseCode::HelloExpected, "must be hello: unknown type fly"),
            (r#"{"type":"ping"}"#, CloseCode::HelloExpected, "must be hello"),
            ("{", CloseCode::BadMessage, "driftless.v1.json"),
            ("[]", CloseCode::BadMessage, "a map with names"),
        ] {
            let (found, message) = fault(Codec::Json, text.as_bytes());
            assert_eq!(found, code, "{text}");
            assert!(message.contains(cause), "{text}: {message}");
            assert!(message.len() < 500, "{message}");
        }
        assert_eq!(fault(Codec::MsgPack, b"{").0, CloseCode::BadMessage);
    }
}
