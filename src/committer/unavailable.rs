//! The one error of the committer and its readers.

/// Why the store cannot serve a request now. The caller may retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The store failed, or the server stops.
    Now,
    /// The store accepts no writes, because its disk is full or fails. Reads may still work.
    ReadOnly,
}
