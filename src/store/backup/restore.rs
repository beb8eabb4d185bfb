//! A fresh store from a backup, with an epoch of its own: devices notice, and know up to where their history is the store's.
//!
//! The file is read to its end first: nothing is made of a damaged one. The store is made in a folder of its own and goes up
//! into its place when it is whole.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use driftless_protocol::Epoch;

use super::blocks::{BackupChecker, BackupDamage, BackupSummary};
use crate::store::engine::{Batch, SupervisedEngine};
use crate::store::keys::{self, Kind};
use crate::store::rows::{self, HeadRow, LineageRow};
use crate::store::{EngineConfig, Store, StoreError, migrate};

/// Earlier epochs that a store remembers. A device that was away over more restores than these gets everything anew.
const EPOCHS: usize = 16;

/// Where a store is made, in its folder.
const UNFINISHED: &str = ".restoring";

/// The file that says which engine a folder is of.
const ENGINE_MARK: &str = "engine";

/// Why there is no fresh store.
#[derive(Debug)]
pub enum RestoreError {
    /// The file.
    Damaged(BackupDamage),
    /// The folder holds something.
    NotEmpty(PathBuf),
    /// The store.
    Store(StoreError),
    /// The system.
    Io(PathBuf, std::io::Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Damaged(damage) => write!(f, "{damage}"),
            RestoreError::NotEmpty(folder) => {
                let folder = folder.display();
                write!(f, "{folder} is not empty: a backup is restored into a new folder; move that one away, or name another with --data")
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

/// Makes a store of a backup in a folder that is empty or not there. `progress` is told how many of the rows are in.
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
    let is_other = |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|entry| entry.path() != beside);
    if std::fs::read_dir(folder).is_ok_and(|entries| entries.into_iter().any(is_other)) {
        return Err(RestoreError::NotEmpty(folder.to_owned()));
    }
    let summary = BackupChecker::begin(open()?)?.check()?;
    if summary.store_format > migrate::FORMAT {
        return Err(BackupDamage::Newer.into());
    }
    if beside.exists() {
        // What an earlier attempt left.
        std::fs::remove_dir_all(&beside).map_err(io(&beside))?;
    }
    let engine = SupervisedEngine::open(&beside, config)?;
    let mut done = 0;
    BackupChecker::begin(open()?)?.each(|rows| {
        done += rows.len() as u64;
        engine.commit(vec![Batch { preconditions: Vec::new(), rows }])?;
        progress(done, summary.rows);
        Ok::<(), RestoreError>(())
    })?;
    begin_epoch(Store::on(engine, fresh_epoch)?, fresh_epoch)?;
    // Up into the folder, which may be the root of a disk of its own. The mark of the engine comes last.
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&beside).map_err(io(&beside))? {
        names.push(entry.map_err(io(&beside))?.file_name());
    }
    names.sort_by_key(|name| name == ENGINE_MARK);
    for name in names {
        std::fs::rename(beside.join(&name), folder.join(&name)).map_err(io(folder))?;
    }
    std::fs::remove_dir(&beside).map_err(io(&beside))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    Ok(summary)
}

/// Gives a store a new epoch. Each dataset notes at which version its history of the old one goes on in it.
fn begin_epoch(store: Store, fresh: &Epoch) -> Result<(), StoreError> {
    let engine = &store.engine;
    let LineageRow { number, mut before } = (*store.lineage).clone();
    before.push((number, store.epoch.clone()));
    before.drain(..before.len().saturating_sub(EPOCHS));
    let oldest = before.first().map_or(number, |(oldest, _)| *oldest);
    migrate::each(engine, &keys::people(), migrate::CHUNK, |key, row, changes| {
        if !Kind::Head.is_of(key) {
            return Ok(());
        }
        let mut head: HeadRow = rows::decode(row)?;
        head.shared.push((number, head.version));
        head.shared.retain(|(at, _)| *at >= oldest);
        changes.push((key.to_vec(), Some(rows::encode(&head)?)));
        Ok(())
    })?;
    let lineage = LineageRow { number: number + 1, before };
    let rows = vec![(keys::meta("epoch"), Some(rows::encode(fresh)?)), (keys::meta("lineage"), Some(rows::encode(&lineage)?))];
    engine.commit(vec![Batch { preconditions: Vec::new(), rows }])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::blocks::{Head, Writer};
    use super::*;
    use crate::store::ReadStart;
    use crate::store::support::{CONFIG, FORMAT_1, FORMAT_2, all, dataset, epoch, me, rows_of};
    use driftless_protocol::Position;

    #[test]
    fn a_backup_of_an_older_format_is_restored_into_todays() {
        for (format, rows, live) in [(1, FORMAT_1, 4), (2, FORMAT_2, 2)] {
            let folder = tempfile::tempdir().expect("a folder");
            let rows = rows_of(rows);
            let mut writer = Writer::default();
            let head = Head { store_format: format, epoch: epoch("first"), made_ms: 7 };
            let file = [writer.begin(&head), writer.rows(&rows), writer.end()].map(|part| part.expect("is written")).concat();
            let (backup, to) = (folder.path().join("backup"), folder.path().join("store"));
            std::fs::write(&backup, file).expect("writes");
            let summary = restore(&backup, &to, &CONFIG, &epoch("second"), |_, _| {}).expect("is restored");
            assert_eq!((summary.store_format, summary.rows), (format, rows.len() as u64));
            let store = Store::open(&to, &CONFIG, &epoch("unused")).expect("opens");
            assert_eq!(*store.epoch(), epoch("second"));
            assert_eq!(migrate::format(&store.engine), Ok(Some(migrate::FORMAT)));
            assert_eq!(all(&store).len(), live);
            // A device that was at the old epoch is told how far its history is this one.
            let before = Position { epoch: epoch("first"), version: 2 };
            assert!(matches!(store.start(&me(), &dataset(), Some(&before.into())), Ok(ReadStart::Reset { shared: Some(2..), .. })));
        }
    }
}
