//! What all that is asked of user pools has in common: the pool, the client that asks, and the user that it names.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::{EMAIL, PHONE, PREFERRED};
use super::fault::UserFault;
use super::names::fold;
use super::pool_keys::PoolKeys;
use super::unknown_users::UnknownUsers;
use super::workers::Workers;
use crate::clock::Clock;
use crate::committer::{Committer, ReadOwner, Reader};
use crate::keyring::{OpenError, SecretKey, SecretKind, SharedKeyring};
use crate::mail::Mail;
use crate::store::{
    AccountId, AliasName, PoolUserKey, SealedSecret, Store, StoreError, User, UserPool, UserPoolClient, UserPoolId, UserPoolSettings,
    UserPoolState, UsernameKind,
};

/// Characters of a username: UsernameType of the service's model.
const MAX_USERNAME_CHARS: usize = 128;

/// The attributes by which somebody may be found, and `sub`.
const ALIAS_KINDS: [&str; 4] = ["sub", EMAIL, PHONE, PREFERRED];

/// The user pools of a server. Clones share them.
#[derive(Clone)]
pub struct UserPools {
    pub(super) reader: Reader,
    pub(super) committer: Committer,
    pub(super) keyring: SharedKeyring,
    pub(super) clock: Clock,
    pub(super) workers: Workers,
    pub(super) keys: PoolKeys,
    pub(super) mail: Mail,
    pub(super) unknown_users: Arc<UnknownUsers>,
    pub(super) public_url: Arc<str>,
    pub(super) region: Arc<str>,
}

/// What user pools act on.
pub struct UserPoolsSetup {
    pub reader: Reader,
    pub committer: Committer,
    pub keyring: SharedKeyring,
    pub clock: Clock,
    pub mail: Mail,
    /// The address of this server for its clients, without a slash at its end: the first part of issuers.
    pub public_url: String,
    pub region: String,
}

/// A client that asks, and the pool that it belongs to.
#[derive(Clone, Debug)]
pub struct ClientCall {
    pub pool_id: UserPoolId,
    pub pool: UserPool,
    pub client_id: String,
    pub client: UserPoolClient,
    secret: Option<Arc<str>>,
}

impl UserPools {
    /// # Errors
    /// The system refused a thread.
    pub fn start(setup: UserPoolsSetup) -> std::io::Result<UserPools> {
        let UserPoolsSetup { reader, committer, keyring, clock, mail, public_url, region } = setup;
        let workers = Workers::start()?;
        let keys = PoolKeys::new(reader.clone(), committer.clone(), keyring.clone(), workers.clone(), clock);
        let (unknown_users, public_url, region) = (Arc::default(), public_url.into(), region.into());
        Ok(UserPools { reader, committer, keyring, clock, workers, keys, mail, unknown_users, public_url, region })
    }

    /// The issuer of a pool's tokens: their `iss`.
    pub fn issuer(&self, pool: &UserPoolId) -> String {
        format!("{}/{pool}", self.public_url)
    }

    /// The pool with an id, in whichever account, if it is live.
    pub async fn pool(&self, id: &str) -> Result<(UserPoolId, UserPool), UserFault> {
        let missing = || UserFault::no_pool(id);
        let pool_id = UserPoolId::parse(id).ok_or_else(missing)?;
        let wanted = pool_id.clone();
        let pool = self.reader.read(ReadOwner::Server, move |store| store.user_pool(&wanted)).await?;
        pool.filter(|pool| pool.state == UserPoolState::Live).map(|pool| (pool_id, pool)).ok_or_else(missing)
    }

    /// The account that owns a pool. One that is being deleted still has its owner.
    pub async fn owner(&self, id: &str) -> Result<AccountId, UserFault> {
        let pool_id = UserPoolId::parse(id).ok_or_else(|| UserFault::no_pool(id))?;
        let pool = self.reader.read(ReadOwner::Server, move |store| store.user_pool(&pool_id)).await?;
        pool.and_then(|pool| AccountId::parse(&pool.account)).ok_or_else(|| UserFault::no_pool(id))
    }

    /// The client with an id, with its pool.
    pub async fn client(&self, id: &str) -> Result<ClientCall, UserFault> {
        const MAX_ID_BYTES: usize = 128;
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(UserFault::no_client(id));
        }
        let client_id = id.to_owned();
        let read = move |store: &Store| {
            let Some((pool_id, client)) = store.user_pool_client(&client_id)? else { return Ok(None) };
            Ok(store.user_pool(&pool_id)?.map(|pool| (pool_id, pool, client_id, client)))
        };
        let found = self.reader.read(ReadOwner::Server, read).await?;
        let found = found.filter(|(_, pool, _, _)| pool.state == UserPoolState::Live);
        let (pool_id, pool, client_id, client) = found.ok_or_else(|| UserFault::no_client(id))?;
        let secret = match &client.sealed_secret {
            Some(sealed) => {
                let opened = self.open_secret(SecretKind::ClientSecret, client_id.as_bytes(), sealed).await?;
                Some(String::from_utf8_lossy(&opened).into())
            }
            None => None,
        };
        Ok(ClientCall { pool_id, pool, client_id, client, secret })
    }

    /// The client of a pool that an administrator named.
    pub async fn client_of(&self, pool: &str, id: &str) -> Result<ClientCall, UserFault> {
        let call = self.client(id).await?;
        if call.pool_id.as_str() == pool { Ok(call) } else { Err(UserFault::no_client(id)) }
    }

    pub(super) async fn open_secret(
        &self,
        kind: SecretKind,
        owner: &[u8],
        sealed: &SealedSecret,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, UserFault> {
        let open = || self.keyring.current().open_secret(kind, owner, &sealed.0);
        let opened = match open() {
            // Another server of this store may have made the generation a moment ago.
            Err(OpenError::UnknownGeneration) => {
                self.keyring.refresh().await?;
                open()
            }
            opened => opened,
        };
        Ok(opened?)
    }

    /// A key that stays the same, for one use.
    pub(super) fn lasting_key(&self, label: &'static str) -> Result<SecretKey, UserFault> {
        self.keyring.current().lasting_key(label).ok_or(UserFault::Internal)
    }

    /// The user whom a text names: by the username, or by another name that the pool lets in. All of them are looked up, so that a name of nobody takes
    /// as long as another.
    pub(super) async fn find(&self, pool_id: &UserPoolId, pool: &UserPool, name: &str) -> Result<Option<(PoolUserKey, User)>, UserFault> {
        let folded = fold(&pool.settings, name);
        let key = PoolUserKey { pool: pool_id.clone(), name: folded.as_str().into() };
        let kinds = alias_kinds(&pool.settings);
        let read = move |store: &Store| {
            let mut found = store.user(&key)?.map(|user| (key.clone(), user));
            for kind in kinds {
                let by_alias = named_by(store, &key.pool, AliasName { kind, value: &folded })?;
                found = found.or(by_alias);
            }
            Ok(found)
        };
        Ok(self.reader.read(ReadOwner::Login(name.to_owned()), read).await?)
    }

    pub(super) async fn user_of_key(&self, key: &PoolUserKey) -> Result<Option<User>, UserFault> {
        let wanted = key.clone();
        Ok(self.reader.read(ReadOwner::Login(key.name.to_string()), move |store| store.user(&wanted)).await?)
    }

    /// The user whom an administrator names.
    pub(super) async fn named(&self, pool_id: &UserPoolId, pool: &UserPool, name: &str) -> Result<(PoolUserKey, User), UserFault> {
        check_username(name)?;
        self.find(pool_id, pool, name).await?.ok_or(UserFault::NoUser)
    }
}

fn named_by(store: &Store, pool: &UserPoolId, alias: AliasName<'_>) -> Result<Option<(PoolUserKey, User)>, StoreError> {
    let Some(key) = store.user_of_alias(pool, alias)? else { return Ok(None) };
    Ok(store.user(&key)?.map(|user| (key, user)))
}

impl ClientCall {
    /// Whether the client proves that it has its secret, if it has one, for this username. Source: "Computing secret hash values" in the Amazon Cognito
    /// developer guide.
    pub fn check_secret_hash(&self, username: &str, secret_hash: Option<&str>) -> Result<(), UserFault> {
        const MISMATCH: UserFault = UserFault::NotAuthorized("Unable to verify secret hash for client");
        const UNWANTED: UserFault = UserFault::NotAuthorized("Client is not configured for secret but secret was received");
        let (secret, given) = match (&self.secret, secret_hash) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(UNWANTED),
            (Some(_), None) => return Err(UserFault::NotAuthorized("Client is configured with secret but SECRET_HASH was not received")),
            (Some(secret), Some(given)) => (secret, given),
        };
        let given = STANDARD.decode(given).map_err(|_| MISMATCH)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, [username, &self.client_id].concat().as_bytes(), &given).map_err(|_| MISMATCH)
    }

    /// Whether the client sends its secret itself, if it has one.
    pub fn check_secret(&self, given: Option<&str>) -> Result<(), UserFault> {
        const MISMATCH: UserFault = UserFault::NotAuthorized("Invalid client secret");
        match (&self.secret, given) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(MISMATCH),
            (Some(secret), Some(given)) => {
                let is_same = aws_lc_rs::constant_time::verify_slices_are_equal(secret.as_bytes(), given.as_bytes()).is_ok();
                if is_same { Ok(()) } else { Err(MISMATCH) }
            }
        }
    }

    /// The secret, for who may see the client's settings.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Whether the client lets users sign in this way.
    pub(super) fn check_flow(&self, names: &[&str]) -> Result<(), UserFault> {
        let is_there = self.client.flows.iter().any(|flow| names.contains(&flow.as_str()));
        if is_there {
            Ok(())
        } else {
            Err(UserFault::parameter(format!("{} flow not enabled for this client", names[0].trim_start_matches("ALLOW_"))))
        }
    }
}

/// Which other names lead to a user of a pool.
pub(super) fn alias_kinds(settings: &UserPoolSettings) -> Vec<&'static str> {
    let is_alias = |kind: &&str| match settings.usernames {
        UsernameKind::Attribute { email, phone } => match *kind {
            "sub" => true,
            EMAIL => email,
            PHONE => phone,
            other => settings.aliases.iter().any(|alias| alias == other),
        },
        UsernameKind::Chosen => *kind == "sub" || settings.aliases.iter().any(|alias| alias == kind),
    };
    ALIAS_KINDS.into_iter().filter(is_alias).collect()
}

/// Whether a text may be a username: nothing longer is looked up.
pub(super) fn check_username(name: &str) -> Result<(), UserFault> {
    let is_name = (1..=4 * MAX_USERNAME_CHARS).contains(&name.len())
        && name.chars().count() <= MAX_USERNAME_CHARS
        && !name.chars().any(|one| one.is_whitespace() || one.is_control());
    match is_name {
        true => Ok(()),
        false => Err(UserFault::parameter(
            r"1 validation error detected: Value at 'username' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+",
        )),
    }
}
