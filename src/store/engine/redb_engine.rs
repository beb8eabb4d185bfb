//! redb: a copy-on-write tree in one file. Rows that are written together are one of its transactions, durable when it returns.
//!
//! It verifies its pages only when it is told to: so it always is when it opens, which reads the whole file. Without that a damaged page
//! can lead past rows, and they would be missing in silence.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::tree::{Row, Tree};
use super::{Bytes, EngineError, frame, io, opening};

/// The file that holds all rows.
pub(super) const DATA_FILE: &str = "rows.redb";

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

/// An open store on disk.
pub(super) struct Redb {
    database: Database,
    file: std::path::PathBuf,
}

impl Redb {
    /// Opens or makes the store in a folder. May panic if its file is damaged.
    pub(super) fn open(folder: &Path, cache_mib: u64) -> Result<Redb, EngineError> {
        let file = folder.join(DATA_FILE);
        let bytes = usize::try_from(cache_mib << 20).unwrap_or(usize::MAX);
        let database = Database::builder().set_cache_size(bytes).set_check_integrity_on_open(true).create(&file);
        let engine = Redb { database: database.map_err(|error| explain(&file, error))?, file };
        // Reading needs the table to be there.
        engine.write(&[])?;
        Ok(engine)
    }
}

impl Tree for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let table = self.database.begin_read().map_err(read)?.open_table(ROWS).map_err(read)?;
        table.get(key).map_err(read)?.map(|row| frame::open(key, row.value())).transpose()
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        if start >= end {
            return Ok(found);
        }
        let table = self.database.begin_read().map_err(read)?.open_table(ROWS).map_err(read)?;
        for row in table.range(start..end).map_err(read)?.take(limit) {
            let (key, row) = row.map_err(read)?;
            found.push((key.value().to_vec(), frame::open(key.value(), row.value())?));
        }
        Ok(found)
    }

    fn write(&self, rows: &[Row<'_>]) -> Result<(), EngineError> {
        let mut transaction = self.database.begin_write().map_err(io)?;
        transaction.set_durability(Durability::Immediate).map_err(io)?;
        {
            let mut table = transaction.open_table(ROWS).map_err(io)?;
            for (key, row) in rows {
                match row {
                    Some(row) => table.insert(*key, frame::seal(key, row)?.as_slice()).map_err(read)?,
                    None => table.remove(*key).map_err(read)?,
                };
            }
        }
        transaction.commit().map_err(io)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(std::fs::metadata(&self.file).map_err(io)?.len())
    }
}

fn explain(file: &Path, error: redb::DatabaseError) -> EngineError {
    let what = format!("{}: {error}", file.display());
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            EngineError::Open(format!("another process has {} open; stop it, or choose another folder with --data", file.display()))
        }
        // What is no database any more, or ends too early, redb takes for a failure of the disk.
        redb::DatabaseError::Storage(redb::StorageError::Io(ref error))
            if !matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            opening(file, error)
        }
        _ => EngineError::Damaged(what),
    }
}

/// A failed read: what is damaged is told from what could not be read.
fn read(error: impl Into<redb::Error>) -> EngineError {
    match error.into() {
        redb::Error::Corrupted(what) => EngineError::Damaged(what),
        error => io(error),
    }
}
