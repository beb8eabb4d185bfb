//! What jobs cost: the bytes that they read, write and compute on, as the writer counts them.

use driftless_protocol::{Content, Op, Value};

use crate::merge::ConflictPolicy;
use crate::store::support::{all_of, me, patch, sign_in, store, write};
use crate::store::{DatasetRules, Decision, Identity, JobProgress, MergePolicies, MergeStart, Patch, RetentionPolicy, Store};

/// What the records hold is not read to refuse a patch, nor to overrule them, only what the reply has of it.
#[test]
fn a_conflict_is_decided_from_heads() {
    const RECORDS: usize = 12;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let text = format!("\"{}\"", "x".repeat(1_000_000));
    let names: Vec<String> = (0..RECORDS).map(|n| format!("large {n}")).collect();
    let puts: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, text.as_str())).collect();
    write(&store, &patch(1, "laptop", &puts));
    write(&store, &patch(1, "phone", &[("small", Op::Put, "1")]));
    let mut late = patch(2, "phone", &names.iter().map(|name| (name.as_str(), Op::Put, "1")).collect::<Vec<_>>());
    late.changes.iter_mut().for_each(|change| change.base = Some(0));
    let work = |rules: &DatasetRules| {
        let mut group = store.group();
        let decision = group.write(&late, rules, 9).expect("decides");
        (decision, group.work_bytes())
    };
    let (rejected, bytes) = work(&DatasetRules::default());
    let Decision::Conflict(records) = rejected else { panic!("{rejected:?}") };
    let replied: usize = records.iter().filter_map(|record| record.content.value()).map(Value::packed_bytes).sum();
    assert!(replied > 1_000_000 && bytes < replied + 100_000, "{bytes} bytes of work for {replied} in the reply");
    let retention = RetentionPolicy { history_versions: 0, ..RetentionPolicy::default() };
    let (overruled, bytes) = work(&DatasetRules { policy: ConflictPolicy::LastWriterWins, retention, ..DatasetRules::default() });
    assert!(matches!(overruled, Decision::Written { .. }), "{overruled:?}");
    assert!(bytes < 200_000, "{bytes} bytes of work to replace {RECORDS} large records");
}

/// Takes the steps of an identity's job to its end, and returns the work of the largest and their number.
fn steps_of_job(store: &Store, identity: &Identity) -> (usize, usize) {
    let (mut most, mut steps) = (0, 0);
    loop {
        let mut group = store.group();
        let progress = group.run_job_step(identity, &RetentionPolicy::default(), 9).expect("decides");
        most = most.max(group.work_bytes());
        steps += 1;
        group.commit().expect("commits");
        if progress == JobProgress::Done {
            return (most, steps);
        }
    }
}

/// What a step of a job may cost: what it reads of both sides, and what it writes of them, history included.
const MOST_STEP_WORK: usize = 8 * 1024 * 1024;

/// A guest with a dataset of 12 MiB, many small records, many tombstones and large history.
fn large_guest(store: &Store) -> Identity {
    let guest = Identity::from("local:guest");
    sign_in(store, "guest", &guest);
    let as_guest = |patch: Patch| Patch { identity: guest.clone(), ..patch };
    let text = format!("\"{}\"", "x".repeat(1_000_000));
    for n in 0..12 {
        write(store, &as_guest(patch(1 + n, "phone", &[(&format!("large {n}"), Op::Put, &text)])));
    }
    for round in 0..3 {
        let names: Vec<String> = (0..1000).map(|n| format!("small {round} {n}")).collect();
        write(store, &as_guest(patch(20 + round, "phone", &names.iter().map(|name| (name.as_str(), Op::Put, "7")).collect::<Vec<_>>())));
    }
    let gone: Vec<String> = (0..1000).map(|n| format!("small 0 {n}")).collect();
    write(store, &as_guest(patch(30, "phone", &gone.iter().map(|name| (name.as_str(), Op::Remove, "")).collect::<Vec<_>>())));
    // History that takes several steps to delete.
    for n in 0..3 {
        write(store, &as_guest(patch(40 + n, "phone", &[("large 0", Op::Put, &text.replace('x', &n.to_string()))])));
    }
    guest
}

#[test]
fn a_large_dataset_is_merged_in_bounded_steps_and_nothing_is_lost() {
    for has_dataset in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let guest = large_guest(&store);
        if has_dataset {
            write(&store, &patch(1, "laptop", &[("large 3", Op::Put, "\"user\""), ("own", Op::Put, "1")]));
        }
        let mut group = store.group();
        assert_eq!(group.merge(&guest, &me(), &MergePolicies::default(), 7).expect("decides"), MergeStart::Begun);
        group.commit().expect("commits");
        let (most, steps) = steps_of_job(&store, &guest);
        assert!(most < MOST_STEP_WORK && steps > 8, "{most} bytes in the largest of {steps} steps");
        let live = all_of(&store, &me()).iter().filter(|record| record.content != Content::Removed).count();
        assert_eq!(live, if has_dataset { 12 + 2000 + 1 } else { 12 + 2000 });
        let head = store.datasets(&me()).expect("reads").remove(0);
        assert_eq!(head.records as usize, live);
        assert_eq!(store.datasets(&guest).expect("reads"), []);
        let left = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
        let is_guests = |key: &[u8]| key.windows(guest.as_str().len()).any(|part| part == guest.as_str().as_bytes());
        assert!(!left.iter().any(|(key, _)| is_guests(key)), "no row of the guest is left");
    }
}

#[test]
fn an_identity_with_large_rows_is_erased_in_bounded_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let guest = large_guest(&store);
    let mut group = store.group();
    group.erase(&guest).expect("decides");
    group.commit().expect("commits");
    let (most, steps) = steps_of_job(&store, &guest);
    assert!(most < MOST_STEP_WORK / 2 && steps > 12, "{most} bytes in the largest of {steps} steps");
}
