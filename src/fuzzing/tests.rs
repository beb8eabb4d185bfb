//! Tries the corpus of each fuzz target, and the rows of a store that was written to. With `UPDATE_CORPUS=1` these rows are added to the corpus.

use std::path::PathBuf;

use super::{check_codecs, check_journal, check_merge, check_rows};

/// Calls `check` with each file of a target's corpus.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} has {} files", folder.display(), files.len());
    for file in files {
        // The harness shows it beside a panic.
        println!("{}", file.display());
        check(&std::fs::read(&file).expect("reads"));
    }
}

#[test]
fn the_corpus_of_codecs_passes() {
    replay("codecs", check_codecs);
}

#[test]
fn the_corpus_of_merge_passes() {
    replay("merge", check_merge);
}

#[test]
fn the_corpus_of_rows_passes() {
    replay("rows", check_rows);
}

#[test]
fn the_corpus_of_the_journal_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    replay("journal", |input| check_journal(folder.path(), input));
}
