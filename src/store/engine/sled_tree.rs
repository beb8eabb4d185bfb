//! sled 0.34.7, used so that acknowledged rows survive.
//!
//! - Rows that sled's `flush` wrote do not survive a power cut (it calls `sync_file_range`): after it, this module syncs the log itself.
//! - `flush_async` deadlocks under concurrent tasks: it is never used, and sled's own background flush is off.
//! - Large values go to `blobs/`, which sled never syncs: rows are small (`ROW_BYTES`), segments large, and `blobs/` is checked to be
//!   empty.
//! - An iterator of sled's is no snapshot: it finds every row that is not written meanwhile, in order, and no more is asked of a tree. There
//!   is no lock between reads and writes, because each of them may wait for the disk.
//! - Each of sled's batches costs a write of the file: rows are written one by one, and the journal (`journaled`) makes commits atomic.
//! - Recovery panics on damaged files, or ignores the damage: the caller of `open` catches panics (`panics`) and checks the log first
//!   (`sled_log`). sled does not open with a page table that a crash left unfinished, so such a file is removed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::batch::Bytes;
use super::error::{EngineError, io_error, is_damage, open_error};
use super::tree::{RowChange, Tree};
use super::{frame, layout, sled_log};

/// Bytes of a segment of the log: large enough that a row of `ROW_BYTES` stays far below the size that sled moves to a blob.
pub(super) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How often, and after which pause, a locked log is tried again: the threads of a store that was just closed still hold the lock.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// An open sled database.
pub(super) struct SledTree {
    rows: sled::Db,
    log: File,
    blobs: PathBuf,
}

impl SledTree {
    /// Opens or creates the database in a folder. May panic if its files are damaged.
    pub(super) fn open(folder: &Path, cache_mib: u64, segment_bytes: usize) -> Result<SledTree, EngineError> {
        sled_log::remove_unfinished_tables(folder)?;
        let options = sled::Config::new().path(folder).cache_capacity(cache_mib << 20).segment_size(segment_bytes).flush_every_ms(None);
        let rows = open_when_free(folder, &options)?;
        let log = File::open(folder.join(layout::SLED_LOG)).map_err(io_error)?;
        let tree = SledTree { rows, log, blobs: folder.join("blobs") };
        tree.make_durable()?;
        tree.check_blobs()?;
        Ok(tree)
    }

    fn make_durable(&self) -> Result<(), EngineError> {
        self.rows.flush().map_err(io_error)?;
        self.log.sync_data().map_err(io_error)
    }

    fn check_blobs(&self) -> Result<(), EngineError> {
        match std::fs::read_dir(&self.blobs).map(|mut files| files.next().is_none()) {
            Ok(false) => Err(EngineError::Damaged(format!("{} holds files that were never synced", self.blobs.display()))),
            _ => Ok(()),
        }
    }
}

impl Tree for SledTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.rows.get(key).map_err(storage_error)?.map(|row| frame::decode(key, &row)).transpose()
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        if start >= end {
            return Ok(found);
        }
        for row in self.rows.range(start..end).take(limit) {
            let (key, row) = row.map_err(storage_error)?;
            found.push((key.to_vec(), frame::decode(&key, &row)?));
        }
        Ok(found)
    }

    /// Writes row by row: each of sled's batches seals and writes an I/O buffer and wakes its threads.
    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError> {
        for (key, row) in rows {
            match row {
                Some(row) => self.rows.insert(key, frame::encode(key, row)?),
                None => self.rows.remove(key),
            }
            .map_err(storage_error)?;
        }
        self.make_durable()
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.rows.size_on_disk().map_err(io_error)
    }
}

/// Opens sled, once its lock is free: its own threads hold it for a moment after the database was closed.
fn open_when_free(folder: &Path, options: &sled::Config) -> Result<sled::Db, EngineError> {
    let mut tries = 0;
    loop {
        match options.open() {
            Ok(rows) => return Ok(rows),
            Err(error) if is_locked(&error) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(open_failure(folder, &error)),
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("lock"))
}

fn open_failure(folder: &Path, error: &sled::Error) -> EngineError {
    match error {
        _ if is_locked(error) => {
            EngineError::Open(format!("another process has {} open; stop it, or choose another folder with --data", folder.display()))
        }
        sled::Error::Io(error) if !is_damage(error) => open_error(folder, error),
        _ => EngineError::Damaged(format!("{}: {error}", folder.display())),
    }
}

fn storage_error(error: sled::Error) -> EngineError {
    match error {
        sled::Error::Corruption { .. } => EngineError::Damaged(error.to_string()),
        sled::Error::Io(error) if is_damage(&error) => EngineError::Damaged(error.to_string()),
        _ => io_error(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::engine::batch::ROW_BYTES;

    /// Segments of which a small log has several.
    const SMALL_SEGMENT_BYTES: usize = 64 * 1024;

    #[test]
    fn the_largest_row_leaves_no_file_in_blobs() {
        let folder = tempfile::tempdir().expect("folder");
        let tree = SledTree::open(folder.path(), 16, SEGMENT_BYTES).expect("opens");
        let rows: Vec<(Bytes, Bytes)> = (0..200u8).map(|n| (vec![n; 1_500], vec![n; ROW_BYTES])).collect();
        let rows: Vec<RowChange<'_>> = rows.iter().map(|(key, row)| (key.as_slice(), Some(row.as_slice()))).collect();
        tree.write(&rows).expect("writes");
        tree.check_blobs().expect("no blobs");
    }

    #[test]
    fn rows_behind_the_end_of_a_log_that_was_cut_are_damaged() {
        let folder = tempfile::tempdir().expect("folder");
        let keys: Vec<Bytes> = (0..200u8).map(|n| vec![n; 8]).collect();
        let rows: Vec<RowChange<'_>> = keys.iter().map(|key| (key.as_slice(), Some([7; 1_000].as_slice()))).collect();
        let open = || SledTree::open(folder.path(), 1, SMALL_SEGMENT_BYTES).expect("opens");
        open().write(&rows).expect("writes");
        // Opened again, it has the rows on disk only.
        let tree = open();
        std::fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join(layout::SLED_LOG))
            .and_then(|log| log.set_len(100_000))
            .expect("cuts");
        let reads: Vec<_> = keys.iter().map(|key| tree.get(key)).collect();
        let errors: Vec<_> = reads.iter().filter_map(|read| read.as_ref().err()).collect();
        assert!(!errors.is_empty() && errors.iter().all(|error| matches!(error, EngineError::Damaged(_))), "{errors:?}");
    }
    /// Pages are split by the rows that are written between the others, and merged again when those are deleted.
    #[test]
    fn a_scan_beside_writes_finds_every_row_that_is_not_written() {
        const ROWS: u16 = 600;
        const ROUNDS: u8 = 30;
        let folder = tempfile::tempdir().expect("folder");
        let tree = SledTree::open(folder.path(), 1, SEGMENT_BYTES).expect("opens");
        let key = |n: u16, kind: u8| [n.to_be_bytes().as_slice(), &[kind]].concat();
        let write = |keys: &[Bytes], row: Option<&[u8]>| {
            tree.write(&keys.iter().map(|key| (key.as_slice(), row)).collect::<Vec<_>>()).expect("writes");
        };
        let fixed: Vec<Bytes> = (0..ROWS).map(|n| key(n, 0)).collect();
        write(&fixed, Some(b"fixed"));
        let is_done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for round in 1..=ROUNDS {
                    let written: Vec<Bytes> = (0..ROWS).map(|n| key(n, round)).collect();
                    write(&written, Some(&[round; 300]));
                    write(&written, None);
                }
                is_done.store(true, Ordering::Relaxed);
            });
            for n in 0.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                let from = n % ROWS;
                let limit = if n % 2 == 0 { 100 } else { usize::MAX };
                let found: Vec<Bytes> =
                    tree.scan(&key(from, 0), &[u8::MAX], limit).expect("scans").into_iter().map(|(key, _)| key).collect();
                assert!(found.is_sorted(), "in order");
                let last = found.last().filter(|_| found.len() == limit);
                let expected = (from..ROWS).map(|n| key(n, 0)).filter(|key| last.is_none_or(|last| key <= last));
                assert!(expected.eq(found.iter().filter(|key| key[2] == 0).cloned()), "from {from}, limit {limit}");
            }
        });
    }
}
