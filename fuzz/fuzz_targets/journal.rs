#![no_main]

use std::cell::LazyCell;

use tempfile::TempDir;

thread_local! {
    /// The journal's file stands there. `TMPDIR=/dev/shm` keeps it in memory.
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| FOLDER.with(|folder| driftless::fuzzing::check_journal(folder.path(), input)));
