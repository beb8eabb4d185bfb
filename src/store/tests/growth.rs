//! What comes and goes leaves nothing behind.

use driftless_protocol::Op;

use super::reaping::reap;
use crate::store::support::{all, dataset, device, me, patch, store, write_at};
use crate::store::{Keeping, Rules, Store};

/// Rows of the whole store.
fn rows(store: &Store) -> usize {
    store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len()
}

#[test]
fn rounds_of_create_and_remove_leave_a_small_constant() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let keep = Keeping { history_versions: 10, ..Keeping::default() };
    let rules = Rules { keep, ..Rules::default() };
    let mut now_ms = 1_790_000_000_000;
    let mut id = 0;
    let mut rounds = |count: u64| {
        for round in 0..count {
            let name = format!("k{}", round % 100);
            for (op, value) in [(Op::Put, "\"a value of some length, as apps have them\""), (Op::Remove, "")] {
                id += 1;
                now_ms += 1000;
                write_at(&store, &patch(id, "phone", &[(&name, op, value)]), &rules, now_ms);
            }
        }
        let mut group = store.group();
        group.admit(&me(), &device("phone"), 10, now_ms).expect("decides");
        group.acknowledge(&me(), &device("phone"), &dataset(), id).expect("decides");
        group.commit().expect("commits");
        now_ms += 31 * 24 * 3600 * 1000;
        reap(&store, &keep, now_ms);
        rows(&store)
    };
    let after_few = rounds(100);
    let after_many = rounds(1000);
    assert_eq!(after_few, after_many, "rows do not grow with the number of rounds");
    assert!(after_many < 64 + 20, "{after_many} rows: patch results, and a handful of others");
    assert_eq!(all(&store), []);
}
