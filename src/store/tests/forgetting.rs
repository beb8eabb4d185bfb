//! A device that is forgotten, by an operator or for a new one, leaves no row; the devices of an identity are bounded.

use driftless_protocol::{Op, RefusalCode};

use super::erasing::fill;
use super::push::{dead_token, registration};
use crate::store::devices::{REVOKED_DEVICES, SEEN_PRECISION_MS};
use crate::store::keys::RowKind;
use crate::store::row_source::RowSource;
use crate::store::rows::DeviceRow;
use crate::store::support::{dataset, device, me, patch, store, write, write_at};
use crate::store::{
    Admission, DatasetRules, Decision, DeliveryLogEntry, DeliveryStatus, DeviceBound, DeviceLink, Group, LinkObstacle, LinkedToken,
    LoginKey, ReadStart, RegisterOutcome, RetentionPolicy, Store,
};

fn commit<T>(store: &Store, decide: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut group = store.group();
    let decided = decide(&mut group);
    group.commit().expect("commits");
    decided
}

/// A device signs in to an identity that may have this many, while none has a session; returns the names of those that were forgotten.
fn sign_in(store: &Store, name: &str, most: usize, now_ms: u64) -> Vec<String> {
    let admitted = commit(store, |group| group.admit(&me(), &device(name), &DeviceBound::without_sessions(most), now_ms));
    let (admission, forgotten) = admitted.expect("decides");
    assert_eq!(admission, Admission::Admitted, "{name}");
    forgotten.iter().map(ToString::to_string).collect()
}

fn revoke(store: &Store, name: &str, at_ms: u64) {
    assert!(commit(store, |group| group.set_revoked(&me(), &device(name), Some(at_ms), at_ms)).expect("decides"));
}

fn names(store: &Store) -> Vec<String> {
    store.devices(&me()).expect("reads").into_iter().map(|info| info.device.to_string()).collect()
}

fn keys(store: &Store) -> Vec<Vec<u8>> {
    store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").into_iter().map(|(key, _)| key).collect()
}

/// Whether a key names a device.
fn is_of(key: &[u8], name: &str) -> bool {
    key.windows(name.len()).any(|part| part == name.as_bytes())
}

#[test]
fn a_forgotten_device_leaves_no_row_of_any_kind() {
    for for_new_one in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        fill(&store);
        commit(&store, |group| group.register(&me(), &device("laptop"), &registration("another"), 8)).expect("decides");
        commit(&store, |group| group.mark_device_seen(&me(), &device("laptop"), 7 + SEEN_PRECISION_MS)).expect("decides");
        let before = keys(&store);
        for kind in RowKind::all() {
            let names_phone = before.iter().any(|key| kind.is_of(key) && is_of(key, "phone"));
            assert_eq!(
                names_phone,
                RowKind::OWNED_BY_DEVICE.contains(&kind),
                "{kind:?}: the table and the keys disagree on whose its rows are"
            );
        }
        match for_new_one {
            false => assert_eq!(commit(&store, |group| group.forget_device(&me(), &device("phone"))), Ok(true)),
            true => assert_eq!(sign_in(&store, "tablet", 2, 9), ["phone"]),
        }
        let after = keys(&store);
        assert_eq!(after.iter().find(|key| is_of(key, "phone")), None);
        let bindings = |keys: &[Vec<u8>]| keys.iter().filter(|key| RowKind::TokenBinding.is_of(key)).count();
        assert_eq!((bindings(&before), bindings(&after)), (2, 1), "its token is free");
        let others = |keys: &[Vec<u8>]| keys.iter().filter(|key| is_of(key, "laptop")).cloned().collect::<Vec<_>>();
        assert_eq!(others(&before), others(&after), "the other device has all that it had");
        // The other device is still woken: `push_targets` counts it alone.
        write_at(&store, &patch(9, "tablet", &[("k", Op::Put, "1")]), &DatasetRules::default(), 10);
        let targets = store.wake_round(&me()).expect("reads").expect("a debt").targets;
        assert_eq!(targets.iter().map(|target| target.device.to_string()).collect::<Vec<_>>(), ["laptop"]);
        commit(&store, |group| group.unregister(&me(), &device("laptop"))).expect("decides");
        commit(&store, |group| group.reschedule_debts(&me(), &[(dataset(), None)])).expect("decides");
        write(&store, &patch(10, "tablet", &[("k", Op::Put, "2")]));
        assert!(store.wake_round(&me()).expect("reads").is_none(), "no target is left, so nothing is owed");
    }
}

#[test]
fn nothing_is_written_of_a_device_that_was_forgotten_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    assert_eq!(commit(&store, |group| group.forget_device(&me(), &device("phone"))), Ok(true));
    let before = keys(&store);
    let late = patch(9, "phone", &[("a", Op::Put, "1")]);
    let note = DeliveryLogEntry::new(9, None, DeliveryStatus::Note("late".to_owned()));
    commit(&store, |group| {
        assert_eq!(group.write(&late, &DatasetRules::default(), 9), Ok(Decision::DeviceForgotten));
        assert_eq!(group.acknowledge(&me(), &device("phone"), &dataset(), 2), Ok(()));
        assert_eq!(group.register(&me(), &device("phone"), &registration("late"), 9), Ok(RegisterOutcome::NoIdentity));
        assert_eq!(group.record_wake_result(&me(), dead_token("secret-token", None), 9), Ok(()));
        assert_eq!(group.append_delivery_log(&me(), &device("phone"), note), Ok(()));
        assert_eq!(group.mark_device_seen(&me(), &device("phone"), u64::MAX), Ok(()));
        assert_eq!(group.set_revoked(&me(), &device("phone"), Some(9), 9), Ok(false));
        assert_eq!(group.forget_device(&me(), &device("phone")), Ok(false));
    });
    assert_eq!(keys(&store), before);
}

#[test]
fn ten_thousand_devices_sign_in_one_after_the_other_and_the_rows_do_not_grow() {
    const MOST: usize = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let bound = DeviceBound::without_sessions(MOST);
    let mut rows_at = Vec::new();
    let mut group = store.group();
    for n in 0..10_000u64 {
        let name = format!("tab-{n:05}");
        let (admission, forgotten) = group.admit(&me(), &device(&name), &bound, 1000 + n).expect("decides");
        assert_eq!((admission, forgotten.len()), (Admission::Admitted, usize::from(n >= MOST as u64)), "{name}");
        // Each keeps something.
        assert!(matches!(
            group.write(&patch(1, &name, &[("n", Op::Add, "1")]), &DatasetRules::default(), 1000 + n),
            Ok(Decision::Written { .. })
        ));
        group.acknowledge(&me(), &device(&name), &dataset(), n + 1).expect("decides");
        // A group of the committer has many jobs.
        if n % 20 == 19 {
            std::mem::replace(&mut group, store.group()).commit().expect("commits");
        }
        if n % 2500 == 2499 {
            let devices = keys(&store).iter().filter(|key| RowKind::OWNED_BY_DEVICE.iter().any(|kind| kind.is_of(key))).count();
            rows_at.push(devices);
        }
    }
    assert_eq!(rows_at, [3 * MOST; 4], "a device, a patch and an acknowledgement of each");
    let expected: Vec<_> = (9_900..10_000).map(|n| format!("tab-{n:05}")).collect();
    assert_eq!(names(&store), expected, "the newest ones");
}

#[test]
fn the_longest_unseen_device_goes_and_a_mark_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "phone", 2, 1);
    sign_in(&store, "laptop", 2, 2);
    let later = 1 + SEEN_PRECISION_MS;
    let is_due = |now_ms| store.should_mark_device_seen(&me(), &device("phone"), now_ms).expect("reads");
    assert!(is_due(later) && !is_due(later - 1), "a reconnect is not a write each time");
    assert!(!store.should_mark_device_seen(&me(), &device("nobody"), later).expect("reads"));
    commit(&store, |group| group.mark_device_seen(&me(), &device("phone"), later)).expect("decides");
    assert!(!is_due(later));
    assert_eq!(sign_in(&store, "tablet", 2, later), ["laptop"]);
    let seen: Vec<_> = store.devices(&me()).expect("reads").into_iter().map(|info| (info.first_seen_ms, info.seen_ms)).collect();
    assert_eq!(seen, [(1, later), (later, later)]);
}

#[test]
fn a_device_with_a_session_stays_and_one_whose_token_is_dead_does_not_count_as_registered() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for (name, now_ms) in [("phone", 1), ("tablet", 2), ("laptop", 3)] {
        sign_in(&store, name, 3, now_ms);
    }
    for (name, token) in [("phone", "one"), ("tablet", "two")] {
        commit(&store, |group| group.register(&me(), &device(name), &registration(token), 4)).expect("decides");
    }
    let is_live = |one: &driftless_protocol::DeviceId| one.as_str() == "laptop";
    let admit = |name: &str, most| {
        commit(&store, |group| group.admit(&me(), &device(name), &DeviceBound { most, is_live: &is_live }, 9)).expect("decides")
    };
    commit(&store, |group| group.record_wake_result(&me(), dead_token("one", None), 5)).expect("decides");
    assert_eq!(admit("new", 3), (Admission::Admitted, vec![device("phone")]));
    assert_eq!(admit("newer", 3), (Admission::Admitted, vec![device("new")]), "the tablet has a push registration");
    assert_eq!(admit("newest", 1), (Admission::TooMany, Vec::new()), "the laptop's session has the only place");
}

#[test]
fn a_revoked_device_does_not_count_and_keeps_nothing_but_its_revocation() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    revoke(&store, "phone", 9);
    let own: Vec<_> = keys(&store).into_iter().filter(|key| is_of(key, "phone")).collect();
    assert!(
        own.iter().all(|key| [RowKind::Device, RowKind::DeliveryLog, RowKind::PushBudget].iter().any(|kind| kind.is_of(key))),
        "{own:?}"
    );
    assert_eq!(sign_in(&store, "tablet", 2, 10), Vec::<String>::new(), "the laptop has the other place");
    assert_eq!(sign_in(&store, "watch", 2, 11), ["laptop"]);
    assert_eq!(store.device_admission(&me(), &device("phone")), Ok(Some(Admission::Revoked)));
    assert_eq!(store.known_since_ms(&me(), &device("phone")), Ok(None));
    // It is allowed again: two too many go, and it learns that the server has forgotten what it did.
    assert!(commit(&store, |group| group.set_revoked(&me(), &device("phone"), None, 20)).expect("decides"));
    assert_eq!(store.known_since_ms(&me(), &device("phone")), Ok(Some(20)));
    assert_eq!(sign_in(&store, "fridge", 2, 21), ["tablet", "watch"]);
}

#[test]
fn the_revoked_devices_that_an_identity_keeps_are_the_last_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for n in 0..REVOKED_DEVICES as u64 + 2 {
        let name = format!("lost-{n:04}");
        sign_in(&store, &name, 1, n);
        revoke(&store, &name, n);
    }
    let kept = names(&store);
    assert_eq!((kept.len(), kept[0].as_str()), (REVOKED_DEVICES, "lost-0002"));
}

#[test]
fn the_acknowledgement_of_a_forgotten_device_holds_back_no_tombstone_and_its_position_gets_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write(&store, &patch(1, "laptop", &[("stays", Op::Put, "1"), ("goes", Op::Put, "1")]));
    sign_in(&store, "phone", 10, 7);
    for name in ["phone", "laptop"] {
        commit(&store, |group| group.acknowledge(&me(), &device(name), &dataset(), 1)).expect("decides");
    }
    write(&store, &patch(2, "laptop", &[("goes", Op::Remove, "")]));
    commit(&store, |group| group.acknowledge(&me(), &device("laptop"), &dataset(), 2)).expect("decides");
    let retention = RetentionPolicy::default();
    let later = retention.tombstone_ms - 1;
    super::reaping::reap(&store, &retention, later);
    let seen = driftless_protocol::Position { epoch: store.epoch().clone(), version: 1 }.into();
    let start = |store: &Store| store.start(&me(), &dataset(), Some(&seen)).expect("reads");
    assert!(matches!(start(&store), ReadStart::After(_)), "the phone has not acknowledged the removal: its tombstone is kept");
    assert_eq!(commit(&store, |group| group.forget_device(&me(), &device("phone"))), Ok(true));
    super::reaping::reap(&store, &retention, later + retention.tombstone_ms / 2);
    assert!(matches!(start(&store), ReadStart::Reset { .. }), "the tombstone is gone, and so is the way from the phone's position");
}

#[test]
fn a_patch_number_of_a_forgotten_device_is_free_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let add = patch(7, "phone", &[("n", Op::Add, "1")]);
    assert!(matches!(write(&store, &add), Decision::Written { version: 1, .. }));
    assert!(matches!(write(&store, &add), Decision::Repeated { version: 1, .. }));
    assert!(matches!(write(&store, &patch(7, "phone", &[("n", Op::Add, "2")])), Decision::Refused(RefusalCode::PatchReused, _)));
    let since = store.known_since_ms(&me(), &device("phone"));
    commit(&store, |group| group.forget_device(&me(), &device("phone"))).expect("decides");
    assert_eq!(store.newest_patch_id(&me(), &device("phone")), Ok(0));
    sign_in(&store, "phone", 10, 100);
    assert_ne!(store.known_since_ms(&me(), &device("phone")), since, "so the device is told");
    assert!(matches!(write(&store, &add), Decision::Written { version: 2, .. }), "so a client must not send an `add` again");
}

#[test]
fn the_results_that_a_device_keeps_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(15_000));
    for id in 1..=200 {
        let key = format!("k{id}");
        assert!(matches!(write(&store, &patch(id, "phone", &[(&key, Op::Merge, &large)])), Decision::Written { .. }));
    }
    let bytes = |name: &str| -> usize {
        let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
        rows.iter().filter(|(key, _)| RowKind::Patch.is_of(key) && is_of(key, name)).map(|(_, row)| row.len()).sum()
    };
    assert!((30_000..64 * 1024).contains(&bytes("phone")), "{} bytes", bytes("phone"));
    // A patch whose results are not kept is answered with what nobody has written since, as one whose results are too large.
    let last = patch(200, "phone", &[("k200", Op::Merge, &large)]);
    assert!(matches!(write(&store, &last), Decision::Repeated { version: 200, results } if results.len() == 1));
    // Small results are kept whatever the others keep, and each device has its own bound.
    write(&store, &patch(201, "phone", &[("n", Op::Add, "1")]));
    write(&store, &patch(1, "laptop", &[("n", Op::Add, "1")]));
    assert!(
        matches!(write(&store, &patch(201, "phone", &[("n", Op::Add, "1")])), Decision::Repeated { results, .. } if results.len() == 1)
    );
    write(&store, &patch(2, "laptop", &[("k1", Op::Merge, &large)]));
    assert!(bytes("laptop") > 15_000);
    // Slots that are used again make room.
    for id in 202..=300 {
        write(&store, &patch(id, "phone", &[("n", Op::Add, "1")]));
    }
    write(&store, &patch(301, "phone", &[("k1", Op::Merge, &large)]));
    assert!((15_000..32_000).contains(&bytes("phone")), "{} bytes", bytes("phone"));
}

#[test]
fn the_keys_of_a_conflict_that_a_device_keeps_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let names: Vec<String> = (0..15).map(|n| format!("{n:01000}")).collect();
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, "1")).collect();
    write(&store, &patch(1, "laptop", &changes));
    for id in 1..=64 {
        let mut late = patch(id, "phone", &changes);
        late.changes.iter_mut().for_each(|change| change.base = Some(0));
        late.changes.iter_mut().for_each(|change| change.value = Some(driftless_protocol::Value::from(2)));
        assert!(matches!(write(&store, &late), Decision::Conflict(_)));
    }
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let bytes: usize = rows.iter().filter(|(key, _)| RowKind::Patch.is_of(key) && is_of(key, "phone")).map(|(_, row)| row.len()).sum();
    assert!((30_000..64 * 1024).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_device_is_marked_once_within_the_precision_and_known_anew_only_after_it_was_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "phone", 10, 1000);
    for (now_ms, is_marked) in [(1001, false), (1000 + SEEN_PRECISION_MS, true)] {
        let mut group = store.group();
        group.mark_device_seen(&me(), &device("phone"), now_ms).expect("decides");
        assert_eq!(group.row_bytes() > 0, is_marked, "{now_ms}");
    }
    let allow = |now_ms| {
        assert_eq!(commit(&store, |group| group.set_revoked(&me(), &device("phone"), None, now_ms)), Ok(true));
        let row = store.engine.row::<DeviceRow>(&crate::store::keys::device(&me(), &device("phone"))).expect("reads").expect("there");
        row.known_since_ms
    };
    assert_eq!(allow(2000), 1000, "it was not revoked");
    revoke(&store, "phone", 3000);
    let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
    let token = || LinkedToken { login, issued_s: Some(1) };
    let link = DeviceLink { identity: &me(), device: &device("phone"), first: token(), second: token() };
    assert_eq!(store.group().link_obstacle(&link), Ok(Some(LinkObstacle::DeviceRevoked)));
    assert_eq!(allow(4000), 4000);
    assert_eq!(store.group().link_obstacle(&link), Ok(None));
}
