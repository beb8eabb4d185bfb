//! The rows of real stores pass what the fuzz targets check. `UPDATE_CORPUS=1` adds them to the corpus of the target `rows`.

use std::collections::BTreeSet;

use driftless_protocol::Op;

use super::{erasing, merging, objects, user_pools};
use crate::merge::ConflictPolicy;
use crate::store::support::{dataset, me, patch, store, write};
use crate::store::{
    AccountId, AccountRecord, Decision, GroupMember, IamGroup, IamRole, IamTag, IamUser, InlinePolicy, ManagedPolicy, OidcProvider,
    PolicyAttachment, PolicyVersion, PoolRoles, PrincipalId, PrincipalKind, RetentionPolicy, Store, StoredPool, fuzzing, keys,
};

/// A corpus is read in every run: rows that are larger only repeat a value's bytes.
const SEED_BYTES: usize = 1024;

/// The rows of a store, each as an input of `check_rows`.
fn inputs(store: &Store) -> BTreeSet<Vec<u8>> {
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let input = |(key, row): &(Vec<u8>, Vec<u8>)| {
        let kind = keys::RowKind::all().find(|kind| kind.is_of(key)).expect("a kind");
        let name = key.strip_prefix(keys::of_identity(kind, &me()).as_slice()).unwrap_or(&key[1..]);
        assert!(name.len() <= u8::MAX.into());
        [&[kind.letter(), name.len() as u8], name, row].concat()
    };
    rows.iter().map(input).collect()
}

/// The store, while a dataset with more records than a part of a restore has is restored.
fn restoring(store: &Store) -> &Store {
    let keys: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let before = store.version(&me(), &dataset()).expect("reads");
    let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Op::Put, "1")).collect();
    assert!(matches!(write(store, &patch(1000, "phone", &changes)), Decision::Written { .. }));
    let plan = store.rewind_plan(&me(), &dataset(), before, 5).expect("reads").expect("kept");
    let mut group = store.group();
    group.rewind_part(&plan, 0, &RetentionPolicy::default(), 9).expect("decides");
    group.commit().expect("commits");
    store
}

fn put<R: AccountRecord>(store: &Store, names: &[&str], record: &R) {
    let account = AccountId::parse("123456789012").expect("an id");
    let mut group = store.group();
    group.put_account_record(&account, names, record).expect("decides");
    group.commit().expect("commits");
}

/// A user in a group, a role, and a policy that is attached to the user.
fn fill_iam(store: &Store) {
    let text = str::to_owned;
    let (path, document, made_ms) = (text("/"), text("{}"), 7);
    let tags = vec![IamTag { key: text("team"), value: text("a") }];
    let policy = text("arn:aws:iam::123456789012:policy/p");
    fill_principals(store, &tags, std::slice::from_ref(&policy));
    let managed = ManagedPolicy {
        id: text("ANPA1"),
        name: text("p"),
        path,
        description: None,
        made_ms,
        changed_ms: 8,
        default_version: text("v1"),
        next_version: 2,
        attachments: 1,
        tags: tags.clone(),
    };
    put(store, &["p"], &managed);
    put(store, &["p", "v1"], &PolicyVersion { document: document.clone(), made_ms });
    put(store, &["p", "user", "u"], &PolicyAttachment { made_ms });
    put(store, &["user", "u", "own"], &InlinePolicy { name: text("own"), document });
    let issuer = text("a.example");
    put(store, &["a.example"], &OidcProvider { issuer, client_ids: vec![text("app")], thumbprints: Vec::new(), made_ms, tags });
}

fn fill_principals(store: &Store, tags: &[IamTag], attached: &[String]) {
    let text = str::to_owned;
    let (path, made_ms, attached, tags) = (text("/"), 7, attached.to_vec(), tags.to_vec());
    put(store, &["g"], &IamGroup { id: text("AGPA1"), name: text("g"), path: path.clone(), made_ms, attached: Vec::new() });
    put(store, &["g", "u"], &GroupMember { made_ms });
    put(store, &["AIDA1"], &PrincipalId { kind: PrincipalKind::User, name: text("u") });
    let role = IamRole {
        id: text("AROA1"),
        name: text("r"),
        path: path.clone(),
        made_ms,
        description: Some(text("d")),
        trust: text("{}"),
        max_session_s: 3600,
        boundary: None,
        attached: Vec::new(),
        tags: tags.clone(),
    };
    put(store, &["r"], &role);
    let groups = vec![text("g")];
    put(store, &["u"], &IamUser { id: text("AIDA1"), name: text("u"), path, made_ms, boundary: None, groups, attached, tags });
}

/// What is remembered of an identity pool.
fn fill_pool(store: &Store) {
    let roles = PoolRoles { unauthenticated: Some("arn:aws:iam::123456789012:role/r".to_owned()), ..PoolRoles::default() };
    let mut group = store.group();
    group.put_pool("demo", &StoredPool { made: None, roles }).expect("decides");
    group.commit().expect("commits");
}

#[test]
fn the_rows_of_a_store_pass_what_the_fuzz_targets_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let filled = store(folder.path());
    erasing::fill(&filled);
    user_pools::fill(&filled);
    objects::fill(&filled);
    fill_iam(&filled);
    fill_pool(&filled);
    let mut found = inputs(&filled);
    found.extend(inputs(restoring(&filled)));
    let mut group = filled.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    found.extend(inputs(&filled));
    let folder = tempfile::tempdir().expect("a folder");
    let merged = store(folder.path());
    merging::write_both(&merged);
    merging::begin(&merged, ConflictPolicy::Reject);
    found.extend(inputs(&merged));
    for kind in keys::RowKind::all() {
        assert!(found.iter().any(|input| input[0] == kind.letter()), "no row of {kind:?}");
    }
    found.iter().for_each(|input| fuzzing::check_rows(input));
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/rows");
        std::fs::create_dir_all(folder).expect("a folder");
        for (at, input) in found.iter().filter(|input| input.len() <= SEED_BYTES).enumerate() {
            std::fs::write(format!("{folder}/row-{at:03}"), input).expect("writes");
        }
    }
}
