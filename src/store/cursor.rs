//! How far a reader has read a dataset, and where it begins: after its position if the server can continue from there, else from nothing (I4).

use driftless_protocol::{Epoch, Position};

use super::rows::{HeadRow, LineageRow};

/// How far a reader has read a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The reader has everything up to and with this version.
    pub version: u64,
    /// Inside a later version, the version and the ordinal that the next page begins with.
    pub(super) next: Option<(u64, u16)>,
    /// The reader needs no tombstones up to this version: it began with nothing when this was the dataset's version.
    pub(super) fresh_until: u64,
}

impl Cursor {
    /// The cursor of a reader that has everything up to a version.
    pub fn at(version: u64) -> Cursor {
        Cursor { version, next: None, fresh_until: 0 }
    }

    /// The cursor of a reader that has nothing, while the dataset is at a version.
    pub(super) fn fresh(head: u64) -> Cursor {
        Cursor { version: 0, next: None, fresh_until: head }
    }

    /// The version and the ordinal of the record that the next page begins with, if it is inside a version.
    pub fn place(&self) -> Option<(u64, u16)> {
        self.next
    }

    /// The same cursor, inside a version.
    pub fn at_place(self, next: Option<(u64, u16)>) -> Cursor {
        Cursor { next, ..self }
    }

    /// The value that the reader must send beside a version to continue from there; `None` if none is needed: the reader is past all tombstones
    /// that it does not need.
    pub fn fresh_until(&self, version: u64) -> Option<u64> {
        Some(self.fresh_until).filter(|fresh_until| *fresh_until > version)
    }

    /// Whether tombstones that the reader needs may be gone.
    pub(super) fn is_behind(&self, tombstone_horizon: u64) -> bool {
        tombstone_horizon > self.version.max(self.fresh_until)
    }

    /// Whether the reader has nothing of the next version yet.
    pub(super) fn is_at_version_end(&self) -> bool {
        self.next.is_none()
    }
}

/// How far a reader says that it has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPosition {
    pub position: Position,
    /// For a reader that began with nothing and has not read to the end yet, the value of [`Cursor::fresh_until`]; otherwise 0. A reader that
    /// sends another value misses tombstones; no other reader is affected.
    pub fresh_until: u64,
}

impl From<Position> for ReadPosition {
    /// The position of a reader that has everything up to it.
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
    /// From nothing, because the server cannot continue from its position: the reader forgets what it has.
    Reset {
        cursor: Cursor,
        /// After a restored backup: up to this version the history of the reader's position is this one.
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

/// Where a reader begins that has read up to `seen`.
pub(super) fn read_start(head: &HeadRow, epoch: &Epoch, lineage: &LineageRow, seen: Option<&ReadPosition>) -> ReadStart {
    let cursor = Cursor::fresh(head.version);
    let Some(ReadPosition { position: Position { epoch: theirs, version }, fresh_until }) = seen else {
        return ReadStart::Fresh(cursor);
    };
    if theirs != epoch {
        return ReadStart::Reset { cursor, shared: shared_version(head, lineage, theirs) };
    }
    let after = Cursor { version: *version, next: None, fresh_until: *fresh_until };
    let is_ahead = after.version.max(after.fresh_until) > head.version;
    // A position at version 0, too, may be behind: the device may have its own records above it, from replies to its writes.
    match is_ahead || after.is_behind(head.tombstone_horizon) {
        true => ReadStart::Reset { cursor, shared: None },
        false => ReadStart::After(after),
    }
}

/// The version up to which the history of an earlier epoch is this one; `None` if this one does not descend from that epoch.
fn shared_version(head: &HeadRow, lineage: &LineageRow, epoch: &Epoch) -> Option<u64> {
    let (number, _) = lineage.before.iter().find(|(_, before)| before == epoch)?;
    match head.shared.iter().any(|(at, _)| at == number) {
        true => head.shared.iter().filter(|(at, _)| at >= number).map(|(_, version)| *version).min(),
        // The dataset was made later: nothing of the one that the device knew is here.
        false => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(text: &str) -> Epoch {
        Epoch::new(text).unwrap_or_else(|_| unreachable!())
    }

    fn at(epoch_name: &str, version: u64) -> Option<ReadPosition> {
        unfinished(epoch_name, version, 0)
    }

    fn unfinished(epoch_name: &str, version: u64, fresh_until: u64) -> Option<ReadPosition> {
        Some(ReadPosition { position: Position { epoch: epoch(epoch_name), version }, fresh_until })
    }

    #[test]
    fn a_reader_continues_from_its_position_if_the_server_can() {
        let head = HeadRow { version: 5, tombstone_horizon: 2, ..HeadRow::default() };
        let start = |seen: Option<ReadPosition>| read_start(&head, &epoch("now"), &LineageRow::default(), seen.as_ref());
        assert!(matches!(start(None), ReadStart::Fresh(cursor) if cursor.version == 0));
        assert!(
            matches!(start(at("now", 0)), ReadStart::Reset { shared: None, .. }),
            "the device may have its own records above its position"
        );
        assert!(matches!(start(at("now", 1)), ReadStart::Reset { shared: None, .. }), "behind the horizon");
        assert_eq!(start(at("now", 2)), ReadStart::After(Cursor::at(2)), "at the horizon");
        assert_eq!(start(at("now", 5)), ReadStart::After(Cursor::at(5)));
        assert!(matches!(start(at("now", 6)), ReadStart::Reset { shared: None, .. }), "ahead of the server");
        assert!(matches!(start(at("before", 3)), ReadStart::Reset { shared: None, .. }), "of another history");
    }

    #[test]
    fn a_reader_that_began_with_nothing_continues_below_the_horizon() {
        let head = HeadRow { version: 9, tombstone_horizon: 6, ..HeadRow::default() };
        let start = |seen: Option<ReadPosition>| read_start(&head, &epoch("now"), &LineageRow::default(), seen.as_ref());
        let ReadStart::Fresh(cursor) = start(None) else { panic!("not from nothing") };
        assert_eq!(
            (cursor.fresh_until(3), cursor.fresh_until(9)),
            (Some(9), None),
            "the reader must send a value before the end, and none at the end"
        );
        assert_eq!(
            start(unfinished("now", 3, 9)),
            ReadStart::After(Cursor { version: 3, ..cursor }),
            "as if the reader had stayed connected"
        );
        assert!(matches!(start(unfinished("now", 3, 6)), ReadStart::After(_)));
        assert!(matches!(start(unfinished("now", 3, 5)), ReadStart::Reset { .. }), "a tombstone that the reader needs may be gone");
        assert!(matches!(start(unfinished("now", 3, 10)), ReadStart::Reset { .. }), "the server gave this value to no reader");
        assert!(matches!(start(unfinished("now", 10, 9)), ReadStart::Reset { .. }), "ahead of the server");
        assert!(matches!(start(unfinished("before", 3, 9)), ReadStart::Reset { .. }), "of another history");
        assert!(matches!(start(unfinished("now", 0, 9)), ReadStart::After(_)), "the reader has read nothing yet");
    }

    #[test]
    fn a_reader_of_an_earlier_epoch_gets_the_version_up_to_which_both_histories_are_one() {
        let lineage = LineageRow { number: 3, before: vec![(0, epoch("a")), (1, epoch("b")), (2, epoch("c"))] };
        // The dataset was at version 9 when the first backup was restored, at 7 when the second was, at 12 when the third was.
        let head = HeadRow { version: 20, shared: vec![(0, 9), (1, 7), (2, 12)], ..HeadRow::default() };
        let shared = |head: &HeadRow, name: &str| match read_start(head, &epoch("d"), &lineage, at(name, 8).as_ref()) {
            ReadStart::Reset { shared, .. } => shared,
            other => panic!("{other:?}"),
        };
        assert_eq!(["a", "b", "c", "x"].map(|name| shared(&head, name)), [Some(7), Some(7), Some(12), None]);
        let newer = HeadRow { version: 3, shared: vec![(2, 2)], ..HeadRow::default() };
        assert_eq!(["a", "b", "c"].map(|name| shared(&newer, name)), [Some(0), Some(0), Some(2)]);
    }
}
