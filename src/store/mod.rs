//! The versioned datasets of every identity, in rows of one ordered key space.
//!
//! - Reads go straight to the engine, from any thread (`datasets`, `devices`, `identities`).
//! - Writes are decided in a [`Group`], one after the other, each on top of the decisions before it, and committed together (`commit`).
//!   There is one group at a time: the committer's.
//! - The types of the wire and the stored rows are different types; `rows` converts between them.
//!
//! The store never knows sockets, tasks, the hub or pushes, and never asks for the time: it is an argument.

mod backup;
mod commit;
mod datasets;
mod devices;
mod engine;
mod export;
mod export_entries;
mod format;
mod history;
mod identities;
mod identity;
mod index_rows;
mod keys;
mod moving;
mod open;
mod pieces;
mod push;
mod reap;
mod rewind;
mod row_kinds;
mod rows;
#[cfg(test)]
mod support;
mod version;
mod view;
mod work;

pub use backup::{BackupChecker, BackupDamage, BackupPart, BackupRefused, BackupSummary, BackupTicket, RestoreError, restore};
pub use commit::{DatasetRules, Decision, Group, Patch, RetentionPolicy};
pub use datasets::{Cursor, Page, ReadPosition, ReadResult, ReadStart};
pub use devices::{Admission, DeviceInfo};
pub use engine::{EngineConfig, EngineError as StoreError, Kind as EngineKind};
pub use export::ExportCursor;
pub use history::{History, RecordDiff, Step, VersionNotKept, VersionOrigin};
pub use identities::{LinkResult, LoginInfo, LoginKey};
pub use identity::Identity;
pub use open::Store;
pub use push::{
    DELIVERY_LOG_ENTRIES, DeadToken, Debt, DeliveryLogEntry, DeliveryStatus, DueIdentity, LastSeen, PushBudget, RegisterOutcome,
    TokenBucket, TokenDisposition, WakeResult, WakeRound, WakeTarget,
};
pub use reap::{DueDataset, ReapResult};
pub use rewind::RewindOutcome;
pub use rows::ConflictRow as Conflict;
pub use work::{EraseStart, JobProgress, MergePolicies, MergeStart};

#[cfg(test)]
pub(crate) use engine::memory;

#[cfg(test)]
mod tests;
