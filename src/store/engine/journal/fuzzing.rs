//! A journal file of any bytes, and a valid one with a byte that is flipped or a part that is cut off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::aligned_buffer::BLOCK_BYTES;
use super::super::batch::Bytes;
use super::super::journal_format::{HEADER_BYTES, RECORD_HEADER_BYTES, checksum};
use super::super::memtable::Memtable;
use super::{EngineError, Journal, JournalContents, JournalHeader};

/// The most records of a valid journal.
const RECORDS: usize = 6;

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
            assert!(bytes.is_empty() || opened.0.length() <= bytes.len().next_multiple_of(BLOCK_BYTES) as u64);
            Some(opened)
        }
        Err(EngineError::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A header, and records whose checksums are right, with any bytes as their rows. The first byte says whether records begin blocks; the first byte
/// of each part is its length.
fn with_checksums(input: &[u8]) -> Bytes {
    let Some((&form, mut parts)) = input.split_first() else { return Vec::new() };
    let mut header = JournalHeader::new(1);
    header.alignment = if form % 2 == 0 { BLOCK_BYTES } else { 1 };
    let mut file = header.encode();
    let salt = file[16..24].to_vec();
    file.resize(header.first_record(), 0);
    while let Some((&length, rest)) = parts.split_first() {
        let (rows, rest) = rest.split_at(rest.len().min(length.into()));
        let length = (rows.len() as u32).to_be_bytes();
        let checksum = checksum(file.len() as u64, &length, rows);
        file.extend_from_slice(&salt);
        file.extend_from_slice(&length);
        file.extend_from_slice(&checksum.to_be_bytes());
        file.extend_from_slice(rows);
        file.resize(file.len().next_multiple_of(header.alignment), 0);
        parts = rest;
    }
    file
}

/// The rows of a journal's memtable.
pub(super) type Rows = BTreeMap<Bytes, Option<Bytes>>;

pub(super) fn rows_of(memtable: &Memtable) -> Rows {
    memtable.rows.starting_at(&[]).map(|(key, row)| (key, row.map(<[u8]>::to_vec))).collect()
}

/// A journal, and where its header and records are.
struct ValidJournal {
    path: PathBuf,
    bytes: Bytes,
    /// Where each of them begins and ends, without the zeros behind it, and the rows that the journal has by then. The first is the header.
    parts: Vec<(usize, usize, Rows)>,
}

impl ValidJournal {
    /// A journal of a few records. The first byte of each is its length; each byte of it is a row, which an even one deletes.
    fn write(path: &Path, mut input: &[u8]) -> Result<ValidJournal, EngineError> {
        std::fs::write(path, b"").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut journal, _) = Journal::open(path.to_owned())?;
        journal.recycle(1, u64::MAX)?;
        let mut rows = Rows::new();
        let mut parts = vec![(0, HEADER_BYTES, rows.clone())];
        while parts.len() <= RECORDS
            && let Some((&length, rest)) = input.split_first()
        {
            let (record, rest) = rest.split_at(rest.len().min(1 + usize::from(length % 8)));
            let changed: Rows = record.iter().map(|&byte| (vec![byte % 16], (byte % 2 == 1).then(|| vec![byte; byte.into()]))).collect();
            let start = journal.length() as usize;
            journal.append(changed.iter().map(|(key, row)| (key.as_slice(), row.as_deref())))?;
            let row_bytes: usize = changed.iter().map(|(key, row)| 8 + key.len() + row.as_ref().map_or(0, Vec::len)).sum();
            rows.extend(changed);
            parts.push((start, start + RECORD_HEADER_BYTES + row_bytes, rows.clone()));
            input = rest;
        }
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Ok(ValidJournal { path: path.to_owned(), bytes, parts })
    }

    /// The rows of all records that are whole in so many bytes.
    fn rows_within(&self, bytes: usize) -> Option<&Rows> {
        self.parts.iter().rev().find(|(_, end, _)| *end <= bytes).map(|(_, _, rows)| rows)
    }

    /// A flipped bit is refused, except in the last record, which is lost, and among the zeros, which nobody reads.
    fn check_flipped(mut self, at: usize, bit: u8) {
        let at = at % self.bytes.len();
        self.bytes[at] ^= 1 << (bit % 8);
        let hit = self.parts.iter().position(|(start, end, _)| (*start..*end).contains(&at));
        let found = open(&self.path, &self.bytes).map(|(_, found)| rows_of(&found.memtable));
        let rows = match hit {
            None => Some(&self.parts[self.parts.len() - 1].2),
            Some(part) if part > 0 && part + 1 == self.parts.len() => Some(&self.parts[part - 1].2),
            Some(_) => None,
        };
        assert_eq!(found.as_ref(), rows, "byte {at} of part {hit:?}");
    }

    /// A journal that is cut keeps the records before the cut.
    fn check_cut(self, at: usize) {
        let at = at % (self.bytes.len() + 1);
        match open(&self.path, &self.bytes[..at]) {
            Some((_, found)) if at == 0 => assert!(found.memtable.is_empty()),
            Some((_, found)) => assert_eq!(Some(&rows_of(&found.memtable)), self.rows_within(at), "cut at {at}"),
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
    assert_eq!(Some(&rows_of(&whole.1.memtable)), journal.rows_within(journal.bytes.len()));
    if is_flip { journal.check_flipped(at, bit) } else { journal.check_cut(at) }
}
