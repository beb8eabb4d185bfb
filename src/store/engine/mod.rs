//! The embedded engine: one ordered key space on disk, and three calls.
//!
//! - `get`: several rows. `scan`: a range in order, up to a limit. `commit`: batches, durable when the call returns.
//! - Each batch is atomic and guarded: it is applied only if the rows that it was decided on are still as they were.
//! - Rows are visible from the moment their batch is applied, a little before they are durable; whoever shows them to the outside
//!   waits for the covering flush first (see `committer::Gate`).
//! - Every row on disk is framed by a format byte and a CRC that covers its key too (`frame`).
//!
//! This folder is the only place that knows sled.

mod frame;
mod sled_engine;

use std::fmt;

pub use sled_engine::{Config, Engine as Handle};

/// The largest value of one row, in bytes: sled moves larger ones to files of their own that it never syncs, and with
/// segments of 8 MiB that begins above 128 KiB; this stays well below. Larger values are cut by the store.
pub const ROW_BYTES: usize = 48 * 1024;

/// A row's key or value.
pub type Bytes = Vec<u8>;

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
#[derive(Debug)]
pub enum EngineError {
    /// The folder cannot be opened as a store. Says what to do.
    Open(String),
    /// Reading or writing failed.
    Io(String),
    /// There is no room on the disk: nothing was applied, reading goes on.
    Full(String),
    /// A row is not what was written.
    Damaged(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Open(why) => write!(f, "the store cannot be opened: {why}"),
            EngineError::Full(why) => write!(f, "the disk is full: {why}"),
            EngineError::Io(why) => write!(f, "the store failed: {why}"),
            EngineError::Damaged(what) => write!(f, "the store is damaged: {what}; restore it from a backup"),
        }
    }
}

impl std::error::Error for EngineError {}
