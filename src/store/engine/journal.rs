//! One file of the journal, the engine's write-ahead log: the rows that each commit changed, one record after the other, in the form that
//! `journal_format` states.
//!
//! - The header and each record have blocks of their own, so no write touches a block that has an acknowledged record, and blocks are
//!   written past the page cache where the file system allows it (`block_file`).
//! - A recycled file is overwritten in place: that needs no new space and, unlike growing a file, changes no metadata at each commit.
//!   Records left over from its earlier use have another salt.
//! - A file of an earlier version, whose records do not begin blocks, is appended to in that form until it is recycled.
//!
//! A record that cannot be read and is followed by others is damage. The last one may be a write that a crash interrupted before it was
//! acknowledged. If it had been acknowledged, the commit counts would show it: the other file, the tree or the count beside the store would
//! have a later commit (`journaled`, `commit_counter`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::aligned_buffer::{AlignedBuffer, BLOCK_BYTES};
use super::block_file::BlockFile;
use super::error::{EngineError, io_error, open_error};
use super::journal_format::{JournalHeader, replay};
use super::memtable::Memtable;
use super::tree::RowChange;
use super::{commit_counter, layout};

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;

/// A file doubles when it grows, by at most this many bytes: syncing a file that has grown waits for its metadata too, which takes as long
/// again.
const MAX_GROWTH_BYTES: u64 = 1 << 20;

/// A buffer that has grown over this is freed after its commit.
const BUFFER_BYTES: usize = 1 << 20;

/// An open file, ready for its next record.
pub(super) struct Journal {
    file: BlockFile,
    path: PathBuf,
    /// `None`: the file is empty, or has zeros only.
    header: Option<JournalHeader>,
    /// Where the next record goes, in bytes.
    end: u64,
    /// Bytes of the file: records, and space for later ones.
    size: u64,
    /// The disk was full when the file should have grown. It is not grown again until it is recycled: the space that is left is for
    /// records.
    growth_failed: bool,
    buffer: AlignedBuffer,
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
    /// use. So must a file of zeros: a loss of power before its first header was durable can leave one, since a file can have its size before
    /// its contents.
    pub(super) fn open(path: PathBuf) -> Result<(Journal, JournalContents), EngineError> {
        let failed = |error: std::io::Error| open_error(&path, &error);
        let file = BlockFile::open(&path).map_err(failed)?;
        let bytes = std::fs::read(&path).map_err(failed)?;
        let mut journal =
            Journal { file, path, header: None, end: 0, size: bytes.len() as u64, growth_failed: false, buffer: AlignedBuffer::default() };
        let mut contents = JournalContents::default();
        if bytes.iter().any(|byte| *byte != 0) {
            journal.read(&bytes, &mut contents)?;
        }
        Ok((journal, contents))
    }

    /// Whether the file has no header yet.
    pub(super) fn is_new(&self) -> bool {
        self.header.is_none()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn generation(&self) -> u64 {
        self.header.map_or(0, |header| header.generation)
    }

    /// Bytes up to the end of the last record.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Drops all records, durably, and cuts the file to at most `kept_bytes`.
    pub(super) fn recycle(&mut self, generation: u64, kept_bytes: u64) -> Result<(), EngineError> {
        self.write_header(JournalHeader::new(generation)).map_err(|error| self.write_error(error))?;
        if self.size > kept_bytes {
            let size = kept_bytes.max(BLOCK_BYTES as u64);
            self.file.set_length(size).map_err(|error| self.write_error(error))?;
            self.size = size;
        }
        Ok(())
    }

    /// Appends a record and makes it durable. After [`EngineError::Full`] the record is not there, after any other error it may be.
    pub(super) fn append<'a>(&mut self, rows: impl Iterator<Item = RowChange<'a>> + Clone) -> Result<(), EngineError> {
        let header = self.header.ok_or_else(|| io_error("a journal file without a header"))?;
        let mut buffer = std::mem::take(&mut self.buffer);
        header.encode_record(self.end, rows, &mut buffer)?;
        // After an error the next record overwrites the part that was written.
        self.file.write_all_at(buffer.bytes(), self.end).map_err(|error| self.write_error(error))?;
        let end = self.end + buffer.bytes().len() as u64;
        self.grow(end);
        self.file.sync_data().map_err(io_error)?;
        self.end = end;
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
        let length = end.min(MAX_GROWTH_BYTES);
        let mut zeros = AlignedBuffer::default();
        zeros.clear_for(length as usize);
        zeros.resize(length as usize);
        match self.file.write_all_at(zeros.bytes(), end) {
            Ok(()) => self.size = end + length,
            Err(_) => {
                // Some of the zeros may have been written.
                let _ = self.file.set_length(end);
                self.growth_failed = true;
            }
        }
    }

    fn write_header(&mut self, header: JournalHeader) -> std::io::Result<()> {
        self.file.use_blocks();
        let mut block = AlignedBuffer::default();
        block.clear_for(BLOCK_BYTES);
        block.extend(&header.encode());
        block.pad(BLOCK_BYTES);
        self.file.write_all_at(block.bytes(), 0)?;
        self.file.sync_data()?;
        (self.header, self.end) = (Some(header), header.first_record() as u64);
        (self.size, self.growth_failed) = (self.file.length()?, false);
        Ok(())
    }

    fn read(&mut self, bytes: &[u8], contents: &mut JournalContents) -> Result<(), EngineError> {
        let header = JournalHeader::parse(bytes).ok_or_else(|| self.damaged(0))?;
        let mut at = header.first_record();
        while let Some((rows, next)) = header.record_at(bytes, at) {
            replay(rows, &mut contents.memtable).ok_or_else(|| self.damaged(at))?;
            if let Some(number) = commit_counter::count_in(&contents.memtable) {
                contents.commits = Some((contents.commits.map_or(number, |(first, _)| first), number));
            }
            at = next;
        }
        if header.has_record_behind(bytes, at) {
            return Err(self.damaged(at));
        }
        if header.alignment == BLOCK_BYTES {
            self.file.use_blocks();
        }
        (self.header, self.end) = (Some(header), at as u64);
        Ok(())
    }

    fn write_error(&self, error: std::io::Error) -> EngineError {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => EngineError::Full(format!("{}: {error}", self.path.display())),
            _ => io_error(error),
        }
    }

    fn damaged(&self, at: usize) -> EngineError {
        EngineError::Damaged(format!("{} is damaged from byte {at} on", self.path.display()))
    }
}

/// The paths of the two files.
pub(super) fn paths(folder: &Path) -> [PathBuf; 2] {
    layout::JOURNAL.map(|name| folder.join(name))
}

#[cfg(test)]
mod tests;
