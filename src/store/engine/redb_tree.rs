//! redb: a copy-on-write tree in one file. Each `write` is one transaction, durable when it returns.
//!
//! redb verifies its pages only on request. So every opening requests it, which reads the whole file; otherwise a damaged page could hide
//! rows without an error.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::batch::Bytes;
use super::error::{EngineError, io_error, is_damage, open_error};
use super::tree::{RowChange, Tree};
use super::{frame, layout};

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

/// An open redb database.
pub(super) struct RedbTree {
    database: Database,
    file: std::path::PathBuf,
}

impl RedbTree {
    /// Opens or creates the database in a folder. May panic if its file is damaged.
    pub(super) fn open(folder: &Path, cache_mib: u64) -> Result<RedbTree, EngineError> {
        let file = folder.join(layout::REDB_DATABASE);
        let bytes = usize::try_from(cache_mib << 20).unwrap_or(usize::MAX);
        let database = Database::builder().set_cache_size(bytes).set_check_integrity_on_open(true).create(&file);
        let tree = RedbTree { database: database.map_err(|error| open_failure(&file, error))?, file };
        // Creates the table: reading fails without it.
        tree.write(&[])?;
        Ok(tree)
    }
}

impl Tree for RedbTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let table = self.database.begin_read().map_err(storage_error)?.open_table(ROWS).map_err(storage_error)?;
        table.get(key).map_err(storage_error)?.map(|row| frame::decode(key, row.value())).transpose()
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        if start >= end {
            return Ok(found);
        }
        let table = self.database.begin_read().map_err(storage_error)?.open_table(ROWS).map_err(storage_error)?;
        for row in table.range(start..end).map_err(storage_error)?.take(limit) {
            let (key, row) = row.map_err(storage_error)?;
            found.push((key.value().to_vec(), frame::decode(key.value(), row.value())?));
        }
        Ok(found)
    }

    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError> {
        let mut transaction = self.database.begin_write().map_err(io_error)?;
        transaction.set_durability(Durability::Immediate).map_err(io_error)?;
        {
            let mut table = transaction.open_table(ROWS).map_err(io_error)?;
            for (key, row) in rows {
                match row {
                    Some(row) => table.insert(*key, frame::encode(key, row)?.as_slice()).map_err(storage_error)?,
                    None => table.remove(*key).map_err(storage_error)?,
                };
            }
        }
        transaction.commit().map_err(io_error)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(std::fs::metadata(&self.file).map_err(io_error)?.len())
    }
}

fn open_failure(file: &Path, error: redb::DatabaseError) -> EngineError {
    let what = format!("{}: {error}", file.display());
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            EngineError::Open(format!("another process has {} open; stop it, or choose another folder with --data", file.display()))
        }
        redb::DatabaseError::Storage(redb::StorageError::Io(ref error)) if !is_damage(error) => open_error(file, error),
        _ => EngineError::Damaged(what),
    }
}

/// The error of a failed call: damage or I/O.
fn storage_error(error: impl Into<redb::Error>) -> EngineError {
    match error.into() {
        redb::Error::Corrupted(what) => EngineError::Damaged(what),
        redb::Error::Io(error) if is_damage(&error) => EngineError::Damaged(error.to_string()),
        error => io_error(error),
    }
}
