use driftless_protocol::{Op, PushTarget, Registration};

use super::erasing::finish_job;
use crate::merge::ConflictPolicy;
use crate::store::support::{dataset, device, me, patch, sign_in, store, write_at};
use crate::store::{
    Admission, DatasetRules, DeadToken, DeliveryLogEntry, DeliveryStatus, Identity, MergePolicies, MergeStart, Patch, PushBudget,
    RegisterOutcome, Store, TokenDisposition, WakeResult,
};

fn other() -> Identity {
    Identity::from("local:2")
}

fn registration(token: &str) -> Registration {
    Registration { target: PushTarget::Fcm(token.to_owned()), app: "app".to_owned(), datasets: None, shown: false }
}

fn register(store: &Store, identity: &Identity, name: &str, token: &str, now_ms: u64) {
    let mut group = store.group();
    group.admit(identity, &device(name), 10, 1).expect("decides");
    assert_eq!(group.register(identity, &device(name), &registration(token), now_ms), Ok(RegisterOutcome::Done));
    group.commit().expect("commits");
}

fn act<T>(store: &Store, act: impl FnOnce(&mut crate::store::Group<'_>) -> T) -> T {
    let mut group = store.group();
    let done = act(&mut group);
    group.commit().expect("commits");
    done
}

fn put(store: &Store, identity: &Identity, id: u64, name: &str, now_ms: u64) {
    let patch = Patch { identity: identity.clone(), ..patch(id, name, &[("k", Op::Put, &id.to_string())]) };
    write_at(store, &patch, &DatasetRules::default(), now_ms);
}

fn said(store: &Store, identity: &Identity, name: &str) -> Vec<DeliveryStatus> {
    store.push_log(identity, &device(name)).expect("reads").into_iter().map(|entry| entry.told).collect()
}

fn died(token: &str, since_ms: Option<u64>) -> WakeResult {
    let failed = PushTarget::Fcm(token.to_owned());
    WakeResult {
        device: device("phone"),
        woken: Vec::new(),
        purse: PushBudget::default(),
        fate: TokenDisposition::Died { failed, since_ms, reason: "UNREGISTERED".to_owned() },
        entry: DeliveryLogEntry::now(9, None, DeliveryStatus::Dead("UNREGISTERED".to_owned())),
    }
}

#[test]
fn a_version_is_owed_in_its_own_batch_and_only_where_somebody_is_woken() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    put(&store, &me(), 1, "laptop", 100);
    assert!(store.round(&me()).expect("reads").is_none(), "nobody is registered");
    register(&store, &me(), "phone", "token", 150);
    put(&store, &me(), 2, "laptop", 200);
    put(&store, &me(), 3, "laptop", 300);
    let round = store.round(&me()).expect("reads").expect("something is owed");
    let owed = &round.owed[0];
    assert_eq!((owed.version, owed.first_ms, owed.changed_ms), (3, 200, 300));
    assert_eq!((owed.foreign_to(&device("phone")), owed.foreign_to(&device("laptop"))), (3, 0));
    put(&store, &me(), 1, "phone", 400);
    let round = store.round(&me()).expect("reads").expect("something is owed");
    assert_eq!((round.owed[0].foreign_to(&device("phone")), round.owed[0].foreign_to(&device("laptop"))), (3, 4));
    assert_eq!(store.wakes_due(None, 199, 9).expect("reads").len(), 0);
    let due = store.wakes_due(None, 200, 9).expect("reads");
    assert_eq!((due.len(), &due[0].identity, due[0].at_ms), (1, &me(), 200));
    assert!(store.wakes_due(due.last(), 200, 9).expect("reads").is_empty());
}

#[test]
fn what_is_owed_is_there_after_a_restart_and_ends_only_by_a_visit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store_ = store(folder.path());
    register(&store_, &me(), "phone", "token", 1);
    put(&store_, &me(), 1, "laptop", 200);
    drop(store_);
    let store = Store::open(folder.path(), &crate::store::support::CONFIG, &crate::store::support::epoch("first")).expect("opens");
    let round = store.round(&me()).expect("reads").expect("something is owed");
    let paid = WakeResult {
        device: device("phone"),
        woken: vec![(dataset(), 1)],
        purse: PushBudget::default(),
        fate: TokenDisposition::Stands,
        entry: DeliveryLogEntry::now(300, Some((dataset(), 1)), DeliveryStatus::Accepted { shown: false, id: None }),
    };
    // Something is written while the wake is on its way.
    put(&store, &me(), 2, "laptop", 250);
    act(&store, |group| {
        group.settle(&me(), paid, 300).expect("decides");
        group.end_visit(&me(), &round.owed, &[(dataset(), Some(400))]).expect("decides");
    });
    let round = store.round(&me()).expect("reads").expect("something is owed");
    assert_eq!((round.owed[0].first_ms, round.sleepers[0].woken[0]), (250, 1));
    assert_eq!(store.wakes_due(None, 1000, 9).expect("reads")[0].at_ms, 400);
    act(&store, |group| group.end_visit(&me(), &round.owed, &[(dataset(), None)]).expect("decides"));
    assert!(store.round(&me()).expect("reads").is_none());
    assert!(store.wakes_due(None, u64::MAX - 1, 9).expect("reads").is_empty());
}

#[test]
fn a_token_stands_with_one_device_and_moves_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "bob", &other());
    register(&store, &me(), "phone", "token", 1);
    register(&store, &other(), "phone-of-bob", "token", 2);
    assert_eq!(store.registered(&me(), &device("phone")), Ok(None));
    assert!(store.registered(&other(), &device("phone-of-bob")).expect("reads").is_some());
    put(&store, &me(), 1, "laptop", 10);
    assert!(store.round(&me()).expect("reads").is_none(), "whoever has nobody to wake owes nothing");
    assert!(matches!(&said(&store, &me(), "phone")[0], DeliveryStatus::Changed(why) if why.contains("another device")));
    // Whoever has it now gives it back by another one, and both stand.
    register(&store, &other(), "phone-of-bob", "token-2", 3);
    register(&store, &me(), "phone", "token", 4);
    assert!(store.registered(&other(), &device("phone-of-bob")).expect("reads").is_some());
    act(&store, |group| group.unregister(&me(), &device("phone")).expect("decides"));
    assert_eq!(store.registered(&me(), &device("phone")), Ok(None));
}

#[test]
fn a_token_goes_only_if_it_is_still_the_one_that_failed_and_was_not_registered_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "new", 100);
    let settle = |settled| act(&store, |group| group.settle(&me(), settled, 200).expect("decides"));
    settle(died("old", None));
    assert!(store.registered(&me(), &device("phone")).expect("reads").is_some(), "another token failed");
    settle(died("new", Some(99)));
    assert!(store.registered(&me(), &device("phone")).expect("reads").is_some(), "registered after the provider's date");
    settle(died("new", Some(100)));
    assert_eq!(store.registered(&me(), &device("phone")), Ok(None));
    let sleepers = store.sleepers(&me()).expect("reads");
    assert_eq!(sleepers[0].dead, Some(DeadToken { at_ms: 200, reason: "UNREGISTERED".to_owned() }), "it can be seen");
    register(&store, &me(), "phone", "new", 300);
    assert!(store.registered(&me(), &device("phone")).expect("reads").is_some(), "registered again means fresh");
}

#[test]
fn a_revoked_device_comes_in_no_more_and_its_token_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 1);
    assert!(act(&store, |group| group.revoke(&me(), &device("phone"), Some(5)).expect("decides")));
    assert!(!act(&store, |group| group.revoke(&me(), &device("nobody"), Some(5)).expect("decides")));
    assert_eq!(store.knows(&me(), &device("phone")), Ok(Some(Admission::Revoked)));
    assert_eq!(act(&store, |group| group.admit(&me(), &device("phone"), 10, 1)), Ok(Admission::Revoked));
    let again = act(&store, |group| group.register(&me(), &device("phone"), &registration("token"), 6));
    assert_eq!(again, Ok(RegisterOutcome::NoIdentity), "a request that was let in before");
    assert_eq!(store.registered(&me(), &device("phone")), Ok(None));
    assert!(act(&store, |group| group.revoke(&me(), &device("phone"), None).expect("decides")));
    assert_eq!(store.knows(&me(), &device("phone")), Ok(Some(Admission::Admitted)));
}

#[test]
fn a_device_that_was_not_seen_for_too_long_loses_its_registration() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 100);
    register(&store, &me(), "tablet", "token-2", 500);
    let all = store.registrations(None, 1).expect("reads");
    assert_eq!((all.len(), store.registrations(all.last(), 9).expect("reads").len()), (1, 1));
    assert!(act(&store, |group| group.drop_unseen(&me(), &device("phone"), 200, 900).expect("decides")));
    assert!(!act(&store, |group| group.drop_unseen(&me(), &device("tablet"), 200, 900).expect("decides")));
    assert_eq!(store.sleepers(&me()).expect("reads").len(), 1);
    assert!(store.is_to_be_seen(&me(), &device("tablet"), 1000, 1600).expect("reads"), "not seen for long");
    act(&store, |group| group.seen(&me(), &device("tablet"), 1600).expect("decides"));
    assert!(!store.is_to_be_seen(&me(), &device("tablet"), 1000, 1700).expect("reads"));
    put(&store, &me(), 1, "laptop", 1700);
    assert!(store.is_to_be_seen(&me(), &device("tablet"), 1000, 1700).expect("reads"), "something is owed");
}

#[test]
fn the_log_is_bounded_and_repeats_itself_in_one_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let log = |told: DeliveryStatus, at_ms| {
        act(&store, |group| group.log_wake(&me(), &device("phone"), DeliveryLogEntry::now(at_ms, None, told)).expect("decides"))
    };
    (0..5).for_each(|at| log(DeliveryStatus::None("budget".to_owned()), at));
    (0..2).for_each(|at| log(DeliveryStatus::Accepted { shown: false, id: None }, 10 + at));
    let entries = store.push_log(&me(), &device("phone")).expect("reads");
    assert_eq!(entries.len(), 3, "what was sent is told one by one");
    assert_eq!((entries[2].count, entries[2].first_ms, entries[2].at_ms), (5, 0, 4));
    (0..200).for_each(|at| log(DeliveryStatus::Dead(at.to_string()), at));
    let entries = store.push_log(&me(), &device("phone")).expect("reads");
    assert_eq!(entries.len() as u64, crate::store::DELIVERY_LOG_ENTRIES);
    assert_eq!(entries[0].told, DeliveryStatus::Dead("199".to_owned()));
}

#[test]
fn the_devices_of_a_merged_identity_are_woken_as_the_other_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "guest", &other());
    register(&store, &other(), "phone", "token", 1);
    put(&store, &other(), 1, "tablet", 10);
    put(&store, &me(), 1, "laptop", 10);
    act(&store, |group| {
        let policies = MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() };
        assert_eq!(group.merge(&other(), &me(), &policies).expect("decides"), MergeStart::Begun);
    });
    finish_job(&store, &other());
    assert!(store.round(&other()).expect("reads").is_none());
    let round = store.round(&me()).expect("reads").expect("the merge itself is owed");
    assert_eq!((round.sleepers.len(), round.owed[0].foreign_to(&device("phone"))), (1, round.owed[0].version));
    assert_eq!(store.wakes_due(None, u64::MAX - 1, 9).expect("reads").len(), 1);
    // The token is bound to its new owner.
    register(&store, &me(), "tablet", "token", 20);
    assert_eq!(store.registered(&me(), &device("phone")), Ok(None));
}

#[test]
fn of_two_registrations_of_a_merged_device_the_one_that_can_be_woken_stays() {
    for dead_here in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        sign_in(&store, "guest", &other());
        register(&store, &me(), "phone", "mine", 100);
        register(&store, &other(), "phone", "theirs", 50);
        let (whose, token) = if dead_here { (me(), "mine") } else { (other(), "theirs") };
        act(&store, |group| group.settle(&whose, died(token, None), 200).expect("decides"));
        put(&store, &other(), 1, "tablet", 10);
        let woken = WakeResult { woken: vec![(dataset(), 50)], fate: TokenDisposition::Stands, ..died("", None) };
        act(&store, |group| group.settle(&other(), woken, 200).expect("decides"));
        act(&store, |group| {
            group.merge(&other(), &me(), &MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() }).expect("decides")
        });
        finish_job(&store, &other());
        let round = store.round(&me()).expect("reads").expect("the merge is owed");
        let stays = round.sleepers[0].target.as_ref().map(|target| target.address().to_owned());
        assert_eq!(stays.as_deref(), Some(if dead_here { "theirs" } else { "mine" }));
        assert_eq!(round.sleepers[0].woken, [0], "versions of the other identity say nothing here");
    }
}
