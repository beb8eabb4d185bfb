//! Merging a guest into a user: no record is lost, and a patch is applied once whichever identity it reaches.

use driftless_protocol::{Content, DatasetName, Op, RefusalCode, Value, limits};

use super::erasing::finish_job;
use crate::merge::ConflictPolicy;
use crate::store::keys;
use crate::store::row_source::RowSource;
use crate::store::rows::IdentityRow;
use crate::store::support::{all_of, dataset, device, key, me, patch, sign_in, store, write, write_at};
use crate::store::{
    DatasetRules, Decision, DeviceBound, EraseStart, Identity, LinkResult, LoginKey, MergePolicies, MergeStart, Patch, Store, VersionOrigin,
};

pub(super) fn guest() -> Identity {
    Identity::from("local:guest")
}

fn as_guest(patch: Patch) -> Patch {
    Patch { identity: guest(), ..patch }
}

/// The user has the records theme, shared and u; the guest theme, shared, g, a removed r, and a dataset of its own.
pub(super) fn write_both(store: &Store) {
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
    group.admit(&guest(), &device("phone"), &DeviceBound::without_sessions(10), 1).expect("decides");
    group.acknowledge(&guest(), &device("phone"), &own.dataset, 1).expect("decides");
    group.commit().expect("commits");
}

/// Begins to merge the guest into the user.
pub(super) fn begin(store: &Store, policy: ConflictPolicy) {
    let mut group = store.group();
    let policies = MergePolicies { policy, datasets: Vec::new() };
    assert_eq!(group.merge(&guest(), &me(), &policies, 7).expect("decides"), MergeStart::Begun);
    group.commit().expect("commits");
}

fn merge(store: &Store, policy: ConflictPolicy) {
    begin(store, policy);
    finish_job(store, &guest());
}

fn value(store: &Store, name: &str) -> Option<Value> {
    let found = all_of(store, &me()).into_iter().find(|record| record.key == key(name))?;
    found.content.value().cloned()
}

#[test]
fn a_guest_becomes_a_user_and_nothing_is_lost() {
    for (policy, theme, kept) in [(ConflictPolicy::Reject, "user", "guest"), (ConflictPolicy::LastWriterWins, "guest", "user")] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write_both(&store);
        merge(&store, policy);
        assert_eq!(value(&store, "theme"), Some(Value::from(theme)));
        assert_eq!((value(&store, "u"), value(&store, "g"), value(&store, "r")), (Some(Value::from(1)), Some(Value::from(1)), None));
        let history = store.history(&me(), &dataset(), None, 1).expect("reads");
        let entry = &history.versions[0];
        assert_eq!((entry.version, &entry.origin), (2, &VersionOrigin::Merged("local:guest".to_owned())));
        // History keeps the record that the policy decided against: as not taken, or as the state before.
        let before = store.records_at(&me(), &dataset(), 1).expect("reads").expect("kept");
        let is_kept = entry.not_taken.iter().chain(&before).any(|record| record.content == Content::Value(Value::from(kept)));
        assert!(is_kept, "{policy:?}: {entry:?}");
        assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1, "an operator can see the conflict");

        let own = DatasetName::new("own").expect("a name");
        let moved = store.head(&me(), &own).expect("reads");
        assert_eq!((moved.version, moved.records), (1, 1), "a dataset that only the guest had moved as it was");
        assert_eq!(store.acknowledged_version(&me(), &device("phone"), &own).expect("reads"), 1);
        assert!(store.device_admission(&me(), &device("phone")).expect("reads").is_some());
        assert_eq!(store.merged(&me()).expect("reads"), Some(vec!["local:guest".to_owned()]));
        assert_eq!(store.merged(&guest()).expect("reads"), None);
        assert_eq!(store.datasets(&guest()).expect("reads"), []);
        let login = LoginKey { pool: "demo", issuer: "issuer", subject: "guest" };
        assert_eq!(store.identity(login).expect("reads"), Some(me()));
        let remaining = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
        let owned = remaining.iter().filter(|(key, _)| key.windows(11).any(|part| part == b"local:guest")).count();
        assert_eq!(owned, 0, "no row of the guest is left");
    }
}

#[test]
fn a_write_to_the_guest_after_the_merge_began_is_rejected_and_its_retry_is_applied_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_both(&store);
    let count = |identity: Identity, id| Patch { identity, ..patch(id, "phone", &[("count", Op::Add, "1")]) };
    assert!(matches!(write(&store, &count(guest(), 4)), Decision::Written { .. }), "it is applied, but its reply is lost");
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default(), 7).expect("decides");
    // In the same group, after the merge began.
    assert_eq!(group.write(&count(guest(), 5), &DatasetRules::default(), 300).expect("decides"), Decision::NoIdentity);
    group.commit().expect("commits");
    assert!(matches!(write(&store, &count(me(), 4)), Decision::Repeated { .. }), "even before its dataset has moved");
    finish_job(&store, &guest());
    assert!(matches!(write(&store, &count(me(), 4)), Decision::Repeated { .. }));
    assert!(matches!(write(&store, &count(me(), 5)), Decision::Written { .. }));
    assert_eq!(value(&store, "count"), Some(Value::from(2)));
}

#[test]
fn a_write_to_the_user_during_the_merge_wins_over_the_guests_record_by_the_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_both(&store);
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default(), 7).expect("decides");
    group.commit().expect("commits");
    assert!(matches!(write(&store, &patch(2, "laptop", &[("g", Op::Put, "\"user\"")])), Decision::Written { version: 2, .. }));
    finish_job(&store, &guest());
    assert_eq!(value(&store, "g"), Some(Value::from("user")), "the policy keeps the user's record");
    let entry = store.history(&me(), &dataset(), None, 1).expect("reads").versions.remove(0);
    assert_eq!(entry.not_taken.iter().filter(|record| record.key == key("g")).count(), 1);
}

#[test]
fn a_dataset_with_a_policy_of_its_own_is_merged_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_both(&store);
    let others = DatasetName::new("own").expect("a name");
    let datasets = vec![(others, ConflictPolicy::Reject), (dataset(), ConflictPolicy::LastWriterWins)];
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies { policy: ConflictPolicy::Reject, datasets }, 7).expect("decides");
    group.commit().expect("commits");
    finish_job(&store, &guest());
    assert_eq!(value(&store, "theme"), Some(Value::from("guest")));
}

#[test]
fn of_two_patches_in_one_slot_the_newer_one_is_known_after_a_merge() {
    for (users, guests) in [(3, 3 + limits::PATCH_WINDOW), (3 + limits::PATCH_WINDOW, 3)] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        sign_in(&store, "guest", &guest());
        let user_patch = |id| patch(id, "phone", &[("user", Op::Put, "1")]);
        let guest_patch = |id| as_guest(patch(id, "phone", &[("guest", Op::Put, "1")]));
        write(&store, &user_patch(users));
        write(&store, &guest_patch(guests));
        merge(&store, ConflictPolicy::Reject);
        let as_user = |patch: Patch| Patch { identity: me(), ..patch };
        let (older, newer) = match users < guests {
            true => (user_patch(users), as_user(guest_patch(guests))),
            false => (as_user(guest_patch(guests)), user_patch(users)),
        };
        assert!(matches!(write(&store, &newer), Decision::Repeated { .. }), "{users} and {guests}");
        assert!(matches!(write(&store, &older), Decision::Refused(RefusalCode::PatchExpired, _)), "{users} and {guests}");
    }
}

#[test]
fn a_merge_that_is_not_possible_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut group = store.group();
    let policies = MergePolicies::default();
    assert_eq!(group.merge(&me(), &me(), &policies, 7).expect("decides"), MergeStart::Same);
    assert_eq!(group.merge(&guest(), &me(), &policies, 7).expect("decides"), MergeStart::NoIdentity(guest()));
    let elsewhere = Identity::from("local:9");
    group.identity(LoginKey { pool: "other", issuer: "i", subject: "s" }, &elsewhere, 1).expect("decides");
    assert_eq!(group.merge(&elsewhere, &me(), &policies, 7).expect("decides"), MergeStart::OtherPool);
}

#[test]
fn erasing_a_user_during_a_merge_erases_the_guest_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    write_both(&store);
    let mut group = store.group();
    group.merge(&guest(), &me(), &MergePolicies::default(), 7).expect("decides");
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::Begun);
    group.commit().expect("commits");
    finish_job(&store, &me());
    finish_job(&store, &guest());
    let remaining = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let owned: Vec<_> = remaining
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
    assert_eq!(group.link(login("alice@other"), &me(), 7).expect("decides"), LinkResult::Linked);
    assert_eq!(group.link(login("alice@other"), &me(), 7).expect("decides"), LinkResult::Known, "again");
    let bob = LoginKey { pool: "demo", issuer: "issuer", subject: "bob" };
    assert_eq!(group.link(bob, &me(), 7).expect("decides"), LinkResult::LinkedElsewhere(Identity::from("local:2")));
    assert_eq!(group.link(login("x"), &Identity::from("local:none"), 7).expect("decides"), LinkResult::NoIdentity);
    group.commit().expect("commits");
    assert_eq!(store.identity(login("alice@other")).expect("reads"), Some(me()));
    let found = store.logins("demo", "alice@other", 9).expect("reads");
    assert_eq!((found.len(), found[0].issuer.as_str()), (1, "other"));
    assert_eq!(store.logins("demo", "nobody", 9).expect("reads"), []);
}

#[test]
fn an_identity_knows_which_logins_were_linked_to_it_and_has_a_bounded_number_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    assert_eq!(store.linked_logins(&me()).expect("reads"), [], "the identity was made for its first login");
    let link = |number: usize| {
        let subject = format!("login-{number}");
        let mut group = store.group();
        let login = LoginKey { pool: "demo", issuer: "other", subject: &subject };
        let linked = group.link(login, &me(), number as u64).expect("decides");
        group.commit().expect("commits");
        linked
    };
    for number in 1..limits::LOGINS_PER_IDENTITY {
        assert_eq!(link(number), LinkResult::Linked);
    }
    assert_eq!(link(1), LinkResult::Known);
    assert_eq!(link(limits::LOGINS_PER_IDENTITY), LinkResult::TooManyLogins);
    let linked = store.linked_logins(&me()).expect("reads");
    let newest = limits::LOGINS_PER_IDENTITY as u64 - 1;
    assert_eq!(linked.iter().map(|login| login.at_ms).collect::<Vec<_>>(), (newest - 15..=newest).rev().collect::<Vec<_>>());
    assert_eq!((linked[0].issuer.as_str(), linked[0].subject.as_str()), ("other", "login-255"));
    sign_in(&store, "guest", &guest());
    let mut group = store.group();
    assert_eq!(group.merge(&guest(), &me(), &MergePolicies::default(), 7).expect("decides"), MergeStart::TooManyLogins);
    let other = Identity::from("local:other");
    for (number, start) in [(limits::LOGINS_PER_IDENTITY - 1, MergeStart::Begun), (limits::LOGINS_PER_IDENTITY, MergeStart::TooManyLogins)]
    {
        let mut group = store.group();
        for number in 0..number {
            group.identity(LoginKey { pool: "demo", issuer: "third", subject: &number.to_string() }, &other, 7).expect("decides");
        }
        assert_eq!(group.merge(&guest(), &other, &MergePolicies::default(), 7).expect("decides"), start, "beside {number} logins");
    }
}

#[test]
fn refused_tokens_stay_refused_when_their_login_moves_to_another_identity() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    sign_in(&store, "guest", &guest());
    let login = |subject| LoginKey { pool: "demo", issuer: "issuer", subject };
    let refuses = |subject, identity: &Identity, issued_s| store.refused_until(login(subject), identity, issued_s).expect("reads");
    assert_eq!((refuses("guest", &guest(), None), refuses("guest", &guest(), Some(0))), (None, None));
    let mut group = store.group();
    group.refuse_tokens(&guest(), 100).expect("decides");
    assert_eq!(group.refused_until(login("guest"), &guest(), Some(100)), Ok(Some(100)), "for what the same group decides next");
    group.commit().expect("commits");
    let mut group = store.group();
    assert_eq!(group.merge(&guest(), &me(), &MergePolicies::default(), 7).expect("decides"), MergeStart::Begun);
    group.commit().expect("commits");
    assert_eq!(
        (refuses("guest", &me(), Some(100)), refuses("guest", &me(), None), refuses("guest", &me(), Some(101))),
        (Some(100), Some(100), None)
    );
    assert_eq!(
        (refuses("alice", &me(), Some(1)), refuses("alice", &me(), None)),
        (None, None),
        "the other login's tokens are as good as before"
    );
    assert_eq!(store.linked_logins(&me()).expect("reads").len(), 2, "the merge linked the logins of both to each other");
}

#[test]
fn a_date_that_a_clock_ahead_of_its_time_wrote_is_replaced_by_the_next_refusal() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for until_s in [4_000_000_000, 1_790_000_060] {
        let mut group = store.group();
        group.refuse_tokens(&me(), until_s).expect("decides");
        group.commit().expect("commits");
    }
    let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
    assert_eq!(store.refused_until(login, &me(), Some(1_790_000_061)), Ok(None));
    assert_eq!(store.refused_until(login, &me(), Some(1_790_000_060)), Ok(Some(1_790_000_060)));
}

#[test]
fn an_identity_remembers_only_its_newest_merges() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    for n in 0..limits::MERGED_IDENTITIES + 5 {
        let guest = Identity::from(format!("local:g{n}").as_str());
        sign_in(&store, &format!("g{n}"), &guest);
        let mut group = store.group();
        assert_eq!(group.merge(&guest, &me(), &MergePolicies::default(), 7).expect("decides"), MergeStart::Begun);
        group.commit().expect("commits");
        finish_job(&store, &guest);
    }
    let merged = store.merged(&me()).expect("reads").expect("there");
    assert_eq!((merged.len(), merged[0].as_str()), (limits::MERGED_IDENTITIES, "local:g5"));
    let row: IdentityRow = store.engine.row(&keys::identity(&me())).expect("reads").expect("there");
    assert_eq!(row.merged, merged, "all of them are finished, so the row keeps no more");
}

#[test]
fn a_chain_of_merges_moves_everything_to_its_end_in_any_order_of_steps() {
    // The guest is merged into the user, the user into a third identity; either job is finished first.
    for first in [guest(), me()] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        write_both(&store);
        let end = Identity::from("local:end");
        sign_in(&store, "end", &end);
        for (from, into) in [(guest(), me()), (me(), end.clone())] {
            let mut group = store.group();
            assert_eq!(group.merge(&from, &into, &MergePolicies::default(), 7).expect("decides"), MergeStart::Begun);
            group.commit().expect("commits");
        }
        finish_job(&store, &first);
        finish_job(&store, &guest());
        finish_job(&store, &me());
        let names: Vec<_> = store.datasets(&end).expect("reads").into_iter().map(|info| (info.dataset.to_string(), info.records)).collect();
        assert_eq!(names, [("d".to_owned(), 4), ("own".to_owned(), 1)], "{first}");
        assert_eq!(store.background_jobs(None, 9).expect("reads"), []);
        assert_eq!(store.merged(&end).expect("reads").expect("there"), ["local:guest", "local:1"]);
    }
}

#[test]
fn a_merge_moves_every_kind_of_row_that_an_identity_owns() {
    use crate::store::keys::RowKind;
    // A restore that is under way ends with the identity.
    for kind in RowKind::owned_by_identity().filter(|kind| *kind != RowKind::Rewind) {
        let is_moved = match kind {
            // Moved with the first batch.
            RowKind::Identity | RowKind::IdentityLogin | RowKind::Job | RowKind::Debt => true,
            // Moved with their device.
            RowKind::Device | RowKind::Patch | RowKind::Registration | RowKind::PushBudget | RowKind::DeliveryLog => true,
            // Moved with their dataset.
            RowKind::Head | RowKind::Ack => true,
            kind => crate::store::merge_dataset::DATASET_KINDS.contains(&kind),
        };
        assert!(is_moved, "{:?} would be deleted by a merge", kind);
    }
}
