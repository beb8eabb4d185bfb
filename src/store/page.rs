//! Reads the changes of a dataset after a cursor, page by page, while writes go on.
//!
//! A record stands under the version that last wrote it. A write moves it to the end, together with all that the write touched. So a
//! scan in the order of the versions that runs to the end reads every record at least once, however many move
//! meanwhile, and the newest states that it has read are the dataset at the last version it has read. It needs no snapshot of the engine.

use driftless_protocol::{Content, DatasetName, Record, limits};

use super::cursor::Cursor;
use super::rows::{self, HeadRow};
use super::{Identity, Store, StoreError, keys, pieces};

/// Rows read at a time while their size is not known: 1.5 MiB of the largest.
const CHUNK_ROWS: usize = 32;

/// Rows read at a time at most, if they are small: a page of the smallest.
const MAX_CHUNK_ROWS: usize = 512;

/// The result of a read after a cursor.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadResult {
    Page(RecordPage),
    /// Tombstones were deleted before the reader read them: it begins again at this cursor and discards its records.
    Behind(Cursor),
}

/// Some of the changes after a cursor, in the order of their versions.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPage {
    /// The latest state of each record.
    pub records: Vec<Record>,
    /// How far the reader has read with this page.
    pub cursor: Cursor,
    /// Whether there is more behind the page.
    pub more: bool,
}

impl Store {
    /// The next page, of about [`limits::PAGE_BYTES`].
    pub fn changes(&self, identity: &Identity, dataset: &DatasetName, cursor: Cursor) -> Result<ReadResult, StoreError> {
        // Read before the scan, so that the scan reads every record up to this version.
        let head = self.version(identity, dataset)?;
        let page = self.page(identity, dataset, cursor, head, usize::MAX)?;
        // Read after the scan: it may have missed a tombstone that was reaped meanwhile.
        let HeadRow { version, tombstone_horizon, .. } = self.head(identity, dataset)?;
        if cursor.is_behind(tombstone_horizon) {
            return Ok(ReadResult::Behind(Cursor::fresh(version)));
        }
        // Without a write during the scan no record moved, and none was read twice.
        let records = if version == head { page.records } else { newest_only(page.records) };
        Ok(ReadResult::Page(RecordPage { records, ..page }))
    }

    /// The next page, of at most so many records, also for a reader that has not seen tombstones that are gone: it misses them.
    pub fn changes_with_gaps(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        cursor: Cursor,
        most: usize,
    ) -> Result<RecordPage, StoreError> {
        let head = self.version(identity, dataset)?;
        let page = self.page(identity, dataset, cursor, head, most)?;
        let records = newest_only(page.records);
        Ok(RecordPage { records, ..page })
    }

    fn page(&self, identity: &Identity, dataset: &DatasetName, cursor: Cursor, head: u64, most: usize) -> Result<RecordPage, StoreError> {
        let prefix = keys::records(identity, dataset);
        let end = keys::prefix_end(&prefix);
        let (version, ordinal) = cursor.next.unwrap_or((cursor.version + 1, 0));
        let mut start = keys::record(identity, dataset, version, ordinal);
        let (mut page, mut chunk_rows) = (PageBuilder::new(cursor, prefix.len(), most), CHUNK_ROWS);
        loop {
            let rows = self.engine.scan(&start, &end, chunk_rows)?;
            let bytes: usize = rows.iter().map(|(_, row)| row.len()).sum();
            for (key, row) in &rows {
                if page.add_row(key, row)? == PageState::Full {
                    return Ok(page.finish_with_more());
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == chunk_rows => {
                    start.clone_from(key);
                    start.push(0);
                    // As many as will fill the page if they are like these.
                    let left = limits::PAGE_BYTES.saturating_sub(page.bytes);
                    chunk_rows = (left * rows.len() / bytes.max(1) + 1).clamp(CHUNK_ROWS, MAX_CHUNK_ROWS);
                }
                _ => return Ok(page.finish_at_end(head)),
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum PageState {
    Open,
    Full,
}

/// A page under construction.
struct PageBuilder {
    cursor: Cursor,
    /// Length of the dataset's prefix in each key.
    prefix_bytes: usize,
    records: Vec<Record>,
    /// How many records it has at most.
    most: usize,
    bytes: usize,
    /// The record whose pieces are being read.
    partial: Option<PartialRecord>,
    /// The version and ordinal of the first record that no longer fits.
    next: Option<(u64, u16)>,
    /// The version of the last row.
    last_version: u64,
}

/// A record some of whose pieces were read.
struct PartialRecord {
    at: (u64, u16),
    pieces: u16,
    read: u16,
    content: Vec<u8>,
}

impl PageBuilder {
    fn new(cursor: Cursor, prefix_bytes: usize, most: usize) -> PageBuilder {
        let records = Vec::new();
        PageBuilder { last_version: cursor.version, cursor, prefix_bytes, records, most, bytes: 0, partial: None, next: None }
    }

    fn add_row(&mut self, key: &[u8], row: &[u8]) -> Result<PageState, StoreError> {
        let (version, ordinal, piece) = parse_place(&key[self.prefix_bytes..])?;
        let at = (version, ordinal);
        if piece == 0 && (self.bytes >= limits::PAGE_BYTES || self.records.len() >= self.most) {
            self.next = Some(at);
            return Ok(PageState::Full);
        }
        self.last_version = version;
        let (pieces, part) = pieces::part(row)?;
        match &mut self.partial {
            Some(partial) if partial.at == at && partial.read == piece => {
                partial.content.extend_from_slice(part);
                partial.read += 1;
            }
            // A record whose first pieces are gone was moved during the scan, which reads it again further on.
            _ if piece > 0 => return Ok(PageState::Open),
            partial if pieces == 1 => {
                *partial = None;
                return self.add_record(part);
            }
            partial => *partial = Some(PartialRecord { at, pieces, read: 1, content: part.to_vec() }),
        }
        match self.partial.take_if(|partial| partial.read == partial.pieces) {
            Some(partial) => self.add_record(&partial.content),
            None => Ok(PageState::Open),
        }
    }

    /// Adds a record from its joined pieces.
    fn add_record(&mut self, row: &[u8]) -> Result<PageState, StoreError> {
        self.bytes += row.len();
        let record = rows::decode_record(row)?.record;
        if record.content != Content::Removed || record.version > self.cursor.fresh_until {
            self.records.push(record);
        }
        Ok(PageState::Open)
    }

    /// The page, if there is more behind it.
    fn finish_with_more(self) -> RecordPage {
        let next = self.next.unwrap_or((self.last_version + 1, 0));
        let version = self.cursor.version.max(next.0 - 1);
        let inside = (next.1 > 0).then_some(next);
        RecordPage { records: self.records, cursor: Cursor { version, next: inside, ..self.cursor }, more: true }
    }

    /// The page, if it is the last one.
    fn finish_at_end(self, head: u64) -> RecordPage {
        RecordPage { records: self.records, cursor: Cursor::at(head.max(self.last_version)), more: false }
    }
}

/// Drops older states of records: a record that moved during the scan may have been read twice.
fn newest_only(mut records: Vec<Record>) -> Vec<Record> {
    let mut newest = std::collections::HashMap::with_capacity(records.len());
    for record in &records {
        newest.insert(record.key.clone(), record.version);
    }
    if newest.len() < records.len() {
        records.retain(|record| newest.get(&record.key) == Some(&record.version));
    }
    records
}

/// The version, ordinal and piece in a row's key, behind its dataset's prefix.
fn parse_place(rest: &[u8]) -> Result<(u64, u16, u16), StoreError> {
    let damaged = || StoreError::Damaged("the key of a version".to_owned());
    let (version, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (ordinal, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let piece = rest.try_into().map_err(|_| damaged())?;
    Ok((u64::from_be_bytes(*version), u16::from_be_bytes(*ordinal), u16::from_be_bytes(piece)))
}

#[cfg(test)]
mod tests;
