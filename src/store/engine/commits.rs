//! Counts commits, so that one that was acknowledged and is missing is noticed.
//!
//! An engine can take a damaged byte for the end of its log and open without what stood behind it. So every commit writes its number in a
//! row of its own, and once it is durable, into a small file beside the store, which is not synced: it survives the death of the process,
//! and after a loss of power it may be older. It is a lower bound of what the store must hold.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::layers::Layer;
use super::{Batch, Bytes, EngineError, opening};

/// The row of the number. No kind of row that the store knows begins with this byte, and no scan of the store's shows it.
pub(super) const KEY: &[u8] = b"\0commits";

/// The first key that belongs to the store.
pub(super) const FIRST: &[u8] = &[1];

/// The file's name in the data folder.
pub(super) const FILE: &str = "commits";

/// A number and its checksum.
const BYTES: usize = 12;

/// How many commits there were, and where that is noted.
pub(super) struct Commits {
    count: u64,
    note: Option<Note>,
}

struct Note {
    path: PathBuf,
    file: File,
    works: bool,
}

impl Commits {
    /// Without a file: for an engine that has no folder.
    #[cfg(test)]
    pub(super) fn unnoted() -> Commits {
        Commits { count: 0, note: None }
    }

    /// With the file of a folder.
    pub(super) fn noted(folder: &Path) -> Result<Commits, EngineError> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| opening(&path, &error))?;
        Ok(Commits { count: 0, note: Some(Note { path, file, works: true }) })
    }

    /// How many commits the store must hold at least.
    pub(super) fn noted_count(&self) -> u64 {
        self.note.as_ref().map_or(0, Note::read)
    }

    /// Takes over the count of an engine that was opened, and refuses one that has lost commits.
    pub(super) fn begin(&mut self, row: Option<&[u8]>) -> Result<(), EngineError> {
        let found = match row {
            None => 0,
            Some(row) => number(row).ok_or_else(|| EngineError::Damaged("the number of commits cannot be read".to_owned()))?,
        };
        let noted = self.noted_count();
        if let Some(note) = &self.note
            && found < noted
        {
            let (missing, path) = (noted - found, note.path.display());
            return Err(EngineError::Damaged(format!(
                "its last {missing} commits are missing: it holds {found} and {noted} were acknowledged \
                 (to go on without them all the same, delete {path})"
            )));
        }
        self.count = found;
        self.note_count();
        Ok(())
    }

    /// The batch that goes last in the next commit.
    pub(super) fn next(&self) -> Batch {
        Batch { guards: Vec::new(), rows: vec![(KEY.to_vec(), Some((self.count + 1).to_be_bytes().to_vec()))] }
    }

    /// The next commit is durable.
    pub(super) fn durable(&mut self) {
        self.count += 1;
        self.note_count();
    }

    fn note_count(&mut self) {
        let count = self.count;
        if let Some(note) = self.note.as_mut().filter(|note| note.works)
            && let Err(error) = note.file.write_all_at(&sealed(count), 0)
        {
            note.works = false;
            warn!(%error, file = %note.path.display(), "commits are no longer counted beside the store; a lost one would not be noticed");
        }
    }
}

impl Note {
    fn read(&self) -> u64 {
        let mut bytes = [0; BYTES];
        let length = self.file.metadata().map_or(0, |about| about.len());
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) if sealed(number(&bytes[..8]).unwrap_or(0)) == bytes => number(&bytes[..8]).unwrap_or(0),
            _ if length == 0 => 0,
            _ => {
                warn!(file = %self.path.display(), "the number of commits beside the store is garbled; whether one is missing cannot be told");
                0
            }
        }
    }
}

/// The number of the newest commit in a layer.
pub(super) fn number_in(layer: &Layer) -> Option<u64> {
    number(layer.rows.get(KEY)?.as_deref()?)
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn sealed(count: u64) -> [u8; BYTES] {
    let number = count.to_be_bytes();
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_be_bytes());
    bytes
}

/// A scan's start, behind the rows that are not the store's.
pub(super) fn start(start: &[u8]) -> Bytes {
    start.max(FIRST).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: u64) -> Bytes {
        count.to_be_bytes().to_vec()
    }

    #[test]
    fn fewer_commits_than_were_noted_are_refused_with_the_way_out() {
        let folder = tempfile::tempdir().expect("folder");
        let mut commits = Commits::noted(folder.path()).expect("opens");
        commits.begin(None).expect("nothing yet");
        commits.durable();
        commits.durable();
        let mut commits = Commits::noted(folder.path()).expect("opens again");
        commits.begin(Some(&row(2))).expect("all there");
        commits.begin(Some(&row(3))).expect("one more than was answered");
        let lost = commits.begin(Some(&row(1))).expect_err("two are missing").to_string();
        assert!(lost.contains("last 2 commits are missing") && lost.contains("restore") && lost.contains("delete"), "{lost}");
        std::fs::remove_file(folder.path().join(FILE)).expect("is deleted");
        Commits::noted(folder.path()).expect("opens").begin(Some(&row(1))).expect("the loss is accepted");
    }

    #[test]
    fn a_garbled_file_is_no_bound() {
        let folder = tempfile::tempdir().expect("folder");
        for garbled in [&b"\0"[..], &[0; 12], b"twelve bytes", &sealed(9)[..11], b""] {
            std::fs::write(folder.path().join(FILE), garbled).expect("writes");
            let mut commits = Commits::noted(folder.path()).expect("opens");
            assert_eq!(commits.noted_count(), 0, "{garbled:?}");
            commits.begin(Some(&row(7))).expect("opens");
            assert_eq!(commits.noted_count(), 7, "and is written anew");
        }
    }

    #[test]
    fn no_scan_begins_before_what_is_the_stores() {
        assert!(KEY < FIRST);
        assert_eq!(start(b""), FIRST);
        assert_eq!(start(KEY), FIRST);
        assert_eq!(start(b"a"), b"a");
    }
}
