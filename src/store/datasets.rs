//! Reading datasets: what changed after a position, page by page, while writes go on.
//!
//! A record stands under the version that last wrote it. A write moves it to the end, together with all that the write touched. So a
//! scan in the order of the versions that runs to the end meets every record at least once, however much moves
//! meanwhile, and what it has met then is the dataset's state at the last version it met. It needs no snapshot of the engine.

use driftless_protocol::{Content, DatasetInfo, DatasetName, Epoch, Position, Record, limits};

use super::rows::{self, ConflictRow, HeadRow, LineageRow};
use super::{Identity, Store, StoreError, keys, pieces};

/// Rows read at a time: 1.5 MiB of the largest.
const CHUNK_ROWS: usize = 32;

/// What a reader has had of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to and with this version.
    pub version: u64,
    /// And of a later version everything before this ordinal.
    part: Option<(u64, u16)>,
    /// Tombstones up to this version are of no use to it: it began with nothing when this was the head.
    fresh_until: u64,
}

impl Cursor {
    /// The cursor of a reader that has everything up to a version.
    pub fn at(version: u64) -> Cursor {
        Cursor { version, part: None, fresh_until: 0 }
    }

    /// The cursor of a reader that has nothing, while the head is at a version.
    fn fresh(head: u64) -> Cursor {
        Cursor { version: 0, part: None, fresh_until: head }
    }

    /// What its reader has to say to go on from a version, besides that; `None` if nothing: it is past all that it does not need.
    pub fn fresh_until(&self, version: u64) -> Option<u64> {
        Some(self.fresh_until).filter(|fresh_until| *fresh_until > version)
    }

    /// Whether tombstones that it needs may be gone.
    fn is_behind(&self, horizon: u64) -> bool {
        horizon > self.version.max(self.fresh_until)
    }

    /// Whether it ends where a version does.
    pub fn is_whole(&self) -> bool {
        self.part.is_none()
    }
}

/// What a reader says that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPosition {
    /// Up to where.
    pub position: Position,
    /// On the way from nothing: what [`Cursor::fresh_until`] said; otherwise 0. Who says anything else misses tombstones, and nobody else does.
    pub fresh_until: u64,
}

impl From<Position> for ReadPosition {
    /// Of a reader that has everything up to its position.
    fn from(position: Position) -> ReadPosition {
        ReadPosition { position, fresh_until: 0 }
    }
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStart {
    /// After its position.
    After(Cursor),
    /// From nothing, because it has nothing.
    Fresh(Cursor),
    /// From nothing, because the server cannot continue from its position: it forgets what it has.
    Reset {
        /// From here.
        cursor: Cursor,
        /// After a restored backup: up to here the history of its position is this one.
        shared: Option<u64>,
    },
}

impl ReadStart {
    /// The cursor to begin at.
    pub fn cursor(&self) -> Cursor {
        match self {
            ReadStart::After(cursor) | ReadStart::Fresh(cursor) | ReadStart::Reset { cursor, .. } => *cursor,
        }
    }
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadResult {
    /// Some changes.
    Page(Page),
    /// Tombstones that it has not met are gone: it begins again at this cursor and forgets what it has.
    Behind(Cursor),
}

/// Some of what changed after a cursor, in the order of the versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The latest state of each record.
    pub records: Vec<Record>,
    /// What the reader has after this page.
    pub cursor: Cursor,
    /// Whether there is more.
    pub more: bool,
}

impl Store {
    /// The version of a dataset; 0 if it was never written.
    pub fn version(&self, identity: &Identity, dataset: &DatasetName) -> Result<u64, StoreError> {
        Ok(self.head(identity, dataset)?.version)
    }

    pub(super) fn head(&self, identity: &Identity, dataset: &DatasetName) -> Result<HeadRow, StoreError> {
        let row = self.engine.get(&keys::head(identity, dataset))?;
        Ok(row.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default())
    }

    /// All datasets of an identity that were ever written, by name.
    pub fn datasets(&self, identity: &Identity) -> Result<Vec<DatasetInfo>, StoreError> {
        let prefix = keys::heads(identity);
        let mut datasets = Vec::new();
        for (key, row) in self.engine.scan(&prefix, &keys::prefix_end(&prefix), usize::MAX)? {
            let dataset = keys::KeyParts::after(&key, &prefix)?.dataset()?;
            let head: HeadRow = rows::decode(&row)?;
            let HeadRow { version, records, bytes, .. } = head;
            if version > 0 {
                datasets.push(DatasetInfo { dataset, epoch: self.epoch.clone(), version, records, bytes });
            }
        }
        datasets.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        Ok(datasets)
    }

    /// Where a reader that has seen this begins.
    pub fn start(&self, identity: &Identity, dataset: &DatasetName, seen: Option<&ReadPosition>) -> Result<ReadStart, StoreError> {
        let head = self.head(identity, dataset)?;
        Ok(begin(&head, &self.epoch, &self.lineage, seen))
    }

    /// The next page, of about [`limits::PAGE_BYTES`].
    pub fn changes(&self, identity: &Identity, dataset: &DatasetName, cursor: Cursor) -> Result<ReadResult, StoreError> {
        // Read before the scan: whatever made this head is met by the scan.
        let head = self.version(identity, dataset)?;
        let page = self.page(identity, dataset, cursor, head)?;
        // And the horizon after it: a tombstone that went meanwhile was perhaps not met.
        let HeadRow { version, tombstone_horizon: horizon, .. } = self.head(identity, dataset)?;
        Ok(match cursor.is_behind(horizon) {
            true => ReadResult::Behind(Cursor::fresh(version)),
            false => ReadResult::Page(page),
        })
    }

    fn page(&self, identity: &Identity, dataset: &DatasetName, cursor: Cursor, head: u64) -> Result<Page, StoreError> {
        let prefix = keys::records(identity, dataset);
        let end = keys::prefix_end(&prefix);
        let (version, ordinal) = cursor.part.unwrap_or((cursor.version + 1, 0));
        let mut start = keys::record(identity, dataset, version, ordinal);
        let mut draft = Draft::new(cursor, prefix.len());
        loop {
            let rows = self.engine.scan(&start, &end, CHUNK_ROWS)?;
            for (key, row) in &rows {
                if draft.take(key, row)? == Full::Yes {
                    return Ok(draft.cut());
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK_ROWS => {
                    start.clone_from(key);
                    start.push(0);
                }
                _ => return Ok(draft.end(head)),
            }
        }
    }

    /// The conflicts that a dataset remembers, oldest first.
    pub fn conflicts(&self, identity: &Identity, dataset: &DatasetName) -> Result<Vec<ConflictRow>, StoreError> {
        let prefix = keys::conflicts(identity, dataset);
        let rows = self.engine.scan(&prefix, &keys::prefix_end(&prefix), usize::MAX)?;
        let mut log = rows.iter().map(|(_, row)| rows::decode(row)).collect::<Result<Vec<ConflictRow>, _>>()?;
        log.sort_by_key(|conflict| conflict.number);
        Ok(log)
    }
}

fn begin(head: &HeadRow, epoch: &Epoch, lineage: &LineageRow, seen: Option<&ReadPosition>) -> ReadStart {
    let cursor = Cursor::fresh(head.version);
    let Some(ReadPosition { position: Position { epoch: theirs, version }, fresh_until }) = seen else { return ReadStart::Fresh(cursor) };
    if theirs != epoch {
        return ReadStart::Reset { cursor, shared: shared(head, lineage, theirs) };
    }
    let after = Cursor { version: *version, part: None, fresh_until: *fresh_until };
    let is_ahead = after.version.max(after.fresh_until) > head.version;
    // At version 0, too: it may have own records above it, from answers to its writes.
    match is_ahead || after.is_behind(head.tombstone_horizon) {
        true => ReadStart::Reset { cursor, shared: None },
        false => ReadStart::After(after),
    }
}

/// Up to which version the history of an earlier epoch is this one; `None` if this one does not descend from it.
fn shared(head: &HeadRow, lineage: &LineageRow, epoch: &Epoch) -> Option<u64> {
    let (number, _) = lineage.before.iter().find(|(_, before)| before == epoch)?;
    match head.shared.iter().any(|(at, _)| at == number) {
        true => head.shared.iter().filter(|(at, _)| at >= number).map(|(_, version)| *version).min(),
        // The dataset was made later: of the one that the device knew nothing is here.
        false => Some(0),
    }
}

#[derive(PartialEq, Eq)]
enum Full {
    Yes,
    No,
}

/// A page under construction.
struct Draft {
    cursor: Cursor,
    prefix: usize,
    records: Vec<Record>,
    bytes: usize,
    /// The record whose pieces are being read.
    open: Option<Open>,
    /// The place of the row that no longer fits.
    next: Option<(u64, u16)>,
    last: u64,
}

struct Open {
    at: (u64, u16),
    pieces: u16,
    read: u16,
    content: Vec<u8>,
}

impl Draft {
    fn new(cursor: Cursor, prefix: usize) -> Draft {
        Draft { last: cursor.version, cursor, prefix, records: Vec::new(), bytes: 0, open: None, next: None }
    }

    fn take(&mut self, key: &[u8], row: &[u8]) -> Result<Full, StoreError> {
        let (version, ordinal, piece) = place(&key[self.prefix..])?;
        let at = (version, ordinal);
        if piece == 0 && self.bytes >= limits::PAGE_BYTES {
            self.next = Some(at);
            return Ok(Full::Yes);
        }
        self.last = version;
        let (pieces, part) = pieces::part(row)?;
        match &mut self.open {
            Some(open) if open.at == at && open.read == piece => {
                open.content.extend_from_slice(part);
                open.read += 1;
            }
            // A record whose first pieces are gone was moved while it was read: it is met again further on.
            _ if piece > 0 => return Ok(Full::No),
            open if pieces == 1 => {
                *open = None;
                return self.add(part);
            }
            open => *open = Some(Open { at, pieces, read: 1, content: part.to_vec() }),
        }
        match self.open.take_if(|open| open.read == open.pieces) {
            Some(open) => self.add(&open.content),
            None => Ok(Full::No),
        }
    }

    /// A record whose row is whole.
    fn add(&mut self, row: &[u8]) -> Result<Full, StoreError> {
        self.bytes += row.len();
        let record = rows::decode_record(row)?.record;
        if record.content != Content::Removed || record.version > self.cursor.fresh_until {
            self.records.push(record);
        }
        Ok(Full::No)
    }

    /// The page, with more behind it.
    fn cut(self) -> Page {
        let next = self.next.unwrap_or((self.last + 1, 0));
        let version = self.cursor.version.max(next.0 - 1);
        let part = (next.1 > 0).then_some(next);
        Page { records: newest_only(self.records), cursor: Cursor { version, part, ..self.cursor }, more: true }
    }

    /// The page, the last one.
    fn end(self, head: u64) -> Page {
        Page { records: newest_only(self.records), cursor: Cursor::at(head.max(self.last)), more: false }
    }
}

/// A record that moved during the scan may have been met twice.
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

/// Version, ordinal and piece of a row's key, behind its dataset's prefix.
fn place(rest: &[u8]) -> Result<(u64, u16, u16), StoreError> {
    let damaged = || StoreError::Damaged("the key of a version".to_owned());
    let (version, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (ordinal, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let piece = rest.try_into().map_err(|_| damaged())?;
    Ok((u64::from_be_bytes(*version), u16::from_be_bytes(*ordinal), u16::from_be_bytes(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(text: &str) -> Epoch {
        Epoch::new(text).unwrap_or_else(|_| unreachable!())
    }

    fn at(epoch_name: &str, version: u64) -> Option<ReadPosition> {
        on_the_way(epoch_name, version, 0)
    }

    fn on_the_way(epoch_name: &str, version: u64, fresh_until: u64) -> Option<ReadPosition> {
        Some(ReadPosition { position: Position { epoch: epoch(epoch_name), version }, fresh_until })
    }

    #[test]
    fn a_reader_begins_where_it_can_be_continued() {
        let head = HeadRow { version: 5, tombstone_horizon: 2, ..HeadRow::default() };
        let begins = |seen: Option<ReadPosition>| begin(&head, &epoch("now"), &LineageRow::default(), seen.as_ref());
        assert!(matches!(begins(None), ReadStart::Fresh(cursor) if cursor.version == 0));
        assert!(matches!(begins(at("now", 0)), ReadStart::Reset { shared: None, .. }), "it may have own records above its position");
        assert!(matches!(begins(at("now", 1)), ReadStart::Reset { shared: None, .. }), "behind the horizon");
        assert_eq!(begins(at("now", 2)), ReadStart::After(Cursor::at(2)), "at the horizon");
        assert_eq!(begins(at("now", 5)), ReadStart::After(Cursor::at(5)));
        assert!(matches!(begins(at("now", 6)), ReadStart::Reset { shared: None, .. }), "ahead of the server");
        assert!(matches!(begins(at("before", 3)), ReadStart::Reset { shared: None, .. }), "of another history");
    }

    #[test]
    fn a_reader_on_its_way_from_nothing_goes_on_below_the_horizon() {
        let head = HeadRow { version: 9, tombstone_horizon: 6, ..HeadRow::default() };
        let begins = |seen: Option<ReadPosition>| begin(&head, &epoch("now"), &LineageRow::default(), seen.as_ref());
        let ReadStart::Fresh(cursor) = begins(None) else { panic!("not from nothing") };
        assert_eq!((cursor.fresh_until(3), cursor.fresh_until(9)), (Some(9), None), "what it has to say on its way, and at its end");
        assert_eq!(begins(on_the_way("now", 3, 9)), ReadStart::After(Cursor { version: 3, ..cursor }), "as if it had not left");
        assert!(matches!(begins(on_the_way("now", 3, 6)), ReadStart::After(_)));
        assert!(matches!(begins(on_the_way("now", 3, 5)), ReadStart::Reset { .. }), "a tombstone that it needs may be gone");
        assert!(matches!(begins(on_the_way("now", 3, 10)), ReadStart::Reset { .. }), "nobody was told that");
        assert!(matches!(begins(on_the_way("now", 10, 9)), ReadStart::Reset { .. }), "ahead of the server");
        assert!(matches!(begins(on_the_way("before", 3, 9)), ReadStart::Reset { .. }), "of another history");
        assert!(matches!(begins(on_the_way("now", 0, 9)), ReadStart::After(_)), "it is at the beginning of its way");
    }

    #[test]
    fn a_reader_of_an_earlier_epoch_is_told_what_both_histories_share() {
        let lineage = LineageRow { number: 3, before: vec![(0, epoch("a")), (1, epoch("b")), (2, epoch("c"))] };
        // It was at 9 when the first backup was restored, at 7 when the next one was, and so on.
        let head = HeadRow { version: 20, shared: vec![(0, 9), (1, 7), (2, 12)], ..HeadRow::default() };
        let shared = |head: &HeadRow, name: &str| match begin(head, &epoch("d"), &lineage, at(name, 8).as_ref()) {
            ReadStart::Reset { shared, .. } => shared,
            other => panic!("{other:?}"),
        };
        assert_eq!(["a", "b", "c", "x"].map(|name| shared(&head, name)), [Some(7), Some(7), Some(12), None]);
        let younger = HeadRow { version: 3, shared: vec![(2, 2)], ..HeadRow::default() };
        assert_eq!(["a", "b", "c"].map(|name| shared(&younger, name)), [Some(0), Some(0), Some(2)]);
    }
}
