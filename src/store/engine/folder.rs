//! Keeps the data folder: made to last, held by one process, and of one engine.
//!
//! - `driftless.lock` is locked for as long as the folder is open, and says who holds it.
//! - `engine` says which engine made the folder, in which format. A folder from before there was such a file is sled's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{EngineError, Kind, io, opening, settle, sled_engine};

/// The file that whoever has the folder open holds locked.
const LOCK: &str = "driftless.lock";

/// The file that names the engine.
const MARK: &str = "engine";

/// The format that this version writes.
const FORMAT: &str = "2";

/// The one before there was a journal: the first opening makes one.
const WITHOUT_JOURNAL: &str = "1";

/// How often, and after which pause, a folder that somebody holds is tried again: a server that just stopped is still letting go.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A data folder that this process holds, until it is dropped.
pub(super) struct Folder {
    path: PathBuf,
    engine: Kind,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, takes it, and sees to it that it is this engine's.
    pub(super) fn take(path: &Path, engine: Kind, address: &str) -> Result<Folder, EngineError> {
        let made = missing(path);
        std::fs::create_dir_all(path).map_err(|error| opening(path, &error))?;
        let lock = lock(path, address)?;
        match mark(path)? {
            Some((kind, _)) if kind != engine => return Err(other_engine(path, kind)),
            Some((_, true)) => {}
            // An older version must not open it any more: it would not read the journal.
            Some((_, false)) | None => write_mark(path, engine)?,
        }
        let folder = Folder { path: path.to_owned(), engine, _lock: lock };
        // The folder's name is in its parent, and so on up to the first that was there before.
        for made in &made {
            sync_folder(parent(made))?;
        }
        folder.sync()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the names of the files in it durable.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        sync_folder(&self.path)?;
        sync_folder(parent(&self.path))
    }

    /// Whether the engine has any data in it.
    pub(super) fn has_data(&self) -> bool {
        self.data_file().metadata().is_ok_and(|about| about.len() > 0)
    }

    /// Makes sure that what an engine is going to read of its file is what is on disk; the journal does so for its own.
    pub(super) fn settle(&self) -> Result<(), EngineError> {
        match OpenOptions::new().read(true).write(true).open(self.data_file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|file| settle(&file)).map_err(io),
        }
    }

    fn data_file(&self) -> PathBuf {
        self.path.join(self.engine.data_file())
    }
}

fn lock(path: &Path, address: &str) -> Result<File, EngineError> {
    let name = path.join(LOCK);
    let failed = |error: std::io::Error| opening(&name, &error);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                // Its holder may be writing it just now: then it is only not known who that is.
                let holder = std::fs::read_to_string(&name).unwrap_or_default();
                return Err(EngineError::Open(held(path, holder.lines().next().unwrap_or_default())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    // What it says helps people; the lock itself is what holds, even on a disk without space for a line.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", holder(std::process::id(), address, SystemTime::now())));
    Ok(file)
}

/// Who has it, as the next one is told.
fn holder(process: u32, address: &str, now: SystemTime) -> String {
    let at = if address.is_empty() { String::new() } else { format!(" (serving {address})") };
    format!("process {process}{at} has it open since {}", utc(now))
}

fn held(path: &Path, holder: &str) -> String {
    let who = if holder.is_empty() { "a process has it open" } else { holder };
    format!("{} is held by another process: {who}; stop it, or choose another folder with --data", path.display())
}

/// Which engine made the folder, and whether in the present format; `None`: nobody yet.
fn mark(path: &Path) -> Result<Option<(Kind, bool)>, EngineError> {
    let name = path.join(MARK);
    let text = match std::fs::read(&name) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(path.join(sled_engine::DATA_FILE).exists().then_some((Kind::Sled, false)));
        }
        Err(error) => return Err(opening(&name, &error)),
    };
    let (engine, format) = text.split_once(' ').unwrap_or((&text, ""));
    let known = [Kind::Sled, Kind::Redb].into_iter().find(|kind| kind.name() == engine);
    match known {
        Some(kind) if format == FORMAT || format == WITHOUT_JOURNAL => Ok(Some((kind, format == FORMAT))),
        Some(_) if format.parse::<u32>().is_ok() => Err(EngineError::Open(format!(
            "{} was made by a newer version of driftless (its format is \"{text}\"); start that version or a later one",
            path.display()
        ))),
        _ => Err(EngineError::Damaged(format!(
            "{} says \"{}\" and should name the engine (if you know it: \"sled {FORMAT}\" or \"redb {FORMAT}\")",
            name.display(),
            text.escape_default()
        ))),
    }
}

fn other_engine(path: &Path, engine: Kind) -> EngineError {
    let (folder, name) = (path.display(), engine.name());
    EngineError::Open(format!(
        "{folder} was made with the engine {name}; set store.engine to \"{name}\", or choose another folder with --data"
    ))
}

fn write_mark(path: &Path, engine: Kind) -> Result<(), EngineError> {
    // Under another name first: a crash leaves the whole file or none.
    let (name, next) = (path.join(MARK), path.join("engine.new"));
    let write = || {
        let mut file = File::create(&next)?;
        writeln!(file, "{} {FORMAT}", engine.name())?;
        file.sync_all()?;
        std::fs::rename(&next, &name)
    };
    write().map_err(|error: std::io::Error| opening(&name, &error))
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

/// A time as people write it, in the Gregorian calendar without leap seconds.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut day, mut year, mut month) = (seconds / DAY_S, 1970, 1);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", day + 1)
}

fn days_of(year: u64) -> u64 {
    (1..=12).map(|month| days_in(year, month)).sum()
}

fn days_in(year: u64, month: u32) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_was_made_is_known_to_be_synced() {
        let folder = tempfile::tempdir().expect("folder");
        let deep = folder.path().join("a/b/c");
        assert_eq!(missing(&deep), [deep.clone(), folder.path().join("a/b"), folder.path().join("a")]);
        Folder::take(&deep, Kind::Sled, "").expect("is taken");
        assert!(missing(&deep).is_empty());
        assert_eq!(parent(Path::new("driftless-data")), Path::new("."));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("folder");
        let held = Folder::take(folder.path(), Kind::Sled, "127.0.0.1:7400").expect("is taken");
        let refused = Folder::take(folder.path(), Kind::Sled, "").err().expect("is refused").to_string();
        let process = format!("process {} (serving 127.0.0.1:7400) has it open since 2", std::process::id());
        assert!(refused.contains(&process) && refused.contains("--data"), "{refused}");
        drop(held);
        Folder::take(folder.path(), Kind::Sled, "").expect("is let go");
    }

    #[test]
    fn a_folder_stays_with_its_engine() {
        let folder = tempfile::tempdir().expect("folder");
        drop(Folder::take(folder.path(), Kind::Redb, "").expect("is made"));
        let refused = Folder::take(folder.path(), Kind::Sled, "").err().expect("is refused").to_string();
        assert!(refused.contains("set store.engine to \"redb\""), "{refused}");
        Folder::take(folder.path(), Kind::Redb, "").expect("is its own");
    }

    #[test]
    fn a_folder_without_a_mark_is_sleds_if_it_has_its_log() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("db"), b"").expect("writes");
        let refused = Folder::take(folder.path(), Kind::Redb, "").err().expect("is refused").to_string();
        assert!(refused.contains("\"sled\""), "{refused}");
        drop(Folder::take(folder.path(), Kind::Sled, "").expect("is sled's"));
    }

    #[test]
    fn a_newer_format_and_a_garbled_mark_are_told_apart() {
        let folder = tempfile::tempdir().expect("folder");
        let refused = |text: &str| {
            std::fs::write(folder.path().join(MARK), text).expect("writes");
            Folder::take(folder.path(), Kind::Sled, "").err().expect("is refused")
        };
        assert!(matches!(refused("sled 3\n"), EngineError::Open(why) if why.contains("newer version")));
        for garbled in ["", "sled", "sled x", "sle\u{fffd} 1", "rocksdb 1"] {
            assert!(matches!(refused(garbled), EngineError::Damaged(_)), "{garbled}");
        }
    }

    #[test]
    fn times_are_written_as_dates() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_798_761_599), "2026-12-31 23:59:59 UTC");
    }
}
