//! The clients of a pool.

use super::fault::UserFault;
use super::pools::random_name;
use super::user_pools::{ClientCall, UserPools};
use crate::committer::{JobOwner, ReadOwner};
use crate::keyring::SecretKind;
use crate::store::{Group, SealedSecret, Store, UserPoolClient, UserPoolId, UserPoolRefused};

/// Letters of an id, and of a secret: 130 and 260 bits.
const ID_CHARS: usize = 26;
const SECRET_CHARS: usize = 51;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A client that is to be made.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Without its secret.
    pub client: UserPoolClient,
    pub secret: ClientSecretChoice,
}

/// Whether a client gets a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSecretChoice {
    None,
    Generated,
}

impl UserPools {
    pub async fn create_client(&self, pool: &UserPoolId, new: NewClient) -> Result<ClientCall, UserFault> {
        let now_ms = self.clock.unix_ms();
        let id = random_name(ID_CHARS, LETTERS)?;
        let sealed_secret = match new.secret {
            ClientSecretChoice::None => None,
            ClientSecretChoice::Generated => {
                let secret = zeroize::Zeroizing::new(random_name(SECRET_CHARS, LETTERS)?);
                let sealed = self.keyring.current().seal_secret(SecretKind::ClientSecret, id.as_bytes(), secret.as_bytes())?;
                Some(SealedSecret(sealed))
            }
        };
        let client = UserPoolClient { sealed_secret, made_ms: now_ms, changed_ms: now_ms, ..new.client };
        let (of, new_id) = (pool.clone(), id.clone());
        let decide = move |group: &mut Group<'_>, _| Ok((group.add_user_pool_client(&of, &new_id, &client)?, Vec::new()));
        self.committer.transact(JobOwner::Store, decide).await?.map_err(|why| match why {
            UserPoolRefused::TooMany => UserFault::TooMany("The user pool has as many clients as it can have"),
            UserPoolRefused::NoPool => UserFault::no_pool(pool.as_str()),
            UserPoolRefused::NoAccount | UserPoolRefused::IdTaken => UserFault::Internal,
        })?;
        self.client(&id).await
    }

    /// Up to `limit` clients of a pool behind one.
    pub async fn list_clients(
        &self,
        pool: &UserPoolId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, UserPoolClient)>, UserFault> {
        let pool = pool.clone();
        let read = move |store: &Store| store.user_pool_clients(&pool, after.as_deref(), limit);
        Ok(self.reader.read(ReadOwner::Server, read).await?)
    }

    pub async fn delete_client(&self, pool: &UserPoolId, id: &str) -> Result<(), UserFault> {
        let (of, client) = (pool.clone(), id.to_owned());
        let decide = move |group: &mut Group<'_>, _| Ok((group.delete_user_pool_client(&of, &client)?, Vec::new()));
        match self.committer.transact(JobOwner::Store, decide).await? {
            true => Ok(()),
            false => Err(UserFault::no_client(id)),
        }
    }
}
