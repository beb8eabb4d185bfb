//! Buckets, objects and uploads: what is stored together, and which files belong to nobody.

use crate::store::support::store;
use crate::store::{
    AccountId, BucketDeletion, DoneUpload, Group, MadeBucket, ObjectBody, ObjectCondition, ObjectHeaders, ObjectPut, PartBits, Store,
    StoreError, StoredObject, StoredPart, Upload, UploadState,
};

const UPLOAD: &str = "0123456789abcdef0123456789abcdef";

fn account(id: &str) -> AccountId {
    AccountId::parse(id).expect("an id")
}

fn object(blob: &str, etag: &str) -> StoredObject {
    let body = ObjectBody::Blob(blob.to_owned());
    StoredObject { bytes: 1, etag: etag.to_owned(), stored_ms: 7, checksum: None, headers: ObjectHeaders::default(), body }
}

fn part(blob: &str) -> StoredPart {
    StoredPart { blob: blob.to_owned(), bytes: 1, etag: "e".to_owned(), checksum: None, stored_ms: 7 }
}

fn upload() -> Upload {
    Upload { made_ms: 7, headers: ObjectHeaders::default(), checksum_algorithm: None, revision: 0, state: UploadState::Open }
}

fn act<T>(store: &Store, decide: impl Fn(&mut Group<'_>) -> Result<T, StoreError>) -> T {
    let mut group = store.group();
    let value = decide(&mut group).expect("decides");
    group.commit().expect("commits");
    value
}

fn unused(store: &Store, blobs: &[&str]) -> Vec<String> {
    store.unused_blobs(blobs.iter().map(|blob| (*blob).to_owned()).collect()).expect("reads")
}

/// A bucket with an object and an upload.
pub(super) fn fill(store: &Store) {
    act(store, |group| group.make_bucket("box", &account("123456789012"), 7));
    act(store, |group| group.put_object("box", "a/b", &object("b1", "e1"), &ObjectCondition::Always));
    act(store, |group| group.begin_upload("box", "a/c", UPLOAD, &upload()));
    act(store, |group| group.put_part("box", "a/c", UPLOAD, 1, &part("p1")));
}

#[test]
fn a_bucket_is_of_one_account_and_goes_only_when_it_has_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    assert_eq!(act(&store, |group| group.make_bucket("box", &account("123456789012"), 8)), MadeBucket::Owned);
    assert_eq!(act(&store, |group| group.make_bucket("box", &account("999999999999"), 8)), MadeBucket::Taken);
    assert_eq!(store.buckets(&account("123456789012")), Ok(vec![("box".to_owned(), 7)]));
    assert_eq!(act(&store, |group| group.delete_bucket("box")), BucketDeletion::NotEmpty);
    act(&store, |group| group.delete_object("box", "a/b", &ObjectCondition::Always));
    assert_eq!(act(&store, |group| group.delete_bucket("box")), BucketDeletion::NotEmpty, "an upload is under way");
    assert!(act(&store, |group| group.abort_upload("box", "a/c", UPLOAD)));
    assert_eq!(act(&store, |group| group.delete_bucket("box")), BucketDeletion::Deleted);
    assert_eq!(store.bucket("box"), Ok(None));
    let late = act(&store, |group| group.put_object("box", "late", &object("b9", "e9"), &ObjectCondition::Always));
    assert_eq!(late, ObjectPut::NoBucket);
    assert_eq!(unused(&store, &["b1", "p1", "b9"]), ["b1", "p1", "b9"]);
}

#[test]
fn a_file_is_somebodys_exactly_as_long_as_an_object_or_a_part_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    assert_eq!(unused(&store, &["b1", "p1", "never"]), ["never"]);
    let old = act(&store, |group| group.put_object("box", "a/b", &object("b2", "e2"), &ObjectCondition::Etag("e1".to_owned())));
    assert_eq!(old, ObjectPut::Stored(Some(ObjectBody::Blob("b1".to_owned()))));
    let stale = act(&store, |group| group.put_object("box", "a/b", &object("b3", "e3"), &ObjectCondition::Etag("e1".to_owned())));
    assert_eq!(stale, ObjectPut::ConditionFailed);
    let second = act(&store, |group| group.put_object("box", "a/b", &object("b3", "e3"), &ObjectCondition::Absent));
    assert_eq!(second, ObjectPut::ConditionFailed);
    assert_eq!(unused(&store, &["b1", "b2", "b3"]), ["b1", "b3"]);
    assert!(!act(&store, |group| group.forget_blob("b2")), "it is in use");
    act(&store, |group| group.put_part("box", "a/c", UPLOAD, 1, &part("p2")));
    assert_eq!(unused(&store, &["p1", "p2"]), ["p1"]);
    act(&store, |group| group.abort_upload("box", "a/c", UPLOAD));
    assert!(act(&store, |group| group.forget_blob("p2")));
    assert_eq!(store.parts("box", UPLOAD, 0, 9), Ok(Vec::new()));
}

#[test]
fn an_upload_is_completed_once_and_with_the_parts_that_were_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    let done = |revision| DoneUpload { id: UPLOAD.to_owned(), revision, parts: PartBits::of([2]), object: object("", "e-1") };
    act(&store, |group| group.put_part("box", "a/c", UPLOAD, 2, &part("p2")));
    let complete = |revision| act(&store, |group| group.complete_upload("box", "a/c", &done(revision), &ObjectCondition::Always));
    assert_eq!(complete(1), ObjectPut::NoUpload, "a part came since");
    assert_eq!(complete(2), ObjectPut::Stored(None));
    assert_eq!(complete(2), ObjectPut::NoUpload);
    assert_eq!(act(&store, |group| group.put_part("box", "a/c", UPLOAD, 3, &part("p3"))), None);
    assert!(!act(&store, |group| group.abort_upload("box", "a/c", UPLOAD)), "its parts are an object's");
    assert_eq!(unused(&store, &["p1", "p2"]), ["p1"], "a part that was not named");
    act(&store, |group| group.delete_object("box", "a/c", &ObjectCondition::Always));
    assert_eq!(unused(&store, &["p2"]), ["p2"]);
}

#[test]
fn keys_of_any_bytes_are_listed_in_their_order_and_lead_to_no_other_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    act(&store, |group| group.make_bucket("box", &account("123456789012"), 7));
    let longest = "k".repeat(1024);
    let mut keys =
        vec!["..", "/", "//", "a", "a/", "a//b", "users/u1/../u2/a", "users/u2/a", "\u{0}", "\u{7f}", "ü", "\u{10ffff}", &longest];
    for key in &keys {
        act(&store, |group| group.put_object("box", key, &object(key, key), &ObjectCondition::Absent));
    }
    keys.sort_unstable();
    let listed = store.objects("box", "", b"", 99).expect("reads");
    assert_eq!(listed.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), keys);
    assert!(listed.iter().all(|(key, object)| object.etag == *key));
}
