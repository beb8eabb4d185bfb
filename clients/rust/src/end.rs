//! Why there is no connection (any more), and what a device does next.

use std::fmt;

use driftless_protocol::{Advice, CloseCode};

/// The end of a session, or of an attempt to begin one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The app gave no token.
    NoToken(String),
    /// No connection came about: nobody listens there, the name is unknown, TLS failed, or it took too long.
    Unreachable(String),
    /// Somebody answered, but with this HTTP status and not with a socket of the protocol.
    Declined(u16),
    /// The server closed the socket, and said why.
    Closed {
        /// The close code; one of [`CloseCode`], or another's (1000 to 2999 are those of RFC 6455).
        code: u16,
        /// Its reason.
        reason: String,
        /// When to connect again, in milliseconds, if the server said.
        reconnect_after_ms: Option<u64>,
    },
    /// The socket ended without a word.
    Lost(String),
    /// A ping was not answered.
    Silent,
    /// The server said something that is no message of the protocol.
    NotUnderstood(String),
    /// The token of this connection leads to another identity than the one before: its data must not be mixed.
    OtherIdentity,
}

impl End {
    /// What the device does next (`PROTOCOL.md` §6). Whatever the table does not name is a reason to connect again.
    pub fn advice(&self) -> Advice {
        match self {
            End::Closed { code, .. } => CloseCode::from_code(*code).map_or(Advice::Reconnect, CloseCode::advice),
            End::OtherIdentity => Advice::GiveUp,
            End::NoToken(_) | End::Unreachable(_) | End::Declined(_) | End::Lost(_) | End::Silent | End::NotUnderstood(_) => {
                Advice::Reconnect
            }
        }
    }

    /// The close code, if the server sent one that the protocol knows.
    pub fn code(&self) -> Option<CloseCode> {
        match self {
            End::Closed { code, .. } => CloseCode::from_code(*code),
            _ => None,
        }
    }

    /// When the server wants the device back, in milliseconds, if it said.
    pub fn reconnect_after_ms(&self) -> Option<u64> {
        match self {
            End::Closed { reconnect_after_ms, .. } => *reconnect_after_ms,
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::NoToken(why) => write!(f, "no token: {why}"),
            End::Unreachable(why) => write!(f, "cannot connect: {why}"),
            End::Declined(status) => write!(f, "the answer was HTTP status {status} and not a driftless socket"),
            End::Closed { code, reason, .. } => write!(f, "the server closed the socket: {code} {reason}"),
            End::Lost(why) => write!(f, "the connection was lost: {why}"),
            End::Silent => write!(f, "the server does not answer"),
            End::NotUnderstood(why) => write!(f, "the server is not understood: {why}"),
            End::OtherIdentity => write!(f, "the token leads to another identity than before"),
        }
    }
}

impl std::error::Error for End {}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> End {
        End::Closed { code, reason: String::new(), reconnect_after_ms: None }
    }

    #[test]
    fn a_close_code_says_what_to_do() {
        assert_eq!(closed(4006).advice(), Advice::GiveUp);
        assert_eq!(closed(4003).advice(), Advice::RenewToken);
        assert_eq!(closed(4012).advice(), Advice::Reconnect);
    }

    #[test]
    fn any_other_end_is_a_reason_to_connect_again() {
        for end in [closed(1006), closed(4999), End::Silent, End::Lost(String::new()), End::Declined(502)] {
            assert_eq!(end.advice(), Advice::Reconnect, "{end}");
        }
        assert_eq!(End::OtherIdentity.advice(), Advice::GiveUp);
    }
}
