//! What becomes of user pools when the key file is lost: nothing that was sealed in them opens any more.
//!
//! Users keep their names and attributes and set new passwords with a code. Key pairs are made anew. A client that had a secret refuses everybody until
//! it is deleted: one without its secret would be open to all.

use super::error::KeyringError;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader};
use crate::store::{AccountId, Group, SealedSecret, User, UserPoolId, UserStatus};

/// Users and clients that one transaction changes.
const AT_ONCE: usize = 16;

/// Whether something is sealed in user pools: each has a key pair.
pub(super) async fn is_sealed(reader: &Reader) -> Result<bool, KeyringError> {
    Ok(!reader.read(ReadOwner::Server, |store| store.all_user_pools(None, 1)).await?.is_empty())
}

/// Forgets what was sealed in user pools, in bounded steps; how many pools there are. Doing it again changes nothing.
pub(super) async fn forget_sealed(reader: &Reader, committer: &Committer) -> Result<usize, KeyringError> {
    let mut after: Option<(AccountId, UserPoolId)> = None;
    let mut pools = 0;
    loop {
        let behind = after.clone();
        let read = move |store: &crate::store::Store| {
            let behind = behind.as_ref().map(|(account, pool)| (account, pool));
            store.all_user_pools(behind, AT_ONCE)
        };
        let page = reader.read(ReadOwner::Server, read).await?;
        let Some(last) = page.last() else { return Ok(pools) };
        after = Some(last.clone());
        pools += page.len();
        for (_, pool) in page {
            forget_clients(reader, committer, &pool).await?;
            forget_passwords(reader, committer, &pool).await?;
            let of = pool.clone();
            let delete = move |group: &mut Group<'_>, _| Ok((group.delete_pool_signing_keys(&of)?, Vec::new()));
            committer.transact(JobOwner::Store, delete).await?;
        }
    }
}

async fn forget_clients(reader: &Reader, committer: &Committer, pool: &UserPoolId) -> Result<(), KeyringError> {
    let mut after: Option<String> = None;
    loop {
        let (of, behind) = (pool.clone(), after.clone());
        let page = reader.read(ReadOwner::Server, move |store| store.user_pool_clients(&of, behind.as_deref(), AT_ONCE)).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        let of = pool.clone();
        let forget = move |group: &mut Group<'_>, _| {
            for (id, client) in page.iter().filter(|(_, client)| client.sealed_secret.is_some()) {
                let mut client = client.clone();
                client.sealed_secret = Some(SealedSecret(Vec::new()));
                group.put_user_pool_client(&of, id, &client)?;
            }
            Ok(((), Vec::new()))
        };
        committer.transact(JobOwner::Store, forget).await?;
    }
}

async fn forget_passwords(reader: &Reader, committer: &Committer, pool: &UserPoolId) -> Result<(), KeyringError> {
    let mut after: Option<String> = None;
    loop {
        let (of, behind) = (pool.clone(), after.clone());
        let page = reader.read(ReadOwner::Server, move |store| store.users(&of, behind.as_deref(), AT_ONCE)).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.name.to_string());
        let forget = move |group: &mut Group<'_>, _| {
            for (key, user) in &page {
                let status = match user.status {
                    UserStatus::Confirmed => UserStatus::ResetRequired,
                    other => other,
                };
                group.put_user(key, &User { password: None, status, ..user.clone() })?;
                group.delete_families(key)?;
            }
            Ok(((), Vec::new()))
        };
        committer.transact(JobOwner::Store, forget).await?;
    }
}
