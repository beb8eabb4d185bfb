//! sled 0.34.7, with the recipe that makes it keep what it acknowledged.
//!
//! - sled's `flush` does not survive a power cut (it calls `sync_file_range`): after it, the data file is synced on a handle of our own,
//!   and the folder and its parent once after creation.
//! - `flush_async` deadlocks under concurrent tasks: it is never used, and sled's own background flush is off.
//! - Large values go to `blobs/`, which sled never syncs: rows are small (`ROW_BYTES`), segments large, and `blobs/` is checked to be empty.
//! - Recovery panics on damaged files: opening is guarded.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Batch, Bytes, Committed, EngineError, frame};

/// Bytes of a segment of the log: large enough that a row at its bound stays far below what sled moves to a blob.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How often, and after which pause, a store that somebody holds is tried again: a server that just stopped is still letting go.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// How the engine keeps its files.
#[derive(Clone, Debug)]
pub struct Config {
    /// Memory that sled aims to use for its page cache, in MiB.
    pub cache_mib: u64,
}

/// An open store on disk.
pub struct Engine {
    rows: sled::Db,
    log: File,
    blobs: PathBuf,
}

impl Engine {
    /// Opens or makes the store in a folder. Fails if another process holds it, if the disk does, or if its files are damaged.
    pub fn open(folder: &Path, config: &Config) -> Result<Engine, EngineError> {
        let made = missing(folder);
        std::fs::create_dir_all(folder).map_err(|e| EngineError::Open(format!("{}: {e}", folder.display())))?;
        let options =
            sled::Config::new().path(folder).cache_capacity(config.cache_mib << 20).segment_size(SEGMENT_BYTES).flush_every_ms(None);
        let rows = open_guarded(folder, &options)?;
        let log = File::open(folder.join("db")).map_err(io)?;
        let engine = Engine { rows, log, blobs: folder.join("blobs") };
        engine.make_durable()?;
        // The folder's name is in its parent, and so on up to the first that was there before.
        for folder in [folder].into_iter().chain(made.iter().map(PathBuf::as_path)) {
            sync_folder(folder)?;
            sync_folder(parent(folder))?;
        }
        engine.check_blobs()?;
        Ok(engine)
    }

    /// The values of some rows, in the order of their keys.
    pub fn get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, EngineError> {
        keys.iter().map(|key| self.one(key.as_ref())).collect()
    }

    /// Up to `limit` rows from `start` on, below `end`, in order.
    pub fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        for row in self.rows.range(start..end).take(limit) {
            let (key, row) = row.map_err(io)?;
            found.push((key.to_vec(), frame::open(&key, &row)?));
        }
        Ok(found)
    }

    /// Applies batches in order and makes them durable together. An error leaves open which of them will be found later.
    ///
    /// All of them become one batch of sled's: it seals and writes an I/O buffer for each (63 writes of the file for a group of 30
    /// patches, measured), and a row that several of them set is written once.
    pub fn commit(&self, batches: &[Batch]) -> Result<Vec<Committed>, EngineError> {
        let mut rows: BTreeMap<&[u8], Option<&Bytes>> = BTreeMap::new();
        let mut done = Vec::with_capacity(batches.len());
        for batch in batches {
            let held = self.guards_hold(batch, &rows)?;
            if held {
                rows.extend(batch.rows.iter().map(|(key, row)| (key.as_slice(), row.as_ref())));
            }
            done.push(if held { Committed::Applied } else { Committed::Stale });
        }
        let mut changes = sled::Batch::default();
        for (key, payload) in rows {
            match payload {
                Some(payload) => changes.insert(key, frame::seal(key, payload)?),
                None => changes.remove(key),
            }
        }
        self.rows.apply_batch(changes).map_err(io)?;
        self.make_durable()?;
        Ok(done)
    }

    /// Opens it again.
    pub fn recover(&self) -> Result<(), EngineError> {
        Err(EngineError::Io("it cannot be opened again".to_owned()))
    }

    /// Bytes that the store takes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.rows.size_on_disk().map_err(io)
    }

    fn one(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.rows.get(key).map_err(io)?.map(|row| frame::open(key, &row)).transpose()
    }

    fn guards_hold(&self, batch: &Batch, decided: &BTreeMap<&[u8], Option<&Bytes>>) -> Result<bool, EngineError> {
        for (key, expected) in &batch.guards {
            let holds = match decided.get(key.as_slice()) {
                Some(row) => *row == expected.as_ref(),
                None => self.one(key)? == *expected,
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn make_durable(&self) -> Result<(), EngineError> {
        self.rows.flush().map_err(io)?;
        self.log.sync_data().map_err(io)
    }

    fn check_blobs(&self) -> Result<(), EngineError> {
        match std::fs::read_dir(&self.blobs).map(|mut files| files.next().is_none()) {
            Ok(false) => Err(EngineError::Damaged(format!("{} holds files that were never synced", self.blobs.display()))),
            _ => Ok(()),
        }
    }
}

/// Opens sled, whose recovery panics on damaged files, and which lets go of its lock a moment after it was closed: its own threads hold it, too.
fn open_guarded(folder: &Path, options: &sled::Config) -> Result<sled::Db, EngineError> {
    let mut tries = 0;
    loop {
        match catch_unwind(AssertUnwindSafe(|| options.open())) {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if is_held(&error) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Ok(Err(error)) => return Err(EngineError::Open(explain(folder, &error))),
            Err(_) => {
                let message = format!("{} is damaged beyond what recovery can mend; restore it from a backup", folder.display());
                return Err(EngineError::Open(message));
            }
        }
    }
}

fn is_held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("lock"))
}

/// The folders on the way to this one, and itself, that are not there yet.
fn missing(folder: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).map(Path::to_owned).collect()
}

/// Where a folder's name stands.
fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => folder,
    }
}

fn sync_folder(folder: &Path) -> Result<(), EngineError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn io(error: impl std::fmt::Display) -> EngineError {
    EngineError::Io(error.to_string())
}

fn explain(folder: &Path, error: &sled::Error) -> String {
    let folder = folder.display();
    match error {
        _ if is_held(error) => {
            format!("another process has {folder} open; stop it, or choose another folder with --data")
        }
        sled::Error::Corruption { .. } => format!("{folder} is damaged ({error}); restore it from a backup"),
        _ => format!("{folder}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config { cache_mib: 16 };

    fn batch(guards: &[(&str, Option<&str>)], rows: &[(&str, Option<&str>)]) -> Batch {
        let owned =
            |pairs: &[(&str, Option<&str>)]| pairs.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.map(|v| v.as_bytes().to_vec()))).collect();
        Batch { guards: owned(guards), rows: owned(rows) }
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path(), &CONFIG).expect("opens");
        let done = engine.commit(&[batch(&[], &[("a", Some("1")), ("b", Some("2"))]), batch(&[], &[("a", None)])]).expect("commits");
        assert_eq!(done, [Committed::Applied, Committed::Applied]);
        drop(engine);
        let engine = Engine::open(folder.path(), &CONFIG).expect("opens again");
        assert_eq!(engine.get(&["a", "b"]).expect("reads"), [None, Some(b"2".to_vec())]);
    }

    #[test]
    fn a_batch_whose_guard_broke_is_left_out_whole() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path(), &CONFIG).expect("opens");
        let first = batch(&[("head", None)], &[("head", Some("1"))]);
        let late = batch(&[("head", None)], &[("head", Some("x")), ("other", Some("x"))]);
        let next = batch(&[("head", Some("1"))], &[("head", Some("2"))]);
        assert_eq!(engine.commit(&[first, late, next]).expect("commits"), [Committed::Applied, Committed::Stale, Committed::Applied]);
        assert_eq!(engine.get(&["head", "other"]).expect("reads"), [Some(b"2".to_vec()), None]);
    }

    #[test]
    fn a_scan_is_in_order_and_bounded() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path(), &CONFIG).expect("opens");
        engine.commit(&[batch(&[], &[("k3", Some("3")), ("k1", Some("1")), ("l", Some("")), ("k2", Some("2"))])]).expect("commits");
        let keys = |limit| engine.scan(b"k", b"l", limit).expect("scans").into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(9), [b"k1", b"k2", b"k3"]);
        assert_eq!(keys(2), [b"k1", b"k2"]);
    }

    #[test]
    fn every_folder_that_was_made_is_known_to_be_synced() {
        let folder = tempfile::tempdir().expect("folder");
        let deep = folder.path().join("a/b/c");
        assert_eq!(missing(&deep), [deep.clone(), folder.path().join("a/b"), folder.path().join("a")]);
        Engine::open(&deep, &CONFIG).expect("opens");
        assert!(missing(&deep).is_empty());
        assert_eq!(parent(Path::new("driftless-data")), Path::new("."));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_second_process_is_told_who_is_in_the_way() {
        let folder = tempfile::tempdir().expect("folder");
        let _held = Engine::open(folder.path(), &CONFIG).expect("opens");
        let refused = Engine::open(folder.path(), &CONFIG).err().expect("is refused").to_string();
        assert!(refused.contains("another process"), "{refused}");
    }

    #[test]
    fn the_largest_row_leaves_no_file_in_blobs() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path(), &CONFIG).expect("opens");
        let rows = (0..200u8).map(|n| (vec![n; 1_500], Some(vec![n; super::super::ROW_BYTES]))).collect();
        engine.commit(&[Batch { guards: Vec::new(), rows }]).expect("commits");
        engine.check_blobs().expect("no blobs");
    }
}
