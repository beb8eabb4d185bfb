//! The rows of real stores pass what the fuzz targets check. `UPDATE_CORPUS=1` adds them to the corpus of the target `rows`.

use std::collections::BTreeSet;

use driftless_protocol::Op;

use super::{accounts, erasing, merging, objects};
use crate::merge::ConflictPolicy;
use crate::store::support::{dataset, me, patch, store, write};
use crate::store::{Decision, RetentionPolicy, Store, fuzzing, keys};

/// A corpus is read in every run: rows that are larger only repeat a value's bytes.
const SEED_BYTES: usize = 1024;

/// The rows of a store, each as an input of `check_rows`.
fn inputs(store: &Store) -> BTreeSet<Vec<u8>> {
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let input = |(key, row): &(Vec<u8>, Vec<u8>)| {
        let kind = keys::RowKind::all().find(|kind| kind.is_of(key)).expect("a kind");
        let name = key.strip_prefix(keys::of_identity(kind, &me()).as_slice()).unwrap_or(&key[1..]);
        assert!(name.len() <= u8::MAX.into());
        [&[kind.letter(), name.len() as u8], name, row].concat()
    };
    rows.iter().map(input).collect()
}

/// The store, while a dataset with more records than a part of a restore has is restored.
fn restoring(store: &Store) -> &Store {
    let keys: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let before = store.version(&me(), &dataset()).expect("reads");
    let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Op::Put, "1")).collect();
    assert!(matches!(write(store, &patch(1000, "phone", &changes)), Decision::Written { .. }));
    let plan = store.rewind_plan(&me(), &dataset(), before, 5).expect("reads").expect("kept");
    let mut group = store.group();
    group.rewind_part(&plan, 0, &RetentionPolicy::default(), 9).expect("decides");
    group.commit().expect("commits");
    store
}

#[test]
fn the_rows_of_a_store_pass_what_the_fuzz_targets_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let filled = store(folder.path());
    erasing::fill(&filled);
    accounts::fill(&filled);
    objects::fill(&filled);
    let mut found = inputs(&filled);
    found.extend(inputs(restoring(&filled)));
    let mut group = filled.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    found.extend(inputs(&filled));
    let folder = tempfile::tempdir().expect("a folder");
    let merged = store(folder.path());
    merging::write_both(&merged);
    merging::begin(&merged, ConflictPolicy::Reject);
    found.extend(inputs(&merged));
    for kind in keys::RowKind::all() {
        assert!(found.iter().any(|input| input[0] == kind.letter()), "no row of {kind:?}");
    }
    found.iter().for_each(|input| fuzzing::check_rows(input));
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/rows");
        std::fs::create_dir_all(folder).expect("a folder");
        for (at, input) in found.iter().filter(|input| input.len() <= SEED_BYTES).enumerate() {
            std::fs::write(format!("{folder}/row-{at:03}"), input).expect("writes");
        }
    }
}
