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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::contract::Engine;
use super::journal::{self, Journal};
use super::layers::{Layer, Layers};
use super::resolve::{Resolved, resolve};
use super::tree::{Row, Tree};
use super::{Batch, Bytes, Committed, EngineError, ROW_BYTES, commits, guarded, io};

/// How much is kept before it is moved into the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of keys and values of a layer.
    pub layer_bytes: usize,
    /// Bytes of a journal file.
    pub journal_bytes: u64,
}

impl Bounds {
    /// Those of a configuration. The usual 8 MiB are some thousand writes: rows that are written again and again go into the tree once, and after
    /// a crash all is read in a moment.
    pub(super) fn of(journal_mib: u64) -> Bounds {
        let bytes = journal_mib.saturating_mul(1 << 20).max(2);
        Bounds { layer_bytes: usize::try_from(bytes / 2).unwrap_or(usize::MAX), journal_bytes: bytes }
    }
}

/// So many times the bounds may be reached before a commit waits for the tree.
const PATIENCE: usize = 4;

/// From half of that on each commit waits this long at most: many short waits let the tree catch up, instead of one long one.
const SHORT_WAIT: Duration = Duration::from_millis(4);

/// Bytes of rows that are moved before the tree is made durable: sled frees segments as it goes, and must not use one again long before
/// what was in it is durable elsewhere.
const MOVED_BYTES: usize = 1 << 20;

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

#[derive(Default)]
struct Moving {
    /// The old layer and its file, until the mover takes them.
    full: Option<(Journal, Arc<Layer>)>,
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

impl Journaled {
    /// Puts the journal of a folder before a tree.
    pub(super) fn open(folder: &Path, tree: Box<dyn Tree>, room: Room, bounds: Bounds) -> Result<Journaled, EngineError> {
        let paths = journal::paths(folder);
        let (first, second) = (Journal::open(paths[0].clone(), 1)?, Journal::open(paths[1].clone(), 2)?);
        let (older, newer) = if first.0.generation() < second.0.generation() { (first, second) } else { (second, first) };
        let mut moving = Moving::default();
        let (young, layers) = match newer.1.is_empty() {
            true => {
                moving.spare = Some(newer.0);
                (older.0, Layers { young: older.1, old: None })
            }
            false => {
                let old = Arc::new(older.1);
                moving.full = Some((older.0, Arc::clone(&old)));
                (newer.0, Layers { young: newer.1, old: Some(old) })
            }
        };
        let shared = Arc::new(Shared { layers: RwLock::new(layers), moving: Mutex::new(moving), changed: Condvar::new() });
        let tree: Arc<dyn Tree> = Arc::from(tree);
        let mover = Mover { tree: Arc::clone(&tree), shared: Arc::clone(&shared), room, kept: bounds.journal_bytes.saturating_mul(2) };
        let mover = std::thread::Builder::new().name("store-mover".to_owned()).spawn(move || mover.run()).map_err(io)?;
        Ok(Journaled { tree, shared, journal: Mutex::new(Some(young)), paths, bounds, mover: Some(mover) })
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
            moving.full = Some((std::mem::replace(journal, spare), self.shared.begin_layer()));
            self.shared.changed.notify_all();
        }
        Ok(())
    }
}

impl Engine for Journaled {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.shared.layers().get(&*self.tree, keys)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.shared.layers().scan(&*self.tree, start, end, limit)
    }

    fn commit(&self, batches: &[&Batch]) -> Result<Vec<Committed>, EngineError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_mut().ok_or_else(|| io("the journal is closed"))?;
        self.make_room(journal)?;
        let Resolved { done, rows } = resolve(batches, |key| Ok(self.get(&[key])?.pop().flatten()))?;
        if let Some((_, Some(row))) = rows.iter().find(|(_, row)| row.is_some_and(|row| row.len() > ROW_BYTES)) {
            return Err(io(format!("a row of {} bytes is over the engine's {ROW_BYTES}", row.len())));
        }
        if rows.is_empty() {
            return Ok(done);
        }
        journal.append(rows.iter().map(|(key, row)| (*key, row.map(Vec::as_slice))))?;
        let rows: Vec<(Bytes, Option<Bytes>)> = rows.into_iter().map(|(key, row)| (key.to_vec(), row.cloned())).collect();
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
            if moving.spare.is_some()
                && let Some(journal) = journal.filter(|_| !self.shared.layers().young.is_empty())
            {
                moving.spare = None;
                moving.full = Some((journal, self.shared.begin_layer()));
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
            let Some((journal, old)) = full else { return };
            let outcome = guarded::run(|| self.work(journal, &old)).unwrap_or_else(|panic| {
                Err(EngineError::Damaged(format!("what was committed cannot be moved out of the journal ({panic})")))
            });
            let mut moving = self.shared.moving();
            match outcome {
                Ok(spare) => moving.spare = Some(spare),
                Err(error) => moving.stuck = Some(error),
            }
            self.shared.changed.notify_all();
        }
    }

    /// Moves the old layer, and begins its file again.
    fn work(&self, mut journal: Journal, old: &Layer) -> Result<Journal, EngineError> {
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
        // The young one's number is one higher.
        journal.begin_again(journal.generation() + 2, self.kept)?;
        let moved = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner).old.take();
        drop(moved);
        Ok(journal)
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

#[cfg(test)]
mod tests;
