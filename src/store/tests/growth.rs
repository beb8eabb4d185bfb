//! What comes and goes leaves nothing behind.

use driftless_protocol::Op;

use super::reaping::reap;
use crate::store::support::{all, dataset, device, me, patch, store};
use crate::store::{DatasetRules, Decision, RetentionPolicy, Store};

/// What a store may take on disk that holds next to nothing: a few of the engine's segments of 8 MiB, which it writes anew in turn.
const DISK_BYTES: u64 = 64 * 1024 * 1024;

/// Rows of the whole store.
fn rows(store: &Store) -> usize {
    store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len()
}

#[test]
fn rounds_of_create_and_remove_leave_a_small_constant() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let keep = RetentionPolicy { history_versions: 10, ..RetentionPolicy::default() };
    let rules = DatasetRules { keep, ..DatasetRules::default() };
    let mut now_ms = 1_790_000_000_000;
    let mut id = 0;
    let mut rounds = |count: u64| {
        for first in (0..count).step_by(50) {
            let mut group = store.group();
            for round in first..count.min(first + 50) {
                let name = format!("k{}", round % 100);
                for (op, value) in [(Op::Put, "\"a value of some length, as apps have them\""), (Op::Remove, "")] {
                    id += 1;
                    now_ms += 1000;
                    let decision = group.write(patch(id, "phone", &[(&name, op, value)]), &rules, now_ms).expect("decides");
                    assert!(matches!(decision, Decision::Written { version, .. } if version == id));
                }
            }
            group.commit().expect("commits");
            // The reaper comes when it is called; nobody waits for it.
            reap(&store, &keep, now_ms);
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
    let after_many = rounds(10_000);
    assert_eq!(after_few, after_many, "rows do not grow with the number of rounds");
    assert!(after_many < 64 + 20, "{after_many} rows: patch results, and a handful of others");
    assert_eq!(all(&store), []);
    let disk = store.bytes_on_disk().expect("reads");
    assert!(disk < DISK_BYTES, "{disk} bytes on disk");
}
