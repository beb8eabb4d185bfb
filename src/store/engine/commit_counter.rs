//! Counts commits, so that a missing commit that was acknowledged is detected.
//!
//! An engine can take a damaged byte for the end of its log and open without what followed it. So every commit writes its number to a row
//! of its own, and once it is durable, to a small file beside the store: behind the answers, so that none waits for it, and at the latest
//! before the next commit. The file is a lower bound of what the store must hold. It may be older by the last commit if the process was
//! killed between its answers and the note, and by more after a loss of power, because it is not synced.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::batch::Bytes;
use super::error::{EngineError, open_error};
use super::memtable::Memtable;
use super::{layout, private_files};

/// The row with the commit count. No row of the store begins with this byte, and the store's scans never return it.
pub(super) const COUNT_KEY: &[u8] = b"\0commits";

/// The first key that belongs to the store.
pub(super) const FIRST_STORE_KEY: &[u8] = &[1];

/// Bytes of the file: the count and its CRC-32.
const FILE_BYTES: usize = 12;

pub(super) struct CommitCounter {
    count: u64,
    /// Whether the file has the count.
    is_noted: bool,
    file: Option<CounterFile>,
}

struct CounterFile {
    path: PathBuf,
    handle: File,
    is_writable: bool,
}

impl CommitCounter {
    /// For an engine that has no folder.
    #[cfg(test)]
    pub(super) fn without_file() -> CommitCounter {
        CommitCounter { count: 0, is_noted: true, file: None }
    }

    /// With the file of a data folder.
    pub(super) fn with_file(folder: &Path) -> Result<CommitCounter, EngineError> {
        let path = folder.join(layout::COMMIT_COUNT);
        let file = private_files::options().open(&path);
        let file = file.map_err(|error| open_error(&path, &error))?;
        Ok(CommitCounter { count: 0, is_noted: false, file: Some(CounterFile { path, handle: file, is_writable: true }) })
    }

    /// How many commits the store must hold at least.
    pub(super) fn lower_bound(&self) -> u64 {
        self.file.as_ref().map_or(0, CounterFile::read)
    }

    /// Adopts the count of an engine that was just opened, and refuses an engine that has lost commits.
    pub(super) fn adopt(&mut self, row: Option<&[u8]>) -> Result<(), EngineError> {
        let found = match row {
            None => 0,
            Some(row) => decode_count(row).ok_or_else(|| EngineError::Damaged("the commit count cannot be read".to_owned()))?,
        };
        let acknowledged = self.lower_bound();
        if let Some(file) = &self.file
            && found < acknowledged
        {
            let (missing, path) = (acknowledged - found, file.path.display());
            return Err(EngineError::Damaged(format!(
                "its last {missing} commits are missing: it holds {found} and {acknowledged} were acknowledged \
                 (to go on without them, delete {path})"
            )));
        }
        (self.count, self.is_noted) = (found, false);
        self.note();
        Ok(())
    }

    /// The row with the commit count, which goes last in the next commit.
    pub(super) fn next_row(&self) -> (Bytes, Option<Bytes>) {
        (COUNT_KEY.to_vec(), Some((self.count + 1).to_be_bytes().to_vec()))
    }

    /// Counts a commit that is durable now.
    pub(super) fn increment(&mut self) {
        self.count += 1;
        self.is_noted = false;
    }

    /// Writes the count to the file, if it does not have it.
    pub(super) fn note(&mut self) {
        if std::mem::replace(&mut self.is_noted, true) {
            return;
        }
        let count = self.count;
        if let Some(file) = self.file.as_mut().filter(|file| file.is_writable)
            && let Err(error) = file.handle.write_all_at(&encode_file(count), 0)
        {
            file.is_writable = false;
            warn!(%error, file = %file.path.display(), "commit count cannot be written; lost commits will not be detected");
        }
    }
}

impl CounterFile {
    fn read(&self) -> u64 {
        let mut bytes = [0; FILE_BYTES];
        let length = self.handle.metadata().map_or(0, |about| about.len());
        match self.handle.read_exact_at(&mut bytes, 0) {
            Ok(()) if encode_file(decode_count(&bytes[..8]).unwrap_or(0)) == bytes => decode_count(&bytes[..8]).unwrap_or(0),
            _ if length == 0 => 0,
            _ => {
                warn!(file = %self.path.display(), "commit count is garbled; lost commits cannot be detected");
                0
            }
        }
    }
}

/// The number of the newest commit in a memtable.
pub(super) fn count_in(memtable: &Memtable) -> Option<u64> {
    decode_count(memtable.rows.get(COUNT_KEY)??)
}

pub(super) fn decode_count(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn encode_file(count: u64) -> [u8; FILE_BYTES] {
    let number = count.to_be_bytes();
    let mut bytes = [0; FILE_BYTES];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_be_bytes());
    bytes
}

/// The start of a scan, moved behind the engine's own rows.
pub(super) fn clamp_scan_start(start: &[u8]) -> Bytes {
    start.max(FIRST_STORE_KEY).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: u64) -> Bytes {
        count.to_be_bytes().to_vec()
    }

    #[test]
    fn fewer_commits_than_were_acknowledged_are_refused_with_the_way_out() {
        let folder = tempfile::tempdir().expect("folder");
        let mut counter = CommitCounter::with_file(folder.path()).expect("opens");
        counter.adopt(None).expect("nothing yet");
        counter.increment();
        counter.increment();
        counter.note();
        let mut counter = CommitCounter::with_file(folder.path()).expect("opens again");
        counter.adopt(Some(&row(2))).expect("all there");
        counter.adopt(Some(&row(3))).expect("one more than was answered");
        let lost = counter.adopt(Some(&row(1))).expect_err("two are missing").to_string();
        assert!(lost.contains("last 2 commits are missing") && lost.contains("restore") && lost.contains("delete"), "{lost}");
        std::fs::remove_file(folder.path().join(layout::COMMIT_COUNT)).expect("is deleted");
        CommitCounter::with_file(folder.path()).expect("opens").adopt(Some(&row(1))).expect("the loss is accepted");
    }

    #[test]
    fn a_garbled_file_is_no_lower_bound() {
        let folder = tempfile::tempdir().expect("folder");
        for garbled in [&b"\0"[..], &[0; 12], b"twelve bytes", &encode_file(9)[..11], b""] {
            std::fs::write(folder.path().join(layout::COMMIT_COUNT), garbled).expect("writes");
            let mut counter = CommitCounter::with_file(folder.path()).expect("opens");
            assert_eq!(counter.lower_bound(), 0, "{garbled:?}");
            counter.adopt(Some(&row(7))).expect("opens");
            assert_eq!(counter.lower_bound(), 7, "and the file is rewritten");
        }
    }

    #[test]
    fn no_scan_begins_before_the_stores_rows() {
        assert!(COUNT_KEY < FIRST_STORE_KEY);
        assert_eq!(clamp_scan_start(b""), FIRST_STORE_KEY);
        assert_eq!(clamp_scan_start(COUNT_KEY), FIRST_STORE_KEY);
        assert_eq!(clamp_scan_start(b"a"), b"a");
    }
}
