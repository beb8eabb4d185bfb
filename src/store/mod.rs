//! The versioned datasets of every identity, in rows of one ordered key space.
//!
//! - Reads go straight to the engine, from any thread (`datasets`, `devices`, `logins`).
//! - Writes are decided in a [`Group`], one after the other, each on top of those before it, and committed together (`commit`).
//!   There is one group at a time: the committer's.
//! - What travels and what is stored are different types; `rows` converts.
//!
//! Never here: sockets, tasks, the hub, pushes. The time is an argument.

mod backup;
mod commit;
mod cursor;
mod datasets;
mod devices;
mod engine;
mod erase;
mod export;
mod history;
mod history_row;
mod identities;
mod jobs;
mod keys;
mod merge_dataset;
mod merge_identity;
mod migrate;
mod owned;
mod page;
mod pieces;
mod push;
mod reap;
mod retention;
mod rewind;
mod rows;
#[cfg(test)]
mod support;
mod version;
mod view;
mod whole_versions;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use driftless_protocol::Epoch;

pub use backup::{BackupChecker, BackupDamage, BackupPart, BackupRefused, BackupSummary, BackupTicket, RestoreError, restore};
pub use commit::{DatasetRules, Decision, Group, Patch};
pub use cursor::{Cursor, ReadPosition, ReadStart};
pub use devices::{Admission, DeviceInfo};
pub use engine::{EngineConfig, EngineError as StoreError, EngineKind};
pub use erase::EraseStart;
pub use export::Exported;
pub use history::{DatasetHistory, RecordDiff, VersionEntry, VersionNotKept};
pub use history_row::VersionOrigin;
pub use identities::{LinkResult, LoginInfo, LoginKey};
pub use jobs::JobProgress;
pub use merge_identity::{MergePolicies, MergeStart};
pub use page::{ReadResult, RecordPage};
pub use push::{
    DELIVERY_LOG_ENTRIES, DeadToken, Debt, DeliveryLogEntry, DeliveryStatus, DueIdentity, LastSeen, PushBudget, RegisterOutcome,
    TokenBucket, TokenDisposition, WakeResult, WakeRound, WakeTarget,
};
pub use reap::{DueDataset, ReapResult};
pub use retention::RetentionPolicy;
pub use rewind::RewindOutcome;
pub use rows::ConflictRow as Conflict;
pub use whole_versions::{VersionsPage, VersionsRead, WholeVersions};

#[cfg(test)]
pub(crate) use engine::memory;

/// One person or guest of a pool: `region:uuid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be shared.
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl From<&str> for Identity {
    fn from(text: &str) -> Identity {
        Identity(text.into())
    }
}

impl AsRef<[u8]> for Identity {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An open store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<engine::SupervisedEngine>,
    epoch: Epoch,
    lineage: Arc<rows::LineageRow>,
    tap: backup::Tap,
}

impl Store {
    /// Opens or makes the store in a folder. `fresh_epoch` becomes its epoch if it is new. A store of an older format is brought to today's.
    pub fn open(folder: &Path, config: &EngineConfig, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::on(engine::SupervisedEngine::open(folder, config)?, fresh_epoch)
    }

    /// The same over an engine in memory that fails when it is told to.
    #[cfg(test)]
    pub(crate) fn over(memory: &engine::memory::Memory, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::on(engine::SupervisedEngine::in_memory(memory)?, fresh_epoch)
    }

    /// The store of an open engine.
    fn on(engine: engine::SupervisedEngine, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        match migrate::format(&engine)? {
            None => {
                let epoch = keys::meta("epoch");
                let rows = vec![(epoch.clone(), Some(rows::encode(fresh_epoch)?)), migrate::format_row(migrate::FORMAT)?];
                engine.commit(vec![engine::Batch { preconditions: vec![(epoch, None)], rows }])?;
            }
            Some(migrate::FORMAT) => {}
            Some(format) => migrate::run(&engine, format)?,
        }
        let (epoch, lineage) = (engine.get(&keys::meta("epoch"))?, engine.get(&keys::meta("lineage"))?);
        let epoch = rows::decode(&epoch.ok_or_else(|| StoreError::Damaged("the store has no epoch".to_owned()))?)?;
        let lineage = lineage.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        Ok(Store { engine: Arc::new(engine), epoch, lineage: Arc::new(lineage), tap: backup::Tap::default() })
    }

    /// Whether a write failed and left its outcome unknown: nothing is read or written until [`Store::recover`].
    pub fn is_failed(&self) -> bool {
        self.engine.is_failed()
    }

    /// Opens a failed store again on what is on disk. May take seconds. An error says why that does not go yet; ask again later.
    pub fn recover(&self) -> Result<(), StoreError> {
        self.engine.recover()
    }

    /// The id of this store's history.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Bytes that the store takes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.engine.bytes_on_disk()
    }
}

#[cfg(test)]
mod tests;
