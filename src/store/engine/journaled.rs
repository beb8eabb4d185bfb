//! A tree with a journal before it is an engine: durable in one write and one wait for the disk, and all or nothing.
//!
//! - A commit goes to the end of the journal and waits for the disk; then it is seen, in a layer of rows in memory. The tree is not touched.
//! - When the layer or the journal's file has grown enough, the next commit begins a new layer and the other file. A thread moves the old
//!   layer's rows into the tree, in the order of their keys, each once however often it was written; then that file is begun again.
//! - Until then the old layer stands above the tree: whatever is half moved is hidden by it. Readers never see the tree change.
//! - After a crash both files are read, and their rows are in the layers again. A file is begun again only when all of its rows are durable in
//!   the tree, so nothing is lost; moving rows twice changes nothing.
//!
//! What is committed faster than the tree takes it waits: memory and files are bounded. While the disk has too little space for the tree to grow
//! nothing is moved, and what goes over the bounds is refused: an engine whose tree has met the end of the disk may not open any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::error;

use super::contract::Engine;
use super::journal::{self, Journal, Records};
use super::layers::{Layer, Layers};
use super::resolve::{Resolved, resolve};
use super::tree::{Row, Tree};
use super::{Batch, Bytes, Committed, EngineError, ROW_BYTES, commits, guarded, io};

/// How much is kept before it is moved into the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a layer in memory.
    pub layer_bytes: usize,
    /// Bytes of a journal file.
    pub journal_bytes: u64,
}

impl Bounds {
    /// Those of a configuration. The usual 8 MiB are some thousand writes: rows that are written again and again go into the tree once, and after
    /// a crash all is read in a moment.
    pub(super) fn of(journal_mib: u64) -> Bounds {
        let bytes = journal_mib.saturating_mul(1 << 20).max(1);
        Bounds { layer_bytes: usize::try_from(bytes).unwrap_or(usize::MAX), journal_bytes: bytes }
    }
}

/// So many times the bounds may be reached before a commit waits for the tree.
const PATIENCE: usize = 4;

/// From half of that on each commit waits this long at most: many short waits let the tree catch up, instead of one long one.
const SHORT_WAIT: Duration = Duration::from_millis(4);

/// Bytes of rows that are moved before the tree is made durable: sled frees segments as it goes, and must not use one again long before
/// what was in it is durable elsewhere.
const MOVED_BYTES: usize = 1 << 20;

/// Bytes of a file that stay when it is begun again, at least.
const KEPT_BYTES: u64 = 1 << 20;

/// How often it is asked whether there is space again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Says whether the tree may grow.
pub(super) type Room = Box<dyn Fn() -> Result<(), EngineError> + Send>;

/// The engine.
pub(super) struct Journaled {
    tree: Arc<dyn Tree>,
    shared: Arc<Shared>,
    /// The file that commits go to. Whoever commits holds it.
    journal: Mutex<Option<Journal>>,
    paths: [PathBuf; 2],
    bounds: Bounds,
    mover: Option<JoinHandle<()>>,
}

/// What commits, readers and the mover have in common.
struct Shared {
    layers: RwLock<Layers>,
    moving: Mutex<Moving>,
    /// Told when `moving` changes.
    changed: Condvar,
}

/// A file and the layer of its records; the generation that it is begun again with.
type Full = (Journal, Arc<Layer>, u64);

#[derive(Default)]
struct Moving {
    /// The old layer and its file, until the mover takes them.
    full: Option<Full>,
    /// The other file, when it can be used: there is no old layer then.
    spare: Option<Journal>,
    /// The mover waits for space.
    short: Option<EngineError>,
    /// The mover could not go on. What it had is in the journal.
    stuck: Option<EngineError>,
    stop: bool,
}

impl Moving {
    /// Whether the mover works, and will be done.
    fn is_busy(&mut self) -> bool {
        self.spare.is_none() && self.stuck.is_none() && self.short.is_none()
    }
}

/// How the files are laid out, and what surrounds them.
pub(super) struct Setting {
    pub bounds: Bounds,
    pub room: Room,
    /// Whether a commit that is missing between the files and the tree is refused; not, if somebody has accepted a loss.
    pub refuses_gaps: bool,
    /// Whether the tree has panicked before: the first time opening again may help.
    pub panicked: Arc<AtomicBool>,
}

impl Journaled {
    /// Puts the journal of a folder before a tree. `accept` is asked with the row of the newest commit's number; nothing is moved or changed before
    /// that.
    pub(super) fn open(
        folder: &Path,
        tree: Box<dyn Tree>,
        setting: Setting,
        accept: impl FnOnce(Option<&[u8]>) -> Result<(), EngineError>,
    ) -> Result<Journaled, EngineError> {
        let Setting { bounds, room, refuses_gaps, panicked } = setting;
        let paths = journal::paths(folder);
        let (first, second) = (Journal::open(paths[0].clone())?, Journal::open(paths[1].clone())?);
        let (mut older, mut newer) = if first.0.generation() <= second.0.generation() { (first, second) } else { (second, first) };
        if refuses_gaps {
            belong_together(&older.0, &newer)?;
            have_no_gap(&*tree, [&older, &newer])?;
        }
        let row = match [&newer, &older].into_iter().find_map(|(_, records)| records.layer.rows.get(commits::KEY)) {
            Some(row) => row.clone(),
            None => tree.get(commits::KEY)?,
        };
        accept(row.as_deref())?;
        let kept = bounds.journal_bytes.saturating_mul(2).max(KEPT_BYTES);
        if newer.0.is_new() {
            older.0.begin_again(1, kept)?;
            newer.0.begin_again(2, kept)?;
        } else if older.0.is_new() {
            older.0.begin_again(newer.0.generation() + 1, kept)?;
            std::mem::swap(&mut older, &mut newer);
        }
        let (mut moving, mut layers) = (Moving::default(), Layers::default());
        let journal = if newer.1.layer.is_empty() {
            layers.young = older.1.layer;
            moving.spare = Some(newer.0);
            older.0
        } else {
            let old = Arc::new(older.1.layer);
            moving.full = Some((older.0, Arc::clone(&old), newer.0.generation() + 1));
            (layers.young, layers.old) = (newer.1.layer, Some(old));
            newer.0
        };
        let shared = Arc::new(Shared { layers: RwLock::new(layers), moving: Mutex::new(moving), changed: Condvar::new() });
        let tree: Arc<dyn Tree> = Arc::from(tree);
        let mover = Mover { tree: Arc::clone(&tree), shared: Arc::clone(&shared), room, panicked, kept };
        let mover = std::thread::Builder::new().name("store-mover".to_owned()).spawn(move || mover.run()).map_err(io)?;
        Ok(Journaled { tree, shared, journal: Mutex::new(Some(journal)), paths, bounds, mover: Some(mover) })
    }

    /// Begins a new layer if the present one is full, once the other file is free.
    fn make_room(&self, journal: &mut Journal) -> Result<(), EngineError> {
        let layer = self.shared.layers().young.bytes;
        let is_over = |times: usize| {
            layer >= self.bounds.layer_bytes.saturating_mul(times)
                || journal.length() >= self.bounds.journal_bytes.saturating_mul(times as u64)
        };
        let mut moving = self.shared.moving();
        if is_over(PATIENCE / 2) {
            moving = self.shared.changed.wait_timeout_while(moving, SHORT_WAIT, Moving::is_busy).unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_over(PATIENCE) {
            moving = self.shared.settled(moving);
            if let Some(error) = &moving.short {
                return Err(error.clone());
            }
        }
        if let Some(error) = &moving.stuck {
            return Err(error.clone());
        }
        if is_over(1)
            && let Some(spare) = moving.spare.take()
        {
            let next = spare.generation() + 1;
            moving.full = Some((std::mem::replace(journal, spare), self.shared.begin_layer(), next));
            self.shared.changed.notify_all();
        }
        Ok(())
    }
}

impl Engine for Journaled {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.shared.layers().get(&*self.tree, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.shared.layers().scan(&*self.tree, start, end, limit)
    }

    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_mut().ok_or_else(|| io("the journal is closed"))?;
        self.make_room(journal)?;
        let Resolved { done, rows } = resolve(batches, |key| self.get(key))?;
        if let Some((_, Some(row))) = rows.iter().find(|(_, row)| row.as_ref().is_some_and(|row| row.len() > ROW_BYTES)) {
            return Err(io(format!("a row of {} bytes is over the engine's {ROW_BYTES}", row.len())));
        }
        if rows.is_empty() {
            return Ok(done);
        }
        journal.append(rows.iter().map(|(key, row)| (key.as_slice(), row.as_deref())))?;
        let mut layers = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner);
        rows.into_iter().for_each(|(key, row)| layers.young.set(key, row));
        Ok(done)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        // Not of the open files: a commit may hold them for a while.
        let own = self.paths.iter().map(|path| Ok(std::fs::metadata(path).map_err(io)?.len())).sum::<Result<u64, EngineError>>()?;
        Ok(self.tree.bytes_on_disk()? + own)
    }
}

impl Drop for Journaled {
    /// Moves everything into the tree, so that it opens fast. What cannot be moved stays in the journal.
    fn drop(&mut self) {
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        {
            let mut moving = self.shared.settled(self.shared.moving());
            if let Some(journal) = journal.filter(|_| !self.shared.layers().young.is_empty())
                && let Some(spare) = moving.spare.take()
            {
                moving.full = Some((journal, self.shared.begin_layer(), spare.generation() + 1));
            }
            moving.stop = true;
            self.shared.changed.notify_all();
        }
        if let Some(mover) = self.mover.take() {
            let _ = mover.join();
        }
    }
}

impl Shared {
    fn layers(&self) -> std::sync::RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn moving(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the mover is done, or cannot go on.
    fn settled<'a>(&'a self, moving: MutexGuard<'a, Moving>) -> MutexGuard<'a, Moving> {
        self.changed.wait_while(moving, Moving::is_busy).unwrap_or_else(PoisonError::into_inner)
    }

    /// What is young becomes old.
    fn begin_layer(&self) -> Arc<Layer> {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::new(std::mem::take(&mut layers.young));
        layers.old = Some(Arc::clone(&old));
        old
    }
}

/// The thread that moves rows into the tree.
struct Mover {
    tree: Arc<dyn Tree>,
    shared: Arc<Shared>,
    room: Room,
    panicked: Arc<AtomicBool>,
    kept: u64,
}

impl Mover {
    fn run(self) {
        loop {
            let full = {
                let idle = |moving: &mut Moving| moving.full.is_none() && !moving.stop;
                let moving = self.shared.moving();
                self.shared.changed.wait_while(moving, idle).unwrap_or_else(PoisonError::into_inner).full.take()
            };
            let Some((journal, old, next)) = full else { return };
            let outcome = guarded::run(|| self.work(journal, &old, next)).unwrap_or_else(|panic| Err(self.broken(&panic)));
            let mut moving = self.shared.moving();
            match outcome {
                Ok(spare) => moving.spare = Some(spare),
                Err(error) => {
                    error!(%error, "what was committed stays in the journal; writes are refused");
                    moving.stuck = Some(error);
                }
            }
            self.shared.changed.notify_all();
        }
    }

    /// Moves the old layer, and begins its file again.
    fn work(&self, mut journal: Journal, old: &Layer, next: u64) -> Result<Journal, EngineError> {
        let (mut rows, mut bytes): (Vec<Row<'_>>, usize) = (Vec::new(), 0);
        // The engine's own rows go last: the number of commits says what the tree holds, and a tree can lose its end (`commits`).
        let (own, others) = (old.rows.range(..commits::FIRST.to_vec()), old.rows.range(commits::FIRST.to_vec()..));
        for (key, row) in others {
            rows.push((key, row.as_deref()));
            bytes += key.len() + row.as_ref().map_or(0, Vec::len);
            if bytes >= MOVED_BYTES {
                self.write(&rows)?;
                rows.clear();
                bytes = 0;
            }
        }
        self.write(&rows)?;
        self.write(&own.map(|(key, row)| (key.as_slice(), row.as_deref())).collect::<Vec<_>>())?;
        journal.begin_again(next, self.kept)?;
        let moved = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner).old.take();
        drop(moved);
        Ok(journal)
    }

    /// What a panic of the tree means: it may have been of the moment, and an engine that is opened again goes on. Of a damaged page it comes again.
    fn broken(&self, panic: &str) -> EngineError {
        let why = format!("what was committed cannot be moved out of the journal ({panic})");
        match self.panicked.swap(true, Ordering::Relaxed) {
            false => EngineError::Io(why),
            true => EngineError::Damaged(why),
        }
    }

    fn write(&self, rows: &[Row<'_>]) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.wait_for_room()?;
        self.tree.write(rows)
    }

    /// An error: the engine is closed, and what is not moved stays in the journal.
    fn wait_for_room(&self) -> Result<(), EngineError> {
        let mut moving = self.shared.moving();
        loop {
            let Err(error) = (self.room)() else {
                moving.short = None;
                return Ok(());
            };
            if moving.stop {
                return Err(error);
            }
            moving.short = Some(error);
            self.shared.changed.notify_all();
            moving = self.shared.changed.wait_timeout(moving, ASK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Each file is begun with the number after that of the other one.
fn belong_together(older: &Journal, newer: &(Journal, Records)) -> Result<(), EngineError> {
    let is_new = newer.0.is_new() || (older.is_new() && newer.0.generation() <= 2 && newer.1.layer.is_empty());
    if is_new || (!older.is_new() && older.generation() + 1 == newer.0.generation()) {
        return Ok(());
    }
    let paths = (older.path().display(), newer.0.path().display());
    Err(EngineError::Damaged(format!("{} is missing, or does not belong to {}", paths.0, paths.1)))
}

/// Every commit is in the tree or in one of the files, the tree's end and the older file's included.
fn have_no_gap(tree: &dyn Tree, files: [&(Journal, Records); 2]) -> Result<(), EngineError> {
    let row = tree.get(commits::KEY)?;
    let mut held = row.as_deref().and_then(commits::number).unwrap_or(0);
    for (journal, records) in files {
        let Some((first, last)) = records.commits else { continue };
        if first > held + 1 {
            return Err(EngineError::Damaged(format!(
                "{} begins with commit {first}, and what is before it ends with {held}",
                journal.path().display()
            )));
        }
        held = held.max(last);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
