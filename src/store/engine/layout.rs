//! The files of a data folder, except those that only sled reads (`conf`, `blobs/`).

use super::config::EngineKind;

/// Locked by the process that has the folder open; its text names that process.
pub(super) const LOCK: &str = "driftless.lock";

/// Names the engine that created the folder and the folder's format.
pub(super) const FORMAT: &str = "engine";

/// A lower bound of the number of commits that the store must hold (`commit_counter`).
pub(super) const COMMIT_COUNT: &str = "commits";

/// The two files of the journal.
pub(super) const JOURNAL: [&str; 2] = ["journal.0", "journal.1"];

/// sled's log: all rows of its tree.
pub(super) const SLED_LOG: &str = "db";

/// redb's database: all rows of its tree.
pub(super) const REDB_DATABASE: &str = "rows.redb";

/// The file with the rows of an engine's tree.
pub(super) fn tree_file(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sled => SLED_LOG,
        EngineKind::Redb => REDB_DATABASE,
    }
}
