//! The data folder: durable, locked by one process, and tied to one engine and format.
//!
//! - `driftless.lock` is locked for as long as the folder is open, and names the process that holds it.
//! - `engine` names the engine that created the folder and the folder's format. A folder of another engine or format is refused and left
//!   unchanged.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::config::EngineKind;
use super::error::{EngineError, io_error, open_error};
use super::{layout, page_cache, private_files};

/// The format that this version reads and writes. A version that changes it after a release converts the released format in `acquire`.
const FORMAT: u32 = 2;

/// How often, and after which pause, a lock that another process holds is tried again: a server that just stopped may still hold it.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A data folder that this process holds until it is dropped.
pub(super) struct DataFolder {
    path: PathBuf,
    engine: EngineKind,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it is missing, locks it, and checks that it belongs to this engine.
    pub(super) fn acquire(path: &Path, engine: EngineKind, address: &str) -> Result<DataFolder, EngineError> {
        let created = missing_folders(path);
        private_files::create_folders(path).map_err(|error| open_error(path, &error))?;
        let lock = lock(path, address)?;
        match read_format(path)? {
            Some(other) if other != engine => return Err(other_engine(path, other)),
            Some(_) => {}
            None => write_format(path, engine)?,
        }
        let folder = DataFolder { path: path.to_owned(), engine, _lock: lock };
        // A folder's name is stored in its parent, so each created folder needs a sync of the one above.
        for created in &created {
            sync_parent(created)?;
        }
        folder.sync()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the names of the folder's files durable.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        sync_folder(&self.path)?;
        sync_parent(&self.path)
    }

    /// Takes the access that other accounts have to the folder's files.
    pub(super) fn tighten(&self) {
        private_files::tighten(&self.path);
    }

    /// Whether the engine's tree has any data.
    pub(super) fn has_data(&self) -> bool {
        self.tree_file().metadata().is_ok_and(|about| about.len() > 0)
    }

    /// Drops the cached pages of the tree's file, so that the engine reads what is on disk. The journal does the same for its files.
    pub(super) fn discard_cached_pages(&self) -> Result<(), EngineError> {
        match OpenOptions::new().read(true).write(true).open(self.tree_file()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.and_then(|file| page_cache::discard(&file)).map_err(io_error),
        }
    }

    fn tree_file(&self) -> PathBuf {
        self.path.join(layout::tree_file(self.engine))
    }
}

fn lock(path: &Path, address: &str) -> Result<File, EngineError> {
    let name = path.join(layout::LOCK);
    let failed = |error: std::io::Error| open_error(&name, &error);
    let mut file = private_files::options().open(&name).map_err(failed)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                // The holder may be writing the text at this moment; then the error does not name it.
                let holder = std::fs::read_to_string(&name).unwrap_or_default();
                return Err(EngineError::Open(held(path, holder.lines().next().unwrap_or_default())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // The text only helps people. The lock holds without it, even on a disk without space for a line.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", holder(std::process::id(), address, SystemTime::now())));
    Ok(file)
}

/// 9999-12-31 23:59:59, after 1970-01-01.
const LAST_HTTP_DATE: Duration = Duration::from_secs(253_402_300_799);

/// The lock file's text.
fn holder(process: u32, address: &str, now: SystemTime) -> String {
    let at = if address.is_empty() { String::new() } else { format!(" (serving {address})") };
    // A clock that is set before 1970 or after 9999 has no such date, and must not keep the server from starting.
    let now = now.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST_HTTP_DATE);
    format!("process {process}{at} has it open since {}", httpdate::fmt_http_date(now))
}

fn held(path: &Path, holder: &str) -> String {
    let who = if holder.is_empty() { "a process has it open" } else { holder };
    format!("{} is held by another process: {who}; stop it, or choose another folder with --data", path.display())
}

/// The engine that created the folder; `None`: the folder is new. Fails on a format that this version does not read.
fn read_format(path: &Path) -> Result<Option<EngineKind>, EngineError> {
    let name = path.join(layout::FORMAT);
    let known = [EngineKind::Sled, EngineKind::Redb];
    let text = match std::fs::read(&name) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match known.into_iter().find(|engine| path.join(layout::tree_file(*engine)).exists()) {
                Some(engine) => Err(format_missing(path, engine)),
                None => Ok(None),
            };
        }
        Err(error) => return Err(open_error(&name, &error)),
    };
    let (engine, format) = text.split_once(' ').unwrap_or((&text, ""));
    match (known.into_iter().find(|kind| kind.name() == engine), format.parse::<u32>()) {
        (Some(kind), Ok(FORMAT)) => Ok(Some(kind)),
        (Some(_), Ok(format)) => Err(other_format(path, format)),
        _ => Err(EngineError::Damaged(format!(
            "{} says \"{}\" and should name the engine and the format (if you know the engine: \"sled {FORMAT}\" or \"redb {FORMAT}\")",
            name.display(),
            text.escape_default()
        ))),
    }
}

fn other_format(path: &Path, format: u32) -> EngineError {
    let folder = path.display();
    EngineError::Open(match format > FORMAT {
        true => format!(
            "{folder} was made by a newer version of driftless: it has folder format {format} and this version reads {FORMAT}; \
             start the version that made it, or a later one"
        ),
        false => format!(
            "{folder} was made by an older version of driftless: it has folder format {format} and this version reads {FORMAT}; \
             only the version that made it can read it"
        ),
    })
}

/// A restore that was interrupted leaves such a folder, because it moves this file last.
fn format_missing(path: &Path, engine: EngineKind) -> EngineError {
    EngineError::Damaged(format!(
        "{} has rows of {} and no file \"{}\", which names the engine and the format: a restore was interrupted, or the file was deleted",
        path.display(),
        engine.name(),
        layout::FORMAT
    ))
}

fn other_engine(path: &Path, engine: EngineKind) -> EngineError {
    let (folder, name) = (path.display(), engine.name());
    EngineError::Open(format!(
        "{folder} was made with the engine {name}; set store.engine to \"{name}\", or choose another folder with --data"
    ))
}

fn write_format(path: &Path, engine: EngineKind) -> Result<(), EngineError> {
    // Written under another name and renamed: a crash leaves the whole file or none.
    let (name, next) = (path.join(layout::FORMAT), path.join(layout::NEXT_FORMAT));
    let write = || {
        let mut file = private_files::options().truncate(true).open(&next)?;
        writeln!(file, "{} {FORMAT}", engine.name())?;
        file.sync_all()?;
        std::fs::rename(&next, &name)
    };
    write().map_err(|error: std::io::Error| open_error(&name, &error))
}

/// The folder and its ancestors that do not exist yet.
fn missing_folders(folder: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).map(Path::to_owned).collect()
}

/// The folder that holds this folder's name.
fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => folder,
    }
}

/// Makes the names in a folder durable. A file system that cannot, such as 9p, answers `EINVAL`; there is nothing else to ask of it.
fn sync_folder(folder: &Path) -> Result<(), EngineError> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        other => other.map_err(|error| open_error(folder, &error)),
    }
}

/// Makes a folder's own name durable. The folder above may be one that only others can read; then they have made this one.
fn sync_parent(folder: &Path) -> Result<(), EngineError> {
    let parent = parent(folder);
    match File::open(parent) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        _ => sync_folder(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_created_folder_is_known_to_be_synced() {
        let folder = tempfile::tempdir().expect("folder");
        let deep = folder.path().join("a/b/c");
        assert_eq!(missing_folders(&deep), [deep.clone(), folder.path().join("a/b"), folder.path().join("a")]);
        DataFolder::acquire(&deep, EngineKind::Sled, "").expect("is acquired");
        assert!(missing_folders(&deep).is_empty());
        assert_eq!(parent(Path::new("driftless-data")), Path::new("."));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_file_system_that_cannot_sync_folders_is_taken_as_it_is() {
        sync_folder(Path::new("/proc")).expect("it answers EINVAL");
        let missing = sync_folder(Path::new("/nowhere/at/all")).expect_err("there is no such folder").to_string();
        assert!(missing.contains("/nowhere/at/all"), "{missing}");
    }

    #[test]
    fn a_second_opening_names_the_holder() {
        let folder = tempfile::tempdir().expect("folder");
        let held = DataFolder::acquire(folder.path(), EngineKind::Sled, "127.0.0.1:7400").expect("is acquired");
        let refused = DataFolder::acquire(folder.path(), EngineKind::Sled, "").err().expect("is refused").to_string();
        let process = format!("process {} (serving 127.0.0.1:7400) has it open since ", std::process::id());
        assert!(refused.contains(&process) && refused.contains("--data"), "{refused}");
        drop(held);
        DataFolder::acquire(folder.path(), EngineKind::Sled, "").expect("is released");
    }

    #[test]
    fn a_folder_stays_with_its_engine() {
        let folder = tempfile::tempdir().expect("folder");
        drop(DataFolder::acquire(folder.path(), EngineKind::Redb, "").expect("is created"));
        let refused = DataFolder::acquire(folder.path(), EngineKind::Sled, "").err().expect("is refused").to_string();
        assert!(refused.contains("set store.engine to \"redb\""), "{refused}");
        DataFolder::acquire(folder.path(), EngineKind::Redb, "").expect("is its own");
    }

    #[test]
    fn a_folder_with_rows_and_without_a_format_is_refused() {
        for (engine, file) in [(EngineKind::Sled, "db"), (EngineKind::Redb, "rows.redb")] {
            let folder = tempfile::tempdir().expect("folder");
            std::fs::write(folder.path().join(file), b"").expect("writes");
            let refused = DataFolder::acquire(folder.path(), engine, "").err().expect("is refused");
            assert!(matches!(&refused, EngineError::Damaged(why) if why.contains("\"engine\"")), "{refused}");
            assert!(!folder.path().join(layout::FORMAT).exists(), "the folder is left as it was");
        }
    }

    #[test]
    fn another_format_and_a_garbled_one_are_told_apart() {
        let folder = tempfile::tempdir().expect("folder");
        let refused = |text: &str| {
            std::fs::write(folder.path().join(layout::FORMAT), text).expect("writes");
            DataFolder::acquire(folder.path(), EngineKind::Sled, "").err().expect("is refused")
        };
        let (newer, older) = ("newer version of driftless: it has folder format 3", "older version of driftless: it has folder format 1");
        assert!(matches!(refused("sled 3\n"), EngineError::Open(why) if why.contains(newer) && why.contains("or a later one")));
        assert!(
            matches!(refused("sled 1\n"), EngineError::Open(why) if why.contains(older) && why.contains("only the version that made it"))
        );
        for garbled in ["", "sled", "sled x", "sle\u{fffd} 1", "rocksdb 1"] {
            assert!(matches!(refused(garbled), EngineError::Damaged(_)), "{garbled}");
        }
    }

    #[test]
    fn the_lock_file_says_since_when() {
        let text = |seconds| holder(7, "", SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(text(0), "process 7 has it open since Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(951_782_400), "process 7 has it open since Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(1_798_761_599), "process 7 has it open since Thu, 31 Dec 2026 23:59:59 GMT");
        let wrong_clock = holder(7, "", SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(wrong_clock, "process 7 has it open since Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
