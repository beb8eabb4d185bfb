//! Faults that a test injects into all connections of the gateway.

/// A fault, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFault {
    /// Sets `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 section 6.5.2) on open and new connections.
    /// A stream that a client opens above the limit after acknowledging it is refused and recorded as a violation.
    StreamLimit(u32),
    /// Sends GOAWAY (RFC 9113 section 6.8) on every open connection with the last stream that the gateway has begun, so that no request is lost.
    GoAway,
    /// Sends GOAWAY with this stream. Requests on higher streams are never processed, even those already received.
    GoAwayAt(u32),
    /// Closes every open connection without GOAWAY or a TLS close.
    CloseConnections,
    /// Closes the listeners, so that new connections are refused.
    RefuseConnections,
    /// Reads requests but does not process them.
    PauseRequests,
    /// Neither reads nor writes, as if the network were down.
    FreezeIo,
    /// Ends [`ConnectionFault::RefuseConnections`], [`ConnectionFault::PauseRequests`] and [`ConnectionFault::FreezeIo`], and processes the
    /// requests that were held back.
    Resume,
}
