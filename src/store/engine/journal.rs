//! A file of the journal: what each commit changed, one record after the other.
//!
//! | bytes | header |
//! | --- | --- |
//! | 8 | `DRIFTJ01` |
//! | 8 | generation: of two files the one with the higher number is the newer |
//! | 8 | salt: another one each time that the file is begun |
//! | 4 | CRC-32 of what stands before it |
//!
//! | bytes | record |
//! | --- | --- |
//! | 8 | the header's salt |
//! | 4 | length of the rows |
//! | 4 | CRC-32 of the record's position, length and rows |
//! | n | rows: length of the key, key, length of the value or `u32::MAX` for a deleted row, value |
//!
//! Numbers are big-endian. A file is written over when it is begun again: that costs no new space and, unlike a file that grows, no change of
//! its metadata at each commit. What is left of its earlier records has another salt.
//!
//! A record that cannot be read and has others behind it is damage. The last one may be what a crash left unfinished, and was never acknowledged;
//! that it was tells the number of its commit: the other file, the tree or the count of commits has a later one (`journaled`, `commits`).

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layers::Layer;
use super::tree::Row;
use super::{Bytes, EngineError, commits, io, opening, settle};

/// The names of the two files.
pub(super) const FILES: [&str; 2] = ["journal.0", "journal.1"];

const MAGIC: &[u8; 8] = b"DRIFTJ01";

/// Bytes of the header; records begin behind it.
const HEADER: usize = 28;

/// Bytes of a record before its rows.
const RECORD: usize = 16;

/// The length of a value that says that the row is deleted.
const DELETED: u32 = u32::MAX;

/// A file grows by as much as it has, and so many bytes at most: a flush of a file that has grown waits for its metadata too, which takes as
/// long again.
const STEP_BYTES: u64 = 1 << 20;

/// A buffer that has grown over this is given back after its commit.
const BUFFER_BYTES: usize = 1 << 20;

/// An open file, ready for its next record.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    generation: u64,
    salt: u64,
    /// Where the next record goes, in bytes.
    end: u64,
    /// Bytes of the file, records and what is kept for later ones.
    size: u64,
    /// There was no space to grow, and nothing has made any since: what is free is for the records.
    short: bool,
    buffer: Bytes,
}

/// What stands in a file.
#[derive(Default)]
pub(super) struct Records {
    /// The rows of all of them.
    pub layer: Layer,
    /// The numbers of the first and of the last commit, if they have one.
    pub commits: Option<(u64, u64)>,
}

impl Journal {
    /// Opens a file and reads what is in it. One that is not there is made, and has no records and the generation 0: it has to be begun.
    pub(super) fn open(path: PathBuf) -> Result<(Journal, Records), EngineError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| opening(&path, &error))?;
        // What is read is what is on disk, whatever a process before this one could not write.
        settle(&file).map_err(|error| opening(&path, &error))?;
        let bytes = std::fs::read(&path).map_err(|error| opening(&path, &error))?;
        let mut journal =
            Journal { file, path, generation: 0, salt: 0, end: HEADER as u64, size: bytes.len() as u64, short: false, buffer: Vec::new() };
        let mut records = Records::default();
        if !bytes.is_empty() {
            journal.read(&bytes, &mut records)?;
        }
        Ok((journal, records))
    }

    /// Whether it was never begun.
    pub(super) fn is_new(&self) -> bool {
        self.generation == 0
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes up to the end of its last record.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Forgets all records, durably; of what the file takes at most `kept` bytes stay.
    pub(super) fn begin_again(&mut self, generation: u64, kept: u64) -> Result<(), EngineError> {
        self.begin(generation).map_err(|error| opening(&self.path, &error))?;
        if self.size > kept {
            let size = kept.max(HEADER as u64);
            self.file.set_len(size).map_err(io)?;
            self.size = size;
        }
        Ok(())
    }

    /// Adds a record; it is durable when this returns. After [`EngineError::Full`] it is not there, after any other error it may be.
    pub(super) fn append<'a>(&mut self, rows: impl Iterator<Item = Row<'a>>) -> Result<(), EngineError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&self.salt.to_be_bytes());
        buffer.extend_from_slice(&[0; RECORD - 8]);
        for (key, row) in rows {
            buffer.extend_from_slice(&(key.len() as u32).to_be_bytes());
            buffer.extend_from_slice(key);
            buffer.extend_from_slice(&row.map_or(DELETED, |row| row.len() as u32).to_be_bytes());
            buffer.extend_from_slice(row.unwrap_or_default());
        }
        let length = u32::try_from(buffer.len() - RECORD).map_err(|_| io("a commit of 4 GiB"))?;
        buffer[8..12].copy_from_slice(&length.to_be_bytes());
        let checksum = checksum(self.end, &buffer[8..12], &buffer[RECORD..]);
        buffer[12..RECORD].copy_from_slice(&checksum.to_be_bytes());
        self.file.write_all_at(&buffer, self.end).map_err(|error| match error.kind() {
            // What there was space for is written over by the next record.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => EngineError::Full(format!("{}: {error}", self.path.display())),
            _ => io(error),
        })?;
        self.grow(self.end + buffer.len() as u64);
        self.file.sync_data().map_err(io)?;
        self.end += buffer.len() as u64;
        if buffer.capacity() <= BUFFER_BYTES {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Makes room behind a record that reaches to here, if it is the first to reach so far. Without space for it, it is not tried again before
    /// the file is begun again.
    fn grow(&mut self, end: u64) {
        if end <= self.size {
            return;
        }
        self.size = end;
        if self.short {
            return;
        }
        let size = end + end.min(STEP_BYTES);
        match self.file.write_all_at(&vec![0; (size - end) as usize], end) {
            Ok(()) => self.size = size,
            Err(_) => {
                // Some of it may be there.
                let _ = self.file.set_len(end);
                self.short = true;
            }
        }
    }

    fn begin(&mut self, generation: u64) -> std::io::Result<()> {
        let salt = RandomState::new().build_hasher().finish();
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&generation.to_be_bytes());
        header.extend_from_slice(&salt.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        self.file.write_all_at(&header, 0)?;
        self.file.sync_all()?;
        (self.generation, self.salt, self.end) = (generation, salt, HEADER as u64);
        (self.size, self.short) = (self.file.metadata()?.len(), false);
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], records: &mut Records) -> Result<(), EngineError> {
        (self.generation, self.salt) = header(bytes).ok_or_else(|| self.damaged(0))?;
        let mut at = HEADER;
        while let Some(rows) = record(bytes, at, self.salt) {
            take(rows, &mut records.layer).ok_or_else(|| self.damaged(at))?;
            if let Some(number) = commits::number_in(&records.layer) {
                records.commits = Some((records.commits.map_or(number, |(first, _)| first), number));
            }
            at += RECORD + rows.len();
        }
        let salt = self.salt.to_be_bytes();
        let mut later = bytes[at..].windows(salt.len()).enumerate().skip(1).filter(|(_, window)| *window == salt);
        if later.any(|(ahead, _)| record(bytes, at + ahead, self.salt).is_some()) {
            return Err(self.damaged(at));
        }
        self.end = at as u64;
        Ok(())
    }

    fn damaged(&self, at: usize) -> EngineError {
        EngineError::Damaged(format!("{} is not what was written, from byte {at} on", self.path.display()))
    }
}

/// Generation and salt.
fn header(bytes: &[u8]) -> Option<(u64, u64)> {
    let (header, checksum) = bytes.get(..HEADER)?.split_at(HEADER - 4);
    let number = |from: usize| u64::from_be_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    let holds = header.starts_with(MAGIC) && crc32fast::hash(header).to_be_bytes() == checksum;
    holds.then(|| (number(8), number(16)))
}

/// Puts a record's rows into a layer. `None`: they are cut off.
fn take(mut rows: &[u8], layer: &mut Layer) -> Option<()> {
    while !rows.is_empty() {
        let length = number(&mut rows)?;
        let key = part(&mut rows, length)?.to_vec();
        let row = match number(&mut rows)? {
            DELETED => None,
            length => Some(part(&mut rows, length)?.to_vec()),
        };
        layer.set(key, row);
    }
    Some(())
}

/// The next bytes of what is left.
fn part<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (part, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(part)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(part(rest, 4)?.try_into().ok()?))
}

/// The rows of the record at a place, if there is a whole one.
fn record(bytes: &[u8], at: usize, salt: u64) -> Option<&[u8]> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(RECORD)?;
    if head[..8] != salt.to_be_bytes() {
        return None;
    }
    let length = u32::from_be_bytes(head[8..12].try_into().ok()?);
    let rows = rest.get(..length as usize)?;
    (checksum(at as u64, &head[8..12], rows).to_be_bytes() == head[12..]).then_some(rows)
}

fn checksum(at: u64, length: &[u8], rows: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_be_bytes());
    hasher.update(length);
    hasher.update(rows);
    hasher.finalize()
}

/// Where the two files are.
pub(super) fn paths(folder: &Path) -> [PathBuf; 2] {
    FILES.map(|name| folder.join(name))
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
        let (mut journal, records) = Journal::open(path.clone()).expect("opens");
        assert!(records.layer.is_empty() && journal.is_new());
        journal.begin_again(1, 1 << 20).expect("begins");
        numbers.for_each(|number| append(&mut journal, number));
        path
    }

    /// A file up to the end of its last record.
    fn records(path: &Path) -> Bytes {
        let end = Journal::open(path.to_owned()).expect("opens").0.length();
        let mut whole = std::fs::read(path).expect("reads");
        assert!(whole[end as usize..].iter().all(|byte| *byte == 0) && whole.len() as u64 <= 2 * end);
        whole.truncate(end as usize);
        whole
    }

    fn layer(numbers: std::ops::Range<u8>) -> Layer {
        let mut layer = Layer::default();
        numbers.flat_map(rows).for_each(|(key, row)| layer.set(key, row));
        layer
    }

    #[test]
    fn what_was_written_is_read_and_gone_on_with() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let (mut journal, found) = Journal::open(path.clone()).expect("opens");
        assert_eq!((found.layer.rows, found.layer.bytes, journal.generation()), (layer(1..4).rows, layer(1..4).bytes, 1));
        append(&mut journal, 4);
        assert_eq!(Journal::open(path.clone()).expect("opens").1.layer.rows, layer(1..5).rows);
        journal.begin_again(3, 1 << 20).expect("begins");
        let (journal, found) = Journal::open(path.clone()).expect("opens");
        assert!(found.layer.is_empty() && journal.generation() == 3, "what is left of earlier records is not read");
        assert!(path.metadata().expect("is there").len() > HEADER as u64);
    }

    /// Each byte is flipped: what is read then is what was written, up to a record, and all of it if it was not the last one; or it is damage.
    #[test]
    fn no_damaged_byte_is_passed_over() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let whole = records(&path);
        let last = (whole.len() - HEADER) / 3 * 2 + HEADER;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).expect("writes");
            match Journal::open(path.clone()) {
                Ok((_, found)) => assert!(at >= last && found.layer.rows == layer(1..3).rows, "byte {at}"),
                Err(EngineError::Damaged(why)) => assert!(at < last && why.contains("from byte"), "byte {at}: {why}"),
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        for length in 1..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writes");
            match Journal::open(path.clone()) {
                Ok((journal, found)) => {
                    let records = (length - HEADER) / ((whole.len() - HEADER) / 3);
                    assert_eq!(found.layer.rows, layer(1..1 + records as u8).rows, "cut at {length}");
                    assert!(journal.length() <= length as u64);
                }
                Err(error) => assert!(length < HEADER && matches!(error, EngineError::Damaged(_)), "cut at {length}: {error}"),
            }
        }
    }

    #[test]
    fn a_record_after_a_torn_one_takes_its_place() {
        let folder = tempfile::tempdir().expect("folder");
        let path = written(folder.path(), 1..4);
        let whole = records(&path);
        std::fs::write(&path, &whole[..whole.len() - 3]).expect("writes");
        let (mut journal, _) = Journal::open(path.clone()).expect("opens");
        append(&mut journal, 7);
        let mut expected = layer(1..3);
        rows(7).into_iter().for_each(|(key, row)| expected.set(key, row));
        assert_eq!(Journal::open(path).expect("opens").1.layer.rows, expected.rows);
    }
}
