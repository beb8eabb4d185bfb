use driftless_protocol::{Codec, Content, DatasetName, DeviceId, Limits, Op, RefusalCode, ServerMessage, Value, limits};

use super::super::row_source::RowSource;
use super::conflict_log::CONFLICT_LOG;
use super::{DatasetRules, Decision, Patch};
use crate::store::support::{self, CONFIG, all, dataset, device, epoch, me, patch, store, write, write_at};
use crate::store::{Cursor, Identity, JobFailure, Store, StoreError, keys};

#[test]
fn a_group_sees_what_it_decided_and_commits_it_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut group = store.group();
    support::sign_in_device(&mut group, &patch(1, "phone", &[]));
    for id in 1..=100 {
        let decision = group.write(&patch(id, "phone", &[("n", Op::Add, "1")]), &DatasetRules::default(), 7).expect("decides");
        assert!(matches!(decision, Decision::Written { version, .. } if version == id));
    }
    assert!(all(&store).is_empty(), "no reader sees a write before the commit");
    group.commit().expect("commits");
    assert_eq!(all(&store)[0].content, Content::Value(Value::from(100)));
}

#[test]
fn records_and_the_epoch_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = store(folder.path());
    write(&opened, &patch(1, "phone", &[("a", Op::Put, "1"), ("b", Op::Put, "2")]));
    let before = all(&opened);
    drop(opened);
    let opened = Store::open(folder.path(), &CONFIG, &epoch("second")).expect("opens again");
    assert_eq!(*opened.epoch(), epoch("first"));
    assert_eq!(all(&opened), before);
}

#[test]
fn a_repeated_patch_gets_its_first_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let first = patch(1, "phone", &[("n", Op::Add, "1"), ("k", Op::Put, "1")]);
    let Decision::Written { version: 1, results, .. } = write(&store, &first) else { panic!("not written") };
    write(&store, &patch(2, "phone", &[("n", Op::Add, "1")]));
    assert_eq!(write(&store, &first), Decision::Repeated { version: 1, results: results.clone() });
    let same_values = patch(1, "phone", &[("n", Op::Add, "1.0"), ("k", Op::Put, "1e0")]);
    assert_eq!(write(&store, &same_values), Decision::Repeated { version: 1, results });
    assert!(matches!(write(&store, &patch(1, "phone", &[("n", Op::Add, "2")])), Decision::Refused(RefusalCode::PatchReused, _)));
    // Another device numbers its patches itself.
    assert!(matches!(write(&store, &patch(1, "laptop", &[("n", Op::Add, "1")])), Decision::Written { version: 3, .. }));
}

#[test]
fn a_retry_of_a_patch_with_a_large_result_gets_the_records_that_nobody_wrote_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let large = format!("[\"{}\"]", "x".repeat(20_000));
    let first = patch(
        1,
        "phone",
        &[
            ("a", Op::Insert, &large),
            ("b", Op::Insert, "[1]"),
            ("c", Op::Insert, "[1]"),
            ("nothing", Op::Discard, "[1]"),
            ("put", Op::Insert, "[1]"),
            ("put", Op::Put, &large),
            ("removed", Op::Insert, "[1]"),
            ("removed", Op::Remove, ""),
            ("removed", Op::Discard, "[1]"),
        ],
    );
    let Decision::Written { version: 1, results, .. } = write(&store, &first) else { panic!("not written") };
    assert_eq!(results.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(write(&store, &first), Decision::Repeated { version: 1, results: results.clone() });
    write(&store, &patch(2, "phone", &[("a", Op::Insert, "[1]")]));
    write(&store, &patch(1, "laptop", &[("b", Op::Remove, "")]));
    let Decision::Repeated { version: 1, results: remaining } = write(&store, &first) else { panic!("not repeated") };
    assert_eq!(remaining, results[2..]);
    // A device at the version of the patch gets the others as changes.
    let page = support::page(&store, &me(), Cursor::at(1));
    let mut later: Vec<_> = page.records.iter().map(|record| (record.key.as_str(), record.version)).collect();
    later.sort_unstable();
    assert_eq!(later, [("a", 2), ("b", 3)]);
}

#[test]
fn the_reply_to_a_repeated_patch_fits_a_message_however_large_its_records_are_by_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let names: Vec<String> = (0..5).map(|n| format!("k{n}")).collect();
    let small = format!("[\"{}\"]", "x".repeat(4_000));
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Insert, small.as_str())).collect();
    let first = patch(1, "phone", &changes);
    assert!(matches!(write(&store, &first), Decision::Written { version: 1, .. }));
    let large = format!("[\"{}\"]", "y".repeat(900_000));
    for (name, id) in names[1..].iter().zip(2..) {
        assert!(matches!(write(&store, &patch(id, "phone", &[(name, Op::Insert, &large)])), Decision::Written { .. }));
    }
    let Decision::Repeated { version, results } = write(&store, &first) else { panic!("not repeated") };
    assert_eq!(results.len(), 1);
    for codec in Codec::ALL {
        let reply = codec.encode(&ServerMessage::Written { id: 1, version, records: results.clone() });
        assert!(reply.len() <= limits::MESSAGE_BYTES, "{} bytes", reply.len());
    }
}

#[test]
fn a_device_has_a_bounded_number_of_patch_slots() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let large = format!("[\"{}\"]", "x".repeat(100_000));
    for id in 1..=3 * limits::PATCH_WINDOW {
        // Each slot gets large and small results in turn.
        let operand = if id % 3 == 0 { large.as_str() } else { "[1]" };
        write(&store, &patch(id, "phone", &[(&format!("k{}", id % 7), Op::Insert, operand)]));
    }
    let (identity, device) = (Identity::from("local:1"), DeviceId::new("phone").expect("a device"));
    let prefix = keys::of_device(keys::RowKind::Patch, &identity, &device);
    let rows = store.engine.all_of(&prefix).expect("scans");
    assert_eq!(rows.len() as u64, limits::PATCH_WINDOW);
    assert_eq!(store.newest_patch_id(&identity, &device).expect("reads"), 3 * limits::PATCH_WINDOW);
    assert!(matches!(write(&store, &patch(1, "phone", &[("k", Op::Put, "1")])), Decision::Refused(RefusalCode::PatchExpired, _)));
}

#[test]
fn each_record_has_one_version_row_however_often_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let large = format!("\"{}\"", "x".repeat(120_000));
    for id in 1..=50 {
        let value = if id % 2 == 0 { large.as_str() } else { "1" };
        write(&store, &patch(id, "phone", &[("a", Op::Put, value), ("b", Op::Put, "1")]));
    }
    let prefix = keys::records(&Identity::from("local:1"), &DatasetName::new("d").expect("a name"));
    let rows = store.engine.all_of(&prefix).expect("scans");
    assert_eq!(rows.len(), 3 + 1, "three pieces of the large value, one of the small value");
    assert_eq!(all(&store).len(), 2);
}

#[test]
fn conflicts_are_logged_and_the_log_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, &patch(1, "laptop", &[("a", Op::Put, "1")]));
    for id in 1..=2 * CONFLICT_LOG {
        let mut late = patch(id, "phone", &[("a", Op::Put, "2")]);
        late.changes[0].base = Some(0);
        assert!(matches!(write(&store, &late), Decision::Conflict(_)));
    }
    let log = store.conflicts(&Identity::from("local:1"), &DatasetName::new("d").expect("a name")).expect("reads");
    assert_eq!(log.len() as u64, CONFLICT_LOG);
    let last = log.last().expect("an entry");
    assert_eq!((last.number, last.applied, last.device.as_str()), (2 * CONFLICT_LOG, false, "phone"));
    assert_eq!((last.records[0].0.as_str(), last.records[0].1, last.records[0].2.as_str()), ("a", 1, "laptop"));
    assert_eq!(
        store.version(&Identity::from("local:1"), &DatasetName::new("d").expect("a name")).expect("reads"),
        1,
        "a conflict makes no version"
    );
}

#[test]
fn an_older_acknowledgement_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let Patch { identity, device, dataset, .. } = patch(1, "phone", &[]);
    for id in 1..=3 {
        write(&store, &patch(id, "laptop", &[("n", Op::Add, "1")]));
    }
    for version in [3, 1, 2] {
        let mut group = store.group();
        support::sign_in_device(&mut group, &patch(1, "phone", &[]));
        let before = group.row_bytes();
        group.acknowledge(&identity, &device, &dataset, version).expect("decides");
        assert_eq!(group.row_bytes() > before, version == 3, "version {version}");
        group.commit().expect("commits");
        assert_eq!(store.acknowledged_version(&identity, &device, &dataset).expect("reads"), 3);
    }
    let mut group = store.group();
    group.acknowledge(&identity, &device, &dataset, 3).expect("decides");
    assert_eq!(group.row_bytes(), 0, "one that is repeated writes nothing");
}

#[test]
fn a_reader_misses_no_record_that_moves_between_its_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let text = format!("\"{}\"", "x".repeat(1000));
    for id in 1..=300 {
        write(&store, &patch(id, "phone", &[(&format!("k{id}"), Op::Put, &text)]));
    }
    let identity = me();
    let mut replica = std::collections::BTreeMap::new();
    let (mut cursor, mut id) = (Cursor::at(0), 300);
    loop {
        let page = support::page(&store, &identity, cursor);
        replica.extend(page.records.into_iter().map(|record| (record.key.clone(), record.content)));
        cursor = page.cursor;
        if !page.more {
            break;
        }
        // Records move to the end from behind the reader and from before it, and some are removed.
        if id < 320 {
            for n in [1, 150, 299, 10 + id - 300] {
                id += 1;
                write(&store, &patch(id, "phone", &[(&format!("k{n}"), Op::Put, &id.to_string())]));
            }
            id += 1;
            write(&store, &patch(id, "phone", &[(&format!("k{}", id - 299), Op::Remove, "")]));
        }
    }
    let expected: std::collections::BTreeMap<_, _> = all(&store).into_iter().map(|record| (record.key, record.content)).collect();
    replica.retain(|_, content| *content != Content::Removed);
    assert_eq!(replica, expected);
    assert_eq!(cursor.version, id);
}

#[test]
fn a_patch_that_was_not_applied_is_not_decided_again_after_a_later_patch() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, &patch(1, "laptop", &[("a", Op::Put, "1")]));
    let mut late = patch(1, "phone", &[("a", Op::Put, "2")]);
    late.changes[0].base = Some(0);
    let refused = patch(2, "phone", &[("a", Op::Insert, "[1]")]);
    assert!(matches!(write(&store, &late), Decision::Conflict(_)), "the reply to this patch is lost");
    assert!(matches!(write(&store, &refused), Decision::Refused(RefusalCode::WrongType, _)), "and so is this one");
    let mut later = patch(3, "phone", &[("a", Op::Put, "[]")]);
    later.changes[0].base = Some(1);
    assert!(matches!(write(&store, &later), Decision::Written { version: 2, .. }));
    // The phone sends all three again.
    let Decision::Conflict(conflicting) = write(&store, &late) else { panic!("no conflict") };
    assert_eq!((conflicting.len(), conflicting[0].version, &conflicting[0].device), (1, 2, &device("phone")), "the record as it is by now");
    assert!(
        matches!(write(&store, &refused), Decision::Refused(RefusalCode::WrongType, _)),
        "it could be applied now, but a later patch was applied before"
    );
    assert!(matches!(write(&store, &later), Decision::Repeated { version: 2, .. }));
    assert_eq!(store.newest_patch_id(&me(), &device("phone")).expect("reads"), 3);
    assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1, "a retry logs no second conflict");
}

#[test]
fn a_conflict_stays_a_conflict_even_if_the_values_are_equal_by_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, &patch(1, "laptop", &[("a", Op::Put, "1"), ("b", Op::Put, "1")]));
    let mut late = patch(1, "phone", &[("a", Op::Put, "2"), ("b", Op::Put, "2"), ("n", Op::Add, "1")]);
    late.changes[0].base = Some(0);
    late.changes[1].base = Some(1);
    assert!(matches!(write(&store, &late), Decision::Conflict(conflicting) if conflicting.len() == 1));
    write(&store, &patch(2, "laptop", &[("a", Op::Put, "2")]));
    // The phone has resolved the conflict, and the network delivers the first patch again: the sum must not be added twice.
    write(&store, &patch(2, "phone", &[("n", Op::Add, "1")]));
    let Decision::Conflict(conflicting) = write(&store, &late) else { panic!("no conflict") };
    assert_eq!(
        conflicting.iter().map(|record| (record.key.as_str(), record.version)).collect::<Vec<_>>(),
        [("a", 2)],
        "only the record that it conflicted with"
    );
    let other = patch(1, "phone", &[("n", Op::Add, "1")]);
    assert!(matches!(write(&store, &other), Decision::Refused(RefusalCode::PatchReused, _)), "its number was used for another patch");
    assert_eq!(store.head(&me(), &dataset()).expect("reads").version, 3);
}

#[test]
fn a_patch_to_a_dataset_beyond_the_limit_stays_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let none = DatasetRules { limits: Limits { datasets: 0, ..Limits::default() }, ..DatasetRules::default() };
    let first = patch(1, "phone", &[("a", Op::Put, "1")]);
    assert!(matches!(write_at(&store, &first, &none, 0), Decision::Refused(RefusalCode::TooManyDatasets, _)));
    write(&store, &patch(2, "phone", &[("a", Op::Put, "2")]));
    assert!(matches!(write(&store, &first), Decision::Refused(RefusalCode::TooManyDatasets, _)), "it would be applied after a later patch");
}

#[test]
fn each_failure_of_a_job_has_a_name_for_metrics_and_a_text() {
    let damaged = StoreError::Damaged("row".to_owned());
    let failures =
        [JobFailure::Store(damaged.clone()), JobFailure::Store(StoreError::Io("disk".to_owned())), JobFailure::Panicked, JobFailure::Stale];
    assert_eq!(failures.each_ref().map(JobFailure::label), ["damaged", "store", "panic", "stale"]);
    let texts = failures.map(|failure| failure.to_string());
    assert_eq!(texts[0], damaged.to_string());
    assert_eq!(texts[2..], ["its decision panicked", "another writer was faster"]);
}
