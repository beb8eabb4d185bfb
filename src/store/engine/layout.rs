//! The files of a data folder, except those that only sled reads (`conf`, `blobs/`).

use std::ffi::OsStr;

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

/// The file that becomes [`FORMAT`] once it is written.
pub(super) const NEXT_FORMAT: &str = "engine.new";

/// The key file of the keyring, which the store itself never reads. It may lie in the folder before the store does.
pub const KEY_FILE: &str = "keyring.key";

/// The folder with the bytes of objects, which the store itself never reads.
pub const OBJECTS_FOLDER: &str = "objects";

/// What only sled reads: its settings, large values, and tables of its pages (`snap.*`).
const SLED_FILES: [&str; 2] = ["conf", "blobs"];

/// Whether a name in a data folder is one of the store's.
pub(super) fn is_own(name: &OsStr) -> bool {
    let named = [LOCK, FORMAT, NEXT_FORMAT, COMMIT_COUNT, SLED_LOG, REDB_DATABASE, KEY_FILE, OBJECTS_FOLDER]
        .iter()
        .chain(&JOURNAL)
        .chain(&SLED_FILES);
    name.to_str().is_some_and(|name| name.starts_with("snap.") || named.into_iter().any(|one| *one == name))
}

/// The file with the rows of an engine's tree.
pub(super) fn tree_file(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Sled => SLED_LOG,
        EngineKind::Redb => REDB_DATABASE,
    }
}
