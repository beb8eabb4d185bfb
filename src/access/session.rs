//! Temporary credentials: nothing of them is stored. The secret follows from the access key id, and the session token is a sealed box that says who the
//! bearer is and under which bounds, never what is allowed: roles and policies are read at each request.

use serde::{Deserialize, Serialize};

use super::iam::{role_of_id, user_of_id};
use super::shared::Accounts;
use super::{Caller, Federation, RoleSession, UserIdentity};
use crate::committer::{ReadOwner, Unavailable};
use crate::keyring::{AccessKeyId, AccessKeyKind, AccessKeySecret, AccountNumber, OpenError, TokenKind};
use crate::store::{AccountId, Store, StoreError};

/// A caller whose signature names it, and what its session was limited to.
#[derive(Clone, Debug)]
pub struct SignedCaller {
    pub caller: Caller,
    pub limits: SessionLimits,
}

/// What limits a session beside the policies of its user or role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Whether the session was made with policies: then nothing is allowed that none of them allows.
    pub is_limited: bool,
    /// A policy of the session's own.
    pub policy: Option<String>,
    /// Managed policies of the session's account.
    pub policy_arns: Vec<String>,
}

/// Whose session it is, without the names that can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SessionOwner {
    Root,
    User { id: String },
    Role { id: String, session: String, federation: Option<Federation> },
}

/// What a session token has inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionContent {
    pub account: String,
    pub owner: SessionOwner,
    pub limits: SessionLimits,
}

/// Credentials that end.
#[derive(Clone, Debug)]
pub struct TemporaryCredentials {
    pub access_key_id: String,
    pub secret: AccessKeySecret,
    pub session_token: String,
    /// Milliseconds since 1970 (UTC).
    pub expires_ms: u64,
}

/// Why a session could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRefused {
    /// What the session carries is larger than a token may be.
    TooLarge,
}

/// Why a session token does not say who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableToken {
    /// It is none of this server's, belongs to another access key, or its user or role is gone.
    Invalid,
    Expired,
}

impl SignedCaller {
    /// A caller whose session has no limits of its own.
    pub fn unlimited(caller: Caller) -> SignedCaller {
        SignedCaller { caller, limits: SessionLimits::default() }
    }
}

impl Accounts {
    /// Makes credentials for a session that ends `life_s` seconds from now.
    pub(super) async fn temporary_credentials(
        &self,
        account: &AccountId,
        owner: SessionOwner,
        limits: SessionLimits,
        life_s: u32,
    ) -> Result<Result<TemporaryCredentials, SessionRefused>, Unavailable> {
        let of = account.clone();
        let known = self.reader.read(ReadOwner::Server, move |store| store.account(&of)).await?;
        let number = known.and_then(|account| AccountNumber::new(account.number)).ok_or(Unavailable::Now)?;
        let keyring = self.keyring.current();
        let chance = getrandom::u64().map_err(|_| Unavailable::Now)?;
        let (id, secret) = keyring.new_temporary_key(number, chance).map_err(|_| Unavailable::Now)?;
        let content = SessionContent { account: account.as_str().to_owned(), owner, limits };
        let content = serde_json::to_vec(&content).map_err(|_| Unavailable::Now)?;
        let (now_ms, life_ms, id) = (self.clock.unix_ms(), u64::from(life_s) * 1000, id.to_string());
        let Ok(session_token) = keyring.seal_text(TokenKind::SessionToken, id.as_bytes(), now_ms, life_ms, &content) else {
            return Ok(Err(SessionRefused::TooLarge));
        };
        Ok(Ok(TemporaryCredentials { access_key_id: id, secret, session_token, expires_ms: now_ms + life_ms }))
    }

    /// The secret of a temporary access key: what its signatures are made with, if the key was ever given out.
    pub(super) async fn temporary_secret(&self, id: &AccessKeyId) -> Result<Option<AccessKeySecret>, Unavailable> {
        debug_assert!(matches!(id.kind(), AccessKeyKind::Temporary { .. }));
        match self.opened(|keyring| keyring.temporary_secret(id)).await? {
            Ok(secret) => Ok(Some(secret)),
            Err(_) => Ok(None),
        }
    }

    /// Whose session a token is of, which is bound to the access key id. The user or role is read now: when it is gone, so is the session.
    pub(super) async fn session_caller(&self, id: &str, token: &str) -> Result<Result<SignedCaller, UnusableToken>, Unavailable> {
        let now_ms = self.clock.unix_ms();
        let opened = self.opened(|keyring| keyring.open_text(TokenKind::SessionToken, id.as_bytes(), now_ms, token)).await?;
        let content = match opened {
            Ok(content) => content,
            Err(OpenError::Expired) => return Ok(Err(UnusableToken::Expired)),
            Err(_) => return Ok(Err(UnusableToken::Invalid)),
        };
        let Ok(content) = serde_json::from_slice::<SessionContent>(&content) else { return Ok(Err(UnusableToken::Invalid)) };
        let Some(account) = AccountId::parse(&content.account) else { return Ok(Err(UnusableToken::Invalid)) };
        let limits = content.limits;
        let caller = self.reader.read(ReadOwner::Server, move |store| current_caller(store, account, content.owner)).await?;
        Ok(caller.map(|caller| SignedCaller { caller, limits }).ok_or(UnusableToken::Invalid))
    }
}

/// The caller under the names that it has now; `None`: it is gone.
fn current_caller(store: &Store, account: AccountId, owner: SessionOwner) -> Result<Option<Caller>, StoreError> {
    Ok(match owner {
        SessionOwner::Root => store.account(&account)?.map(|account| Caller::Root { account: account.id }),
        SessionOwner::User { id } => user_of_id(store, &account, &id)?.map(|user| Caller::User(UserIdentity::of(account, &user))),
        SessionOwner::Role { id, session, federation } => role_of_id(store, &account, &id)?.map(|role| {
            Caller::AssumedRole(RoleSession { account, role_id: role.id, path: role.path, role: role.name, session, federation })
        }),
    })
}
