//! Accounts and the access keys of their roots: how they are made, and whose key signed a request.

mod development;

use std::fmt;

use super::iam::user_of_id;
use super::session::UnusableToken;
use super::shared::Accounts;
use super::{Caller, SignedCaller, UserIdentity};
use crate::committer::{JobOwner, ReadOwner, Unavailable};
use crate::keyring::{AccessKeyId, AccessKeyKind, AccessKeySecret, AccountNumber, CryptoFailed, SecretKind};
use crate::store::{AccessKey, AccessKeyRefused, AccessKeyStatus, Account, AccountId, AccountState, Group, Store};

/// Characters of an account's name: what AWS Organizations allows.
const MAX_NAME_CHARS: usize = 50;

/// How often an id of twelve random digits is drawn before it is given up: two of a million accounts meet once in a million.
const MOST_DRAWS: u32 = 8;

/// Accounts that a list has at most.
pub const MOST_LISTED: usize = 1000;

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
    pub caller: SignedCaller,
    pub secret: AccessKeySecret,
}

/// Why an access key signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKey {
    /// No key of this server has the id, or it was deleted.
    Unknown,
    /// It was switched off.
    Inactive,
    /// The session token is not that of the key, or is none.
    InvalidToken,
    /// The session has ended.
    ExpiredToken,
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
    /// Makes an account, with this id or a random one, and a first access key of its root.
    pub async fn init(&self, name: &str, id: Option<AccountId>) -> AccountResult<NewAccessKey> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Ok(Err(AccountRefused::BadName));
        }
        let take = self.committer.transact(JobOwner::Store, |group, _| Ok((group.take_account_number()?, Vec::new())));
        let Some(number) = take.await? else { return Ok(Err(AccountRefused::TooMany)) };
        for _ in 0..MOST_DRAWS {
            let drawn = id.clone().map_or_else(random_account, Ok)?;
            let account =
                Account { id: drawn, name: name.to_owned(), number, made_ms: self.clock.unix_ms(), state: AccountState::default() };
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

    /// Whose key signed a request, and the secret that it is signed with. What is read is read now: a key that was switched off signs nothing more.
    ///
    /// `token` is the session token of the request. The signature must be verified before anything is done for the caller.
    pub async fn signer(&self, id: &str, token: Option<&str>) -> Result<Result<Signer, UnusableKey>, Unavailable> {
        let secret = match self.secret(id).await? {
            Ok(secret) => secret,
            Err(why) => return Ok(Err(why)),
        };
        Ok(self.signed_caller(id, token).await?.map(|caller| Signer { caller, secret }))
    }

    /// The secret of an access key, which signatures are checked with.
    pub async fn secret(&self, id: &str) -> Result<Result<AccessKeySecret, UnusableKey>, Unavailable> {
        // An id of another spelling is no key's: the store is not asked.
        let Ok(parsed) = id.parse::<AccessKeyId>() else { return Ok(Err(UnusableKey::Unknown)) };
        if let AccessKeyKind::Temporary { .. } = parsed.kind() {
            return Ok(self.temporary_secret(&parsed).await?.ok_or(UnusableKey::Unknown));
        }
        match self.usable_key(id).await? {
            Ok(key) => self.open_secret(&key).await.map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Who signs with an access key and a session token: the one that belongs to a temporary key, and none for a lasting one.
    pub async fn signed_caller(&self, id: &str, token: Option<&str>) -> Result<Result<SignedCaller, UnusableKey>, Unavailable> {
        match (id.parse::<AccessKeyId>().map(|id| id.kind()), token) {
            (Ok(AccessKeyKind::Temporary { .. }), Some(token)) => Ok(self.session_caller(id, token).await?.map_err(|why| match why {
                UnusableToken::Invalid => UnusableKey::InvalidToken,
                UnusableToken::Expired => UnusableKey::ExpiredToken,
            })),
            (Ok(AccessKeyKind::Temporary { .. }), None) | (Ok(AccessKeyKind::Lasting), Some(_)) => Ok(Err(UnusableKey::InvalidToken)),
            (Ok(AccessKeyKind::Lasting), None) => {
                let key = match self.usable_key(id).await? {
                    Ok(key) => key,
                    Err(why) => return Ok(Err(why)),
                };
                let Some(user_id) = key.user else {
                    return Ok(Ok(SignedCaller::unlimited(Caller::Root { account: key.account })));
                };
                let of = key.account.clone();
                let user = self.reader.read(ReadOwner::Server, move |store| user_of_id(store, &of, &user_id)).await?;
                let caller = user.map(|user| Caller::User(UserIdentity::of(key.account, &user)));
                Ok(caller.map(SignedCaller::unlimited).ok_or(UnusableKey::Unknown))
            }
            (Err(_), _) => Ok(Err(UnusableKey::Unknown)),
        }
    }

    /// The account that an access key id belongs to, if this server has it: what GetAccessKeyInfo tells.
    pub async fn account_of_key(&self, id: &str) -> Result<Option<AccountId>, Unavailable> {
        let Ok(id) = id.parse::<AccessKeyId>() else { return Ok(None) };
        let number = id.account().get();
        self.reader.read(ReadOwner::Server, move |store| store.account_of_number(number)).await
    }

    async fn usable_key(&self, id: &str) -> Result<Result<AccessKey, UnusableKey>, Unavailable> {
        let name = id.to_owned();
        Ok(match self.reader.read(ReadOwner::Server, move |store| store.access_key(&name)).await? {
            None => Err(UnusableKey::Unknown),
            Some(key) if key.status == AccessKeyStatus::Inactive => Err(UnusableKey::Inactive),
            Some(key) => Ok(key),
        })
    }

    async fn open_secret(&self, key: &AccessKey) -> Result<AccessKeySecret, Unavailable> {
        let opened = self.opened(|keyring| keyring.open_secret(SecretKind::AccessKey, key.id.as_bytes(), &key.sealed_secret)).await?;
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
