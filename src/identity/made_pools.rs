//! Identity pools that requests make, change and delete, and the roles of every pool.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use driftless_protocol::Limits;
use tracing::{info, warn};
use uuid::Uuid;

use crate::auth::{IssuerConfig, Verifier};
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::limits::PoolUse;
use crate::logging::AUDIT;
use crate::merge::ConflictPolicy;
use crate::origin::AllowedOrigins;
use crate::pools::{LINK_FRESH_S, Pool, PoolOrigin, Pools};
use crate::store::{AccountId, Group, IDENTITY_BYTES, MadePool, OidcProvider, PoolRoles, RetentionPolicy, Store, StoreError, StoredPool};

/// Pools of an account ("Quotas in Amazon Cognito": identity pools per account).
const MOST_POOLS: u32 = 1000;

/// Pools that are read at a time when the server starts, and that one page of a list looks through.
const PAGE: usize = 1000;

/// Datasets of an identity, records and bytes of a dataset ("Quotas in Amazon Cognito": Amazon Cognito Sync).
const SYNC_QUOTAS: (usize, u64, u64) = (20, 1024, 1 << 20);

/// A pool with what it is called, whose it is, and which roles it has.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolDetails {
    pub id: Arc<str>,
    pub origin: PoolOrigin,
    pub name: String,
    /// The account that made it; `None`: the configuration declares it.
    pub account: Option<AccountId>,
    pub made: Option<MadePool>,
    pub roles: PoolRoles,
}

/// Why a pool was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolRefused {
    /// There is none with this id.
    NoPool,
    /// The account has as many as it may have.
    TooMany,
    /// What is asked is set by the configuration.
    Declared,
    /// A value is not valid: why.
    Invalid(String),
}

pub type PoolResult<T> = Result<Result<T, PoolRefused>, Unavailable>;

/// What a user pool of this server signs its tokens with: its issuer, and the JWKS document of its keys. `None`: there is no such pool.
pub type UserPoolKeys = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = FoundKeys> + Send>> + Send + Sync>;

/// Issuer and keys. An error is not taken for a pool that is gone: the keys that are known stay.
pub type FoundKeys = Result<Option<(String, String)>, Unavailable>;

/// How often the keys of user pools are read again. A key is published a day before it signs.
const KEYS_EVERY: Duration = Duration::from_secs(3600);

/// The identity pools of a server. Clones share it.
#[derive(Clone)]
pub struct IdentityPools {
    pools: Pools,
    verifier: Verifier,
    reader: Reader,
    committer: Committer,
    region: Arc<str>,
    /// Given by `app`: this part knows no user pools.
    user_pool_keys: UserPoolKeys,
}

impl IdentityPools {
    /// Reads the pools that were made, so that they admit their people from the start.
    pub async fn open(
        pools: Pools,
        verifier: Verifier,
        reader: Reader,
        committer: Committer,
        region: &str,
        user_pool_keys: UserPoolKeys,
    ) -> Result<IdentityPools, Unavailable> {
        let opened = IdentityPools { pools, verifier, reader, committer, region: region.into(), user_pool_keys };
        opened.admit_all().await?;
        Ok(opened)
    }

    /// Reads the keys of user pools again, now and then. Runs until the future is dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(KEYS_EVERY).await;
            if self.admit_all().await.is_err() {
                warn!("the keys of user pools were not read; it is tried again");
            }
        }
    }

    /// Lets the people of all pools that were made in.
    async fn admit_all(&self) -> Result<(), Unavailable> {
        let mut after: Option<String> = None;
        loop {
            let behind = after.clone();
            let page = self.reader.read(ReadOwner::Server, move |store| store.stored_pools(behind.as_deref(), PAGE)).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (id, stored) in page {
                if let Some(made) = stored.made
                    && let Err(why) = self.admit(&id, &made).await?
                {
                    warn!(pool = %id, ?why, "an identity pool trusts nobody until its providers are mended");
                }
            }
        }
    }

    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Lets the pool's people in, as it says now.
    async fn admit(&self, id: &str, made: &MadePool) -> PoolResult<()> {
        let (name, issuers): (Arc<str>, _) = (id.into(), self.issuers(made).await?);
        // A pool of that name is declared: only if ids looked like names.
        if self.pools.set_made(pool(&name)).is_err() {
            return Ok(Err(PoolRefused::Declared));
        }
        self.trust(name, issuers).await
    }

    async fn trust(&self, name: Arc<str>, issuers: Vec<IssuerConfig>) -> PoolResult<()> {
        let verifier = self.verifier.clone();
        let set = tokio::task::spawn_blocking(move || verifier.set_issuers(&name, issuers)).await.map_err(|_| Unavailable::Now)?;
        Ok(set.map_err(|why| PoolRefused::Invalid(why.to_string())))
    }

    /// The issuers that a pool trusts: those of `SupportedLoginProviders` that are issuers, and its account's providers. A provider that was deleted is
    /// trusted no more.
    async fn issuers(&self, made: &MadePool) -> Result<Vec<IssuerConfig>, Unavailable> {
        let mut issuers: Vec<IssuerConfig> = Vec::new();
        for (provider, client) in &made.login_providers {
            // Facebook's and Amazon's tokens are opaque: they say nothing by themselves.
            if !["graph.facebook.com", "www.amazon.com"].contains(&provider.as_str()) {
                issuers.push(IssuerConfig::discovered(format!("https://{provider}"), vec![client.clone()]));
            }
        }
        for trusted in &made.user_pools {
            // Named as at AWS, `cognito-idp.REGION.amazonaws.com/ID`, or by this server's own address: the id is what counts.
            let id = trusted.provider.rsplit('/').next().unwrap_or_default().to_owned();
            if let Some((issuer, keys)) = (self.user_pool_keys)(id).await? {
                issuers.push(IssuerConfig::own(issuer, vec![trusted.client_id.clone()], keys));
            }
        }
        let Some(account) = AccountId::parse(&made.account) else { return Ok(issuers) };
        let names: Vec<String> =
            made.oidc_providers.iter().filter_map(|arn| arn.split_once(":oidc-provider/").map(|(_, name)| name.to_owned())).collect();
        let read = move |store: &Store| {
            names.iter().map(|name| store.account_record::<OidcProvider>(&account, &[name])).collect::<Result<Vec<_>, _>>()
        };
        for provider in self.reader.read(ReadOwner::Server, read).await?.into_iter().flatten() {
            if !provider.client_ids.is_empty() {
                issuers.push(IssuerConfig::discovered(provider.url(), provider.client_ids));
            }
        }
        Ok(issuers)
    }

    /// Makes a pool of an account; returns its id.
    pub async fn create(&self, account: &AccountId, made: MadePool) -> PoolResult<PoolDetails> {
        if let Err(refused) = self.check(&made).await? {
            return Ok(Err(refused));
        }
        let id = format!("{}:{}", self.region, Uuid::new_v4());
        let (key, of) = (id.clone(), account.clone());
        let stored = StoredPool { made: Some(made.clone()), roles: PoolRoles::default() };
        let write = self.committer.transact(JobOwner::Store, move |group: &mut Group<'_>, now_ms| {
            let Some(mut account) = group.account(&of)? else { return Ok((Err(PoolRefused::NoPool), Vec::new())) };
            if account.state.pools >= MOST_POOLS {
                return Ok((Err(PoolRefused::TooMany), Vec::new()));
            }
            account.state.pools += 1;
            group.set_account_state(account)?;
            let mut stored = stored.clone();
            if let Some(made) = &mut stored.made {
                made.made_ms = now_ms;
            }
            group.put_pool(&key, &stored)?;
            Ok((Ok(stored), Vec::new()))
        });
        let stored = match write.await? {
            Ok(stored) => stored,
            Err(refused) => return Ok(Err(refused)),
        };
        info!(target: AUDIT, pool = %id, %account, "identity pool made");
        self.admit(&id, &made).await?.ok();
        Ok(Ok(details(id.as_str().into(), PoolOrigin::Made, &id, Some(stored))))
    }

    /// Whether the issuers that a pool would trust can be used.
    async fn check(&self, made: &MadePool) -> PoolResult<()> {
        let issuers = self.issuers(made).await?;
        let verified = tokio::task::spawn_blocking(move || Verifier::new([(Arc::from("new"), issuers)]).map(drop)).await;
        let verified = verified.map_err(|_| Unavailable::Now)?;
        Ok(verified.map_err(|why| PoolRefused::Invalid(why.to_string())))
    }

    /// A pool by its id, declared or made.
    pub async fn find(&self, id: &str) -> PoolResult<PoolDetails> {
        let Some(pool) = self.pools.by_id(id) else { return Ok(Err(PoolRefused::NoPool)) };
        let (key, name) = (pool.name.to_string(), pool.name.to_string());
        let stored = self.reader.read(ReadOwner::Server, move |store| store.stored_pool(&key)).await?;
        let origin = if name.contains(':') { PoolOrigin::Made } else { PoolOrigin::Declared };
        Ok(Ok(details(pool.id(), origin, &name, stored)))
    }

    /// The pools of an account behind one, at most so many: id and name. Declared ones are listed with the account that owns them, first.
    pub async fn list(
        &self,
        account: &AccountId,
        owns_declared: bool,
        after: Option<String>,
        most: usize,
    ) -> Result<Vec<(Arc<str>, String)>, Unavailable> {
        let mut found: Vec<(Arc<str>, String)> = Vec::new();
        for (name, id, origin) in self.pools.list() {
            if origin == PoolOrigin::Declared && owns_declared {
                found.push((id, name.to_string()));
            }
        }
        let owner = account.as_str().to_owned();
        let read = move |store: &Store| {
            let mut own = Vec::new();
            let mut behind: Option<String> = None;
            loop {
                let page = store.stored_pools(behind.as_deref(), PAGE)?;
                let Some((last, _)) = page.last() else { return Ok::<_, StoreError>(own) };
                behind = Some(last.clone());
                own.extend(page.into_iter().filter_map(|(id, stored)| Some((id, stored.made?))).filter(|(_, made)| made.account == owner));
            }
        };
        let own = self.reader.read(ReadOwner::Server, read).await?;
        found.extend(own.into_iter().map(|(id, made)| (Arc::from(id), made.name)));
        found.sort_unstable();
        let from = after.map_or(0, |after| found.partition_point(|(id, _)| **id <= *after));
        Ok(found.into_iter().skip(from).take(most).collect())
    }

    /// Changes a pool that was made; `change` gets what is there.
    pub async fn update(&self, id: &str, change: MadePool) -> PoolResult<PoolDetails> {
        let Some(pool) = self.pools.by_id(id) else { return Ok(Err(PoolRefused::NoPool)) };
        if !pool.name.contains(':') {
            return Ok(Err(PoolRefused::Declared));
        }
        if let Err(refused) = self.check(&change).await? {
            return Ok(Err(refused));
        }
        let (key, changed) = (id.to_owned(), change.clone());
        let write = self.committer.transact(JobOwner::Store, move |group: &mut Group<'_>, _| {
            let Some(StoredPool { made: Some(old), roles }) = group.stored_pool(&key)? else {
                return Ok((Err(PoolRefused::NoPool), Vec::new()));
            };
            let made = MadePool { account: old.account, made_ms: old.made_ms, ..changed.clone() };
            let stored = StoredPool { made: Some(made), roles };
            group.put_pool(&key, &stored)?;
            Ok((Ok(stored), Vec::new()))
        });
        let stored = match write.await? {
            Ok(stored) => stored,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(made) = &stored.made {
            self.admit(id, made).await?.ok();
        }
        info!(target: AUDIT, pool = %id, "identity pool changed");
        Ok(Ok(details(pool.id(), PoolOrigin::Made, id, Some(stored))))
    }

    /// Sets which roles a pool's identities get.
    pub async fn set_roles(&self, id: &str, roles: PoolRoles) -> PoolResult<()> {
        let Some(pool) = self.pools.by_id(id) else { return Ok(Err(PoolRefused::NoPool)) };
        let (key, is_declared) = (pool.name.to_string(), !pool.name.contains(':'));
        let write = self.committer.transact(JobOwner::Store, move |group: &mut Group<'_>, _| {
            let stored = match group.stored_pool(&key)? {
                Some(stored) => stored,
                None if is_declared => StoredPool::default(),
                None => return Ok((Err(PoolRefused::NoPool), Vec::new())),
            };
            group.put_pool(&key, &StoredPool { roles: roles.clone(), ..stored })?;
            Ok((Ok(()), Vec::new()))
        });
        let written = write.await?;
        if written.is_ok() {
            info!(target: AUDIT, pool = %id, "roles of an identity pool changed");
        }
        Ok(written)
    }

    /// Deletes a pool that was made: it admits nobody from then on. The identities and datasets that it had are kept until an operator erases them.
    pub async fn delete(&self, id: &str) -> PoolResult<()> {
        let Some(pool) = self.pools.by_id(id) else { return Ok(Err(PoolRefused::NoPool)) };
        if !pool.name.contains(':') {
            return Ok(Err(PoolRefused::Declared));
        }
        let key = id.to_owned();
        let write = self.committer.transact(JobOwner::Store, move |group: &mut Group<'_>, _| {
            let Some(StoredPool { made: Some(made), .. }) = group.stored_pool(&key)? else {
                return Ok((Err(PoolRefused::NoPool), Vec::new()));
            };
            if let Some(account) = AccountId::parse(&made.account)
                && let Some(mut account) = group.account(&account)?
            {
                account.state.pools = account.state.pools.saturating_sub(1);
                group.set_account_state(account)?;
            }
            group.delete_pool(&key);
            Ok((Ok(()), Vec::new()))
        });
        if let Err(refused) = write.await? {
            return Ok(Err(refused));
        }
        self.pools.remove_made(id).ok();
        info!(target: AUDIT, pool = %id, "identity pool deleted");
        self.trust(id.into(), Vec::new()).await
    }
}

fn details(id: Arc<str>, origin: PoolOrigin, name: &str, stored: Option<StoredPool>) -> PoolDetails {
    let StoredPool { made, roles } = stored.unwrap_or_default();
    let account = made.as_ref().and_then(|made| AccountId::parse(&made.account));
    let name = made.as_ref().map_or_else(|| name.to_owned(), |made| made.name.clone());
    PoolDetails { id, origin, name, account, made, roles }
}

/// A pool that was made, with Amazon Cognito Sync's quotas.
fn pool(id: &Arc<str>) -> Pool {
    let (datasets, records, dataset_bytes) = SYNC_QUOTAS;
    let limits = Limits { datasets, records, dataset_bytes, ..Limits::default() };
    let retention = RetentionPolicy { tombstones: limits.records, ..RetentionPolicy::default() };
    Pool {
        name: Arc::clone(id),
        region: id.split(':').next().unwrap_or_default().into(),
        limits,
        policy: ConflictPolicy::default(),
        datasets: Vec::new(),
        retention,
        identity_bytes: IDENTITY_BYTES,
        origins: AllowedOrigins::new([]),
        guests: false,
        link_fresh_s: LINK_FRESH_S,
        used: PoolUse::default(),
    }
}
