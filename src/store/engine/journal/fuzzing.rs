//! A journal file of any bytes, and a valid one with a byte that is flipped or a part that is cut off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Bytes, EngineError, HEADER_BYTES, Journal, JournalContents, MAGIC, checksum};

/// The most records of a valid journal.
const RECORDS: usize = 6;

const SALT: u64 = 0x5a5a_0001_0203_0405;

/// The first byte selects how the rest becomes a file, which is written to the folder.
pub fn check_journal(folder: &Path, input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let path = folder.join("journal");
    match first % 4 {
        0 => drop(open(&path, rest)),
        1 => drop(open(&path, &with_checksums(rest))),
        how => check_damage(&path, rest, how == 2),
    }
}

/// Opens a file of these bytes. `None`: it is damaged.
fn open(path: &Path, bytes: &[u8]) -> Option<(Journal, JournalContents)> {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match Journal::open(path.to_owned()) {
        Ok(opened) => {
            assert!(bytes.is_empty() || opened.0.length() <= bytes.len() as u64);
            Some(opened)
        }
        Err(EngineError::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A header, and records whose checksums are right, with any bytes as their rows. The first byte of each part is its length.
fn with_checksums(mut parts: &[u8]) -> Bytes {
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&1u64.to_be_bytes());
    file.extend_from_slice(&SALT.to_be_bytes());
    file.extend_from_slice(&crc32fast::hash(&file).to_be_bytes());
    while let Some((&length, rest)) = parts.split_first() {
        let (rows, rest) = rest.split_at(rest.len().min(length.into()));
        let length = (rows.len() as u32).to_be_bytes();
        let checksum = checksum(file.len() as u64, &length, rows);
        file.extend_from_slice(&SALT.to_be_bytes());
        file.extend_from_slice(&length);
        file.extend_from_slice(&checksum.to_be_bytes());
        file.extend_from_slice(rows);
        parts = rest;
    }
    file
}

/// The rows of a journal's memtable.
type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// A journal with the end of each of its records, and the rows that it has by then.
struct ValidJournal {
    path: PathBuf,
    bytes: Bytes,
    /// The first is the end of the header.
    ends: Vec<(usize, Rows)>,
}

impl ValidJournal {
    /// A journal of a few records. The first byte of each is its length; each byte of it is a row, which an even one deletes.
    fn write(path: &Path, mut input: &[u8]) -> Result<ValidJournal, EngineError> {
        std::fs::write(path, b"").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut journal, _) = Journal::open(path.to_owned())?;
        journal.recycle(1, u64::MAX)?;
        let mut rows = Rows::new();
        let mut ends = vec![(HEADER_BYTES, rows.clone())];
        while ends.len() <= RECORDS
            && let Some((&length, rest)) = input.split_first()
        {
            let (record, rest) = rest.split_at(rest.len().min(1 + usize::from(length % 8)));
            let changed: Rows = record.iter().map(|&byte| (vec![byte % 16], (byte % 2 == 1).then(|| vec![byte; byte.into()]))).collect();
            journal.append(changed.iter().map(|(key, row)| (key.as_slice(), row.as_deref())))?;
            rows.extend(changed);
            ends.push((journal.length() as usize, rows.clone()));
            input = rest;
        }
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Ok(ValidJournal { path: path.to_owned(), bytes, ends })
    }

    fn end(&self) -> usize {
        self.ends.last().map_or(HEADER_BYTES, |(end, _)| *end)
    }

    /// The rows of all records that are whole in so many bytes.
    fn rows_within(&self, bytes: usize) -> Option<&Rows> {
        self.ends.iter().rev().find(|(end, _)| *end <= bytes).map(|(_, rows)| rows)
    }

    /// A flipped bit is refused, except in the last record, which is lost, and behind it.
    fn check_flipped(mut self, at: usize, bit: u8) {
        let (at, end) = (at % self.bytes.len(), self.end());
        self.bytes[at] ^= 1 << (bit % 8);
        let last = self.ends.iter().rev().nth(1).map_or(end, |(start, _)| *start);
        match open(&self.path, &self.bytes) {
            Some((_, found)) if at >= end => assert_eq!(Some(&found.memtable.rows), self.rows_within(end), "byte {at}"),
            Some((_, found)) => {
                assert!(at >= last, "the flipped byte {at} is ignored");
                assert_eq!(Some(&found.memtable.rows), self.rows_within(last), "byte {at}");
            }
            None => assert!(at < last, "the flipped byte {at} of the last record is refused"),
        }
    }

    /// A journal that is cut keeps the records before the cut.
    fn check_cut(self, at: usize) {
        let at = at % (self.bytes.len() + 1);
        match open(&self.path, &self.bytes[..at]) {
            Some((_, found)) if at == 0 => assert!(found.memtable.is_empty()),
            Some((_, found)) => assert_eq!(Some(&found.memtable.rows), self.rows_within(at), "cut at {at}"),
            None => assert!(at < HEADER_BYTES, "cut at {at}"),
        }
    }
}

/// The first bytes say where the damage is, and the rest is what the journal has.
fn check_damage(path: &Path, input: &[u8], is_flip: bool) {
    let Some((&[high, low, bit], rest)) = input.split_first_chunk() else { return };
    let at = usize::from(u16::from_be_bytes([high, low]));
    let journal = ValidJournal::write(path, rest).unwrap_or_else(|error| panic!("a valid journal is refused: {error}"));
    let whole = open(path, &journal.bytes).unwrap_or_else(|| panic!("a valid journal is damaged"));
    assert_eq!(Some(&whole.1.memtable.rows), journal.rows_within(journal.end()));
    if is_flip { journal.check_flipped(at, bit) } else { journal.check_cut(at) }
}
