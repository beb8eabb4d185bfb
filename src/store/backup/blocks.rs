//! The file of a backup: a line that says what it is, then blocks, each with its length and a checksum.
//!
//! ```text
//! driftless backup 1\n
//! kind (1 byte)  length (4)  CRC-32 (4) of the block's number, kind and content  content
//! ```
//!
//! Numbers are big-endian. Blocks are: `H`, JSON, first: the store's format and epoch, and when it was made. `R`: rows to apply in their order, each
//! `0|1` (deleted, set), key length (2), key, and if set: value length (4), value. `E`, JSON, last: how many rows there are. A block that is
//! damaged, missing or in another's place is noticed, and so is a file that was cut.

use std::fmt;
use std::io::Read;

use driftless_protocol::Epoch;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::engine::Bytes;

/// The first line.
const MAGIC: &[u8; 19] = b"driftless backup 1\n";

/// What the line begins with in every version of the format.
const FAMILY: &[u8] = b"driftless backup ";

/// Bytes before a block's content.
const BLOCK_HEAD: usize = 9;

/// The largest content: a step's rows and what was noted meanwhile, cut at this.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// A row to set or, without a value, to delete.
pub(super) type Row = (Bytes, Option<Bytes>);

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub store_format: u32,
    pub epoch: Epoch,
    pub made_ms: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    rows: u64,
}

/// What is in a whole backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// The epoch of the store that it is of.
    pub epoch: Epoch,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// The format of its rows.
    pub store_format: u32,
    /// Rows to apply.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What is wrong with a backup, and where.
#[derive(Debug)]
pub enum BackupDamage {
    /// It is none.
    NoBackup,
    /// It is of a newer format.
    Newer,
    /// A block is not what was written.
    Block {
        /// Which, counted from 0.
        number: u64,
        /// Where it begins, in bytes from the beginning of the file.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It cannot be read.
    Io(std::io::Error),
}

impl fmt::Display for BackupDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupDamage::NoBackup => {
                f.write_str("this is no backup of driftless: it does not begin with the line that a backup begins with")
            }
            BackupDamage::Newer => f.write_str("this backup was made by a newer driftless: restore it with that one"),
            BackupDamage::Block { number, at, what } => {
                write!(f, "the backup is damaged in block {number}, at byte {at}: {what}; take another copy of it, or an older backup")
            }
            BackupDamage::Io(error) => write!(f, "the backup cannot be read: {error}"),
        }
    }
}

impl std::error::Error for BackupDamage {}

/// Makes the bytes of a file.
#[derive(Default)]
pub(super) struct Writer {
    number: u64,
    rows: u64,
}

impl Writer {
    pub(super) fn begin(&mut self, head: &Head) -> Result<Vec<u8>, StoreError> {
        let mut bytes = MAGIC.to_vec();
        self.block(b'H', &json(head)?, &mut bytes);
        Ok(bytes)
    }

    pub(super) fn rows(&mut self, rows: &[Row]) -> Result<Vec<u8>, StoreError> {
        let (mut bytes, mut content) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            let length = u16::try_from(key.len()).map_err(|_| StoreError::Io("a key is too long for a backup".to_owned()))?;
            content.push(u8::from(value.is_some()));
            content.extend_from_slice(&length.to_be_bytes());
            content.extend_from_slice(key);
            if let Some(value) = value {
                content.extend_from_slice(&(value.len() as u32).to_be_bytes());
                content.extend_from_slice(value);
            }
            if content.len() >= BLOCK_BYTES / 2 {
                self.block(b'R', &content, &mut bytes);
                content.clear();
            }
        }
        if !content.is_empty() {
            self.block(b'R', &content, &mut bytes);
        }
        self.rows += rows.len() as u64;
        Ok(bytes)
    }

    pub(super) fn end(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.block(b'E', &json(&End { rows: self.rows })?, &mut bytes);
        Ok(bytes)
    }

    fn block(&mut self, kind: u8, content: &[u8], bytes: &mut Vec<u8>) {
        bytes.push(kind);
        bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&checksum(self.number, kind, content).to_be_bytes());
        bytes.extend_from_slice(content);
        self.number += 1;
    }
}

/// Reads a file block by block, and believes nothing of it that its checksums do not say.
pub struct BackupChecker<R> {
    file: R,
    at: u64,
    number: u64,
    head: Option<Head>,
    rows: u64,
}

impl<R: Read> BackupChecker<R> {
    /// Reads the first line and the first block.
    pub fn begin(file: R) -> Result<BackupChecker<R>, BackupDamage> {
        let mut checker = BackupChecker { file, at: 0, number: 0, head: None, rows: 0 };
        let mut line = [0; MAGIC.len()];
        checker.file.read_exact(&mut line).map_err(|_| BackupDamage::NoBackup)?;
        if line != *MAGIC {
            return Err(if line.starts_with(FAMILY) { BackupDamage::Newer } else { BackupDamage::NoBackup });
        }
        checker.at = line.len() as u64;
        let (kind, content) = checker.block()?;
        let head = serde_json::from_slice(&content).ok().filter(|_| kind == b'H');
        checker.head = Some(head.ok_or_else(|| checker.damaged("it is not the first of a backup"))?);
        Ok(checker)
    }

    /// Reads to the end, and hands the rows of each block to somebody.
    pub(super) fn each<E: From<BackupDamage>>(mut self, mut take: impl FnMut(Vec<Row>) -> Result<(), E>) -> Result<BackupSummary, E> {
        loop {
            match self.block()? {
                (b'R', content) => {
                    let rows = rows(&content).ok_or_else(|| self.damaged("its rows cannot be read"))?;
                    self.rows += rows.len() as u64;
                    take(rows)?;
                }
                (b'E', content) => return Ok(self.finish(&content)?),
                _ => return Err(self.damaged("it is of no known kind").into()),
            }
        }
    }

    /// Reads to the end, and says what is in the file.
    pub fn check(self) -> Result<BackupSummary, BackupDamage> {
        self.each(|_| Ok::<(), BackupDamage>(()))
    }

    fn finish(mut self, content: &[u8]) -> Result<BackupSummary, BackupDamage> {
        let end: Option<End> = serde_json::from_slice(content).ok();
        if end.is_none_or(|end| end.rows != self.rows) {
            return Err(self.damaged("it does not count the rows that came before it"));
        }
        let (bytes, mut rest) = (self.at, [0]);
        if self.file.read(&mut rest).map_err(BackupDamage::Io)? > 0 {
            return Err(BackupDamage::Block { number: self.number, at: bytes, what: "something follows the last block" });
        }
        match self.head {
            Some(Head { store_format, epoch, made_ms }) => Ok(BackupSummary { epoch, made_ms, store_format, rows: self.rows, bytes }),
            None => Err(BackupDamage::NoBackup),
        }
    }

    fn block(&mut self) -> Result<(u8, Vec<u8>), BackupDamage> {
        let mut head = [0; BLOCK_HEAD];
        self.fill(&mut head)?;
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > BLOCK_BYTES {
            return Err(self.damaged_here("its length is none"));
        }
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        if checksum(self.number, kind, &content) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(self.damaged_here("its checksum does not match"));
        }
        self.at += (BLOCK_HEAD + length) as u64;
        self.number += 1;
        Ok((kind, content))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BackupDamage> {
        match self.file.read_exact(buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.damaged_here("the file ends in it")),
            Err(error) => Err(BackupDamage::Io(error)),
        }
    }

    fn damaged_here(&self, what: &'static str) -> BackupDamage {
        BackupDamage::Block { number: self.number, at: self.at, what }
    }

    /// Of the block that was read last.
    fn damaged(&self, what: &'static str) -> BackupDamage {
        BackupDamage::Block { number: self.number.saturating_sub(1), at: self.at, what }
    }
}

fn rows(mut content: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while let Some((set, rest)) = content.split_first() {
        let (length, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        content = match set {
            0 => {
                rows.push((key.to_vec(), None));
                rest
            }
            1 => {
                let (length, rest) = rest.split_first_chunk()?;
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                rows.push((key.to_vec(), Some(value.to_vec())));
                rest
            }
            _ => return None,
        };
    }
    Some(rows)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Io(error.to_string()))
}

fn checksum(number: u64, kind: u8, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(&[kind]);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = Writer::default();
        let head = Head { store_format: 2, epoch: Epoch::new("e").expect("an epoch"), made_ms: 7 };
        let mut bytes = writer.begin(&head).expect("begins");
        bytes.extend(writer.rows(&[(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)]).expect("rows"));
        bytes.extend(writer.rows(&[(b"c".to_vec(), Some(vec![7; 100]))]).expect("rows"));
        bytes.extend(writer.end().expect("ends"));
        bytes
    }

    fn check(file: &[u8]) -> Result<BackupSummary, BackupDamage> {
        BackupChecker::begin(file)?.check()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = file();
        let summary = check(&bytes).expect("whole");
        assert_eq!((summary.rows, summary.bytes, summary.epoch.as_str()), (3, bytes.len() as u64, "e"));
        let mut read = Vec::new();
        let checker = BackupChecker::begin(bytes.as_slice()).expect("begins");
        checker
            .each(|rows| {
                read.extend(rows);
                Ok::<(), BackupDamage>(())
            })
            .expect("whole");
        assert_eq!(read[1], (b"b".to_vec(), None));
        assert_eq!(read[2].1.as_deref(), Some([7; 100].as_slice()));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused_with_its_place() {
        let bytes = file();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = check(&flipped).expect_err("a flipped bit");
            let BackupDamage::Block { at, .. } = error else {
                assert!(bit / 8 < MAGIC.len(), "bit {bit}: {error}");
                continue;
            };
            assert!(at <= (bit / 8) as u64, "bit {bit}: {error}");
        }
        for end in 0..bytes.len() {
            assert!(check(&bytes[..end]).is_err(), "cut at {end}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(check(&longer).is_err(), "something behind it");
        let newer = [b"driftless backup 2\n", &bytes[MAGIC.len()..]].concat();
        assert!(matches!(check(&newer), Err(BackupDamage::Newer)));
    }

    #[test]
    fn blocks_in_another_order_are_refused() {
        let mut writer = Writer::default();
        let head = Head { store_format: 2, epoch: Epoch::new("e").expect("an epoch"), made_ms: 7 };
        let begin = writer.begin(&head).expect("begins");
        let [one, two] = [b"1", b"2"].map(|key| writer.rows(&[(key.to_vec(), None)]).expect("rows"));
        let end = writer.end().expect("ends");
        assert!(check(&[begin.clone(), one.clone(), two.clone(), end.clone()].concat()).is_ok());
        assert!(check(&[begin.clone(), two.clone(), one.clone(), end.clone()].concat()).is_err(), "swapped");
        assert!(check(&[begin, two, end].concat()).is_err(), "one is missing");
    }
}
