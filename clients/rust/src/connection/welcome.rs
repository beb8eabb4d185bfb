//! How a session begins.

use driftless_protocol::Limits;

/// What the server said about a session when it began: the fields of `welcome`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Whose data this is, `region:uuid`.
    pub identity: String,
    /// This session's id in the server's log.
    pub session: String,
    /// The highest patch number that the server knows of this device.
    pub patch: u64,
    /// The device says something at least this often, in seconds.
    pub heartbeat_s: u64,
    /// How long the token holds from then, in seconds.
    pub token_expires_in_s: u64,
    /// The pool's bounds.
    pub limits: Limits,
    /// Identities that were merged into this one.
    pub merged: Vec<String>,
}
