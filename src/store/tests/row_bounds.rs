//! No legal setting, and nothing that a device may send, makes a row larger than the engine takes.

use driftless_protocol::{DatasetName, DeviceId, Key, Op, Provider, PushTarget, RefusalCode, WebPushSubscription, limits};

use crate::merge::ConflictPolicy;
use crate::store::engine::ROW_BYTES;
use crate::store::keys::{self, RowKind};
use crate::store::merge_devices::UNMOVED_IDENTITIES;
use crate::store::merge_identity::MERGE_POLICIES;
use crate::store::push::{RegistrationRow, WOKEN_DATASETS};
use crate::store::row_source::RowSource;
use crate::store::rows::{self, HeadRow, IdentityRow, JobRow, PatchRejection, PatchRow, TombstoneRow};
use crate::store::support::{device, me, patch, sign_in_device, store, write};
use crate::store::{Decision, DeliveryLogEntry, DeliveryStatus, PushBudget, Store, TokenDisposition, WakeResult};

/// An identity's id: the longest region, a colon and a UUID.
const IDENTITY_BYTES: usize = 18 + 1 + 36;

/// A name of so many bytes that ends with a number.
fn name(number: usize, bytes: usize) -> String {
    format!("{number:0bytes$}")
}

fn dataset(number: usize) -> DatasetName {
    DatasetName::new(&name(number, limits::DATASET_NAME_BYTES)).expect("a name")
}

fn encoded(row: &impl serde::Serialize) -> usize {
    rows::encode(row).expect("is encoded").len()
}

/// The bytes of the largest row of a kind that an identity has.
fn largest(store: &Store, kind: RowKind) -> usize {
    let rows = store.engine.all_of(&keys::of_identity(kind, &me())).expect("reads");
    rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0)
}

#[test]
fn a_job_with_as_many_policies_as_a_pool_may_have_fits() {
    let datasets = (0..MERGE_POLICIES).map(|number| (dataset(number), ConflictPolicy::LastWriterWins)).collect();
    let job = JobRow::Merge { into: name(1, IDENTITY_BYTES), policy: ConflictPolicy::LastWriterWins, datasets };
    assert!((ROW_BYTES / 2..=ROW_BYTES).contains(&encoded(&job)), "{} bytes", encoded(&job));
}

#[test]
fn an_identity_with_as_many_merges_as_it_may_have_logins_fits() {
    // Each of them had a login, which leads to this one now.
    let merged = (0..limits::LOGINS_PER_IDENTITY + limits::MERGED_IDENTITIES).map(|number| name(number, IDENTITY_BYTES)).collect();
    let devices_from = (0..UNMOVED_IDENTITIES).map(|number| name(number, IDENTITY_BYTES)).collect();
    let (pool, moved_to) = (name(1, 128), Some(name(1, IDENTITY_BYTES)));
    let row = IdentityRow {
        pool,
        made_ms: u64::MAX,
        moved_to,
        merged,
        push_targets: u32::MAX,
        owned_bytes: u64::MAX,
        devices_from,
        guest: true,
        retired: u64::MAX,
    };
    assert!(encoded(&row) <= ROW_BYTES, "{} bytes", encoded(&row));
}

#[test]
fn a_registration_with_the_longest_names_fits() {
    let part = |bytes: usize| "x".repeat(bytes);
    // The keys of a subscription are 65 and 16 bytes in base64.
    let subscription = WebPushSubscription { endpoint: part(limits::ENDPOINT_BYTES), p256dh: part(88), auth: part(24) };
    for (provider, target) in
        [(Provider::Webpush, PushTarget::Webpush(subscription)), (Provider::Fcm, PushTarget::Fcm(part(limits::PUSH_TOKEN_BYTES)))]
    {
        let row = RegistrationRow {
            pool: name(1, 128),
            provider,
            target: Some(target),
            app: part(limits::APP_BYTES),
            datasets: Some((0..limits::DATASETS_PER_IDENTITY).map(dataset).collect()),
            shown: true,
            cognito_pool: Some(name(1, 128)),
            registered_ms: u64::MAX,
            seen_ms: u64::MAX,
            dead: None,
        };
        assert!(encoded(&row) <= ROW_BYTES, "{} bytes", encoded(&row));
    }
}

#[test]
fn a_device_that_was_woken_for_more_datasets_than_fit_remembers_some() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut group = store.group();
    sign_in_device(&mut group, &patch(1, "phone", &[]));
    let result = WakeResult {
        device: device("phone"),
        // An identity that others were merged into can have more datasets than its pool allows.
        woken: (0..3 * WOKEN_DATASETS).map(|number| (dataset(number), u64::MAX)).collect(),
        budget: PushBudget::default(),
        disposition: TokenDisposition::Keep,
        log_entry: DeliveryLogEntry::new(9, Some((dataset(1), u64::MAX)), DeliveryStatus::Accepted { shown: true, id: None }),
    };
    group.record_wake_result(&me(), result, 9).expect("decides");
    group.commit().expect("commits");
    let bytes = largest(&store, RowKind::PushBudget);
    assert!((WOKEN_DATASETS * limits::DATASET_NAME_BYTES..=ROW_BYTES).contains(&bytes), "{bytes} bytes");
    assert!(largest(&store, RowKind::DeliveryLog) <= ROW_BYTES);
}

#[test]
fn a_conflict_and_the_slot_of_its_patch_fit_with_the_longest_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let names: Vec<String> = (0..limits::CHANGES_PER_PATCH).map(|number| name(number, limits::KEY_BYTES)).collect();
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, "1")).collect();
    let (first, second) = (name(1, limits::DEVICE_ID_BYTES), name(2, limits::DEVICE_ID_BYTES));
    assert!(matches!(write(&store, &patch(1, &first, &changes)), Decision::Written { .. }));
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, "2")).collect();
    let mut late = patch(1, &second, &changes);
    late.changes.iter_mut().for_each(|change| change.base = Some(0));
    assert!(matches!(write(&store, &late), Decision::Conflict(_)));
    let sums: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Add, "1")).collect();
    assert!(matches!(write(&store, &patch(2, &second, &sums)), Decision::Written { .. }));
    let removed: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Remove, "")).collect();
    assert!(matches!(write(&store, &patch(3, &second, &removed)), Decision::Written { .. }));
    for kind in [RowKind::Conflict, RowKind::Patch, RowKind::Tombstone, RowKind::Pointer, RowKind::Head, RowKind::History, RowKind::Record]
    {
        let bytes = largest(&store, kind);
        assert!((1..=ROW_BYTES).contains(&bytes), "{kind:?}: {bytes} bytes");
    }
}

#[test]
fn rows_of_bounded_lists_fit_at_their_bounds() {
    let device = DeviceId::new(&name(1, limits::DEVICE_ID_BYTES)).expect("a device");
    let key = Key::new(&name(1, limits::KEY_BYTES)).expect("a key");
    let head = HeadRow { shared: vec![(u32::MAX, u64::MAX); 17], version: u64::MAX, ..HeadRow::default() };
    // A text of a refusal quotes one key, of which each character may be written as ten.
    let refusal = PatchRejection::Refused(RefusalCode::TooLarge, "x".repeat(10 * 64 + 256));
    let patch = PatchRow { id: u64::MAX, digest: u32::MAX, version: u64::MAX, results: None, rejection: Some(refusal) };
    let sizes = [encoded(&head), encoded(&patch), encoded(&TombstoneRow { key, at_ms: u64::MAX }), encoded(&(name(1, 55), device))];
    assert!(sizes.iter().all(|bytes| *bytes <= ROW_BYTES), "{sizes:?}");
}
