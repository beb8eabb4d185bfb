use driftless_protocol::{Content, DatasetName, Op, Value, limits};

use super::erasing::work;
use crate::merge::Policy;
use crate::store::support::{all_of, dataset, device, key, me, patch, sign_in, store, write, write_at};
use crate::store::{
    DatasetRules, Decision, EraseStart, Identity, LinkResult, LoginKey, MergePolicies, MergeStart, Patch, Store, VersionOrigin,
};

fn guest() -> Identity {
    Identity::from("local:guest")
}

fn as_guest(patch: Patch) -> Patch {
    Patch { identity: guest(), ..patch }
}

/// The user has theme, shared and only.user; the guest theme, shared, only.guest, and a dataset of its own.
fn story(store: &Store) {
    sign_in(store, "guest", &guest());
    let rules = DatasetRules::default();
    write_at(store, &patch(1, "laptop", &[("theme", Op::Put, "\"user\""), ("shared", Op::Put, "1"), ("u", Op::Put, "1")]), &rules, 100);
    let theirs = patch(1, "phone", &[("theme", Op::Put, "\"guest\""), ("shared", Op::Put, "1"), ("g", Op::Put, "1"), ("r", Op::Put, "1")]);
    write_at(store, &as_guest(theirs), &rules, 200);
    write_at(store, &as_guest(patch(2, "phone", &[("r", Op::Remove, "")])), &rules, 200);
    let mut own = as_guest(patch(3, "phone", &[("x", Op::Put, "1")]));
    own.dataset = DatasetName::new("own").expect("a name");
    write_at(store, &own, &rules, 200);
    let mut group = store.group();
    group.admit(&guest(), &device("phone"), 10, 1).expect("decides");
    group.acknowledge(&guest(), &device("phone"), &own.dataset, 1).expect("decides");
    group.commit().expect("commits");
}

fn merge(store: &Store, policy: Policy) {
    let mut group = store.group();
    let policies = MergePolicies { policy, datasets: Vec::new() };
    assert_eq!(group.merge(&guest(), &me(), &policies).expect("decides"), MergeStart::Begun);
    group.commit().expect("commits");
    work(store, &guest());
}

fn value(store: &Store, name: &str) -> Option<Value> {
    let found = all_of(store, &me()).into_iter().find(|record| record.key == key(name))?;
    found.content.value().cloned()
}

#[test]
fn a_guest_becomes_a_user_and_nothing_is_lost() {
    for (policy, theme, met) in [(Policy::Reject, "user", "guest"), (Policy::LastWriterWins, "guest", "user")] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        story(&store);
        merge(&store, policy);
        assert_eq!(value(&store, "theme"), Some(Value::from(theme)));
        assert_eq!((value(&store, "u"), value(&store, "g"), value(&store, "r")), (Some(Value::from(1)), Some(Value::from(1)), None));
        let history = store.history(&me(), &dataset(), None, 1).expect("reads");
        let step = &history.steps[0];
        assert_eq!((step.version, &step.what), (2, &VersionOrigin::Merged("local:guest".to_owned())));
        // The record that did not get its place is kept: as not taken, or as what was before.
        let before = store.at(&me(), &dataset(), 1).expect("reads").expect("kept");
        let kept = step.lost.iter().chain(&before).any(|record| record.content == Content::Value(Value::from(met)));
        assert!(kept, "{policy:?}: {step:?}");
        assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1, "and an operator can see it");

        let own = DatasetName::new("own").expect("a name");
        let moved = store.head(&me(), &own).expect("reads");
        assert_eq!((moved.version, moved.records), (1, 1), "what only the guest had came over as it was");
        assert_eq!(store.acknowledged_version(&me(), &device("phone"), &own).expect("reads"), 1);
        assert!(store.device_admission(&me(), &device("phone")).expect("reads").is_some());
        assert_eq!(store.merged(&me()).expect("reads"), Some(vec!["local:guest".to_owned()]));
        assert_eq!(store.merged(&guest()).expect("reads"), None);
        assert_eq!(store.datasets(&guest()).expect("reads"), []);
        let login = LoginKey { pool: "demo", issuer: "issuer", subject: "guest" };
        assert_eq!(store.identity(login).expect("reads"), Some(me()));
        let left = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
        let owned = left.iter().filter(|(key, _)| key.windows(11).any(|part| part == b"local:guest")).count();
        assert_eq!(owned, 0, "no row of the guest is left");
    }
}

#[test]
fn a_write_to_the_guest_after_it_began_is_not_taken_and_its_retry_is_applied_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    story(&store);
    let count = |identity: Identity, id| Patch { identity, ..patch(id, "phone", &[("count", Op::Add, "1")]) };
    assert!(matches!(write(&store, &count(guest(), 4)), Decision::Written { .. }), "applied; its reply gets lost");
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default()).expect("decides");
    // In the same group, behind it.
    assert_eq!(group.write(count(guest(), 5), &DatasetRules::default(), 300).expect("decides"), Decision::NoIdentity);
    group.commit().expect("commits");
    assert!(matches!(write(&store, &count(me(), 4)), Decision::Repeated { .. }), "even before its dataset came over");
    work(&store, &guest());
    assert!(matches!(write(&store, &count(me(), 4)), Decision::Repeated { .. }));
    assert!(matches!(write(&store, &count(me(), 5)), Decision::Written { .. }));
    assert_eq!(value(&store, "count"), Some(Value::from(2)));
}

#[test]
fn a_write_to_the_user_in_the_middle_meets_the_guests_records_or_comes_before_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    story(&store);
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default()).expect("decides");
    group.commit().expect("commits");
    assert!(matches!(write(&store, &patch(2, "laptop", &[("g", Op::Put, "\"user\"")])), Decision::Written { version: 2, .. }));
    work(&store, &guest());
    assert_eq!(value(&store, "g"), Some(Value::from("user")), "it stands, by the policy");
    let step = store.history(&me(), &dataset(), None, 1).expect("reads").steps.remove(0);
    assert_eq!(step.lost.iter().filter(|record| record.key == key("g")).count(), 1);
}

#[test]
fn what_cannot_be_merged_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut group = store.group();
    let policies = MergePolicies::default();
    assert_eq!(group.merge(&me(), &me(), &policies).expect("decides"), MergeStart::Same);
    assert_eq!(group.merge(&guest(), &me(), &policies).expect("decides"), MergeStart::NoIdentity(guest()));
    let elsewhere = Identity::from("local:9");
    group.identity(LoginKey { pool: "other", issuer: "i", subject: "s" }, &elsewhere, 1).expect("decides");
    assert_eq!(group.merge(&elsewhere, &me(), &policies).expect("decides"), MergeStart::OtherPool);
}

#[test]
fn a_user_who_is_erased_while_a_guest_comes_in_takes_it_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    story(&store);
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default()).expect("decides");
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::Begun);
    group.commit().expect("commits");
    work(&store, &me());
    work(&store, &guest());
    let left = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let owned: Vec<_> = left
        .iter()
        .filter(|(key, _)| key.windows(6).any(|part| part == b"local:"))
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect();
    assert_eq!(owned, Vec::<String>::new());
}

#[test]
fn a_second_login_leads_to_the_same_identity() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "bob", &Identity::from("local:2"));
    let login = |subject| LoginKey { pool: "demo", issuer: "other", subject };
    let mut group = store.group();
    assert_eq!(group.link(login("alice@other"), &me()).expect("decides"), LinkResult::Linked);
    assert_eq!(group.link(login("alice@other"), &me()).expect("decides"), LinkResult::Linked, "again");
    let bob = LoginKey { pool: "demo", issuer: "issuer", subject: "bob" };
    assert_eq!(group.link(bob, &me()).expect("decides"), LinkResult::LinkedElsewhere(Identity::from("local:2")));
    assert_eq!(group.link(login("x"), &Identity::from("local:none")).expect("decides"), LinkResult::NoIdentity);
    group.commit().expect("commits");
    assert_eq!(store.identity(login("alice@other")).expect("reads"), Some(me()));
    let found = store.logins("demo", "alice@other", 9).expect("reads");
    assert_eq!((found.len(), found[0].issuer.as_str()), (1, "other"));
    assert_eq!(store.logins("demo", "nobody", 9).expect("reads"), []);
}

#[test]
fn only_the_newest_merges_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for n in 0..limits::MERGED + 5 {
        let guest = Identity::from(format!("local:g{n}").as_str());
        sign_in(&store, &format!("g{n}"), &guest);
        let mut group = store.group();
        assert_eq!(group.merge(&guest, &me(), &MergePolicies::default()).expect("decides"), MergeStart::Begun);
        group.commit().expect("commits");
        work(&store, &guest);
    }
    let merged = store.merged(&me()).expect("reads").expect("there");
    assert_eq!((merged.len(), merged[0].as_str()), (limits::MERGED, "local:g5"));
}

#[test]
fn a_chain_of_merges_brings_everything_to_its_end_whatever_step_comes_first() {
    // Guest into user, user into a third; the works take turns in each order.
    for first in [guest(), me()] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        story(&store);
        let end = Identity::from("local:end");
        sign_in(&store, "end", &end);
        for (from, into) in [(guest(), me()), (me(), end.clone())] {
            let mut group = store.group();
            assert_eq!(group.merge(&from, &into, &MergePolicies::default()).expect("decides"), MergeStart::Begun);
            group.commit().expect("commits");
        }
        work(&store, &first);
        work(&store, &guest());
        work(&store, &me());
        let names: Vec<_> = store.datasets(&end).expect("reads").into_iter().map(|info| (info.dataset.to_string(), info.records)).collect();
        assert_eq!(names, [("d".to_owned(), 4), ("own".to_owned(), 1)], "{first}");
        assert_eq!(store.works(9).expect("reads"), []);
        assert_eq!(store.merged(&end).expect("reads").expect("there"), ["local:guest", "local:1"]);
    }
}

#[test]
fn every_kind_that_an_identity_owns_has_its_way_in_a_merge() {
    use crate::store::keys::RowKind;
    for kind in RowKind::owned_by_identity() {
        let goes_along = match kind {
            // With the first batch.
            RowKind::Identity | RowKind::IdentityLogin | RowKind::Device | RowKind::Patch | RowKind::Job => true,
            RowKind::Registration | RowKind::PushBudget | RowKind::DeliveryLog | RowKind::Debt => true,
            // With its dataset.
            RowKind::Head | RowKind::Ack => true,
            kind => crate::store::moving::PARTS.contains(&kind),
        };
        assert!(goes_along, "{kind:?} would be swept away by a merge");
    }
}
