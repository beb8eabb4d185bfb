//! Logins and the identities that they lead to.

use super::commit::Group;
use super::engine::Batch;
use super::rows::{self, IdentityRow};
use super::{Identity, Store, StoreError, keys};

/// Who somebody is to an issuer, in a pool. Several can lead to one identity.
#[derive(Clone, Copy, Debug)]
pub struct LoginKey<'a> {
    /// The pool.
    pub pool: &'a str,
    /// The issuer, as in the token's `iss`.
    pub issuer: &'a str,
    /// The subject, as in the token's `sub`.
    pub subject: &'a str,
}

impl LoginKey<'_> {
    fn row(&self) -> Vec<u8> {
        keys::login(self.pool, self.issuer, self.subject)
    }
}

impl Store {
    /// The identity that a login leads to.
    pub fn identity(&self, login: LoginKey<'_>) -> Result<Option<Identity>, StoreError> {
        self.engine.get(&[login.row()])?.pop().flatten().map(|row| read(&row)).transpose()
    }
}

impl Group<'_> {
    /// The identity that a login leads to; `fresh` becomes it at first sight.
    pub fn identity(&mut self, login: LoginKey<'_>, fresh: &Identity, now_ms: u64) -> Result<Identity, StoreError> {
        let key = login.row();
        if let Some(row) = self.view.get(&key)? {
            return read(&row);
        }
        let (identity_key, identity) = (keys::identity(fresh), IdentityRow { pool: login.pool.to_owned(), made_ms: now_ms });
        let rows = vec![(key.clone(), Some(rows::encode(&fresh.as_str())?)), (identity_key.clone(), Some(rows::encode(&identity)?))];
        self.view.decide(Batch { guards: vec![(key, None), (identity_key, None)], rows });
        Ok(fresh.clone())
    }
}

fn read(row: &[u8]) -> Result<Identity, StoreError> {
    Ok(Identity::from(rows::decode::<String>(row)?.as_str()))
}
