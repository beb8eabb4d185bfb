//! User pools and their users are owners' rows as those of identities are.

use super::accounts::{account_id, fill as fill_accounts};
use super::backup::{backup, restored};
use crate::store::row_kinds::RowKind;
use crate::store::support::store;
use crate::store::{
    AliasName, CodeUse, Family, FamilyState, Group, MOST_FAMILIES, PasswordDemands, PoolUserKey, Store, StoredCode, TokenUnit, Tries, User,
    UserPool, UserPoolClient, UserPoolId, UserPoolRefused, UserPoolSettings, UserPoolState, UserStatus, UsernameKind, keys,
};

fn pool_id() -> UserPoolId {
    UserPoolId::parse("local_abc").expect("an id")
}

fn ann() -> PoolUserKey {
    PoolUserKey { pool: pool_id(), name: "ann".into() }
}

fn pool() -> UserPool {
    let settings = UserPoolSettings {
        password: PasswordDemands { minimum_length: 8, uppercase: true, lowercase: true, numbers: true, symbols: true, temporary_days: 7 },
        usernames: UsernameKind::Chosen,
        aliases: vec!["email".to_owned()],
        auto_verified: Vec::new(),
        case_sensitive: true,
        admin_only: false,
        required: Vec::new(),
        custom: Vec::new(),
        email_subject: None,
        email_message: None,
        invite_subject: None,
        invite_message: None,
        protected: false,
        tags: Default::default(),
    };
    let (account, name) = ("123456789012".to_owned(), "app".to_owned());
    UserPool { account, name, made_ms: 1, changed_ms: 1, state: UserPoolState::Live, settings }
}

fn client() -> UserPoolClient {
    UserPoolClient {
        name: "web".to_owned(),
        sealed_secret: None,
        made_ms: 1,
        changed_ms: 1,
        access_s: 3600,
        id_s: 3600,
        refresh_s: 86_400,
        units: [TokenUnit::Hours; 3],
        flows: Vec::new(),
        hides_users: true,
        session_minutes: 3,
        rotation_grace_s: None,
        read: Vec::new(),
        write: Vec::new(),
    }
}

fn user() -> User {
    User {
        username: "ann".to_owned(),
        sub: "s".to_owned(),
        status: UserStatus::Confirmed,
        enabled: true,
        made_ms: 1,
        changed_ms: 1,
        attributes: vec![("email".to_owned(), "ann@example.com".to_owned())],
        password: None,
        signed_out_ms: 0,
        tries: Tries::default(),
    }
}

fn family(made_ms: u64, expires_ms: u64) -> Family {
    Family { client: "c".to_owned(), state: FamilyState::Live, made_ms, expires_ms, exchanges: 0, exchanged_ms: 0 }
}

fn commit<T>(store: &Store, decide: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut group = store.group();
    let decided = decide(&mut group);
    group.commit().expect("commits");
    decided
}

const EMAIL: AliasName<'static> = AliasName { kind: "email", value: "ann@example.com" };

/// An account with a user pool: a client, a signing key, and a user with another name, a code and a sign-in.
pub(super) fn fill(store: &Store) {
    fill_accounts(store);
    let code = StoredCode {
        hash: vec![1],
        expires_ms: 9,
        attribute: "email".to_owned(),
        value: "a".to_owned(),
        counted_from_ms: 1,
        sent: 1,
        tries: 0,
    };
    commit(store, |group| {
        assert_eq!(group.make_user_pool(&pool_id(), &pool()), Ok(Ok(())));
        assert_eq!(group.add_user_pool_client(&pool_id(), "c", &client()), Ok(Ok(())));
        assert_eq!(group.add_pool_signing_key(&pool_id(), 5, b"pair"), Ok(true));
        group.put_user(&ann(), &user()).expect("decides");
        group.put_alias(&ann(), EMAIL).expect("decides");
        group.put_user_code(&ann(), CodeUse::SignUp, &code).expect("decides");
        group.add_family(&ann(), "f", &family(1, 100), 1).expect("decides");
    });
}

fn rows_of_kinds(store: &Store) -> Vec<(RowKind, usize)> {
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    let indexes = RowKind::owned_by_user_pool().filter_map(RowKind::index);
    RowKind::owned_by_user_pool().chain(indexes).map(|kind| (kind, rows.iter().filter(|(key, _)| kind.is_of(key)).count())).collect()
}

#[test]
fn every_kind_of_row_is_there_after_a_restart_and_a_restore_and_gone_with_the_pool() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path());
    fill(&first);
    let bytes = backup(&first, |_| {});
    drop(first);
    let copies = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copies.path().join("copy")).expect("makes a folder");
    std::fs::write(copies.path().join("copy").join(crate::store::KEY_FILE), [7; 32]).expect("writes");
    let copy = restored(copies.path(), &bytes, "copy").expect("restores");
    for store in [store(folder.path()), copy] {
        for (kind, count) in rows_of_kinds(&store) {
            assert_eq!(count, 1, "{kind:?}");
        }
        assert_eq!(store.user_pool(&pool_id()), Ok(Some(pool())));
        assert_eq!(store.user_pools(&account_id("123456789012"), None, 9), Ok(vec![(pool_id(), pool())]));
        assert_eq!(store.user_pool_client("c"), Ok(Some((pool_id(), client()))));
        assert_eq!(store.user_of_alias(&pool_id(), EMAIL), Ok(Some(ann())));
        assert_eq!(store.users(&pool_id(), None, 9), Ok(vec![(ann(), user())]));
        assert_eq!(store.pool_signing_keys(&pool_id()), Ok(vec![b"pair".to_vec()]));
        assert_eq!(commit(&store, |group| group.delete_user(&ann(), &[EMAIL])), Ok(true));
        assert_eq!(commit(&store, |group| group.delete_user_pool(&pool_id(), 1)), Ok(false), "a client at a time");
        assert_eq!(commit(&store, |group| group.delete_user_pool(&pool_id(), 1)), Ok(true));
        assert!(rows_of_kinds(&store).iter().all(|(_, count)| *count == 0));
    }
}

#[test]
fn a_user_is_an_owner_and_so_is_the_pool_without_its_users() {
    assert_eq!(keys::owner(&keys::user(&ann())), b"%\0\x09local_abc\0\x03ann");
    assert_eq!(keys::owner(&keys::family(&ann(), "f")), keys::owner(&keys::user(&ann())));
    assert_eq!(keys::owner(&keys::user_pool_client(&pool_id(), "c")), b"%\0\x09local_abc\0\0");
    assert_eq!(keys::owner(&keys::user_alias(&pool_id(), EMAIL)), keys::user_alias(&pool_id(), EMAIL));
    for cut in [&b"%"[..], b"%\0\x09lo", b"%\0\x09local_abc\0\x03a"] {
        assert_eq!(keys::owner(cut), cut);
    }
}

#[test]
fn ids_are_taken_once_and_a_pool_that_is_being_deleted_takes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    assert_eq!(commit(&store, |group| group.make_user_pool(&pool_id(), &pool())), Ok(Err(UserPoolRefused::IdTaken)));
    let nowhere = UserPool { account: "999999999999".to_owned(), ..pool() };
    assert_eq!(commit(&store, |group| group.make_user_pool(&pool_id(), &nowhere)), Ok(Err(UserPoolRefused::NoAccount)));
    assert_eq!(commit(&store, |group| group.add_user_pool_client(&pool_id(), "c", &client())), Ok(Err(UserPoolRefused::IdTaken)));
    assert_eq!(commit(&store, |group| group.add_pool_signing_key(&pool_id(), 5, b"other")), Ok(false), "the first one stays");
    let other = PoolUserKey { pool: pool_id(), name: "bob".into() };
    commit(&store, |group| group.delete_alias(&other, EMAIL)).expect("decides");
    assert_eq!(store.user_of_alias(&pool_id(), EMAIL), Ok(Some(ann())), "it is another's");
    commit(&store, |group| group.put_user_pool(&pool_id(), &UserPool { state: UserPoolState::Deleting, ..pool() })).expect("decides");
    assert_eq!(commit(&store, |group| group.live_user_pool(&pool_id())), Ok(None));
    assert_eq!(commit(&store, |group| group.add_user_pool_client(&pool_id(), "d", &client())), Ok(Err(UserPoolRefused::NoPool)));
}

#[test]
fn a_user_has_a_bounded_number_of_families_and_the_oldest_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    for at in 0..MOST_FAMILIES as u64 + 5 {
        commit(&store, |group| group.add_family(&ann(), &format!("n{at}"), &family(10 + at, 1000), 50)).expect("decides");
    }
    assert_eq!(
        store.engine.scan(&keys::families(&ann()), &keys::prefix_end(&keys::families(&ann())), usize::MAX).expect("scans").len(),
        MOST_FAMILIES
    );
    assert_eq!((store.family(&ann(), "f"), store.family(&ann(), "n5").expect("reads").is_some()), (Ok(None), true));
    commit(&store, |group| group.add_family(&ann(), "late", &family(2000, 3000), 1000)).expect("decides");
    assert_eq!(store.engine.scan(&keys::families(&ann()), &keys::prefix_end(&keys::families(&ann())), usize::MAX).expect("scans").len(), 1);
    commit(&store, |group| group.delete_families(&ann())).expect("decides");
    assert_eq!(store.family(&ann(), "late"), Ok(None));
}
