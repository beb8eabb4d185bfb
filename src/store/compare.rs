//! The differences between two versions of a dataset.
//!
//! Only records that were written after the lower version can differ. So a comparison holds these records at both versions and no others, and not
//! the dataset as it is.

use driftless_protocol::{Content, DatasetName, Key, Record};

use super::engine::Bytes;
use super::history::{Undo, VersionNotKept};
use super::history_row::OwnedHistoryRow;
use super::row_source::RowSource;
use super::rows::{self, HeadRow, PointerRow};
use super::{Identity, Store, StoreError, keys};

/// Bytes that a record takes in memory beside its key and value, in the maps and lists in which it is read.
const RECORD_MEMORY_BYTES: u64 = 512;

/// A record at two versions; `None`: there was no such record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordDiff {
    pub key: Key,
    /// At the first version.
    pub before: Option<Record>,
    /// At the second version.
    pub after: Option<Record>,
}

/// A comparison: the dataset, and its head when the comparison began.
struct Comparison<'a> {
    store: &'a Store,
    identity: &'a Identity,
    dataset: &'a DatasetName,
    head: HeadRow,
}

impl Store {
    /// Bytes of memory that reading a dataset at earlier versions takes at most: its records and its history, each held as it is stored and
    /// once more as it is answered.
    pub fn history_read_bytes(&self, identity: &Identity, dataset: &DatasetName) -> Result<u64, StoreError> {
        let head = self.head(identity, dataset)?;
        Ok(2 * (head.bytes + head.history_bytes) + (head.records + head.tombstones) * RECORD_MEMORY_BYTES)
    }

    /// The records that differ between two versions, by key.
    pub fn compare(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        first: u64,
        second: u64,
    ) -> Result<Result<Vec<RecordDiff>, VersionNotKept>, StoreError> {
        let head = self.head(identity, dataset)?;
        Comparison { store: self, identity, dataset, head }.between(first, second)
    }
}

impl Comparison<'_> {
    fn between(&self, first: u64, second: u64) -> Result<Result<Vec<RecordDiff>, VersionNotKept>, StoreError> {
        let (low, mut high) = match (self.undo(first.min(second))?, self.undo(first.max(second))?) {
            (Ok(low), Ok(high)) => (low, high),
            (Err(not_kept), _) | (_, Err(not_kept)) => return Ok(Err(not_kept)),
        };
        let mut diffs = Vec::new();
        for (key, low) in low {
            let high = match high.remove(&key) {
                Some(high) => high,
                None => match self.row_at_head(&key)? {
                    Ok(row) => row,
                    Err(not_kept) => return Ok(Err(not_kept)),
                },
            };
            let (low, high) = (live_record(low)?, live_record(high)?);
            if low.as_ref().map(|record| &record.content) != high.as_ref().map(|record| &record.content) {
                let (before, after) = if first <= second { (low, high) } else { (high, low) };
                diffs.push(RecordDiff { key, before, after });
            }
        }
        Ok(Ok(diffs))
    }

    fn undo(&self, to: u64) -> Result<Result<Undo, VersionNotKept>, StoreError> {
        self.store.undo(self.identity, self.dataset, &self.head, to)
    }

    /// The row of a record at the version of the head, after which nothing of it is known yet. A later write has replaced it if the dataset is
    /// written to meanwhile; then that write's history has it.
    fn row_at_head(&self, key: &Key) -> Result<Result<Option<Bytes>, VersionNotKept>, StoreError> {
        let Comparison { store, identity, dataset, head } = self;
        let pointer = || store.engine.row::<PointerRow>(&keys::pointer(identity, dataset, key));
        let Some(now) = pointer()? else { return Ok(Ok(None)) };
        if now.version <= head.version
            && let Some(content) = store.engine.content(&keys::record(identity, dataset, now.version, now.ordinal))?
        {
            return Ok(Ok(Some(content.to_vec())));
        }
        let Some(later) = pointer()?.filter(|later| later.version > head.version) else {
            return Err(StoreError::Damaged("a record that its key points to".to_owned()));
        };
        for version in head.version + 1..=later.version {
            let Some(content) = store.engine.content(&keys::history(identity, dataset, version))? else {
                return Ok(Err(VersionNotKept { oldest: version, newest: later.version }));
            };
            let entries = OwnedHistoryRow::decode(&content)?.1.entries;
            if let Some(entry) = entries.into_iter().find(|entry| entry.key == *key) {
                return Ok(Ok(entry.before.map(|row| row.0)));
            }
        }
        Err(StoreError::Damaged("a version whose history does not have what it wrote".to_owned()))
    }
}

/// The record in a row, if it is live.
fn live_record(row: Option<Bytes>) -> Result<Option<Record>, StoreError> {
    let record = row.as_deref().map(rows::decode_record).transpose()?.map(|stored| stored.record);
    Ok(record.filter(|record| record.content != Content::Removed))
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Op, Value};

    use super::*;
    use crate::store::support::{dataset, key, me, patch, store, write};

    fn compare_from(store: &Store, head: HeadRow, first: u64, second: u64) -> Vec<(Key, Option<Value>, Option<Value>)> {
        let comparison = Comparison { store, identity: &me(), dataset: &dataset(), head };
        let diffs = comparison.between(first, second).expect("reads").expect("kept");
        let value = |record: Option<Record>| record.and_then(|record| record.content.value().cloned());
        diffs.into_iter().map(|diff| (diff.key, value(diff.before), value(diff.after))).collect()
    }

    #[test]
    fn what_is_written_during_a_comparison_does_not_change_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write(&store, &patch(1, "phone", &[("a", Op::Put, "1"), ("b", Op::Put, "1"), ("c", Op::Put, "1"), ("d", Op::Put, "1")]));
        write(&store, &patch(2, "phone", &[("a", Op::Put, "2"), ("b", Op::Remove, ""), ("c", Op::Put, "2")]));
        write(&store, &patch(3, "phone", &[("c", Op::Put, "1")]));
        let head = store.head(&me(), &dataset()).expect("reads");
        let (one, two) = (Some(Value::from(1)), Some(Value::from(2)));
        let expected = [(key("a"), one.clone(), two.clone()), (key("b"), one.clone(), None)];
        assert_eq!(compare_from(&store, head.clone(), 1, 3), expected);
        write(&store, &patch(4, "phone", &[("x", Op::Put, "3"), ("a", Op::Put, "3")]));
        write(&store, &patch(5, "phone", &[("a", Op::Put, "4"), ("b", Op::Put, "4"), ("d", Op::Put, "4")]));
        assert_eq!(compare_from(&store, head.clone(), 1, 3), expected);
        assert_eq!(compare_from(&store, head.clone(), 3, 1), [(key("a"), two.clone(), one.clone()), (key("b"), None, one.clone())]);
        assert_eq!(compare_from(&store, head, 2, 3), [(key("c"), two, one)]);
    }

    #[test]
    fn a_comparison_holds_no_more_than_was_counted_for_it() {
        const VALUE_BYTES: usize = 200_000;
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let text = |letter: &str| format!("\"{}\"", letter.repeat(VALUE_BYTES));
        for (round, letter) in ["a", "b", "c"].into_iter().enumerate() {
            let names: Vec<String> = (0..5).map(|number| format!("k{number}")).collect();
            let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, text(letter))).collect();
            let changes: Vec<_> = changes.iter().map(|(name, op, text)| (*name, *op, text.as_str())).collect();
            write(&store, &patch(round as u64 + 1, "phone", &changes));
        }
        let counted = store.history_read_bytes(&me(), &dataset()).expect("reads");
        let diffs = store.compare(&me(), &dataset(), 1, 2).expect("reads").expect("kept");
        let sides = diffs.iter().flat_map(|diff| [&diff.before, &diff.after]).flatten();
        let held: usize = sides.filter_map(|record| record.content.value()).map(Value::packed_bytes).sum();
        assert!(held > 10 * VALUE_BYTES && 2 * held as u64 <= counted, "{held} bytes held, {counted} counted");
    }
}
