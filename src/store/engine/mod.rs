//! The embedded engine: one ordered key space on disk, and three calls.
//!
//! - `get`: a row. `scan`: a range in order, up to a limit. `commit`: batches, durable when the call returns (`contract`).
//! - The store holds a [`Handle`]: it keeps the folder and the free space, turns an engine's panics into errors, lets nobody near an engine
//!   whose last commit failed, and notices commits that are missing.
//! - A commit is durable when it is in the journal (`journaled`); its rows go into the engine's tree later, many at once.
//! - By the contract rows may be visible a little before they are durable; whoever shows them to the outside waits for the covering
//!   commit first (see `committer::Gate`).
//! - Every row on disk is framed by a format byte and a CRC that covers its key too (`frame`).
//!
//! This folder is the only place that knows which engine runs: sled, or redb by configuration.

mod commits;
mod contract;
mod folder;
mod frame;
mod guarded;
mod handle;
mod journal;
mod journaled;
mod layers;
mod redb_engine;
mod resolve;
mod sled_engine;
mod sled_log;
mod space;
mod tree;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod suite;

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

pub use handle::Handle;

/// The largest value of one row, in bytes: sled moves larger ones to files of their own that it never syncs, and with
/// segments of 8 MiB that begins above 128 KiB; this stays well below. Larger values are cut by the store.
pub const ROW_BYTES: usize = 48 * 1024;

/// A row's key or value.
pub type Bytes = Vec<u8>;

/// How the store keeps its rows.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which engine. A folder keeps the one that it was made with.
    pub engine: Kind,
    /// The engine's page cache, in MiB of pages as they are on disk; in memory sled takes two to three times as much.
    pub cache_mib: u64,
    /// How much is committed to the journal, in MiB, before it is moved into the engine's tree; 0: each commit at once. As much of rows is
    /// kept in memory; while the tree is slow up to four times as much of both, and as much again on its way.
    pub journal_mib: u64,
    /// Disk space that is kept free, in MiB: writes that would use it are refused.
    pub reserve_mib: u64,
    /// Where the server listens, for whoever finds the folder taken; empty: not said.
    pub address: String,
}

impl EngineConfig {
    /// The default, with this much cache.
    pub const fn cached(cache_mib: u64) -> EngineConfig {
        // The reserve holds several of sled's segments (8 MiB) and of the committer's groups (16 MiB): opening again must be possible.
        EngineConfig { engine: Kind::Sled, cache_mib, journal_mib: 8, reserve_mib: 64, address: String::new() }
    }
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig::cached(256)
    }
}

/// An engine that keeps its rows on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A log-structured tree: starts fast.
    #[default]
    Sled,
    /// A copy-on-write tree: smaller, and faster when much is written for long; opening it reads all of it.
    Redb,
}

impl Kind {
    /// Its name in the configuration and in the folder.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sled => "sled",
            Kind::Redb => "redb",
        }
    }

    /// The file that holds its rows.
    fn data_file(self) -> &'static str {
        match self {
            Kind::Sled => sled_engine::DATA_FILE,
            Kind::Redb => redb_engine::DATA_FILE,
        }
    }
}

/// Rows to set and to delete together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Rows as they were when the batch was decided; `None`: the row did not exist.
    pub guards: Vec<(Bytes, Option<Bytes>)>,
    /// New values; `None` deletes.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is applied.
    Applied,
    /// One of its guards no longer holds; nothing of it is applied.
    Stale,
}

/// Why the engine cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The folder cannot be opened as a store. Says what to do.
    Open(String),
    /// Reading or writing failed. Of a commit: its outcome is unknown, and the store is failed until it is recovered.
    Io(String),
    /// The disk has too little free space. Nothing was committed; what is open goes on reading, and writing once there is space.
    Full(String),
    /// A commit failed before this call, and the store was not recovered since. Nothing was read or written.
    Failed(String),
    /// What is on disk is not what was written. Of a row: only that row is lost. Nothing was written.
    Damaged(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Open(why) => write!(f, "the store cannot be opened: {why}"),
            EngineError::Io(why) => write!(f, "the store failed: {why}"),
            EngineError::Full(why) => write!(f, "the disk is full: {why}"),
            EngineError::Failed(why) => write!(f, "the store is closed since a write failed: {why}"),
            EngineError::Damaged(what) => write!(f, "the store is damaged: {what}; restore it from a backup"),
        }
    }
}

impl std::error::Error for EngineError {}

/// Why a file could not be opened; an engine also writes while it opens.
fn opening(path: &Path, error: &std::io::Error) -> EngineError {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            EngineError::Full(format!("{path} needs some MiB to be opened ({error}); free some space there"))
        }
        _ => EngineError::Open(format!("{path}: {error}")),
    }
}

/// Makes sure that what is going to be read of a file is what is on disk. After a failed write the kernel can hold pages that it never wrote and
/// takes for written: they are dropped, once the file can be synced again.
fn settle(file: &std::fs::File) -> std::io::Result<()> {
    file.sync_all()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// An error of the file system or of an engine.
fn io(error: impl fmt::Display) -> EngineError {
    EngineError::Io(error.to_string())
}
