//! The storage engine: one ordered key space on disk, with `get`, `scan`, and a `commit` of batches that their owners' fences guard.
//!
//! - `contract` states what an engine promises; `contract_tests` holds every engine to it. The store holds an [`Engine`].
//! - The [`EmbeddedEngine`] owns the data folder, compares fences, checks free space, turns panics into errors, blocks access after a failed
//!   commit until recovery, and detects missing commits.
//! - A commit is durable once it is in the journal, a write-ahead log (`journaled`). The flusher thread writes its rows to the engine's
//!   tree later, many commits at once.
//! - Rows become visible when they are durable.
//! - Every row in a tree is framed by a format byte and a CRC that covers its key too (`frame`).
//!
//! Only this folder knows which engine runs: sled, or redb by configuration.

mod aligned_buffer;
mod batch;
mod block_file;
mod commit_counter;
mod config;
mod contract;
mod data_folder;
mod embedded;
mod error;
mod fences;
mod flusher;
mod frame;
mod free_space;
mod journal;
mod journal_format;
mod journaled;
mod layout;
mod memtable;
mod memtables;
mod open_scans;
mod packed_rows;
mod page_cache;
mod panics;
mod primitives;
mod private_files;
mod redb_tree;
mod row_store;
mod scan;
mod shared_memtables;
mod sled_log;
mod sled_tree;
mod storage;
mod tree;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod small_disk;

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::store) fn check_frame(key: &[u8], row: &[u8]) {
    let _ = frame::decode(key, row);
}

pub use batch::{Batch, Bytes, CommitOutcome, Fence, Owner, ROW_BYTES, RowBatch};
pub use config::{EngineConfig, EngineKind};
pub use contract::Engine;
pub use embedded::EmbeddedEngine;
pub use error::EngineError;
#[cfg(any(test, feature = "fuzzing"))]
pub use journal::fuzzing::check_journal;
pub use layout::{KEY_FILE, OBJECTS_FOLDER};
pub(in crate::store) use private_files::tighten;
