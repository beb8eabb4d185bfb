//! Why a connection ended or did not come about, and what the device does next.

use std::fmt;

use driftless_protocol::{Advice, CloseCode};

/// Why a session ended, or an attempt to begin one failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The token source returned this error.
    NoToken(String),
    /// No connection was established: nothing listens at the address, its name is unknown, TLS failed, or the attempt timed out.
    Unreachable(String),
    /// The server answered the WebSocket upgrade with this HTTP status.
    UpgradeRejected(u16),
    /// The server closed the socket with a close frame.
    Closed {
        /// The close code: one of [`CloseCode`], or a code of a proxy or of RFC 6455 §7.4 (1000 to 2999).
        code: u16,
        /// The reason that came with the code; empty if there was none.
        reason: String,
        /// The cause in the server's words, for people, if it gave one: why it refused the token, or what is wrong with a message.
        message: Option<String>,
        /// After how many milliseconds the device should reconnect, if the server said.
        reconnect_after_ms: Option<u64>,
    },
    /// The socket ended without a close frame.
    Lost(String),
    /// The server did not answer a ping, or did not welcome the device, in 15 s.
    Timeout,
    /// The server sent something that violates the protocol.
    ProtocolError(String),
    /// The token of this connection leads to another identity than the one before; the two identities' data must not be mixed.
    OtherIdentity,
}

impl DisconnectReason {
    /// What the device does next (`PROTOCOL.md` §6). After a code that the table does not list it reconnects.
    pub fn advice(&self) -> Advice {
        match self {
            DisconnectReason::Closed { code, .. } => CloseCode::from_code(*code).map_or(Advice::Reconnect, CloseCode::advice),
            DisconnectReason::OtherIdentity => Advice::GiveUp,
            DisconnectReason::NoToken(_)
            | DisconnectReason::Unreachable(_)
            | DisconnectReason::UpgradeRejected(_)
            | DisconnectReason::Lost(_)
            | DisconnectReason::Timeout
            | DisconnectReason::ProtocolError(_) => Advice::Reconnect,
        }
    }

    /// The close code, if the server sent one that the protocol defines.
    pub fn code(&self) -> Option<CloseCode> {
        match self {
            DisconnectReason::Closed { code, .. } => CloseCode::from_code(*code),
            _ => None,
        }
    }

    /// After how many milliseconds the device should reconnect, if the server said.
    pub fn reconnect_after_ms(&self) -> Option<u64> {
        match self {
            DisconnectReason::Closed { reconnect_after_ms, .. } => *reconnect_after_ms,
            _ => None,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisconnectReason::NoToken(why) => write!(f, "no token: {why}"),
            DisconnectReason::Unreachable(why) => write!(f, "cannot connect: {why}"),
            DisconnectReason::UpgradeRejected(status) => write!(f, "websocket upgrade rejected with http status {status}"),
            DisconnectReason::Closed { code, reason, message: None, .. } => write!(f, "the server closed the socket: {code} {reason}"),
            DisconnectReason::Closed { code, reason, message: Some(message), .. } => {
                write!(f, "the server closed the socket: {code} {reason}: {message}")
            }
            DisconnectReason::Lost(why) => write!(f, "the connection was lost: {why}"),
            DisconnectReason::Timeout => write!(f, "the server does not answer"),
            DisconnectReason::ProtocolError(why) => write!(f, "protocol error: {why}"),
            DisconnectReason::OtherIdentity => write!(f, "the token leads to another identity than before"),
        }
    }
}

impl std::error::Error for DisconnectReason {}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> DisconnectReason {
        DisconnectReason::Closed { code, reason: String::new(), message: None, reconnect_after_ms: None }
    }

    #[test]
    fn a_close_code_says_what_to_do() {
        assert_eq!(closed(4006).advice(), Advice::GiveUp);
        assert_eq!(closed(4003).advice(), Advice::RenewToken);
        assert_eq!(closed(4012).advice(), Advice::Reconnect);
    }

    #[test]
    fn the_servers_words_are_shown() {
        let message = Some("the token has expired".to_owned());
        let refused = DisconnectReason::Closed { code: 4003, reason: "token_refused".to_owned(), message, reconnect_after_ms: None };
        assert_eq!(refused.to_string(), "the server closed the socket: 4003 token_refused: the token has expired");
    }

    #[test]
    fn after_any_other_reason_the_device_reconnects() {
        for reason in [
            closed(1000),
            closed(1001),
            closed(1006),
            closed(4010),
            closed(4099),
            closed(4999),
            DisconnectReason::Timeout,
            DisconnectReason::Lost(String::new()),
            DisconnectReason::UpgradeRejected(502),
        ] {
            assert_eq!(reason.advice(), Advice::Reconnect, "{reason}");
        }
        assert_eq!(DisconnectReason::OtherIdentity.advice(), Advice::GiveUp);
    }
}
