//! The embedded storage engine: one ordered key space on disk, with `get`, `scan` and `commit`.
//!
//! - `contract` states what an engine promises; `contract_tests` holds every engine to it.
//! - The store uses a [`SupervisedEngine`]: it owns the data folder, checks free space, turns an engine's panics into errors, blocks access
//!   after a failed commit until recovery, and detects missing commits.
//! - A commit is durable once it is in the journal, a write-ahead log (`journaled`). The flusher thread writes its rows to the engine's
//!   tree later, many commits at once.
//! - The contract allows rows to be visible a little before they are durable. Before such rows leave the process, the reader waits for the
//!   covering commit (see `committer::DurabilityGate`).
//! - Every row in a tree is framed by a format byte and a CRC that covers its key too (`frame`).
//!
//! Only this folder knows which engine runs: sled, or redb by configuration.

mod batch;
mod commit_counter;
mod config;
mod contract;
mod data_folder;
mod error;
mod flusher;
mod frame;
mod free_space;
mod journal;
mod journaled;
mod layout;
mod memtable;
mod memtables;
mod open_scans;
mod page_cache;
mod panics;
mod primitives;
mod private_files;
mod redb_tree;
mod resolve;
mod scan;
mod shared_memtables;
mod sled_log;
mod sled_tree;
mod storage;
mod supervised;
mod tree;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
pub(crate) mod memory;

pub use batch::{Batch, Bytes, Committed, ROW_BYTES};
pub use config::{EngineConfig, EngineKind};
pub use error::EngineError;
pub(in crate::store) use private_files::tighten;
pub use supervised::SupervisedEngine;
