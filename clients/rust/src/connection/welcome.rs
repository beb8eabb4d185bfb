//! The server's answer to `hello`.

use driftless_protocol::{Limits, LinkedLogin, PushLost};

/// The fields of `welcome`, with which the server begins a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The identity that the token leads to, `region:uuid`.
    pub identity: String,
    /// The id of this session in the server's log.
    pub session: String,
    /// The highest patch number of this device that the server knows; 0 if none.
    pub patch: u64,
    /// The longest time between two messages of the device, in seconds.
    pub heartbeat_s: u64,
    /// How long the token was valid when the session began, in seconds.
    pub token_expires_in_s: u64,
    /// The bounds of the identity's pool.
    pub limits: Limits,
    /// Identities that were merged into this one, at most the 64 newest.
    pub merged: Vec<String>,
    /// Logins that were linked to the identity, the newest first. An app shows the user one that it has not shown yet: a login that the user does
    /// not recognise is somebody else's way to the data.
    pub linked: Vec<LinkedLogin>,
    /// This device registered for pushes, and no push wakes it any more.
    pub push_lost: Option<PushLost>,
    /// Since when the server has what this device did, in milliseconds since 1970 (UTC). If it is another moment than before, the server had
    /// forgotten the device in between. `None`: the server does not say.
    pub known_since_ms: Option<u64>,
}
