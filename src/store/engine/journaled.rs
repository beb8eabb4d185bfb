//! A tree with a journal before it: a write is durable after one write and one wait for the disk, and all or nothing.
//!
//! - A commit is appended to the journal and synced; then its rows are put into the active memtable and become visible. The tree is not
//!   touched.
//! - When the memtable or the journal's file has grown enough, the next commit rotates both: the active memtable becomes the immutable one,
//!   and commits go to a new memtable and the other file. The flusher thread writes the immutable memtable's rows to the tree, in the order
//!   of their keys, each once however often it was set; then it recycles their file.
//! - Until that is done the immutable memtable hides the tree's rows, so readers never see a half-flushed tree.
//! - A read of the tree holds no lock that a commit, a rotation or another read needs. A scan has a snapshot of the memtables, and the
//!   flusher waits for the scans that began before a memtable was frozen (`open_scans`).
//! - After a crash both files are read back into memtables. A file is recycled only when all of its rows are durable in the tree, so
//!   nothing is lost; flushing rows twice changes nothing.
//!
//! Memory and files are bounded: commits that arrive faster than the tree takes their rows wait. While the disk has too little space for
//! the tree to grow nothing is flushed, and commits beyond the bounds are refused: an engine whose tree has met a full disk may not open
//! any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::batch::{Bytes, RowBatch};
use super::commit_counter;
use super::error::{EngineError, io_error};
use super::flusher::{Flusher, SpaceCheck};
use super::journal::{self, Journal, JournalContents};
use super::memtable::WrittenOnce;
use super::memtables::{FrozenMemtable, Memtables};
use super::row_store::RowStore;
use super::scan::scan;
use super::shared_memtables::{FlushJob, FlushState, SharedMemtables};
use super::tree::Tree;

/// How much is kept before it is flushed to the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushThresholds {
    /// Bytes of a memtable.
    pub memtable_bytes: usize,
    /// Bytes of a journal file.
    pub journal_bytes: u64,
}

impl FlushThresholds {
    /// The default of 8 MiB is some thousand writes: a row that is set again and again is flushed once, and recovery after a crash reads both
    /// files in a moment. A file takes twice as much as a memtable: it has every row that was set, and gaps between its records.
    pub(super) fn from_mib(memtable_mib: u64) -> FlushThresholds {
        let bytes = memtable_mib.saturating_mul(1 << 20).max(1);
        FlushThresholds { memtable_bytes: usize::try_from(bytes).unwrap_or(usize::MAX), journal_bytes: bytes.saturating_mul(2) }
    }
}

/// How many times the thresholds may be exceeded before a commit waits for the flusher.
const MAX_BACKLOG: usize = 4;

/// From half of that backlog on, each commit waits at most this long: many short waits let the flusher catch up, instead of one long one.
const SHORT_WAIT: Duration = Duration::from_millis(4);

/// The least size in bytes to which a journal file is cut when it is recycled.
const MIN_KEPT_BYTES: u64 = 1 << 20;

pub(super) struct JournaledTree {
    tree: Arc<dyn Tree>,
    shared: Arc<SharedMemtables>,
    /// The file that commits are appended to. A commit holds the lock from its decision until its rows are visible.
    journal: Mutex<Option<Journal>>,
    paths: [PathBuf; 2],
    thresholds: FlushThresholds,
    is_written_once: WrittenOnce,
    flusher: Option<JoinHandle<()>>,
}

pub(super) struct JournalOptions {
    pub thresholds: FlushThresholds,
    pub is_written_once: WrittenOnce,
    /// Fails while the tree must not grow.
    pub check_space: SpaceCheck,
    /// Whether to refuse to open when commits are missing between the files and the tree. The operator can accept such a loss.
    pub refuses_gaps: bool,
    /// Whether the tree has panicked before: after the first panic, opening it again may help.
    pub panicked: Arc<AtomicBool>,
}

impl JournaledTree {
    /// Puts the journal of a folder before a tree. `accept` gets the row with the number of the newest commit; nothing is flushed or
    /// changed before it agrees.
    pub(super) fn open(
        folder: &Path,
        tree: Box<dyn Tree>,
        options: JournalOptions,
        accept: impl FnOnce(Option<&[u8]>) -> Result<(), EngineError>,
    ) -> Result<JournaledTree, EngineError> {
        let JournalOptions { thresholds, is_written_once, check_space, refuses_gaps, panicked } = options;
        let paths = journal::paths(folder);
        let (first, second) = (Journal::open(paths[0].clone())?, Journal::open(paths[1].clone())?);
        let (mut older, mut newer) = if first.0.generation() <= second.0.generation() { (first, second) } else { (second, first) };
        if refuses_gaps {
            check_generations(&older.0, &newer)?;
            check_for_gap(&*tree, [&older, &newer])?;
        }
        let row = match [&newer, &older].into_iter().find_map(|(_, contents)| contents.memtable.rows.get(commit_counter::COUNT_KEY)) {
            Some(row) => row.map(<[u8]>::to_vec),
            None => tree.get(commit_counter::COUNT_KEY)?,
        };
        accept(row.as_deref())?;
        let kept_bytes = thresholds.journal_bytes.saturating_mul(2).max(MIN_KEPT_BYTES);
        if newer.0.is_new() {
            older.0.recycle(1, kept_bytes)?;
            newer.0.recycle(2, kept_bytes)?;
        } else if older.0.is_new() {
            older.0.recycle(newer.0.generation() + 1, kept_bytes)?;
            std::mem::swap(&mut older, &mut newer);
        }
        let mut state = FlushState::default();
        let (journal, active, immutable) = if newer.1.memtable.is_empty() {
            state.spare = Some(newer.0);
            (older.0, older.1.memtable, None)
        } else {
            let immutable = Arc::new(older.1.memtable);
            let frozen = FrozenMemtable { memtable: Arc::clone(&immutable), earlier_scans: None };
            state.job = Some(FlushJob { journal: older.0, frozen, next_generation: newer.0.generation() + 1 });
            (newer.0, newer.1.memtable, Some(immutable))
        };
        let active_bytes = active.memory_bytes();
        let shared = Arc::new(SharedMemtables::new(Memtables::new(active, immutable), active_bytes, state));
        let tree: Arc<dyn Tree> = Arc::from(tree);
        let flusher = Flusher { tree: Arc::clone(&tree), shared: Arc::clone(&shared), check_space, panicked, kept_bytes };
        let flusher = std::thread::Builder::new().name("store-flusher".to_owned()).spawn(move || flusher.run()).map_err(io_error)?;
        Ok(JournaledTree { tree, shared, journal: Mutex::new(Some(journal)), paths, thresholds, is_written_once, flusher: Some(flusher) })
    }

    /// Rotates the memtable and the file if one of them is full and the other file is free. Waits for the flusher, or fails, if the backlog
    /// is too large.
    fn rotate_if_full(&self, journal: &mut Journal) -> Result<(), EngineError> {
        let memtable_bytes = self.shared.active_bytes();
        let is_over = |times: usize| {
            memtable_bytes >= self.thresholds.memtable_bytes.saturating_mul(times)
                || journal.length() >= self.thresholds.journal_bytes.saturating_mul(times as u64)
        };
        if let Some(error) = self.shared.failed.get() {
            return Err(error.clone());
        }
        if !is_over(1) {
            return Ok(());
        }
        let mut state = self.shared.flush_state();
        if is_over(MAX_BACKLOG / 2) {
            let is_flushing = |state: &mut FlushState| self.shared.is_flushing(state);
            state = self.shared.changed.wait_timeout_while(state, SHORT_WAIT, is_flushing).unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_over(MAX_BACKLOG) {
            state = self.shared.wait_for_flush(state);
            if let Some(error) = &state.waiting_for_space {
                return Err(error.clone());
            }
        }
        if let Some(error) = self.shared.failed.get() {
            return Err(error.clone());
        }
        if let Some(spare) = state.spare.take() {
            let next_generation = spare.generation() + 1;
            state.job = Some(FlushJob { journal: std::mem::replace(journal, spare), frozen: self.shared.rotate(), next_generation });
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// A row that is set again, although its key is one that is written once, comes back when it is deleted: the memtable forgets the newer value, and
    /// the tree has the older one. So every build for tests looks for such a row.
    #[cfg(debug_assertions)]
    fn check_written_once(&self, rows: &RowBatch) {
        for (key, _) in rows.iter().filter(|(key, row)| row.is_some() && (self.is_written_once)(key)) {
            assert!(!matches!(self.get(key), Ok(Some(_))), "{} is set twice", key.escape_ascii());
        }
    }
}

impl RowStore for JournaledTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.shared.memtables.get(&*self.tree, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        scan(&self.shared.memtables, &*self.tree, start, end, limit)
    }

    fn write(&self, rows: RowBatch) -> Result<(), EngineError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_mut().ok_or_else(|| io_error("the journal is closed"))?;
        #[cfg(debug_assertions)]
        self.check_written_once(&rows);
        self.rotate_if_full(journal)?;
        journal.append(rows.iter().map(|(key, row)| (key.as_slice(), row.as_deref())))?;
        self.shared.apply(&rows, self.is_written_once);
        Ok(())
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        // By path and not by the open files: a commit may hold them for a while.
        let journal =
            self.paths.iter().map(|path| Ok(std::fs::metadata(path).map_err(io_error)?.len())).sum::<Result<u64, EngineError>>()?;
        Ok(self.tree.bytes_on_disk()? + journal)
    }
}

impl Drop for JournaledTree {
    /// Flushes everything, so that the next opening is fast. Rows that cannot be flushed stay in the journal.
    fn drop(&mut self) {
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        {
            let mut state = self.shared.wait_for_flush(self.shared.flush_state());
            if let Some(journal) = journal.filter(|_| !self.shared.memtables.is_active_empty())
                && let Some(spare) = state.spare.take()
            {
                state.job = Some(FlushJob { journal, frozen: self.shared.rotate(), next_generation: spare.generation() + 1 });
            }
            state.stop = true;
            self.shared.changed.notify_all();
        }
        if let Some(flusher) = self.flusher.take() {
            let _ = flusher.join();
        }
    }
}

/// Checks that the two files follow each other: each file gets the generation after that of the other one.
fn check_generations(older: &Journal, newer: &(Journal, JournalContents)) -> Result<(), EngineError> {
    let is_new = newer.0.is_new() || (older.is_new() && newer.0.generation() <= 2 && newer.1.memtable.is_empty());
    if is_new || (!older.is_new() && older.generation() + 1 == newer.0.generation()) {
        return Ok(());
    }
    let paths = (older.path().display(), newer.0.path().display());
    Err(EngineError::Damaged(format!("{} is missing, or does not belong to {}", paths.0, paths.1)))
}

/// Checks that every commit up to the newest one found is in the tree or in one of the files: neither the tree nor the older file may have
/// lost its end.
fn check_for_gap(tree: &dyn Tree, files: [&(Journal, JournalContents); 2]) -> Result<(), EngineError> {
    let row = tree.get(commit_counter::COUNT_KEY)?;
    let mut held = row.as_deref().and_then(commit_counter::decode_count).unwrap_or(0);
    for (journal, contents) in files {
        let Some((first, last)) = contents.commits else { continue };
        if first > held + 1 {
            return Err(EngineError::Damaged(format!(
                "{} begins with commit {first}, but the commits before it end with {held}",
                journal.path().display()
            )));
        }
        held = held.max(last);
    }
    Ok(())
}

#[cfg(test)]
mod fake_tree;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod one_state;
#[cfg(test)]
mod slow_reads;
#[cfg(test)]
mod tests;
