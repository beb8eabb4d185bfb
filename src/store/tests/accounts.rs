//! Accounts and access keys are owners' rows as those of identities are.

use super::backup::{backup, restored};
use super::erasing;
use crate::store::support::{me, store};
use crate::store::{
    AccessKey, AccessKeyRefused, AccessKeyStatus, Account, AccountId, EraseStart, Group, KEY_FILE, KEYS_PER_PRINCIPAL, MOST_ACCOUNTS,
    Store, keys, rows,
};

pub(super) fn account_id(text: &str) -> AccountId {
    AccountId::parse(text).expect("twelve digits")
}

fn account(id: &str, number: u32) -> Account {
    Account { id: account_id(id), name: format!("account {number}"), number, made_ms: 7, state: Default::default() }
}

fn access_key(id: &str, account: &str, user: Option<&str>) -> AccessKey {
    let (account, user) = (account_id(account), user.map(str::to_owned));
    AccessKey { id: id.to_owned(), account, user, sealed_secret: vec![0, 255, 1], status: AccessKeyStatus::Active, made_ms: 8 }
}

fn commit<T>(store: &Store, decide: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut group = store.group();
    let decided = decide(&mut group);
    group.commit().expect("commits");
    decided
}

/// An account with a key of its root and one of a user.
pub(super) fn fill(store: &Store) {
    commit(store, |group| {
        let number = group.take_account_number().expect("decides").expect("a number");
        assert!(group.make_account(&account("123456789012", number)).expect("decides"));
        assert_eq!(group.add_access_key(&access_key("AKIA1", "123456789012", None)), Ok(Ok(())));
        assert_eq!(group.add_keyring_row("sts/1", b"first"), Ok(b"first".to_vec()));
        assert_eq!(group.add_access_key(&access_key("AKIA2", "123456789012", Some("AIDA1"))), Ok(Ok(())));
    });
}

#[test]
fn accounts_and_keys_are_there_after_a_restart_and_a_restore() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path());
    fill(&first);
    let bytes = backup(&first, |_| {});
    drop(first);
    let copies = tempfile::tempdir().expect("a folder");
    // The key file lies there already.
    std::fs::create_dir(copies.path().join("copy")).expect("makes a folder");
    std::fs::write(copies.path().join("copy").join(KEY_FILE), [7; 32]).expect("writes");
    for store in [store(folder.path()), restored(copies.path(), &bytes, "copy").expect("restores")] {
        assert_eq!(store.account(&account_id("123456789012")), Ok(Some(account("123456789012", 0))));
        assert_eq!(store.account(&account_id("123456789013")), Ok(None));
        assert_eq!(store.access_key("AKIA1"), Ok(Some(access_key("AKIA1", "123456789012", None))));
        assert_eq!(store.access_key("AKIA"), Ok(None));
        let of_user = store.access_keys(&account_id("123456789012"), Some("AIDA1")).expect("reads");
        assert_eq!(of_user, [access_key("AKIA2", "123456789012", Some("AIDA1"))]);
        assert_eq!(commit(&store, |group| group.take_account_number()), Ok(Some(1)), "the number goes on");
        assert_eq!(commit(&store, |group| group.add_keyring_row("sts/1", b"second")), Ok(b"first".to_vec()), "the first one stays");
        assert_eq!(store.keyring_rows(), Ok(vec![("sts/1".to_owned(), b"first".to_vec())]));
        commit(&store, |group| group.delete_keyring_row("sts/1"));
        assert_eq!(store.keyring_rows(), Ok(Vec::new()));
    }
}

#[test]
fn an_id_is_taken_once_and_numbers_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    assert_eq!(commit(&store, |group| group.make_account(&account("123456789012", 1))), Ok(false));
    assert_eq!(store.account(&account_id("123456789012")), Ok(Some(account("123456789012", 0))));
    let other = account("210987654321", 1);
    commit(&store, |group| group.make_account(&other)).expect("decides");
    let taken = access_key("AKIA1", "210987654321", None);
    assert_eq!(commit(&store, |group| group.add_access_key(&taken)), Ok(Err(AccessKeyRefused::IdTaken)));
    let nowhere = access_key("AKIA9", "999999999999", None);
    assert_eq!(commit(&store, |group| group.add_access_key(&nowhere)), Ok(Err(AccessKeyRefused::NoAccount)));
    let last = rows::encode(&(MOST_ACCOUNTS - 1)).expect("encodes");
    commit(&store, |group| group.view.decide(vec![(keys::meta("accounts"), Some(last))]));
    assert_eq!(commit(&store, |group| group.take_account_number()), Ok(Some(MOST_ACCOUNTS - 1)));
    assert_eq!(commit(&store, |group| group.take_account_number()), Ok(None));
}

#[test]
fn a_principal_has_two_keys_and_each_can_be_switched_off_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    let id = account_id("123456789012");
    let add = |name: &str, user| commit(&store, |group| group.add_access_key(&access_key(name, "123456789012", user)));
    assert_eq!(add("AKIA3", None), Ok(Ok(())));
    assert_eq!((add("AKIA4", None), add("AKIA4", Some("AIDA1"))), (Ok(Err(AccessKeyRefused::TooMany)), Ok(Ok(()))));
    assert_eq!(store.access_keys(&id, None).expect("reads").len(), KEYS_PER_PRINCIPAL);
    let set = |of: &AccountId, key: &str, status| commit(&store, |group| group.set_access_key_status(of, key, status));
    assert_eq!(set(&id, "AKIA3", AccessKeyStatus::Inactive), Ok(true));
    assert_eq!(store.access_key("AKIA3").expect("reads").expect("is there").status, AccessKeyStatus::Inactive);
    // Another account can do nothing with it.
    let other = account_id("210987654321");
    assert_eq!(set(&other, "AKIA3", AccessKeyStatus::Active), Ok(false));
    assert_eq!(commit(&store, |group| group.delete_access_key(&other, "AKIA3")), Ok(false));
    assert_eq!(set(&id, "AKIA8", AccessKeyStatus::Active), Ok(false));
    assert_eq!(commit(&store, |group| group.delete_access_key(&id, "AKIA3")), Ok(true));
    assert_eq!((store.access_key("AKIA3"), add("AKIA5", None)), (Ok(None), Ok(Ok(()))));
}

#[test]
fn accounts_are_listed_in_pages_whatever_they_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let ids: Vec<String> = (0..7).map(|n| format!("00000000000{n}")).collect();
    for (number, id) in ids.iter().enumerate() {
        commit(&store, |group| group.make_account(&account(id, number as u32))).expect("decides");
        for key in 0..number {
            let key = access_key(&format!("AKIA{number}{key}"), id, Some(&format!("AIDA{key}")));
            assert_eq!(commit(&store, |group| group.add_access_key(&key)), Ok(Ok(())));
        }
    }
    let mut listed = Vec::new();
    while let page @ [_, ..] = &store.accounts(listed.last(), 3).expect("reads")[..] {
        listed.extend(page.iter().map(|account| account.id.clone()));
    }
    assert_eq!(listed.iter().map(AccountId::as_str).collect::<Vec<_>>(), ids);
}

#[test]
fn an_account_is_an_owner_and_an_erased_identity_takes_nothing_of_it() {
    let id = account_id("123456789012");
    assert_eq!(keys::owner(&keys::account(&id)), b"@\0\x0c123456789012");
    assert_eq!(keys::owner(&keys::account_key(&id, "AKIA1")), keys::owner(&keys::of_account(&id)));
    assert_eq!(keys::owner(&keys::access_key("AKIA1")), keys::access_key("AKIA1"));
    assert_eq!((keys::owner(b"@"), keys::owner(b"@\0\x0c12")), (&b"@"[..], &b"@\0\x0c12"[..]));
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    fill(&store);
    erasing::fill(&store);
    assert_eq!(commit(&store, |group| group.erase(&me())), Ok(EraseStart::Begun));
    erasing::finish_job(&store, &me());
    assert_eq!(store.access_keys(&id, None).expect("reads").len(), 1);
}
