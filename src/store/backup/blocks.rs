//! The file of a backup: a line that names the format, then blocks, each with its length and a checksum.
//!
//! ```text
//! driftless backup 1\n
//! kind (1 byte)  length (4)  CRC-32 (4) of the block's number, kind and content  content
//! ```
//!
//! Numbers are big-endian. The blocks are
//! - `H`, JSON, first: the format and the epoch of the store, and when the backup was made;
//! - `R`: rows to apply in their order, each `0|1` (deleted, set), key length (2), key, and if set: value length (4), value;
//! - `E`, JSON, last: how many rows there are.
//!
//! A reader notices a block that is damaged, missing or in another block's place, and a file that was cut off.

use std::fmt;
use std::io::Read;

use driftless_protocol::Epoch;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::engine::Bytes;

/// The format of the file that this version writes and reads: the number in its first line.
pub const BACKUP_FORMAT: u32 = 1;

/// The first line of the file.
const MAGIC: &[u8; 19] = b"driftless backup 1\n";

/// The beginning of the first line in every version of the file's format.
const MAGIC_PREFIX: &[u8] = b"driftless backup ";

/// Bytes before a block's content.
const BLOCK_HEADER_BYTES: usize = 9;

/// The largest content of a block, in bytes. The rows of a step go into several blocks where they need to.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// A row to set or, without a value, to delete.
pub type BackupRow = (Bytes, Option<Bytes>);

/// How the file begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    pub store_format: u32,
    pub epoch: Epoch,
    pub made_ms: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BackupTrailer {
    rows: u64,
}

/// What a complete backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// The epoch of the store from which it was made.
    pub epoch: Epoch,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// The format of its rows.
    pub store_format: u32,
    /// How many rows a restore applies.
    pub rows: u64,
    /// The size of the file.
    pub bytes: u64,
}

/// Why a backup cannot be restored.
#[derive(Debug)]
pub enum BackupDamage {
    /// The file does not begin as a backup does.
    NotABackup,
    /// The file has a newer format.
    NewerFile,
    /// The rows have another format than this version reads; says which version can read them.
    OtherRowFormat(String),
    /// A block is not what was written.
    Block {
        /// Counts the blocks from 0.
        number: u64,
        /// Where the block begins, in bytes from the beginning of the file.
        at: u64,
        what: &'static str,
    },
    /// The file cannot be read.
    Io(std::io::Error),
}

impl fmt::Display for BackupDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupDamage::NotABackup => f.write_str("this is not a backup of driftless: it does not begin with the first line of a backup"),
            BackupDamage::NewerFile => f.write_str("this backup was made by a newer driftless: restore it with that version"),
            BackupDamage::OtherRowFormat(why) => write!(f, "the backup's {why}"),
            BackupDamage::Block { number, at, what } => {
                write!(f, "the backup is damaged in block {number}, at byte {at}: {what}; use another copy of it, or an older backup")
            }
            BackupDamage::Io(error) => write!(f, "the backup cannot be read: {error}"),
        }
    }
}

impl std::error::Error for BackupDamage {}

/// Encodes a backup, part by part. The task that sends the file does it, not the writer thread.
#[derive(Default)]
pub struct BackupWriter {
    number: u64,
    rows: u64,
}

impl BackupWriter {
    pub fn begin(&mut self, header: &BackupHeader) -> Result<Vec<u8>, StoreError> {
        let mut bytes = MAGIC.to_vec();
        self.block(b'H', &json(header)?, &mut bytes);
        Ok(bytes)
    }

    pub fn rows(&mut self, rows: &[BackupRow]) -> Result<Vec<u8>, StoreError> {
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

    pub fn end(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.block(b'E', &json(&BackupTrailer { rows: self.rows })?, &mut bytes);
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

/// Reads a backup block by block and verifies each block's checksum before it uses the block.
pub struct BackupChecker<R> {
    file: R,
    at: u64,
    number: u64,
    header: Option<BackupHeader>,
    rows: u64,
}

impl<R: Read> BackupChecker<R> {
    /// Reads the first line and the first block.
    pub fn begin(file: R) -> Result<BackupChecker<R>, BackupDamage> {
        let mut checker = BackupChecker { file, at: 0, number: 0, header: None, rows: 0 };
        let mut line = [0; MAGIC.len()];
        checker.file.read_exact(&mut line).map_err(|_| BackupDamage::NotABackup)?;
        if line != *MAGIC {
            return Err(if line.starts_with(MAGIC_PREFIX) { BackupDamage::NewerFile } else { BackupDamage::NotABackup });
        }
        checker.at = line.len() as u64;
        let (kind, content) = checker.block()?;
        let header = serde_json::from_slice(&content).ok().filter(|_| kind == b'H');
        checker.header = Some(header.ok_or_else(|| checker.damaged("it is not the first block of a backup"))?);
        Ok(checker)
    }

    /// Reads the file to its end and passes the rows of each block to `apply`.
    pub(super) fn each<E: From<BackupDamage>>(
        mut self,
        mut apply: impl FnMut(Vec<BackupRow>) -> Result<(), E>,
    ) -> Result<BackupSummary, E> {
        loop {
            match self.block()? {
                (b'R', content) => {
                    let rows = rows(&content).ok_or_else(|| self.damaged("its rows cannot be read"))?;
                    self.rows += rows.len() as u64;
                    apply(rows)?;
                }
                (b'E', content) => return Ok(self.finish(&content)?),
                _ => return Err(self.damaged("its kind is unknown").into()),
            }
        }
    }

    /// Reads the file to its end and returns what it holds.
    pub fn check(self) -> Result<BackupSummary, BackupDamage> {
        self.each(|_| Ok::<(), BackupDamage>(()))
    }

    fn finish(mut self, content: &[u8]) -> Result<BackupSummary, BackupDamage> {
        let trailer: Option<BackupTrailer> = serde_json::from_slice(content).ok();
        if trailer.is_none_or(|trailer| trailer.rows != self.rows) {
            return Err(self.damaged("its count of rows is not that of the blocks before it"));
        }
        let (bytes, mut rest) = (self.at, [0]);
        if self.file.read(&mut rest).map_err(BackupDamage::Io)? > 0 {
            return Err(BackupDamage::Block { number: self.number, at: bytes, what: "there are bytes after the last block" });
        }
        match self.header {
            Some(BackupHeader { store_format, epoch, made_ms }) => {
                Ok(BackupSummary { epoch, made_ms, store_format, rows: self.rows, bytes })
            }
            None => Err(BackupDamage::NotABackup),
        }
    }

    fn block(&mut self) -> Result<(u8, Vec<u8>), BackupDamage> {
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.fill(&mut header)?;
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > BLOCK_BYTES {
            return Err(self.damaged_here("its length is out of bounds"));
        }
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        if checksum(self.number, kind, &content) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(self.damaged_here("its checksum does not match"));
        }
        self.at += (BLOCK_HEADER_BYTES + length) as u64;
        self.number += 1;
        Ok((kind, content))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BackupDamage> {
        match self.file.read_exact(buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.damaged_here("the file ends in the middle of it")),
            Err(error) => Err(BackupDamage::Io(error)),
        }
    }

    /// Damage in the block that is being read.
    fn damaged_here(&self, what: &'static str) -> BackupDamage {
        BackupDamage::Block { number: self.number, at: self.at, what }
    }

    /// Damage in the block that was read last.
    fn damaged(&self, what: &'static str) -> BackupDamage {
        BackupDamage::Block { number: self.number.saturating_sub(1), at: self.at, what }
    }
}

fn rows(mut content: &[u8]) -> Option<Vec<BackupRow>> {
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
        let mut writer = BackupWriter::default();
        let header = BackupHeader { store_format: 2, epoch: Epoch::new("e").expect("an epoch"), made_ms: 7 };
        let mut bytes = writer.begin(&header).expect("begins");
        bytes.extend(writer.rows(&[(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)]).expect("rows"));
        bytes.extend(writer.rows(&[(b"c".to_vec(), Some(vec![7; 100]))]).expect("rows"));
        bytes.extend(writer.end().expect("ends"));
        bytes
    }

    fn check(file: &[u8]) -> Result<BackupSummary, BackupDamage> {
        BackupChecker::begin(file)?.check()
    }

    #[test]
    fn a_reader_gets_the_rows_that_the_writer_wrote() {
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
    fn the_reader_refuses_any_flipped_bit_and_any_cut_and_says_where() {
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
        assert!(check(&longer).is_err(), "bytes after the end");
        assert_eq!(MAGIC, format!("driftless backup {BACKUP_FORMAT}\n").as_bytes());
        let newer = [b"driftless backup 2\n", &bytes[MAGIC.len()..]].concat();
        assert!(matches!(check(&newer), Err(BackupDamage::NewerFile)));
    }

    #[test]
    fn the_reader_refuses_blocks_in_another_order() {
        let mut writer = BackupWriter::default();
        let header = BackupHeader { store_format: 2, epoch: Epoch::new("e").expect("an epoch"), made_ms: 7 };
        let begin = writer.begin(&header).expect("begins");
        let [one, two] = [b"1", b"2"].map(|key| writer.rows(&[(key.to_vec(), None)]).expect("rows"));
        let end = writer.end().expect("ends");
        assert!(check(&[begin.clone(), one.clone(), two.clone(), end.clone()].concat()).is_ok());
        assert!(check(&[begin.clone(), two.clone(), one.clone(), end.clone()].concat()).is_err(), "swapped");
        assert!(check(&[begin, two, end].concat()).is_err(), "one is missing");
    }
}
