//! The bytes of a journal file.
//!
//! | bytes | header |
//! | --- | --- |
//! | 8 | `DRIFTJ02` |
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
//! Numbers are big-endian. The header and each record begin a block, and zeros fill the rest of their last one. In a file with `DRIFTJ01`,
//! of an earlier version, they follow each other without a gap.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::aligned_buffer::{AlignedBuffer, BLOCK_BYTES};
use super::error::{EngineError, io_error};
use super::memtable::Memtable;
use super::tree::RowChange;

const MAGIC: &[u8; 8] = b"DRIFTJ02";

/// Of a file whose records do not begin blocks.
const UNALIGNED_MAGIC: &[u8; 8] = b"DRIFTJ01";

pub(super) const HEADER_BYTES: usize = 28;

/// Bytes of a record before its rows.
pub(super) const RECORD_HEADER_BYTES: usize = 16;

/// Stands for the length of a value when the row is deleted.
const DELETED: u32 = u32::MAX;

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JournalHeader {
    pub generation: u64,
    salt: u64,
    /// A record begins at a multiple of this many bytes.
    pub alignment: usize,
}

impl JournalHeader {
    /// With a salt that no record has yet.
    pub(super) fn new(generation: u64) -> JournalHeader {
        JournalHeader { generation, salt: RandomState::new().build_hasher().finish(), alignment: BLOCK_BYTES }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<JournalHeader> {
        let (header, checksum) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
        let (magic, numbers) = header.split_first_chunk::<8>()?;
        let alignment = match magic {
            MAGIC => BLOCK_BYTES,
            UNALIGNED_MAGIC => 1,
            _ => return None,
        };
        let number = |from: usize| u64::from_be_bytes(numbers[from..from + 8].try_into().expect("eight bytes"));
        let is_valid = crc32fast::hash(header).to_be_bytes() == checksum;
        is_valid.then(|| JournalHeader { generation: number(0), salt: number(8), alignment })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(if self.alignment == 1 { UNALIGNED_MAGIC } else { MAGIC });
        header.extend_from_slice(&self.generation.to_be_bytes());
        header.extend_from_slice(&self.salt.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        header
    }

    pub(super) fn first_record(&self) -> usize {
        HEADER_BYTES.next_multiple_of(self.alignment)
    }

    /// The rows of the record at a position, if a whole one is there, and where the next one begins.
    pub(super) fn record_at<'a>(&self, bytes: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        let (header, rest) = bytes.get(at..)?.split_at_checked(RECORD_HEADER_BYTES)?;
        if header[..8] != self.salt.to_be_bytes() {
            return None;
        }
        let length = u32::from_be_bytes(header[8..12].try_into().ok()?);
        let rows = rest.get(..length as usize)?;
        let is_valid = checksum(at as u64, &header[8..12], rows).to_be_bytes() == header[12..];
        is_valid.then(|| (rows, (at + RECORD_HEADER_BYTES + rows.len()).next_multiple_of(self.alignment)))
    }

    /// Whether there is a whole record behind a position.
    pub(super) fn has_record_behind(&self, bytes: &[u8], at: usize) -> bool {
        (at + self.alignment..bytes.len()).step_by(self.alignment).any(|at| self.record_at(bytes, at).is_some())
    }

    /// Puts the record for a position into the buffer, with the zeros behind it.
    pub(super) fn encode_record<'a>(
        &self,
        at: u64,
        rows: impl Iterator<Item = RowChange<'a>> + Clone,
        buffer: &mut AlignedBuffer,
    ) -> Result<(), EngineError> {
        let length = rows.clone().map(|(key, row)| 8 + key.len() + row.map_or(0, <[u8]>::len)).sum::<usize>();
        let header_length = u32::try_from(length).map_err(|_| io_error("a commit of 4 GiB"))?.to_be_bytes();
        buffer.clear_for((RECORD_HEADER_BYTES + length).next_multiple_of(self.alignment));
        buffer.extend(&self.salt.to_be_bytes());
        buffer.extend(&header_length);
        buffer.extend(&[0; 4]);
        for (key, row) in rows {
            buffer.extend(&(key.len() as u32).to_be_bytes());
            buffer.extend(key);
            buffer.extend(&row.map_or(DELETED, |row| row.len() as u32).to_be_bytes());
            buffer.extend(row.unwrap_or_default());
        }
        let record = buffer.bytes_mut();
        let checksum = checksum(at, &header_length, &record[RECORD_HEADER_BYTES..]);
        record[12..RECORD_HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        buffer.pad(self.alignment);
        Ok(())
    }
}

/// Puts a record's rows into a memtable. `None`: the rows are cut off.
pub(super) fn replay(mut rows: &[u8], memtable: &mut Memtable) -> Option<()> {
    memtable.is_replayed = true;
    while !rows.is_empty() {
        let length = read_u32(&mut rows)?;
        let key = split_bytes(&mut rows, length)?;
        let row = match read_u32(&mut rows)? {
            DELETED => None,
            length => Some(split_bytes(&mut rows, length)?),
        };
        memtable.rows.set(key, row);
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

/// Of a record, by its position.
pub(super) fn checksum(at: u64, length: &[u8], rows: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_be_bytes());
    hasher.update(length);
    hasher.update(rows);
    hasher.finalize()
}
