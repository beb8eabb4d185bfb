//! A store of another format than today's is refused and left as it is.

use std::path::Path;

use crate::store::engine::{Batch, EmbeddedEngine, Engine};
use crate::store::support::{CONFIG, epoch};
use crate::store::{Store, format, keys, rows};

fn meta(name: &str, format: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    (keys::meta(name), Some(rows::encode(&format).expect("a row")))
}

/// Opens a store with these rows beside its epoch; says why it is refused, and checks that no row has changed.
fn refusal(rows: &[(Vec<u8>, Option<Vec<u8>>)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch_row = (keys::meta("epoch"), Some(rows::encode(&epoch("first")).expect("a row")));
    let rows = [&[epoch_row], rows].concat();
    let engine = EmbeddedEngine::open(folder.path(), &CONFIG, |_| false).expect("opens");
    engine.commit(vec![Batch::unfenced(rows)]).expect("commits");
    drop(engine);
    let before = all_rows(folder.path());
    let refused = Store::open(folder.path(), &CONFIG, &epoch("unused")).err().expect("is refused").to_string();
    assert_eq!(all_rows(folder.path()), before);
    refused
}

fn all_rows(folder: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    EmbeddedEngine::open(folder, &CONFIG, |_| false).expect("opens").scan(&[0], &[u8::MAX], usize::MAX).expect("scans")
}

#[test]
fn a_new_store_has_todays_format_and_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(Store::open(folder.path(), &CONFIG, &epoch("first")).expect("opens"));
    let store = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens again");
    assert_eq!(*store.epoch(), epoch("first"));
    assert_eq!(format::read_format(&*store.engine), Ok(Some(7)));
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    // Even if the newer version was interrupted in its migration from this version's format.
    let refused = refusal(&[meta("format", format::ROW_FORMAT + 1), meta("unfinished", format::ROW_FORMAT)]);
    assert!(refused.contains("format is 8, this driftless reads format 7") && refused.contains("newer"), "{refused}");
}

#[test]
fn a_store_of_a_format_from_before_the_first_release_is_refused() {
    // The first store is older than the row that holds the format. The last one was interrupted in its migration to the current format.
    let cases = [(1, vec![]), (5, vec![meta("format", 5)]), (2, vec![meta("format", format::ROW_FORMAT), meta("unfinished", 2)])];
    for (found, rows) in cases {
        let refused = refusal(&rows);
        let formats = format!("format is {found}, this driftless reads format 7");
        assert!(refused.contains(&formats) && refused.contains("before the first release"), "{refused}");
    }
}
