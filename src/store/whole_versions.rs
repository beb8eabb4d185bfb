//! Pages that end at the end of a version, for readers over plain HTTP requests: they keep no place inside a version.
//!
//! A version that a page cuts is read to its end, and the records after that version are left out.

use driftless_protocol::Record;

use super::cursor::{Cursor, ReadStart};
use super::page::{ReadResult, RecordPage};

/// Changes in whole versions.
#[derive(Debug, PartialEq)]
pub struct VersionsPage {
    /// The version that the page follows.
    pub from: u64,
    /// The last version of the page.
    pub to: u64,
    /// Whether the reader forgets what it has.
    pub reset: bool,
    /// After a restored backup: up to this version the history of the reader's position is this one.
    pub shared: Option<u64>,
    /// Whether there is more behind the page.
    pub more: bool,
    /// The value that the reader must send beside `to` to continue from there; see [`Cursor::fresh_until`].
    pub fresh_until: Option<u64>,
    /// The latest state of each record.
    pub records: Vec<Record>,
}

/// The state of a page after [`WholeVersions::add`].
#[derive(Debug, PartialEq)]
pub enum VersionsRead {
    /// The page is complete.
    Done(VersionsPage),
    /// The page needs the changes after this cursor, too.
    Continue(Cursor),
}

/// A page of whole versions under construction.
pub struct WholeVersions {
    start: Cursor,
    reset: bool,
    shared: Option<u64>,
    records: Vec<Record>,
    /// The version that the first page cut; it is read to its end.
    cut_version: Option<u64>,
}

impl WholeVersions {
    pub fn new(start: ReadStart) -> WholeVersions {
        let (reset, shared) = match start {
            ReadStart::After(_) | ReadStart::Fresh(_) => (false, None),
            ReadStart::Reset { shared, .. } => (true, shared),
        };
        WholeVersions { start: start.cursor(), reset, shared, records: Vec::new(), cut_version: None }
    }

    /// Adds the result of a read after the start, or after the cursor of the last [`VersionsRead::Continue`].
    pub fn add(&mut self, read: ReadResult) -> VersionsRead {
        let RecordPage { records, cursor, more } = match read {
            ReadResult::Page(page) => page,
            ReadResult::Behind(again) => {
                (self.start, self.reset, self.cut_version) = (again, true, None);
                self.records.clear();
                return VersionsRead::Continue(again);
            }
        };
        self.records.extend(records);
        match (self.cut_version, cursor.is_at_version_end()) {
            (None, true) => return self.finish(cursor.version, more),
            (None, false) => self.cut_version = Some(cursor.version + 1),
            (Some(version), is_at_end) if cursor.version >= version => {
                self.records.retain(|record| record.version <= version);
                return self.finish(version, more || cursor.version > version || !is_at_end);
            }
            (Some(_), _) => {}
        }
        VersionsRead::Continue(cursor)
    }

    fn finish(&mut self, to: u64, more: bool) -> VersionsRead {
        let WholeVersions { start, reset, shared, .. } = *self;
        let records = std::mem::take(&mut self.records);
        VersionsRead::Done(VersionsPage { from: start.version, to, reset, shared, more, fresh_until: start.fresh_until(to), records })
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Op, limits};

    use super::*;
    use crate::store::support::{dataset, me, patch, store, write};
    use crate::store::{ReadPosition, Store};

    /// Reads a page of whole versions, and returns it with the number of pages of the store that it took.
    fn read(store: &Store, seen: Option<ReadPosition>) -> (VersionsPage, usize) {
        let start = store.start(&me(), &dataset(), seen.as_ref()).expect("reads");
        let (mut versions, mut cursor) = (WholeVersions::new(start), start.cursor());
        for pages in 1.. {
            match versions.add(store.changes(&me(), &dataset(), cursor).expect("reads")) {
                VersionsRead::Done(page) => return (page, pages),
                VersionsRead::Continue(next) => cursor = next,
            }
        }
        unreachable!()
    }

    /// Writes one version of `count` records that fill a page of the store each.
    fn write_large(store: &Store, id: u64, count: usize) {
        let value = format!("\"{}\"", "x".repeat(limits::PAGE_BYTES));
        let names: Vec<String> = (0..count).map(|n| format!("k{id}.{n}")).collect();
        let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, value.as_str())).collect();
        write(store, &patch(id, "phone", &changes));
    }

    #[test]
    fn a_version_that_a_page_cuts_is_read_to_its_end_and_the_next_one_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write_large(&store, 1, 3);
        write_large(&store, 2, 1);
        write(&store, &patch(3, "phone", &[("last", Op::Put, "1")]));
        let (page, pages) = read(&store, None);
        assert!(pages > 1, "the store cuts the first version");
        assert_eq!((page.from, page.to, page.reset, page.more, page.fresh_until), (0, 1, false, true, Some(3)));
        assert_eq!(page.records.iter().map(|record| record.version).collect::<Vec<_>>(), [1, 1, 1]);
        let at = |version| driftless_protocol::Position { epoch: store.epoch().clone(), version };
        let (page, _) = read(&store, Some(ReadPosition { position: at(1), fresh_until: 3 }));
        assert_eq!((page.from, page.to), (1, 2));
        let (page, pages) = read(&store, Some(at(2).into()));
        assert_eq!((pages, page.to, page.more, page.fresh_until, page.records.len()), (1, 3, false, None, 1));
    }

    #[test]
    fn a_reader_that_falls_behind_the_horizon_meanwhile_begins_again() {
        let mut versions = WholeVersions::new(ReadStart::After(Cursor::at(1)));
        let again = Cursor { fresh_until: 9, ..Cursor::at(0) };
        let cut = RecordPage { records: Vec::new(), cursor: Cursor { next: Some((3, 1)), ..Cursor::at(2) }, more: true };
        assert_eq!(versions.add(ReadResult::Page(cut.clone())), VersionsRead::Continue(cut.cursor));
        assert_eq!(versions.add(ReadResult::Behind(again)), VersionsRead::Continue(again));
        let last = RecordPage { records: Vec::new(), cursor: Cursor::at(9), more: false };
        let VersionsRead::Done(page) = versions.add(ReadResult::Page(last)) else { panic!("not complete") };
        assert_eq!((page.from, page.to, page.reset, page.shared, page.fresh_until), (0, 9, true, None, None));
    }
}
