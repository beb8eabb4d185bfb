//! Opens the engine that the configuration names, on a data folder.
//!
//! Every call that can meet damaged files is run with panics caught (`panics`), and an engine that has lost commits is refused.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::{info, warn};

use super::batch::RowBatch;
use super::commit_counter::CommitCounter;
use super::config::{EngineConfig, EngineKind};
use super::data_folder::DataFolder;
use super::error::EngineError;
use super::free_space::FreeSpace;
use super::journaled::{FlushThresholds, JournalOptions, JournaledTree};
use super::memtable::WrittenOnce;
use super::redb_tree::RedbTree;
use super::row_store::RowStore;
use super::sled_tree::{SEGMENT_BYTES, SledTree};
use super::tree::Tree;
use super::{panics, sled_log};

/// Where the engine's rows are, and how it is opened.
pub(super) enum EngineStorage {
    Disk {
        folder: DataFolder,
        space: Arc<FreeSpace>,
        config: EngineConfig,
        sizes: EngineSizes,
        is_written_once: WrittenOnce,
        /// Whether the tree has panicked during a flush.
        panicked: Arc<AtomicBool>,
    },
    #[cfg(test)]
    Memory(super::memory::Memory),
}

/// sled replays this many segments in some tenths of a second; a longer log is shortened when the store is closed.
pub(super) const MAX_REPLAY_SEGMENTS: usize = 4;

/// The sizes of an engine's files.
#[derive(Clone, Copy, Debug)]
pub(super) struct EngineSizes {
    /// Bytes of a segment of sled's log.
    pub segment_bytes: usize,
    /// Segments of sled's log that the next opening may have to replay.
    pub max_replay_segments: usize,
    pub thresholds: FlushThresholds,
}

impl EngineSizes {
    pub(super) fn new(config: &EngineConfig) -> EngineSizes {
        EngineSizes {
            segment_bytes: SEGMENT_BYTES,
            max_replay_segments: MAX_REPLAY_SEGMENTS,
            thresholds: FlushThresholds::from_mib(config.journal_mib),
        }
    }
}

impl EngineStorage {
    /// Opens the rows. Fails if commits are missing.
    pub(super) fn open(&self, counter: &mut CommitCounter) -> Result<Box<dyn RowStore>, EngineError> {
        panics::catch(|| self.open_engine(counter)).unwrap_or_else(|panic| Err(EngineError::Damaged(self.panic_text(&panic))))
    }

    fn open_engine(&self, counter: &mut CommitCounter) -> Result<Box<dyn RowStore>, EngineError> {
        match self {
            EngineStorage::Disk { folder, space, config, sizes, is_written_once, panicked } => {
                let has_commits = counter.lower_bound() > 0;
                if config.engine == EngineKind::Sled && has_commits {
                    sled_log::check(folder.path(), sizes.segment_bytes)?;
                }
                let tree: Box<dyn Tree> = match config.engine {
                    EngineKind::Sled => Box::new(SledTree::open(folder.path(), config.cache_mib, sizes.segment_bytes)?),
                    EngineKind::Redb => Box::new(RedbTree::open(folder.path(), config.cache_mib)?),
                };
                let space = Arc::clone(space);
                let check_space = Box::new(move || space.check_for_flush());
                let options = JournalOptions {
                    thresholds: sizes.thresholds,
                    is_written_once: *is_written_once,
                    check_space,
                    refuses_gaps: has_commits,
                    panicked: Arc::clone(panicked),
                };
                let engine = JournaledTree::open(folder.path(), tree, options, |row| counter.adopt(row))?;
                // The tree creates its files with the mode that the umask leaves.
                folder.tighten();
                folder.sync()?;
                Ok(Box::new(engine))
            }
            #[cfg(test)]
            EngineStorage::Memory(memory) => {
                let engine = memory.open()?;
                counter.adopt(engine.get(super::commit_counter::COUNT_KEY)?.as_deref())?;
                Ok(engine)
            }
        }
    }

    /// sled replays its log, and writes a page table of it, only when it opens. After a close with a long log it is opened and closed once
    /// more here, so that the next start does not wait for the replay. If that fails nothing is lost, and the next start reports why.
    pub(super) fn shorten_next_replay(&self) {
        match self {
            EngineStorage::Disk { folder, config, sizes, .. } if config.engine == EngineKind::Sled => {
                let segments = sled_log::segments_to_replay(folder.path(), sizes.segment_bytes).unwrap_or(0);
                if segments > sizes.max_replay_segments {
                    info!(mib = (segments * sizes.segment_bytes) >> 20, "replaying the store's log for a fast next start");
                    let open = || {
                        // sled would ignore damage and write a table without the rows behind it.
                        sled_log::check(folder.path(), sizes.segment_bytes)?;
                        SledTree::open(folder.path(), config.cache_mib, sizes.segment_bytes).map(drop)
                    };
                    if let Err(error) = panics::catch(open).unwrap_or_else(|panic| Err(EngineError::Damaged(self.panic_text(&panic)))) {
                        warn!(%error, "replay failed; the next start has to do it");
                    }
                }
            }
            EngineStorage::Disk { .. } => {}
            #[cfg(test)]
            EngineStorage::Memory(_) => {}
        }
    }

    pub(super) fn check_space(&self, rows: &RowBatch) -> Result<(), EngineError> {
        match self {
            EngineStorage::Disk { space, .. } => space.check(rows),
            #[cfg(test)]
            EngineStorage::Memory(_) => Ok(()),
        }
    }

    pub(super) fn discard_cached_pages(&self) -> Result<(), EngineError> {
        match self {
            EngineStorage::Disk { folder, .. } => folder.discard_cached_pages(),
            #[cfg(test)]
            EngineStorage::Memory(_) => Ok(()),
        }
    }

    /// The error text for a panic of the engine.
    pub(super) fn panic_text(&self, panic: &str) -> String {
        match self {
            EngineStorage::Disk { folder, .. } => format!("the engine panicked on {}: {panic}", folder.path().display()),
            #[cfg(test)]
            EngineStorage::Memory(_) => panic.to_owned(),
        }
    }
}
