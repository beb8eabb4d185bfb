//! An open store: the engine, the epoch of its history, and the backup under way.
//!
//! Opening makes a new store in an empty engine, and refuses a store of another format (`format`).

use std::path::Path;
use std::sync::Arc;

use driftless_protocol::Epoch;

use super::backup::BackupCapture;
use super::engine::{Batch, EmbeddedEngine, Engine, EngineConfig};
use super::row_cache::StoreCache;
use super::rows::{self, LineageRow};
use super::{StoreError, format, keys};

/// An open store. A clone is another reference to the same store.
#[derive(Clone)]
pub struct Store {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) epoch: Epoch,
    pub(super) lineage: Arc<LineageRow>,
    pub(super) capture: BackupCapture,
    pub(super) known_rows: StoreCache,
}

impl Store {
    /// Opens the store in a folder, or makes one with `fresh_epoch` as its epoch.
    pub fn open(folder: &Path, config: &EngineConfig, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::from_engine(Arc::new(EmbeddedEngine::open(folder, config, keys::is_written_once)?), fresh_epoch)
    }

    /// Opens a store over an engine in memory, which fails on request.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: &super::engine::memory::Memory, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        Store::from_engine(Arc::new(EmbeddedEngine::in_memory(memory)?), fresh_epoch)
    }

    pub(super) fn from_engine(engine: Arc<dyn Engine>, fresh_epoch: &Epoch) -> Result<Store, StoreError> {
        match format::read_format(&*engine)? {
            Some(found) => format::check_format(found)?,
            None => {
                let epoch = keys::meta("epoch");
                let rows = vec![(epoch, Some(rows::encode(fresh_epoch)?)), format::format_row(format::ROW_FORMAT)?];
                engine.commit(vec![Batch::unfenced(rows)])?;
            }
        }
        let (epoch, lineage) = (engine.get(&keys::meta("epoch"))?, engine.get(&keys::meta("lineage"))?);
        let epoch = rows::decode(&epoch.ok_or_else(|| StoreError::Damaged("the store has no epoch".to_owned()))?)?;
        let lineage = lineage.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        Ok(Store { engine, epoch, lineage: Arc::new(lineage), capture: BackupCapture::default(), known_rows: StoreCache::default() })
    }

    /// Whether the outcome of a write is unknown. Until [`Store::recover`] succeeds, every read and write fails.
    pub fn is_failed(&self) -> bool {
        self.engine.is_failed()
    }

    /// Tells the engine that the answers of the last commit are sent.
    pub fn after_answers(&self) {
        self.engine.after_answers();
    }

    /// Opens a failed store again from what is on disk, which may take seconds. After an error the caller may try again later.
    pub fn recover(&self) -> Result<(), StoreError> {
        self.engine.recover()
    }

    /// The id of this store's history.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The size of the store on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.engine.bytes_on_disk()
    }
}
