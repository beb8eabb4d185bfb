//! Registrations, debts and delivery logs.

use driftless_protocol::{Op, PushTarget, Registration};

use super::erasing::finish_job;
use crate::merge::ConflictPolicy;
use crate::store::support::{dataset, device, me, patch, sign_in, store, write_at};
use crate::store::{
    Admission, DatasetRules, DeadToken, DeliveryLogEntry, DeliveryStatus, DeviceBound, Identity, MergePolicies, MergeStart, Patch,
    PushBudget, RegisterOutcome, Store, TokenDisposition, TokenLoss, WakeResult,
};

fn other() -> Identity {
    Identity::from("local:2")
}

pub(super) fn registration(token: &str) -> Registration {
    Registration { target: PushTarget::Fcm(token.to_owned()), app: "app".to_owned(), datasets: None, shown: false }
}

fn register(store: &Store, identity: &Identity, name: &str, token: &str, now_ms: u64) {
    let mut group = store.group();
    group.admit(identity, &device(name), &DeviceBound::without_sessions(10), 1).expect("decides");
    assert_eq!(group.register(identity, &device(name), &registration(token), now_ms), Ok(RegisterOutcome::Done));
    group.commit().expect("commits");
}

fn commit<T>(store: &Store, decide: impl FnOnce(&mut crate::store::Group<'_>) -> T) -> T {
    let mut group = store.group();
    let decided = decide(&mut group);
    group.commit().expect("commits");
    decided
}

fn put(store: &Store, identity: &Identity, id: u64, name: &str, now_ms: u64) {
    let patch = Patch { identity: identity.clone(), ..patch(id, name, &[("k", Op::Put, &id.to_string())]) };
    write_at(store, &patch, &DatasetRules::default(), now_ms);
}

fn logged(store: &Store, identity: &Identity, name: &str) -> Vec<DeliveryStatus> {
    store.delivery_log(identity, &device(name)).expect("reads").into_iter().map(|entry| entry.status).collect()
}

pub(super) fn dead_token(token: &str, since_ms: Option<u64>) -> WakeResult {
    let failed = PushTarget::Fcm(token.to_owned());
    WakeResult {
        device: device("phone"),
        woken: Vec::new(),
        budget: PushBudget::default(),
        disposition: TokenDisposition::MarkDead { failed, since_ms, reason: "UNREGISTERED".to_owned() },
        log_entry: DeliveryLogEntry::new(9, None, DeliveryStatus::TokenDead("UNREGISTERED".to_owned())),
    }
}

#[test]
fn a_write_records_a_debt_in_its_batch_and_only_if_a_device_has_a_push_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    put(&store, &me(), 1, "laptop", 100);
    assert!(store.wake_round(&me()).expect("reads").is_none(), "no device is registered");
    register(&store, &me(), "phone", "token", 150);
    put(&store, &me(), 2, "laptop", 200);
    put(&store, &me(), 3, "laptop", 300);
    let round = store.wake_round(&me()).expect("reads").expect("a debt");
    let debt = &round.debts[0];
    assert_eq!((debt.version, debt.first_ms, debt.changed_ms), (3, 200, 300));
    assert_eq!((debt.version_from_others(&device("phone")), debt.version_from_others(&device("laptop"))), (3, 0));
    put(&store, &me(), 1, "phone", 400);
    let round = store.wake_round(&me()).expect("reads").expect("a debt");
    assert_eq!((round.debts[0].version_from_others(&device("phone")), round.debts[0].version_from_others(&device("laptop"))), (3, 4));
    assert_eq!(store.due_identities(None, 199, 9).expect("reads").len(), 0);
    let due = store.due_identities(None, 200, 9).expect("reads");
    assert_eq!((due.len(), &due[0].identity, due[0].at_ms), (1, &me(), 200));
    assert!(store.due_identities(due.last(), 200, 9).expect("reads").is_empty());
}

#[test]
fn nobody_is_woken_once_an_identity_is_erased() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 1);
    put(&store, &me(), 1, "laptop", 200);
    assert_eq!(store.wake_round(&me()).expect("reads").expect("a debt").targets.len(), 1);
    commit(&store, |group| group.erase(&me()).expect("decides"));
    assert_eq!(store.due_identities(None, 1000, 9).expect("reads").len(), 1, "the rows of the debt are deleted in steps");
    assert!(store.wake_round(&me()).expect("reads").is_none());
    finish_job(&store, &me());
    assert!(store.due_identities(None, u64::MAX - 1, 9).expect("reads").is_empty());
}

#[test]
fn a_debt_outlives_a_restart_and_ends_only_when_the_courier_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = store(folder.path());
    register(&opened, &me(), "phone", "token", 1);
    put(&opened, &me(), 1, "laptop", 200);
    drop(opened);
    let store = Store::open(folder.path(), &crate::store::support::CONFIG, &crate::store::support::epoch("first")).expect("opens");
    let round = store.wake_round(&me()).expect("reads").expect("a debt");
    let accepted = WakeResult {
        device: device("phone"),
        woken: vec![(dataset(), 1)],
        budget: PushBudget::default(),
        disposition: TokenDisposition::Keep,
        log_entry: DeliveryLogEntry::new(300, Some((dataset(), 1)), DeliveryStatus::Accepted { shown: false, id: None }),
    };
    // A write commits while the wake is being sent.
    put(&store, &me(), 2, "laptop", 250);
    commit(&store, |group| {
        group.record_wake_result(&me(), accepted, 300).expect("decides");
        group.mark_debts_examined(&me(), &round.debts).expect("decides");
        group.reschedule_debts(&me(), &[(dataset(), Some(400))]).expect("decides");
    });
    let round = store.wake_round(&me()).expect("reads").expect("a debt");
    assert_eq!((round.debts[0].first_ms, round.targets[0].debts[0].woken), (250, 1));
    assert_eq!(store.due_identities(None, 1000, 9).expect("reads")[0].at_ms, 400);
    commit(&store, |group| {
        group.mark_debts_examined(&me(), &round.debts).expect("decides");
        group.reschedule_debts(&me(), &[(dataset(), None)]).expect("decides");
    });
    assert!(store.wake_round(&me()).expect("reads").is_none());
    assert!(store.due_identities(None, u64::MAX - 1, 9).expect("reads").is_empty());
}

#[test]
fn a_token_belongs_to_one_device_and_moves_when_another_registers_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "bob", &other());
    register(&store, &me(), "phone", "token", 1);
    register(&store, &other(), "phone-of-bob", "token", 2);
    assert_eq!(store.live_registration(&me(), &device("phone")), Ok(None));
    assert!(store.live_registration(&other(), &device("phone-of-bob")).expect("reads").is_some());
    put(&store, &me(), 1, "laptop", 10);
    assert!(store.wake_round(&me()).expect("reads").is_none(), "an identity without a push token has no debts");
    assert!(matches!(&logged(&store, &me(), "phone")[0], DeliveryStatus::Note(why) if why.contains("another user")));
    let lost = store.lost_token(&me(), &device("phone")).expect("reads").expect("a lost token");
    assert_eq!((lost.at_ms, lost.loss), (2, TokenLoss::Moved));
    assert_eq!(store.lost_token(&other(), &device("phone-of-bob")), Ok(None));
    assert_eq!(store.lost_token(&me(), &device("laptop")), Ok(None), "it never registered");
    // Its new device registers another token, and the first device registers it again: both have a token.
    register(&store, &other(), "phone-of-bob", "token-2", 3);
    register(&store, &me(), "phone", "token", 4);
    assert!(store.live_registration(&other(), &device("phone-of-bob")).expect("reads").is_some());
    assert_eq!(store.lost_token(&me(), &device("phone")), Ok(None), "registering again ends the notice");
    register(&store, &me(), "tablet", "token", 5);
    let lost = store.lost_token(&me(), &device("phone")).expect("reads").expect("a lost token");
    assert!(lost.loss == TokenLoss::Moved && lost.reason.contains("same user"), "{lost:?}");
    commit(&store, |group| group.unregister(&me(), &device("phone")).expect("decides"));
    assert_eq!(store.lost_token(&me(), &device("phone")), Ok(None), "unregistering ends the notice");
    assert_eq!(store.live_registration(&me(), &device("phone")), Ok(None));
}

#[test]
fn a_token_is_marked_dead_only_if_it_is_still_the_one_that_failed_and_was_not_registered_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "new", 100);
    let record = |result| commit(&store, |group| group.record_wake_result(&me(), result, 200).expect("decides"));
    record(dead_token("old", None));
    assert!(store.live_registration(&me(), &device("phone")).expect("reads").is_some(), "another token failed");
    record(dead_token("new", Some(99)));
    assert!(store.live_registration(&me(), &device("phone")).expect("reads").is_some(), "registered after the provider's date");
    record(dead_token("new", Some(100)));
    assert_eq!(store.live_registration(&me(), &device("phone")), Ok(None));
    let targets = store.wake_targets(&me()).expect("reads");
    assert_eq!(
        targets[0].dead,
        Some(DeadToken { at_ms: 200, reason: "UNREGISTERED".to_owned(), loss: TokenLoss::Dead }),
        "an operator can see why"
    );
    register(&store, &me(), "phone", "new", 300);
    assert!(store.live_registration(&me(), &device("phone")).expect("reads").is_some(), "registering it again makes it live");
}

#[test]
fn a_revoked_device_may_not_sign_in_and_its_token_is_released() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 1);
    assert!(commit(&store, |group| group.set_revoked(&me(), &device("phone"), Some(5), 5).expect("decides")));
    assert!(!commit(&store, |group| group.set_revoked(&me(), &device("nobody"), Some(5), 5).expect("decides")));
    assert_eq!(store.device_admission(&me(), &device("phone")), Ok(Some(Admission::Revoked)));
    let admitted = commit(&store, |group| group.admit(&me(), &device("phone"), &DeviceBound::without_sessions(10), 1));
    assert_eq!(admitted, Ok((Admission::Revoked, Vec::new())));
    let again = commit(&store, |group| group.register(&me(), &device("phone"), &registration("token"), 6));
    assert_eq!(again, Ok(RegisterOutcome::NoIdentity), "a request from before the revocation");
    assert_eq!(store.live_registration(&me(), &device("phone")), Ok(None));
    assert!(commit(&store, |group| group.set_revoked(&me(), &device("phone"), None, 6).expect("decides")));
    assert_eq!(store.device_admission(&me(), &device("phone")), Ok(Some(Admission::Admitted)));
}

#[test]
fn a_device_that_was_not_seen_for_too_long_loses_its_registration() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 100);
    register(&store, &me(), "tablet", "token-2", 500);
    let all = store.registrations(None, 1).expect("reads");
    assert_eq!((all.len(), store.registrations(all.last(), 9).expect("reads").len()), (1, 1));
    assert!(commit(&store, |group| group.drop_stale_registration(&me(), &device("phone"), 200, 900).expect("decides")));
    assert!(!commit(&store, |group| group.drop_stale_registration(&me(), &device("tablet"), 200, 900).expect("decides")));
    assert_eq!(store.wake_targets(&me()).expect("reads").len(), 1);
    assert!(store.should_mark_seen(&me(), &device("tablet"), 1000, 1600).expect("reads"), "not seen for long");
    commit(&store, |group| group.mark_seen(&me(), &device("tablet"), 1600).expect("decides"));
    assert!(!store.should_mark_seen(&me(), &device("tablet"), 1000, 1700).expect("reads"));
    put(&store, &me(), 1, "laptop", 1700);
    assert!(store.should_mark_seen(&me(), &device("tablet"), 1000, 1700).expect("reads"), "there is a debt");
}

#[test]
fn the_delivery_log_is_bounded_and_repeated_events_are_one_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    register(&store, &me(), "phone", "token", 0);
    let own = store.delivery_log(&me(), &device("phone")).expect("reads").len();
    let log = |status: DeliveryStatus, at_ms| {
        commit(&store, |group| {
            group.append_delivery_log(&me(), &device("phone"), DeliveryLogEntry::new(at_ms, None, status)).expect("decides")
        })
    };
    (0..5).for_each(|at| log(DeliveryStatus::NotSent("budget".to_owned()), at));
    (0..2).for_each(|at| log(DeliveryStatus::Accepted { shown: false, id: None }, 10 + at));
    let entries = store.delivery_log(&me(), &device("phone")).expect("reads");
    assert_eq!(entries.len(), own + 3, "each accepted wake has an entry");
    assert_eq!((entries[2].count, entries[2].first_ms, entries[2].at_ms), (5, 0, 4));
    (0..200).for_each(|at| log(DeliveryStatus::TokenDead(at.to_string()), at));
    let entries = store.delivery_log(&me(), &device("phone")).expect("reads");
    assert_eq!(entries.len() as u64, crate::store::DELIVERY_LOG_ENTRIES);
    assert_eq!(entries[0].status, DeliveryStatus::TokenDead("199".to_owned()));
}

#[test]
fn the_devices_of_a_merged_identity_are_woken_for_the_other_identity() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "guest", &other());
    register(&store, &other(), "phone", "token", 1);
    put(&store, &other(), 1, "tablet", 10);
    put(&store, &me(), 1, "laptop", 10);
    commit(&store, |group| {
        let policies = MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() };
        assert_eq!(group.merge(&other(), &me(), &policies, 7).expect("decides"), MergeStart::Begun);
    });
    finish_job(&store, &other());
    assert!(store.wake_round(&other()).expect("reads").is_none());
    let round = store.wake_round(&me()).expect("reads").expect("the merge itself is a debt");
    assert_eq!((round.targets.len(), round.debts[0].version_from_others(&device("phone"))), (1, round.debts[0].version));
    assert_eq!(store.due_identities(None, u64::MAX - 1, 9).expect("reads").len(), 1);
    // The token is bound to the other identity: registering it for another device moves it.
    register(&store, &me(), "tablet", "token", 20);
    assert_eq!(store.live_registration(&me(), &device("phone")), Ok(None));
}

#[test]
fn of_two_registrations_of_a_merged_device_the_one_with_a_live_token_stays() {
    for dead_here in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        sign_in(&store, "guest", &other());
        register(&store, &me(), "phone", "mine", 100);
        register(&store, &other(), "phone", "theirs", 50);
        let (owner, token) = if dead_here { (me(), "mine") } else { (other(), "theirs") };
        commit(&store, |group| group.record_wake_result(&owner, dead_token(token, None), 200).expect("decides"));
        put(&store, &other(), 1, "tablet", 10);
        let woken = WakeResult { woken: vec![(dataset(), 50)], disposition: TokenDisposition::Keep, ..dead_token("", None) };
        commit(&store, |group| group.record_wake_result(&other(), woken, 200).expect("decides"));
        commit(&store, |group| {
            group.merge(&other(), &me(), &MergePolicies { policy: ConflictPolicy::Reject, datasets: Vec::new() }, 7).expect("decides")
        });
        finish_job(&store, &other());
        let round = store.wake_round(&me()).expect("reads").expect("the merge is a debt");
        let stays = round.targets[0].target.as_ref().map(|target| target.address().to_owned());
        assert_eq!(stays.as_deref(), Some(if dead_here { "theirs" } else { "mine" }));
        assert_eq!(
            (round.targets[0].debts.len(), round.targets[0].debts[0].woken),
            (1, 0),
            "versions of the other identity mean nothing here"
        );
    }
}
