//! The devices of a merged identity move in bounded steps, and what a device finds is the same before, between and after them.

use driftless_protocol::{DeviceId, Op, PushTarget, Record, Registration, limits};

use super::erasing::finish_job;
use super::merging::guest;
use crate::store::job_steps::STEP_BYTES;
use crate::store::merge_devices::UNMOVED_IDENTITIES;
use crate::store::support::{CONFIG, dataset, device, epoch, me, patch, sign_in, store, write};
use crate::store::{
    Admission, DatasetRules, Decision, DeviceBound, Group, Identity, JobProgress, MergePolicies, MergeStart, Patch, RetentionPolicy, Store,
};

/// The work of a step at most: it ends when it has done as much as a step reads, with the device that it is at. That one has 64 slots of about
/// 1 KiB, each of which is read, written and deleted.
const MOST_STEP_WORK: usize = STEP_BYTES + 320 * 1024;

fn as_guest(patch: Patch) -> Patch {
    Patch { identity: guest(), ..patch }
}

fn phone(number: usize) -> String {
    format!("phone-{number:03}")
}

/// The patches of a device whose slots are as full as they may be: two results of nearly 16 KiB, and 62 of nearly 512 bytes.
fn full_slots(device_name: &str) -> Vec<Patch> {
    let size = |id: u64| if id <= 2 { 16_000 } else { 400 };
    let of =
        |id: u64| patch(id, device_name, &[(device_name, Op::Merge, &format!("{{\"text\":\"{}\",\"id\":{id}}}", "x".repeat(size(id))))]);
    (1..=limits::PATCH_WINDOW).map(of).collect()
}

fn decide<T>(store: &Store, decide: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut group = store.group();
    let value = decide(&mut group);
    group.commit().expect("commits");
    value
}

/// A guest with so many devices that have full slots, and the answers that these got.
fn write_as_guest(store: &Store, devices: usize) -> Vec<Vec<Decision>> {
    sign_in(store, "guest", &guest());
    let all_of = |number: usize| {
        decide(store, |group| {
            group.admit(&guest(), &device(&phone(number)), &DeviceBound::without_sessions(devices), 1).expect("decides");
            let patches = full_slots(&phone(number)).into_iter().map(as_guest);
            patches.map(|patch| group.write(&patch, &DatasetRules::default(), 7).expect("decides")).collect()
        })
    };
    (0..devices).map(all_of).collect()
}

fn begin(store: &Store, from: &Identity, into: &Identity) -> usize {
    decide(store, |group| {
        assert_eq!(group.merge(from, into, &MergePolicies::default(), 7).expect("decides"), MergeStart::Begun);
        group.work_bytes()
    })
}

fn step(store: &Store, of: &Identity) -> (JobProgress, usize) {
    decide(store, |group| (group.run_job_step(of, &RetentionPolicy::default(), 9).expect("decides"), group.work_bytes()))
}

fn version_and_results(decision: &Decision) -> (u64, &[Record]) {
    match decision {
        Decision::Written { version, results, .. } | Decision::Repeated { version, results } => (*version, results),
        other => panic!("{other:?}"),
    }
}

/// Sends each patch of a device again, to the target.
fn assert_repeated(store: &Store, number: usize, first: &[Decision], when: &str) {
    for (patch, first) in full_slots(&phone(number)).iter().zip(first) {
        let again = decide(store, |group| group.write(patch, &DatasetRules::default(), 9).expect("decides"));
        assert!(matches!(again, Decision::Repeated { .. }), "{when}: {again:?}");
        assert_eq!(version_and_results(&again), version_and_results(first), "{when}: patch {} of device {number}", patch.id);
    }
}

#[test]
fn a_hundred_devices_with_full_slots_move_in_bounded_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let first = write_as_guest(&store, limits::DEVICES_PER_IDENTITY);
    let work = begin(&store, &guest(), &me());
    assert!(work < 64 * 1024, "{work} bytes of work to begin");
    let (mut most, mut steps) = (0, 0);
    while store.devices(&guest()).expect("reads").len() > 1 {
        let (progress, work) = step(&store, &guest());
        assert_eq!(progress, JobProgress::Unfinished);
        (most, steps) = (most.max(work), steps + 1);
    }
    assert!(most < MOST_STEP_WORK && steps > 10, "{most} bytes in the largest of {steps} steps");
    finish_job(&store, &guest());
    assert_eq!(store.devices(&me()).expect("reads").len(), limits::DEVICES_PER_IDENTITY);
    for number in [0, limits::DEVICES_PER_IDENTITY - 1] {
        assert_repeated(&store, number, &first[number], "after the merge");
    }
}

#[test]
fn a_retry_gets_the_same_answer_before_in_the_middle_of_and_after_the_move_also_after_a_restart() {
    const DEVICES: usize = 15;
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let first = write_as_guest(&store, DEVICES);
    begin(&store, &guest(), &me());
    let reopened = |store: Store| {
        drop(store);
        Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens")
    };
    assert_repeated(&store, 1, &first[1], "before the first step");
    assert_repeated(&store, DEVICES - 1, &first[DEVICES - 1], "before the first step");
    store = reopened(store);
    step(&store, &guest());
    store = reopened(store);
    let left = store.devices(&guest()).expect("reads").len();
    assert!((2..DEVICES - 2).contains(&left), "{left} devices are left: the step is in the middle");
    for (number, first) in first.iter().enumerate() {
        if number % 3 != 0 {
            assert_repeated(&store, number, first, "in the middle");
        }
    }
    assert_eq!(store.version(&me(), &dataset()).expect("reads"), 0, "nothing was applied a second time");
    step(&store, &guest());
    store = reopened(store);
    finish_job(&store, &guest());
    let version = store.version(&me(), &dataset()).expect("reads");
    for (number, first) in first.iter().enumerate() {
        assert_repeated(&store, number, first, "after the move");
    }
    assert_eq!(store.version(&me(), &dataset()).expect("reads"), version);
    let own = |group: &mut Group<'_>| group.unmoved_identities(&me()).expect("reads");
    assert_eq!(decide(&store, own), []);
}

#[test]
fn of_a_device_that_both_have_each_slot_has_the_newer_patch_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "guest", &guest());
    let add = |id| patch(id, "phone", &[("count", Op::Add, "1")]);
    for id in [1, 2, 3 + limits::PATCH_WINDOW] {
        assert!(matches!(write(&store, &as_guest(add(id))), Decision::Written { .. }));
    }
    for id in [1 + limits::PATCH_WINDOW, 3] {
        assert!(matches!(write(&store, &add(id)), Decision::Written { .. }));
    }
    begin(&store, &guest(), &me());
    assert!(store.is_device_unmoved(&me(), &device("phone")).expect("reads"), "a sign-in moves it, before it is told its newest patch");
    decide(&store, |group| group.admit(&me(), &device("phone"), &DeviceBound::without_sessions(9), 9).expect("decides"));
    assert!(!store.is_device_unmoved(&me(), &device("phone")).expect("reads"));
    assert_eq!(store.newest_patch_id(&me(), &device("phone")).expect("reads"), 3 + limits::PATCH_WINDOW);
    for id in [2, 1 + limits::PATCH_WINDOW, 3 + limits::PATCH_WINDOW] {
        let again = write(&store, &add(id));
        assert!(matches!(again, Decision::Repeated { .. }), "{id}: {again:?}");
    }
}

#[test]
fn a_revoked_device_stays_revoked_wherever_its_row_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let (middle, lost) = (Identity::from("local:middle"), device("lost"));
    sign_in(&store, "guest", &guest());
    sign_in(&store, "middle", &middle);
    let admit = |identity: &Identity, device: &DeviceId| {
        decide(&store, |group| group.admit(identity, device, &DeviceBound::without_sessions(9), 1).expect("decides").0)
    };
    // The guest has it, too, and did not revoke it; what counts is the identity into which the guest is merged first.
    assert_eq!((admit(&guest(), &lost), admit(&middle, &lost)), (Admission::Admitted, Admission::Admitted));
    assert!(decide(&store, |group| group.set_revoked(&middle, &lost, Some(5), 5).expect("decides")));
    begin(&store, &guest(), &middle);
    begin(&store, &middle, &me());
    assert_eq!(store.device_admission(&me(), &lost), Ok(Some(Admission::Revoked)), "also for a request that only reads");
    let names: Vec<_> = store.devices(&me()).expect("reads").into_iter().map(|info| (info.device, info.revoked_ms)).collect();
    assert_eq!(names, [(lost.clone(), Some(5))], "an operator sees it");
    // The guest's job is first to move devices.
    step(&store, &guest());
    assert_eq!(admit(&me(), &lost), Admission::Revoked);
    assert_eq!(decide(&store, |group| group.write(&patch(1, "lost", &[]), &DatasetRules::default(), 9)), Ok(Decision::DeviceRevoked));
    finish_job(&store, &guest());
    finish_job(&store, &middle);
    assert_eq!(store.device_admission(&me(), &lost), Ok(Some(Admission::Revoked)));
}

#[test]
fn a_device_that_is_revoked_or_forgotten_during_the_move_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_as_guest(&store, 2);
    begin(&store, &guest(), &me());
    assert!(decide(&store, |group| group.set_revoked(&me(), &device(&phone(0)), Some(8), 8)).expect("decides"));
    assert!(decide(&store, |group| group.forget_device(&me(), &device(&phone(1)))).expect("decides"));
    finish_job(&store, &guest());
    assert_eq!(store.device_admission(&me(), &device(&phone(0))), Ok(Some(Admission::Revoked)));
    assert_eq!(store.device_admission(&me(), &device(&phone(1))), Ok(None));
    assert_eq!(store.newest_patch_id(&me(), &device(&phone(1))), Ok(0));
}

/// I6: what is written before a registered device has moved is owed to it.
#[test]
fn a_device_that_has_not_moved_yet_is_owed_what_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_as_guest(&store, 2);
    let target = PushTarget::Fcm("token".to_owned());
    let registration = Registration { target, app: "app".to_owned(), datasets: None, shown: false };
    decide(&store, |group| group.register(&guest(), &device(&phone(1)), &registration, 7)).expect("decides");
    begin(&store, &guest(), &me());
    assert!(matches!(write(&store, &patch(1, "laptop", &[("a", Op::Put, "1")])), Decision::Written { version: 1, .. }));
    let targets = |store: &Store| -> Vec<(DeviceId, u64, u64)> {
        let round = store.wake_round(&me()).expect("reads").expect("a debt");
        round.targets.iter().map(|target| (target.device.clone(), target.debts[0].debt.version, target.debts[0].acknowledged)).collect()
    };
    assert_eq!(targets(&store), [(device(&phone(1)), 1, 0)], "its registration stands with the guest");
    decide(&store, |group| group.mark_seen(&me(), &device(&phone(1)), 12)).expect("decides");
    assert_eq!(targets(&store), [(device(&phone(1)), 1, 0)], "it has moved");
    assert!(store.live_registration(&me(), &device(&phone(1))).expect("reads").is_some());
    finish_job(&store, &guest());
    assert_eq!(targets(&store).len(), 1);
    decide(&store, |group| group.unregister(&me(), &device(&phone(1)))).expect("decides");
    assert!(!decide(&store, |group| group.has_push_targets(&me())).expect("reads"), "the count has moved with it");
}

#[test]
fn a_merge_waits_while_too_many_others_move_their_devices() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let guests: Vec<_> = (0..=UNMOVED_IDENTITIES).map(|number| Identity::from(format!("local:g{number}").as_str())).collect();
    guests.iter().for_each(|guest| sign_in(&store, guest.as_str(), guest));
    let merge = |from: &Identity| decide(&store, |group| group.merge(from, &me(), &MergePolicies::default(), 7)).expect("decides");
    for guest in &guests[..UNMOVED_IDENTITIES] {
        assert_eq!(merge(guest), MergeStart::Begun);
    }
    assert_eq!(merge(&guests[UNMOVED_IDENTITIES]), MergeStart::TooManyUnderWay);
    step(&store, &guests[3]);
    assert_eq!(merge(&guests[UNMOVED_IDENTITIES]), MergeStart::Begun);
    guests.iter().for_each(|guest| assert!(finish_job(&store, guest) > 0));
}
