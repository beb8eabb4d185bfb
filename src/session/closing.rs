//! Why the server closes a socket: a code for programs, and where the code does not say it all, the cause for people. Pure.
//!
//! A cause goes to the peer that made the fault and nowhere else: it may repeat a few words of what that peer sent, so it is never logged (I9).

use driftless_protocol::{CloseCode, Codec, ServerMessage, limits};

use super::authenticator::AuthError;
use super::socket::FrameFault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) code: CloseCode,
    /// The cause, for people; absent if the code says it.
    pub(super) cause: Option<String>,
    /// When the device may come back, in milliseconds, if the cause says it.
    pub(super) retry_after_ms: Option<u64>,
}

impl From<CloseCode> for Closing {
    fn from(code: CloseCode) -> Closing {
        Closing { code, cause: None, retry_after_ms: None }
    }
}

impl From<&AuthError> for Closing {
    fn from(error: &AuthError) -> Closing {
        Closing { retry_after_ms: error.retry_after_ms(), ..Closing::because(error.close_code(), error.to_string()) }
    }
}

impl Closing {
    /// Keeps the first [`limits::BYE_MESSAGE_BYTES`] of a cause.
    pub(super) fn because(code: CloseCode, cause: impl Into<String>) -> Closing {
        let mut cause = cause.into();
        let fits = |&at: &usize| cause.is_char_boundary(at);
        cause.truncate((0..=limits::BYE_MESSAGE_BYTES.min(cause.len())).rev().find(fits).unwrap_or(0));
        Closing { code, cause: Some(cause), retry_after_ms: None }
    }

    /// For a frame that cannot hold a message, on a socket whose messages have this bound now, in bytes.
    pub(super) fn of_frame(fault: FrameFault, codec: Codec, bound_bytes: usize) -> Closing {
        let kind = match codec {
            Codec::MsgPack => "binary",
            Codec::Json => "text",
        };
        let cause = match fault {
            FrameFault::WrongKind => format!("the messages of {} are {kind} frames", codec.subprotocol()),
            FrameFault::NotUtf8 => "a text frame must be UTF-8".to_owned(),
            FrameFault::Malformed => "the bytes are not a WebSocket frame of a client (RFC 6455)".to_owned(),
            FrameFault::TooLarge => format!("the message is over {bound_bytes} bytes"),
        };
        let code = match fault {
            FrameFault::WrongKind | FrameFault::NotUtf8 | FrameFault::Malformed => CloseCode::BadMessage,
            FrameFault::TooLarge => CloseCode::TooLarge,
        };
        Closing::because(code, cause)
    }

    /// For a frame whose bytes are not a message; `why` is the decoder's text.
    pub(super) fn of_broken(codec: Codec, why: &str) -> Closing {
        Closing::because(CloseCode::BadMessage, format!("the frame is no message of {}: {why}", codec.subprotocol()))
    }

    /// The last message of the session.
    pub(super) fn bye(self, reconnect_after_ms: Option<u64>) -> ServerMessage {
        let Closing { code, cause, retry_after_ms: _ } = self;
        ServerMessage::Bye { code: code.code(), reason: code.reason().to_owned(), message: cause, reconnect_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cause_is_cut_between_two_characters() {
        for (text, bytes) in
            [("x".repeat(512), 512), ("x".repeat(9_000), 512), ("ü".repeat(400), 512), (format!("x{}", "ü".repeat(400)), 511)]
        {
            assert_eq!(Closing::because(CloseCode::BadMessage, text).cause.map(|cause| cause.len()), Some(bytes));
        }
    }
}
