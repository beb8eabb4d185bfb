//! Erasing an identity leaves no trace of it, in bounded steps; an export holds all that would be erased.

use driftless_protocol::{Op, PushTarget, Registration};

use crate::store::support::{all, dataset, device, me, patch, sign_in, store, write};
use crate::store::{Decision, DeviceBound, EraseStart, ExportCursor, Identity, JobProgress, LoginKey, Store, keys, rows};

/// Writes rows of every kind that an identity can own.
pub(super) fn fill(store: &Store) {
    let large = format!("\"{}\"", "secret".repeat(20_000));
    let mut group = store.group();
    let target = PushTarget::Fcm("secret-token".to_owned());
    let registration = Registration { target, app: "app".to_owned(), datasets: None, shown: false };
    for name in ["phone", "laptop"] {
        group.admit(&me(), &device(name), &DeviceBound::without_sessions(10), 7).expect("decides");
    }
    group.register(&me(), &device("phone"), &registration, 7).expect("decides");
    group.commit().expect("commits");
    write(store, &patch(1, "phone", &[("a", Op::Put, &large), ("b", Op::Put, "\"secret\""), ("n", Op::Add, "1")]));
    write(store, &patch(2, "phone", &[("b", Op::Remove, ""), ("a", Op::Put, "\"secret\"")]));
    let mut late = patch(1, "laptop", &[("a", Op::Put, "2")]);
    late.changes[0].base = Some(0);
    assert!(matches!(write(store, &late), Decision::Conflict(_)));
    let mut group = store.group();
    for name in ["phone", "laptop"] {
        group.acknowledge(&me(), &device(name), &dataset(), 2).expect("decides");
    }
    // As between two parts of a restore.
    let under_way = rows::encode(&(1_u64, 2_u64, 7_u64)).expect("encodes");
    group.view.decide(vec![(keys::rewind(&me(), &dataset()), Some(under_way))]);
    group.commit().expect("commits");
}

/// Runs an identity's job until it is done; returns the number of steps.
pub(super) fn finish_job(store: &Store, identity: &Identity) -> usize {
    for step in 1..1000 {
        let mut group = store.group();
        let progress = group.run_job_step(identity, &Default::default(), 9).expect("decides");
        group.commit().expect("commits");
        if progress == JobProgress::Done {
            return step;
        }
    }
    panic!("the job does not end");
}

/// The keys of all rows of the store that have any of these words in their key or their content.
fn traces(store: &Store, words: &[&str]) -> Vec<String> {
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let has = |bytes: &[u8]| words.iter().any(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes()));
    rows.iter().filter(|(key, row)| has(key) || has(row)).map(|(key, _)| key.escape_ascii().to_string()).collect()
}

fn export(store: &Store, identity: &Identity) -> serde_json::Value {
    let (mut text, mut at) = (String::new(), Some(ExportCursor::default()));
    while let Some(from) = at {
        let (part, next) = store.export(identity, from).expect("reads");
        text.push_str(&part);
        at = next;
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_tests_of_erasing_cover_every_kind_of_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    let mut group = store.group();
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::Begun);
    group.commit().expect("commits");
    // Read after the erasure began, so that the row of its job is there, too.
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let of_store = [keys::RowKind::Keyring, keys::RowKind::IdentityPool];
    for kind in keys::RowKind::all().filter(|kind| !kind.is_of_another_owner() && !of_store.contains(kind)) {
        let rows: Vec<_> = rows.iter().filter(|(key, _)| kind.is_of(key)).collect();
        let is_deleted_at_once = matches!(kind, keys::RowKind::Login | keys::RowKind::Identity | keys::RowKind::IdentityLogin);
        assert_eq!(rows.is_empty(), is_deleted_at_once, "{kind:?}: there is no such row, so no test shows that it is deleted");
    }
}

#[test]
fn an_erased_identity_leaves_no_trace_and_no_other_identity_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    let other = Identity::from("local:2");
    sign_in(&store, "bob", &other);
    let mut theirs = patch(1, "phone", &[("a", Op::Put, "1")]);
    theirs.identity = other.clone();
    write(&store, &theirs);
    let mut group = store.group();
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::Begun);
    group.commit().expect("commits");
    // From the first batch on no device signs in and nothing is written.
    assert_eq!(store.merged(&me()).expect("reads"), None);
    assert_eq!(write(&store, &patch(3, "phone", &[("a", Op::Put, "1")])), Decision::NoIdentity);
    let mut group = store.group();
    group.acknowledge(&me(), &device("phone"), &dataset(), 2).expect("decides");
    group.commit().expect("commits");
    assert_eq!(store.background_jobs(None, 9).expect("reads"), [me()]);
    finish_job(&store, &me());
    assert_eq!(traces(&store, &["local:1", "alice", "secret"]), Vec::<String>::new());
    assert_eq!(store.background_jobs(None, 9).expect("reads"), []);
    assert_eq!(export(&store, &other)["records"][0]["value"], 1);
    let mut group = store.group();
    assert_eq!(group.erase(&me()).expect("decides"), EraseStart::NoIdentity);
}

#[test]
fn an_erasure_takes_bounded_steps_and_continues_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = store(folder.path());
    for id in 1..=4 {
        let names: Vec<String> = (0..1000).map(|n| format!("k{id}.{n}")).collect();
        let changes: Vec<_> = names.iter().map(|name| (name.as_str(), Op::Put, "1")).collect();
        write(&opened, &patch(id, "phone", &changes));
    }
    let mut group = opened.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    let mut group = opened.group();
    assert_eq!(group.run_job_step(&me(), &Default::default(), 9).expect("decides"), JobProgress::Unfinished);
    assert!(group.row_bytes() < 200_000, "one step of many");
    group.commit().expect("commits");
    drop(opened);
    let opened = Store::open(folder.path(), &crate::store::support::CONFIG, &crate::store::support::epoch("x")).expect("opens");
    assert_eq!(opened.background_jobs(None, 9).expect("reads"), [me()]);
    assert!(finish_job(&opened, &me()) > 5);
    assert_eq!(traces(&opened, &["local:1"]), Vec::<String>::new());
}

#[test]
fn an_export_holds_everything_and_a_new_login_of_the_same_name_gets_none_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    let document = export(&store, &me());
    let count = |name: &str| document[name].as_array().unwrap_or_else(|| panic!("no {name}: {document}")).len();
    assert_eq!(document["identity"], "local:1");
    assert_eq!((count("identities"), count("logins"), count("devices"), count("datasets")), (1, 1, 2, 1));
    assert_eq!((count("records"), count("history"), count("conflicts"), count("acknowledged"), count("patches")), (3, 2, 1, 2, 3));
    assert_eq!(document["logins"][0]["subject"], "alice");
    let first = document["history"][1]["replaced"].as_array().expect("a list").iter().find(|one| one["key"] == "a").expect("a");
    assert!(first["before"]["value"].as_str().is_some_and(|text| text.len() == 120_000), "history is exported with whole values");
    let mut group = store.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    finish_job(&store, &me());
    let fresh = Identity::from("local:3");
    let mut group = store.group();
    let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
    assert_eq!(group.identity(login, &fresh, 9).expect("decides"), fresh);
    group.commit().expect("commits");
    assert_eq!(store.datasets(&fresh).expect("reads"), []);
    assert_eq!(all(&store), [], "the erased identity is empty");
}
