//! Rows that a write has moved while they were scanned.

use super::*;
use crate::merge::StoredRecord;
use crate::store::pieces;
use crate::store::rows::RecordRow;
use crate::store::support::{dataset, device, key, me};

/// A record in a version of its own.
fn record(name: &str, version: u64, bytes: usize) -> Record {
    Record { key: key(name), content: Content::Value("x".repeat(bytes).into()), version, modified_ms: 7, device: device("phone") }
}

/// The rows of a record, in their order.
fn rows_of(record: &Record) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let stored = StoredRecord { record: record.clone(), others_version: 0 };
    let content = RecordRow::of(&stored).content().expect("encodes");
    pieces::cut(&keys::record(&me(), &dataset(), record.version, 0), content, &mut rows);
    rows.into_iter().map(|(key, row)| (key, row.expect("is set"))).collect()
}

#[test]
fn a_record_of_which_a_scan_has_found_some_pieces_only_is_left_out() {
    let [moved, other, small] = [record("moved", 1, 10_000), record("other", 2, 10_000), record("small", 3, 1)];
    let [moved, other, mut small] = [&moved, &other, &small].map(rows_of);
    let large = rows_of(&record("moved", 4, 45_000 * 3));
    assert!(large.len() > 2 && moved.len() == 1 && small.len() == 1);
    small.extend(other);
    for (case, found) in
        [("the first piece", &large[1..]), ("the second", &[large[0].clone(), large[2].clone()]), ("the last", &large[..large.len() - 1])]
    {
        for is_first in [false, true] {
            let rows = if is_first { [found, &small[..]].concat() } else { [&small[..], found].concat() };
            let mut page = PageBuilder::new(Cursor::fresh(0), keys::records(&me(), &dataset()).len(), usize::MAX);
            for (key, row) in &rows {
                assert!(page.add_row(key, row).expect("decodes") == PageState::Open, "{case}");
            }
            let names: Vec<_> = page.records.iter().map(|record| record.key.as_str()).collect();
            assert_eq!(names, ["small", "other"], "without {case}");
        }
    }
}

#[test]
fn of_a_record_that_was_read_twice_the_newer_state_stays() {
    let records = vec![record("a", 1, 1), record("b", 2, 1), record("a", 3, 1)];
    assert_eq!(newest_only(records.clone()), records[1..]);
    assert_eq!(newest_only(records[..2].to_vec()), records[..2]);
}
