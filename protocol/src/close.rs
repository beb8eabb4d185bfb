//! Why the server closes a socket, and what the device does next.

use std::fmt;

/// What a device does after its socket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Reconnect: after `reconnect_after_ms` if `bye` had it, otherwise with back-off and jitter.
    Reconnect,
    /// Get a fresh token, then reconnect.
    RenewToken,
    /// Do not reconnect automatically: the app, its user or its developer must act.
    GiveUp,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $reason:literal, $advice:ident;)*) => {
        /// The code of a WebSocket close frame (RFC 6455 §7.4.2 reserves 4000 to 4999 for applications), also sent in `bye`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum CloseCode {
            $($(#[$doc])* $variant = $code,)*
        }

        impl CloseCode {
            /// Every code, in the order of `PROTOCOL.md`.
            pub const ALL: &'static [CloseCode] = &[$(CloseCode::$variant,)*];

            /// The reason that belongs to the code on the wire.
            pub fn reason(self) -> &'static str {
                match self { $(CloseCode::$variant => $reason,)* }
            }

            /// What the device does next.
            pub fn advice(self) -> Advice {
                match self { $(CloseCode::$variant => Advice::$advice,)* }
            }
        }
    };
}

codes! {
    /// A frame could not be decoded as a message of the selected codec.
    BadMessage = 4000, "bad_message", GiveUp;
    /// The server did not receive `hello` in time.
    HelloTimeout = 4001, "hello_timeout", Reconnect;
    /// The first message was not `hello`.
    HelloExpected = 4002, "hello_expected", GiveUp;
    /// The token of `hello` was rejected.
    TokenRefused = 4003, "token_refused", RenewToken;
    /// The session's token expired.
    TokenExpired = 4004, "token_expired", RenewToken;
    /// The identity has as many devices as its pool allows.
    TooManyDevices = 4005, "too_many_devices", GiveUp;
    /// A newer socket of the same device replaced this one.
    Replaced = 4006, "replaced", GiveUp;
    /// A message was larger than the protocol allows.
    TooLarge = 4007, "too_large", GiveUp;
    /// The device did not read from its socket for too long.
    Stalled = 4008, "stalled", Reconnect;
    /// The server received nothing for more than two heartbeats.
    Silent = 4009, "silent", Reconnect;
    /// The server failed; the device sends unanswered requests again.
    ServerError = 4011, "server_error", Reconnect;
    /// The server restarts.
    Restarting = 4012, "restarting", Reconnect;
    /// The server has no capacity for another session, or cannot verify tokens now.
    Overloaded = 4013, "overloaded", Reconnect;
    /// The identity and all of its data were erased.
    Erased = 4014, "erased", GiveUp;
    /// The identity was merged into another one, to which its logins lead from now on.
    Moved = 4015, "moved", Reconnect;
    /// The device was revoked: the server no longer accepts it.
    Revoked = 4016, "revoked", GiveUp;
    /// The socket was opened by a web page whose origin the token's pool does not allow.
    OriginNotAllowed = 4017, "origin_not_allowed", GiveUp;
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The code with this number; `None` for a number that the protocol does not define, after which a device reconnects.
    pub fn from_code(code: u16) -> Option<CloseCode> {
        CloseCode::ALL.iter().copied().find(|known| known.code() == code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}
