//! Records that are created and removed again leave no rows behind.

use driftless_protocol::Op;

use super::reaping::reap;
use crate::store::support::{all, dataset, device, me, patch, sign_in_device, store};
use crate::store::{DatasetRules, Decision, RetentionPolicy, Store};

/// Bytes on disk of a store that holds next to nothing: a few of the engine's segments of 8 MiB, which it reuses in turn.
const DISK_BYTES: u64 = 64 * 1024 * 1024;

/// The number of rows of the whole store.
fn rows(store: &Store) -> usize {
    store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len()
}

#[test]
fn rounds_of_creating_and_removing_leave_a_small_constant_number_of_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let retention = RetentionPolicy { history_versions: 10, ..RetentionPolicy::default() };
    let rules = DatasetRules { retention, ..DatasetRules::default() };
    let mut now_ms = 1_790_000_000_000;
    let mut id = 0;
    let mut group = store.group();
    sign_in_device(&mut group, &patch(1, "phone", &[]));
    group.commit().expect("commits");
    let mut rounds = |count: u64| {
        for first in (0..count).step_by(50) {
            let mut group = store.group();
            for round in first..count.min(first + 50) {
                let name = format!("k{}", round % 100);
                for (op, value) in [(Op::Put, "\"a value of some length, as apps have them\""), (Op::Remove, "")] {
                    id += 1;
                    now_ms += 1000;
                    let decision = group.write(&patch(id, "phone", &[(&name, op, value)]), &rules, now_ms).expect("decides");
                    assert!(matches!(decision, Decision::Written { version, .. } if version == id));
                }
            }
            group.commit().expect("commits");
            // The reaper runs beside the writes.
            reap(&store, &retention, now_ms);
        }
        let mut group = store.group();
        group.acknowledge(&me(), &device("phone"), &dataset(), id).expect("decides");
        group.commit().expect("commits");
        now_ms += 31 * 24 * 3600 * 1000;
        reap(&store, &retention, now_ms);
        rows(&store)
    };
    let after_few = rounds(100);
    let after_many = rounds(10_000);
    assert_eq!(after_few, after_many, "rows do not grow with the number of rounds");
    assert!(after_many < 64 + 20, "{after_many} rows: more than the patch slots and a handful of others");
    assert_eq!(all(&store), []);
    let disk = store.bytes_on_disk().expect("reads");
    assert!(disk < DISK_BYTES, "{disk} bytes on disk");
}
