//! What happens to all of the gateway's connections at once.

/// A trouble, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` is this from now on (RFC 9113 section 6.5.2), on open connections and new ones.
    /// A stream above it that a client opens after its acknowledgement is refused, and complained about.
    StreamLimit(u32),
    /// GOAWAY (RFC 9113 section 6.8) on every open connection, naming the last stream that the gateway began with: nothing is lost.
    GoAway,
    /// The same, naming this stream: requests above it are never processed, even if they came already.
    GoAwayAt(u32),
    /// Every open connection ends without a word.
    Close,
    /// Nobody listens: connections are refused.
    Refuse,
    /// Requests are read, and held.
    Pause,
    /// Nothing is read or written, as if the network were gone.
    Freeze,
    /// Ends [`Trouble::Refuse`], [`Trouble::Pause`] and [`Trouble::Freeze`]; what was held is processed now.
    Resume,
}
