//! Why the engine cannot serve.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The folder cannot be opened as a store. The text says what to do.
    Open(String),
    /// Reading or writing failed. After a commit with this error its outcome is unknown, and the store refuses every call until it is
    /// recovered.
    Io(String),
    /// The disk has too little free space. Nothing was committed; an open store can still be read, and written once there is space again.
    Full(String),
    /// An earlier commit failed and the store has not been recovered since. Nothing was read or written.
    Failed(String),
    /// The bytes on disk are not those that were written. When a single row is damaged, only that row is lost. Nothing was written.
    Damaged(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Open(why) => write!(f, "cannot open the store: {why}"),
            EngineError::Io(why) => write!(f, "store I/O failed: {why}"),
            EngineError::Full(why) => write!(f, "disk full: {why}"),
            EngineError::Failed(why) => write!(f, "store unavailable after a failed commit: {why}"),
            EngineError::Damaged(what) => write!(f, "store damaged: {what}; restore it from a backup"),
        }
    }
}

impl std::error::Error for EngineError {}

/// The error for a file that could not be opened. A full disk can cause it, because an engine also writes while it opens.
pub(super) fn open_error(path: &Path, error: &std::io::Error) -> EngineError {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            EngineError::Full(format!("{path} needs some MiB to be opened ({error}); free some space there"))
        }
        _ => EngineError::Open(format!("{path}: {error}")),
    }
}

/// Whether an engine's read failed because of what the file holds: it ends too early, or holds something else. The disk itself is fine.
pub(super) fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

/// Wraps an error of the file system or of an engine.
pub(super) fn io_error(error: impl fmt::Display) -> EngineError {
    EngineError::Io(error.to_string())
}
