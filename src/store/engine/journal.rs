//! One file of the journal, the engine's write-ahead log: the rows that each commit changed, one record after the other.
//!
//! | bytes | header |
//! | --- | --- |
//! | 8 | `DRIFTJ01` |
//! | 8 | generation: of two files the one with the higher number is the newer |
//! | 8 | salt: drawn anew each time the file is recycled |
//! | 4 | CRC-32 of the bytes before it |
//!
//! | bytes | record |
//! | --- | --- |
//! | 8 | the header's salt |
//! | 4 | length of the rows |
//! | 4 | CRC-32 of the record's position, length and rows |
//! | n | rows: length of the key, key, length of the value or `u32::MAX` for a deleted row, value |
//!
//! Numbers are big-endian. A recycled file is overwritten in place: that needs no new space and, unlike growing a file, changes no metadata
//! at each commit. Records left over from its earlier use have another salt.
//!
//! A record that cannot be read and is followed by others is damage. The last one may be a write that a crash interrupted before it was
//! acknowledged. If it had been acknowledged, the commit counts would show it: the other file, the tree or the count beside the store would
//! have a later commit (`journaled`, `commit_counter`).

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::batch::Bytes;
use super::error::{EngineError, io_error, open_error};
use super::memtable::Memtable;
use super::tree::RowChange;
use super::{commit_counter, layout, page_cache, private_files};

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;

const MAGIC: &[u8; 8] = b"DRIFTJ01";

/// The first record begins after the header.
const HEADER_BYTES: usize = 28;

/// Bytes of a record before its rows.
const RECORD_HEADER_BYTES: usize = 16;

/// Stands for the length of a value when the row is deleted.
const DELETED: u32 = u32::MAX;

/// A file doubles when it grows, by at most this many bytes: syncing a file that has grown waits for its metadata too, which takes as long
/// again.
const MAX_GROWTH_BYTES: u64 = 1 << 20;

/// A buffer that has grown over this is freed after its commit.
const BUFFER_BYTES: usize = 1 << 20;

/// An open file, ready for its next record.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    generation: u64,
    salt: u64,
    /// Where the next record goes, in bytes.
    end: u64,
    /// Bytes of the file: records, and space for later ones.
    size: u64,
    /// The disk was full when the file should have grown. It is not grown again until it is recycled: the space that is left is for
    /// records.
    growth_failed: bool,
    buffer: Bytes,
}

#[derive(Default)]
pub(super) struct JournalContents {
    /// The rows of all records.
    pub memtable: Memtable,
    /// The numbers of the first and of the last commit, if the file has any.
    pub commits: Option<(u64, u64)>,
}

impl Journal {
    /// Opens a file and reads its records. A missing file is created, without records and with generation 0; it must be recycled before
    /// use.
    pub(super) fn open(path: PathBuf) -> Result<(Journal, JournalContents), EngineError> {
        let file = private_files::options().open(&path);
        let file = file.map_err(|error| open_error(&path, &error))?;
        // An earlier process may have failed to write some of the cached pages.
        page_cache::discard(&file).map_err(|error| open_error(&path, &error))?;
        let bytes = std::fs::read(&path).map_err(|error| open_error(&path, &error))?;
        let mut journal = Journal {
            file,
            path,
            generation: 0,
            salt: 0,
            end: HEADER_BYTES as u64,
            size: bytes.len() as u64,
            growth_failed: false,
            buffer: Vec::new(),
        };
        let mut contents = JournalContents::default();
        if !bytes.is_empty() {
            journal.read(&bytes, &mut contents)?;
        }
        Ok((journal, contents))
    }

    /// Whether the file has no header yet.
    pub(super) fn is_new(&self) -> bool {
        self.generation == 0
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes up to the end of the last record.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Drops all records, durably, and cuts the file to at most `kept_bytes`.
    pub(super) fn recycle(&mut self, generation: u64, kept_bytes: u64) -> Result<(), EngineError> {
        self.write_header(generation).map_err(|error| open_error(&self.path, &error))?;
        if self.size > kept_bytes {
            let size = kept_bytes.max(HEADER_BYTES as u64);
            self.file.set_len(size).map_err(io_error)?;
            self.size = size;
        }
        Ok(())
    }

    /// Appends a record and makes it durable. After [`EngineError::Full`] the record is not there, after any other error it may be.
    pub(super) fn append<'a>(&mut self, rows: impl Iterator<Item = RowChange<'a>>) -> Result<(), EngineError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&self.salt.to_be_bytes());
        buffer.extend_from_slice(&[0; RECORD_HEADER_BYTES - 8]);
        for (key, row) in rows {
            buffer.extend_from_slice(&(key.len() as u32).to_be_bytes());
            buffer.extend_from_slice(key);
            buffer.extend_from_slice(&row.map_or(DELETED, |row| row.len() as u32).to_be_bytes());
            buffer.extend_from_slice(row.unwrap_or_default());
        }
        let length = u32::try_from(buffer.len() - RECORD_HEADER_BYTES).map_err(|_| io_error("a commit of 4 GiB"))?;
        buffer[8..12].copy_from_slice(&length.to_be_bytes());
        let checksum = checksum(self.end, &buffer[8..12], &buffer[RECORD_HEADER_BYTES..]);
        buffer[12..RECORD_HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        self.file.write_all_at(&buffer, self.end).map_err(|error| match error.kind() {
            // The next record overwrites the part that was written.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => EngineError::Full(format!("{}: {error}", self.path.display())),
            _ => io_error(error),
        })?;
        self.grow(self.end + buffer.len() as u64);
        self.file.sync_data().map_err(io_error)?;
        self.end += buffer.len() as u64;
        if buffer.capacity() <= BUFFER_BYTES {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Adds zeros after a record that ends at `end`, if it is the first to reach so far. If the disk has no space for them, the file is not
    /// grown again until it is recycled.
    fn grow(&mut self, end: u64) {
        if end <= self.size {
            return;
        }
        self.size = end;
        if self.growth_failed {
            return;
        }
        let size = end + end.min(MAX_GROWTH_BYTES);
        match self.file.write_all_at(&vec![0; (size - end) as usize], end) {
            Ok(()) => self.size = size,
            Err(_) => {
                // Some of the zeros may have been written.
                let _ = self.file.set_len(end);
                self.growth_failed = true;
            }
        }
    }

    fn write_header(&mut self, generation: u64) -> std::io::Result<()> {
        let salt = RandomState::new().build_hasher().finish();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&generation.to_be_bytes());
        header.extend_from_slice(&salt.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        self.file.write_all_at(&header, 0)?;
        self.file.sync_all()?;
        (self.generation, self.salt, self.end) = (generation, salt, HEADER_BYTES as u64);
        (self.size, self.growth_failed) = (self.file.metadata()?.len(), false);
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], contents: &mut JournalContents) -> Result<(), EngineError> {
        (self.generation, self.salt) = parse_header(bytes).ok_or_else(|| self.damaged(0))?;
        let mut at = HEADER_BYTES;
        while let Some(rows) = record_at(bytes, at, self.salt) {
            replay(rows, &mut contents.memtable).ok_or_else(|| self.damaged(at))?;
            if let Some(number) = commit_counter::count_in(&contents.memtable) {
                contents.commits = Some((contents.commits.map_or(number, |(first, _)| first), number));
            }
            at += RECORD_HEADER_BYTES + rows.len();
        }
        let salt = self.salt.to_be_bytes();
        let mut later = bytes[at..].windows(salt.len()).enumerate().skip(1).filter(|(_, window)| *window == salt);
        if later.any(|(ahead, _)| record_at(bytes, at + ahead, self.salt).is_some()) {
            return Err(self.damaged(at));
        }
        self.end = at as u64;
        Ok(())
    }

    fn damaged(&self, at: usize) -> EngineError {
        EngineError::Damaged(format!("{} is damaged from byte {at} on", self.path.display()))
    }
}

/// Returns generation and salt.
fn parse_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let (header, checksum) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
    let number = |from: usize| u64::from_be_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    let is_valid = header.starts_with(MAGIC) && crc32fast::hash(header).to_be_bytes() == checksum;
    is_valid.then(|| (number(8), number(16)))
}

/// Puts a record's rows into a memtable. `None`: the rows are cut off.
fn replay(mut rows: &[u8], memtable: &mut Memtable) -> Option<()> {
    while !rows.is_empty() {
        let length = read_u32(&mut rows)?;
        let key = split_bytes(&mut rows, length)?.to_vec();
        let row = match read_u32(&mut rows)? {
            DELETED => None,
            length => Some(split_bytes(&mut rows, length)?.to_vec()),
        };
        memtable.set(key, row);
    }
    Some(())
}

/// Splits the next `length` bytes off.
fn split_bytes<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(bytes)
}

fn read_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(split_bytes(rest, 4)?.try_into().ok()?))
}

/// The rows of the record at a position, if a whole one is there.
fn record_at(bytes: &[u8], at: usize, salt: u64) -> Option<&[u8]> {
    let (header, rest) = bytes.get(at..)?.split_at_checked(RECORD_HEADER_BYTES)?;
    if header[..8] != salt.to_be_bytes() {
        return None;
    }
    let length = u32::from_be_bytes(header[8..12].try_into().ok()?);
    let rows = rest.get(..length as usize)?;
    (checksum(at as u64, &header[8..12], rows).to_be_bytes() == header[12..]).then_some(rows)
}

fn checksum(at: u64, length: &[u8], rows: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_be_bytes());
    hasher.update(length);
    hasher.update(rows);
    hasher.finalize()
}

/// The paths of the two files.
pub(super) fn paths(folder: &Path) -> [PathBuf; 2] {
    layout::JOURNAL.map(|name| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(number: u8) -> Vec<(Bytes, Option<Bytes>)> {
        vec![(vec![number], Some(vec![number; 20])), (b"head".to_vec(), Some(vec![number])), (vec![number.wrapping_sub(1)], None)]
    }

    fn append(journal: &mut Journal, number: u8) {
        let rows = rows(number);
        journal.append(rows.iter().map(|(key, row)| (key.as_slice(), row.as_deref()))).expect("appends");
    }

    fn written(folder: &Path, numbers: std::ops::Range<u8>) -> PathBuf {
        let path = folder.join("journal");
        let (mut journal, contents) = Journal::open(path.clone()).expect("opens");
        assert!(contents.memtable.is_empty() && journal.is_new());
        journal.recycle(1, 1 << 20).expect("recycles");
        numbers.for_each(|number| append(&mut journal, number));
        path
    }

    /// The bytes of a file up to the end of its last record.
    fn used_bytes(path: &Path) -> Bytes {
        let end = Journal::open(path.to_owned()).expect("opens").0.length();
        let mut whole = std::fs::read(path).expect("reads");
        assert!(whole[end as usize..].iter().all(|byte| *byte == 0) && whole.len() as u64 <= 2 * end);
        whole.truncate(end as usize);
        whole
    }

    fn memtable(numbers: std::ops::Range<u8>) -> Memtable {
        let mut memtable = Memtable::default();
        numbers.flat_map(rows).for_each(|(key, row)| memtable.set(key, row));
        memtable
    }

    #[test]
    fn a_reopened_journal_has_its_records_and_appends_after_them() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let (mut journal, found) = Journal::open(path.clone()).expect("opens");
        assert_eq!((found.memtable.rows, found.memtable.bytes, journal.generation()), (memtable(1..4).rows, memtable(1..4).bytes, 1));
        append(&mut journal, 4);
        assert_eq!(Journal::open(path.clone()).expect("opens").1.memtable.rows, memtable(1..5).rows);
        journal.recycle(3, 1 << 20).expect("recycles");
        let (journal, found) = Journal::open(path.clone()).expect("opens");
        assert!(found.memtable.is_empty() && journal.generation() == 3, "records from before the recycling are not read");
        assert!(path.metadata().expect("is there").len() > HEADER_BYTES as u64);
    }

    /// Flips each byte in turn: only damage in the last record is taken for a torn write, and drops that record; anywhere else it is
    /// refused.
    #[test]
    fn no_damaged_byte_is_ignored() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let whole = used_bytes(&path);
        let last = (whole.len() - HEADER_BYTES) / 3 * 2 + HEADER_BYTES;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).expect("writes");
            match Journal::open(path.clone()) {
                Ok((_, found)) => assert!(at >= last && found.memtable.rows == memtable(1..3).rows, "byte {at}"),
                Err(EngineError::Damaged(why)) => assert!(at < last && why.contains("from byte"), "byte {at}: {why}"),
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        for length in 1..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writes");
            match Journal::open(path.clone()) {
                Ok((journal, found)) => {
                    let records = (length - HEADER_BYTES) / ((whole.len() - HEADER_BYTES) / 3);
                    assert_eq!(found.memtable.rows, memtable(1..1 + records as u8).rows, "cut at {length}");
                    assert!(journal.length() <= length as u64);
                }
                Err(error) => assert!(length < HEADER_BYTES && matches!(error, EngineError::Damaged(_)), "cut at {length}: {error}"),
            }
        }
    }

    #[test]
    fn a_new_record_overwrites_a_torn_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let whole = used_bytes(&path);
        std::fs::write(&path, &whole[..whole.len() - 3]).expect("writes");
        let (mut journal, _) = Journal::open(path.clone()).expect("opens");
        append(&mut journal, 7);
        let mut expected = memtable(1..3);
        rows(7).into_iter().for_each(|(key, row)| expected.set(key, row));
        assert_eq!(Journal::open(path).expect("opens").1.memtable.rows, expected.rows);
    }
}
