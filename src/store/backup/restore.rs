//! A new store from a backup. It gets an epoch of its own, so that devices notice, and it keeps for each dataset the version up to which
//! its history is that of the backup's store.
//!
//! The file is read to its end first: a damaged backup makes no store. The store is made in a folder inside the target folder and moves
//! into place when it is complete.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use driftless_protocol::Epoch;

use super::blocks::{BackupChecker, BackupDamage, BackupSummary};
use crate::store::engine::{Batch, EmbeddedEngine, Engine, tighten};
use crate::store::keys::{self, RowKind};
use crate::store::rows::{self, HeadRow, LineageRow};
use crate::store::{EngineConfig, KEY_FILE, Store, StoreError, format};

/// How many earlier epochs a store remembers. A device that was offline over more restores than these gets a snapshot and no version in
/// common.
const EPOCHS: usize = 16;

/// The folder in which a store is made, inside the target folder.
const UNFINISHED: &str = ".restoring";

/// The file that names the engine of a folder.
const ENGINE_MARK: &str = "engine";

/// Rows of the restored store that are read at a time: 6 MiB of the largest.
const CHUNK_ROWS: usize = 128;

/// Why a restore failed.
#[derive(Debug)]
pub enum RestoreError {
    /// The backup cannot be used.
    Damaged(BackupDamage),
    /// The target folder holds other files.
    NotEmpty(PathBuf),
    Store(StoreError),
    Io(PathBuf, std::io::Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Damaged(damage) => write!(f, "{damage}"),
            RestoreError::NotEmpty(folder) => {
                let folder = folder.display();
                write!(f, "{folder} is not empty: a backup is restored into a new folder; move this one away, or name another with --data")
            }
            RestoreError::Store(error) => write!(f, "{error}"),
            RestoreError::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<BackupDamage> for RestoreError {
    fn from(damage: BackupDamage) -> RestoreError {
        RestoreError::Damaged(damage)
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> RestoreError {
        RestoreError::Store(error)
    }
}

/// Makes a store from a backup, in a folder that does not exist or has at most the key file. After each block `progress` gets the number of rows applied,
/// and of all rows.
pub fn restore(
    file: &Path,
    folder: &Path,
    config: &EngineConfig,
    fresh_epoch: &Epoch,
    mut progress: impl FnMut(u64, u64),
) -> Result<BackupSummary, RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| RestoreError::Io(path, error)
    };
    let open = || File::open(file).map(BufReader::new).map_err(io(file));
    let beside = folder.join(UNFINISHED);
    let key_file = folder.join(KEY_FILE);
    let is_other = |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|entry| entry.path() != beside && entry.path() != key_file);
    if std::fs::read_dir(folder).is_ok_and(|entries| entries.into_iter().any(is_other)) {
        return Err(RestoreError::NotEmpty(folder.to_owned()));
    }
    let summary = BackupChecker::begin(open()?)?.check()?;
    if let Some(why) = format::mismatch(summary.store_format) {
        return Err(BackupDamage::OtherRowFormat(why).into());
    }
    if beside.exists() {
        // An earlier attempt has left it.
        std::fs::remove_dir_all(&beside).map_err(io(&beside))?;
    }
    let engine = EmbeddedEngine::open(&beside, config, |_| false)?;
    let mut done = 0;
    BackupChecker::begin(open()?)?.each(|rows| {
        done += rows.len() as u64;
        engine.commit(vec![Batch::unfenced(rows)])?;
        progress(done, summary.rows);
        Ok::<(), RestoreError>(())
    })?;
    begin_epoch(Store::from_engine(Arc::new(engine), fresh_epoch)?, fresh_epoch)?;
    // The files move one by one, because the target folder may be the root of a disk. The file `engine` moves last: without it the folder
    // is not a store.
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&beside).map_err(io(&beside))? {
        names.push(entry.map_err(io(&beside))?.file_name());
    }
    names.sort_by_key(|name| name == ENGINE_MARK);
    for name in names {
        std::fs::rename(beside.join(&name), folder.join(&name)).map_err(io(folder))?;
    }
    std::fs::remove_dir(&beside).map_err(io(&beside))?;
    tighten(folder);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    Ok(summary)
}

/// Gives a store a new epoch. Each dataset keeps the version at which its history of the old epoch goes on in the new one.
fn begin_epoch(store: Store, fresh: &Epoch) -> Result<(), StoreError> {
    let engine = &store.engine;
    let LineageRow { number, mut before } = (*store.lineage).clone();
    before.push((number, store.epoch.clone()));
    before.drain(..before.len().saturating_sub(EPOCHS));
    let oldest = before.first().map_or(number, |(oldest, _)| *oldest);
    let end = keys::prefix_end(&keys::all_identities());
    let mut start = keys::all_identities();
    loop {
        let chunk = engine.scan(&start, &end, CHUNK_ROWS)?;
        let mut heads = Vec::new();
        for (key, row) in chunk.iter().filter(|(key, _)| RowKind::Head.is_of(key)) {
            let mut head: HeadRow = rows::decode(row)?;
            head.shared.push((number, head.version));
            head.shared.retain(|(at, _)| *at >= oldest);
            heads.push((key.clone(), Some(rows::encode(&head)?)));
        }
        if !heads.is_empty() {
            engine.commit(vec![Batch::unfenced(heads)])?;
        }
        match chunk.last() {
            Some((key, _)) if chunk.len() == CHUNK_ROWS => start = [key.as_slice(), &[0]].concat(),
            _ => break,
        }
    }
    let lineage = LineageRow { number: number + 1, before };
    let rows = vec![(keys::meta("epoch"), Some(rows::encode(fresh)?)), (keys::meta("lineage"), Some(rows::encode(&lineage)?))];
    engine.commit(vec![Batch::unfenced(rows)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::blocks::{BackupHeader, BackupWriter};
    use super::*;
    use crate::store::support::{CONFIG, epoch};

    #[test]
    fn a_backup_of_another_row_format_is_refused_and_makes_no_store() {
        for (store_format, reader) in [(1, "before the first release"), (4, "before the first release"), (format::ROW_FORMAT + 1, "newer")]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let mut writer = BackupWriter::default();
            let header = BackupHeader { store_format, epoch: epoch("first"), made_ms: 7 };
            let rows = [(keys::meta("epoch"), Some(rows::encode(&epoch("first")).expect("a row")))];
            let file = [writer.begin(&header), writer.rows(&rows), writer.end()].map(|part| part.expect("is written")).concat();
            let (backup, to) = (folder.path().join("backup"), folder.path().join("store"));
            std::fs::write(&backup, file).expect("writes");
            let refused = restore(&backup, &to, &CONFIG, &epoch("second"), |_, _| {}).expect_err("is refused").to_string();
            let formats = format!("format is {store_format}, this driftless reads format {}", format::ROW_FORMAT);
            assert!(refused.contains(&formats) && refused.contains(reader), "{refused}");
            assert!(!to.exists());
        }
    }
}
