//! What a device owns at most, beside datasets, is what the bound of its identity sets aside for it.

use driftless_protocol::{DatasetName, DeviceId, Op, PushTarget, Registration, limits};

use crate::store::commit::{DEVICE_BYTES, REVOKED_DEVICE_BYTES};
use crate::store::engine::RowBatch;
use crate::store::keys::{self, RowKind};
use crate::store::push::WOKEN_DATASETS;
use crate::store::row_source::RowSource;
use crate::store::support::{me, patch, store};
use crate::store::{
    DELIVERY_LOG_ENTRIES, DatasetRules, Decision, DeliveryLogEntry, DeliveryStatus, DeviceBound, Group, Identity, Patch, PushBudget, Store,
    TokenDisposition, WakeResult,
};

/// The longest identity.
fn longest_identity() -> Identity {
    Identity::from(format!("{:r<18}:{:0>36}", "region", 1).as_str())
}

fn longest_device() -> DeviceId {
    DeviceId::new(&"d".repeat(limits::DEVICE_ID_BYTES)).expect("a device")
}

fn dataset(number: usize) -> DatasetName {
    DatasetName::new(&format!("{number:0width$}", width = limits::DATASET_NAME_BYTES)).expect("a name")
}

/// The bytes of all rows of a device, with their keys.
fn device_bytes(store: &Store) -> u64 {
    let (identity, device) = (longest_identity(), longest_device());
    let rows = RowKind::OWNED_BY_DEVICE
        .into_iter()
        .flat_map(|kind| store.engine.all_of(&keys::of_device(kind, &identity, &device)).expect("reads"));
    let bindings = store.engine.all_of(&keys::of_kind(RowKind::TokenBinding)).expect("reads");
    rows.chain(bindings).map(|(key, row)| (key.len() + row.len()) as u64).sum()
}

/// Decides in a group of its own.
fn decide<T>(store: &Store, decide: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut group = store.group();
    let value = decide(&mut group);
    group.commit().expect("commits");
    value
}

fn of_device(id: u64, changes: &[(&str, Op, &str)]) -> Patch {
    Patch { identity: longest_identity(), device: longest_device(), dataset: dataset(1), ..patch(id, "d", changes) }
}

fn merged(id: u64, bytes: usize) -> Patch {
    of_device(id, &[("m", Op::Merge, &format!("{{\"text\":\"{}\",\"id\":{id}}}", "x".repeat(bytes)))])
}

/// A patch that is refused with the longest text: it quotes a key of which each character is written as several.
fn refused(id: u64) -> Patch {
    let key = "\u{e0001}".repeat(limits::KEY_BYTES / 4);
    of_device(id, &[("n", Op::Put, "\"a text\""), (&key, Op::Put, "\"a text\""), (&key, Op::Add, "1")])
}

/// The device's slots: two of the largest results that there is room for, and for the others what is largest and not counted among them.
fn fill_slots(group: &mut Group<'_>) {
    let write = |group: &mut Group<'_>, patch: &Patch| group.write(patch, &DatasetRules::default(), 7).expect("decides");
    for (id, bytes) in [(1, 15_900), (2, 15_900)] {
        assert!(matches!(write(group, &merged(id, bytes)), Decision::Written { .. }));
    }
    for id in 3..=limits::PATCH_WINDOW {
        let decision = write(group, &refused(id));
        assert!(matches!(decision, Decision::Refused(..)), "{decision:?}");
    }
}

fn acknowledge_datasets(group: &mut Group<'_>) {
    for number in 0..limits::DATASETS_PER_IDENTITY {
        // Of another device, so that this one's slots stay.
        let patch =
            Patch { identity: longest_identity(), dataset: dataset(number), ..patch(number as u64 + 1, "other", &[("a", Op::Put, "1")]) };
        let decision = group.write(&patch, &DatasetRules::default(), 7).expect("decides");
        let Decision::Written { version, .. } = decision else { panic!("{decision:?}") };
        group.acknowledge(&longest_identity(), &longest_device(), &dataset(number), version).expect("decides");
    }
}

fn fill_push(group: &mut Group<'_>) {
    let (identity, device) = (longest_identity(), longest_device());
    let registration = Registration {
        target: PushTarget::Fcm("t".repeat(limits::PUSH_TOKEN_BYTES)),
        app: "a".repeat(limits::APP_BYTES),
        datasets: Some((0..limits::DATASETS_PER_IDENTITY).map(dataset).collect()),
        shown: true,
    };
    group.register(&identity, &device, &registration, 7).expect("decides");
    for number in 0..DELIVERY_LOG_ENTRIES {
        let status = DeliveryStatus::Deferred(format!("{number}{}", "é".repeat(10_000)), u64::MAX);
        let log_entry = DeliveryLogEntry::new(u64::MAX, Some((dataset(1), u64::MAX)), status);
        let woken = (0..WOKEN_DATASETS).map(|number| (dataset(number), u64::MAX)).collect();
        let result =
            WakeResult { device: device.clone(), woken, budget: PushBudget::default(), disposition: TokenDisposition::Keep, log_entry };
        group.record_wake_result(&identity, result, 7).expect("decides");
    }
}

fn sign_in(store: &Store) {
    let (identity, pool) = (longest_identity(), "p".repeat(128));
    decide(store, |group| {
        let login = crate::store::LoginKey { pool: &pool, issuer: "i", subject: "s" };
        assert_eq!(group.identity(login, &identity, 7), Ok(identity.clone()));
        for device in [longest_device(), DeviceId::new("other").expect("a device")] {
            group.admit(&identity, &device, &DeviceBound::without_sessions(9), 7).expect("decides");
        }
    });
}

#[test]
fn a_device_with_the_longest_names_and_full_slots_logs_and_acknowledgements_fits_its_share() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store);
    decide(&store, fill_slots);
    decide(&store, acknowledge_datasets);
    decide(&store, fill_push);
    let bytes = device_bytes(&store);
    assert!((DEVICE_BYTES / 4 * 3..=DEVICE_BYTES).contains(&bytes), "{bytes} bytes");
    assert!(decide(&store, |group| group.set_revoked(&longest_identity(), &longest_device(), Some(u64::MAX), 9)).expect("decides"));
    let bytes = device_bytes(&store);
    assert!((1..=REVOKED_DEVICE_BYTES).contains(&bytes), "{bytes} bytes of a revoked device");
}

/// What the slots keep of results and of keys in conflict is bounded whatever the patches are: each mix of them is below the one above.
#[test]
fn slots_of_any_mix_fit_their_part() {
    const SLOTS_BYTES: usize = 112 * 1024;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store);
    let names: Vec<String> = (0..256).map(|number| format!("{number:02x}")).collect();
    let counters: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Add, "1")).collect();
    decide(&store, |group| group.write(&of_device(1, &counters), &DatasetRules::default(), 7)).expect("decides");
    let theirs: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, "1")).collect();
    let other = Patch { device: DeviceId::new("other").expect("a device"), ..of_device(1, &theirs) };
    decide(&store, |group| group.write(&other, &DatasetRules::default(), 7)).expect("decides");
    for mix in 0..4_u64 {
        let mut batch = RowBatch::new();
        for (key, _) in store.engine.all_of(&keys::of_device(RowKind::Patch, &longest_identity(), &longest_device())).expect("reads") {
            batch.push((key, None));
        }
        decide(&store, |group| group.view.decide(batch));
        decide(&store, |group| {
            for id in 64 * (mix + 1)..64 * (mix + 2) {
                let mut conflicting = of_device(id, &theirs);
                conflicting.changes.iter_mut().for_each(|change| change.base = Some(0));
                let patch = match (mix, id % 3) {
                    (0, _) | (3, 0) => of_device(id, &counters[..1]),
                    (1, _) | (3, 1) => conflicting,
                    _ => of_device(id, &counters),
                };
                group.write(&patch, &DatasetRules::default(), 7).expect("decides");
            }
        });
        let slots = store.engine.all_of(&keys::of_device(RowKind::Patch, &longest_identity(), &longest_device())).expect("reads");
        let bytes: usize = slots.iter().map(|(key, row)| key.len() + row.len()).sum();
        assert!(slots.len() == 64 && bytes < SLOTS_BYTES, "mix {mix}: {bytes} bytes in {} slots", slots.len());
    }
    assert!(store.engine.all_of(&keys::heads(&me())).expect("reads").is_empty());
}
