//! sled 0.34.7, with the recipe that makes it keep what it acknowledged.
//!
//! - sled's `flush` does not survive a power cut (it calls `sync_file_range`): after it, the data file is synced on a handle of our own.
//! - `flush_async` deadlocks under concurrent tasks: it is never used, and sled's own background flush is off.
//! - Large values go to `blobs/`, which sled never syncs: rows are small (`ROW_BYTES`), segments large, and `blobs/` is checked to be empty.
//! - Iterating is no snapshot: scans and the writer share a lock of our own. A single row is read without it: whoever reads would stand in line
//!   behind some rows being written, for each row again. Batches cost a write of the file each: rows are written one by
//!   one, and the journal before the tree (`journaled`) makes commits of them.
//! - Recovery panics on damaged files, or passes over the damage: whoever opens it guards itself (`guarded`) and reads the log first
//!   (`sled_log`). A table of pages that a crash left unfinished would keep it from opening: it is removed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::tree::{Row, Tree};
use super::{Bytes, EngineError, frame, io, opening, sled_log};

/// The log that holds all rows.
pub(super) const DATA_FILE: &str = "db";

/// Bytes of a segment of the log: large enough that a row at its bound stays far below what sled moves to a blob.
pub(super) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// Rows that are written before scans have their turn.
const WRITTEN_ROWS: usize = 64;

/// How often, and after which pause, a log that somebody holds is tried again: the threads of a store that was just closed still do.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// An open store on disk.
pub(super) struct Sled {
    rows: sled::Db,
    log: File,
    blobs: PathBuf,
    /// Held shared by scans, and alone while some rows are written.
    changing: RwLock<()>,
}

impl Sled {
    /// Opens or makes the store in a folder. May panic if its files are damaged.
    pub(super) fn open(folder: &Path, cache_mib: u64, segment_bytes: usize) -> Result<Sled, EngineError> {
        sled_log::clear_unfinished(folder)?;
        let options = sled::Config::new().path(folder).cache_capacity(cache_mib << 20).segment_size(segment_bytes).flush_every_ms(None);
        let rows = open_when_free(folder, &options)?;
        let log = File::open(folder.join(DATA_FILE)).map_err(io)?;
        let engine = Sled { rows, log, blobs: folder.join("blobs"), changing: RwLock::new(()) };
        engine.make_durable()?;
        engine.check_blobs()?;
        Ok(engine)
    }

    fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.changing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, ()> {
        self.changing.write().unwrap_or_else(PoisonError::into_inner)
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

impl Tree for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.rows.get(key).map_err(read)?.map(|row| frame::open(key, &row)).transpose()
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        if start >= end {
            return Ok(found);
        }
        let _reading = self.reading();
        for row in self.rows.range(start..end).take(limit) {
            let (key, row) = row.map_err(read)?;
            found.push((key.to_vec(), frame::open(&key, &row)?));
        }
        Ok(found)
    }

    /// One by one: a batch of sled's seals and writes an I/O buffer, and its threads wake for each.
    fn write(&self, rows: &[Row<'_>]) -> Result<(), EngineError> {
        for some in rows.chunks(WRITTEN_ROWS) {
            let _writing = self.writing();
            for (key, row) in some {
                match row {
                    Some(row) => self.rows.insert(key, frame::seal(key, row)?),
                    None => self.rows.remove(key),
                }
                .map_err(read)?;
            }
        }
        self.make_durable()
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.rows.size_on_disk().map_err(io)
    }
}

/// Opens sled, which lets go of its lock a moment after it was closed: its own threads hold it, too.
fn open_when_free(folder: &Path, options: &sled::Config) -> Result<sled::Db, EngineError> {
    let mut tries = 0;
    loop {
        match options.open() {
            Ok(rows) => return Ok(rows),
            Err(error) if is_held(&error) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(explain(folder, &error)),
        }
    }
}

fn is_held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("lock"))
}

fn explain(folder: &Path, error: &sled::Error) -> EngineError {
    match error {
        _ if is_held(error) => {
            EngineError::Open(format!("another process has {} open; stop it, or choose another folder with --data", folder.display()))
        }
        sled::Error::Io(error) => opening(folder, error),
        _ => EngineError::Damaged(format!("{}: {error}", folder.display())),
    }
}

fn read(error: sled::Error) -> EngineError {
    match error {
        sled::Error::Corruption { .. } => EngineError::Damaged(error.to_string()),
        _ => io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ROW_BYTES;
    use super::*;

    #[test]
    fn the_largest_row_leaves_no_file_in_blobs() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Sled::open(folder.path(), 16, SEGMENT_BYTES).expect("opens");
        let rows: Vec<(Bytes, Bytes)> = (0..200u8).map(|n| (vec![n; 1_500], vec![n; ROW_BYTES])).collect();
        let rows: Vec<Row<'_>> = rows.iter().map(|(key, row)| (key.as_slice(), Some(row.as_slice()))).collect();
        engine.write(&rows).expect("writes");
        engine.check_blobs().expect("no blobs");
    }
}
