//! Accounts and the access keys of their roots: how they are made, and whose key signed a request.

mod development;

use std::fmt;

use super::Caller;
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::keyring::{AccessKeyId, AccessKeyKind, AccessKeySecret, AccountNumber, CryptoFailed, OpenError, SecretKind, SharedKeyring};
use crate::store::{AccessKey, AccessKeyRefused, AccessKeyStatus, Account, AccountId, Group, Store};

/// Characters of an account's name: what AWS Organizations allows.
const MAX_NAME_CHARS: usize = 50;

/// How often an id of twelve random digits is drawn before it is given up: two of a million accounts meet once in a million.
const MOST_DRAWS: u32 = 8;

/// Accounts that a list has at most.
pub const MOST_LISTED: usize = 1000;

/// The accounts of a server. Clones share them.
#[derive(Clone)]
pub struct Accounts {
    reader: Reader,
    committer: Committer,
    keyring: SharedKeyring,
    clock: Clock,
}

/// A new access key. The secret is shown this once.
#[derive(Clone, Debug)]
pub struct NewAccessKey {
    pub account: Account,
    pub id: String,
    pub secret: AccessKeySecret,
}

/// Who signs with an access key, and what the signature is made with.
#[derive(Clone, Debug)]
pub struct Signer {
    pub caller: Caller,
    pub secret: AccessKeySecret,
}

/// Why an access key signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKey {
    /// No key of this server has the id, or it was deleted.
    Unknown,
    /// It was switched off.
    Inactive,
}

/// Why an account or a key was not made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRefused {
    /// The name is empty, longer than 50 characters, or has control characters.
    BadName,
    /// Another account has the id.
    IdTaken,
    /// There are as many accounts as a store can have.
    TooMany,
    NoAccount,
    /// The account's root has no such key.
    NoKey,
    /// The root has two keys already.
    TooManyKeys,
}

impl fmt::Display for AccountRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccountRefused::BadName => "an account's name has 1 to 50 characters, none of them a control character",
            AccountRefused::IdTaken => "another account has this id",
            AccountRefused::TooMany => "the store has as many accounts as it can have",
            AccountRefused::NoAccount => "there is no such account",
            AccountRefused::NoKey => "the account's root has no such access key",
            AccountRefused::TooManyKeys => "the account's root has two access keys already: delete one of them first",
        })
    }
}

impl std::error::Error for AccountRefused {}

/// The outer error means that the store or the keyring cannot be used now.
pub type AccountResult<T> = Result<Result<T, AccountRefused>, Unavailable>;

impl Accounts {
    pub fn new(reader: Reader, committer: Committer, keyring: SharedKeyring, clock: Clock) -> Accounts {
        Accounts { reader, committer, keyring, clock }
    }

    /// Makes an account, with this id or a random one, and a first access key of its root.
    pub async fn init(&self, name: &str, id: Option<AccountId>) -> AccountResult<NewAccessKey> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Ok(Err(AccountRefused::BadName));
        }
        let take = self.committer.transact(JobOwner::Store, |group, _| Ok((group.take_account_number()?, Vec::new())));
        let Some(number) = take.await? else { return Ok(Err(AccountRefused::TooMany)) };
        for _ in 0..MOST_DRAWS {
            let drawn = id.clone().map_or_else(random_account, Ok)?;
            let account = Account { id: drawn, name: name.to_owned(), number, made_ms: self.clock.unix_ms() };
            match self.store_account(account).await? {
                // Somebody else's, by chance.
                Err(AccountRefused::IdTaken) if id.is_none() => {}
                made => return Ok(made),
            }
        }
        Ok(Err(AccountRefused::IdTaken))
    }

    async fn store_account(&self, account: Account) -> AccountResult<NewAccessKey> {
        let (key, secret) = self.new_root_key(&account)?;
        let new = NewAccessKey { account: account.clone(), id: key.id.clone(), secret };
        let decide = move |group: &mut Group<'_>, _| {
            let outcome = match group.make_account(&account)? {
                true => group.add_access_key(&key)?.map_err(refused),
                false => Err(AccountRefused::IdTaken),
            };
            Ok((outcome, Vec::new()))
        };
        Ok(self.committer.transact(JobOwner::Store, decide).await?.map(|()| new))
    }

    /// Makes another access key of an account's root, which has two at most.
    pub async fn add_root_key(&self, id: AccountId) -> AccountResult<NewAccessKey> {
        let of = id.clone();
        let account = self.reader.read(ReadOwner::Server, move |store| store.account(&of)).await?;
        let Some(account) = account else { return Ok(Err(AccountRefused::NoAccount)) };
        let (key, secret) = self.new_root_key(&account)?;
        let new = NewAccessKey { account, id: key.id.clone(), secret };
        let added =
            self.committer.transact(JobOwner::Store, move |group, _| Ok((group.add_access_key(&key)?.map_err(refused), Vec::new())));
        Ok(added.await?.map(|()| new))
    }

    /// An access key of an account's root, with its secret in the clear and sealed.
    fn new_root_key(&self, account: &Account) -> Result<(AccessKey, AccessKeySecret), Unavailable> {
        let number = AccountNumber::new(account.number).ok_or(Unavailable::Now)?;
        let id = AccessKeyId::lasting(number, getrandom::u64().map_err(|_| Unavailable::Now)?).to_string();
        let secret = AccessKeySecret::random().map_err(|CryptoFailed| Unavailable::Now)?;
        self.sealed_root_key(account, id, &secret).map(|key| (key, secret))
    }

    fn sealed_root_key(&self, account: &Account, id: String, secret: &AccessKeySecret) -> Result<AccessKey, Unavailable> {
        let sealed = self.keyring.current().seal_secret(SecretKind::AccessKey, id.as_bytes(), secret.expose().as_bytes());
        let sealed_secret = sealed.map_err(|_| Unavailable::Now)?;
        let (account, made_ms) = (account.id.clone(), self.clock.unix_ms());
        Ok(AccessKey { id, account, user: None, sealed_secret, status: AccessKeyStatus::Active, made_ms })
    }

    /// Switches a key of an account's root on or off.
    pub async fn set_root_key_status(&self, account: AccountId, id: String, status: AccessKeyStatus) -> AccountResult<()> {
        let set = move |group: &mut Group<'_>, _| {
            let is_there = group.set_access_key_status(&account, &id, status)?;
            Ok((is_there.then_some(()).ok_or(AccountRefused::NoKey), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, set).await
    }

    /// Deletes a key of an account's root.
    pub async fn delete_root_key(&self, account: AccountId, id: String) -> AccountResult<()> {
        let delete = move |group: &mut Group<'_>, _| {
            let was_there = group.delete_access_key(&account, &id)?;
            Ok((was_there.then_some(()).ok_or(AccountRefused::NoKey), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, delete).await
    }

    /// The accounts in the order of their ids, at most [`MOST_LISTED`] behind one.
    pub async fn list(&self, after: Option<AccountId>) -> Result<Vec<Account>, Unavailable> {
        self.reader.read(ReadOwner::Server, move |store| store.accounts(after.as_ref(), MOST_LISTED)).await
    }

    /// The account that was made first of those that are there.
    pub async fn first(&self) -> Result<Option<AccountId>, Unavailable> {
        self.reader.read(ReadOwner::Server, Store::first_account).await
    }

    /// The access keys of an account's root: ids, dates and whether they may be used.
    pub async fn root_keys(&self, account: AccountId) -> AccountResult<Vec<AccessKey>> {
        let read = move |store: &Store| match store.account(&account)? {
            None => Ok(Err(AccountRefused::NoAccount)),
            Some(_) => Ok(Ok(store.access_keys(&account, None)?)),
        };
        self.reader.read(ReadOwner::Server, read).await
    }

    /// Whose key signed a request. What is read is read now: a key that was switched off signs nothing more.
    ///
    /// Keys of users and of sessions are not given out yet, so only those of roots are known.
    pub async fn signer(&self, id: &str) -> Result<Result<Signer, UnusableKey>, Unavailable> {
        // An id of another spelling is no key's: the store is not asked.
        match id.parse::<AccessKeyId>().map(|id| id.kind()) {
            Ok(AccessKeyKind::Lasting) => {}
            Ok(_) | Err(_) => return Ok(Err(UnusableKey::Unknown)),
        }
        let name = id.to_owned();
        let Some(key) = self.reader.read(ReadOwner::Server, move |store| store.access_key(&name)).await? else {
            return Ok(Err(UnusableKey::Unknown));
        };
        if key.status == AccessKeyStatus::Inactive {
            return Ok(Err(UnusableKey::Inactive));
        }
        if key.user.is_some() {
            return Ok(Err(UnusableKey::Unknown));
        }
        let secret = self.open_secret(&key).await?;
        Ok(Ok(Signer { caller: Caller::Root { account: key.account }, secret }))
    }

    async fn open_secret(&self, key: &AccessKey) -> Result<AccessKeySecret, Unavailable> {
        let open = || self.keyring.current().open_secret(SecretKind::AccessKey, key.id.as_bytes(), &key.sealed_secret);
        let opened = match open() {
            // Another server of this store may have made the generation a moment ago.
            Err(OpenError::UnknownGeneration) => {
                self.keyring.refresh().await.map_err(|_| Unavailable::Now)?;
                open()
            }
            opened => opened,
        };
        let secret = opened.map_err(|_| Unavailable::Now)?;
        std::str::from_utf8(&secret).ok().and_then(AccessKeySecret::from_text).ok_or(Unavailable::Now)
    }
}

fn refused(why: AccessKeyRefused) -> AccountRefused {
    match why {
        AccessKeyRefused::NoAccount => AccountRefused::NoAccount,
        AccessKeyRefused::TooMany => AccountRefused::TooManyKeys,
        AccessKeyRefused::IdTaken => AccountRefused::IdTaken,
    }
}

/// Twelve random digits, of which the first is not zero: people lose leading zeros.
fn random_account() -> Result<AccountId, Unavailable> {
    let chance = getrandom::u64().map_err(|_| Unavailable::Now)?;
    let number = 100_000_000_000 + chance % 900_000_000_000;
    AccountId::parse(&number.to_string()).ok_or(Unavailable::Now)
}
