//! Identities, and the logins that lead to them.
//!
//! Nothing is written for an identity that is not there: one that was erased, or merged into another.

use driftless_protocol::limits;

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::rows::{self, IdentityRow};
use super::{Identity, Store, StoreError, keys};

/// The row that counts erasures.
const ERASURES: &str = "erasures";

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

/// A login and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginInfo {
    /// The pool.
    pub pool: String,
    /// The issuer.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// The identity.
    pub identity: Identity,
}

/// What became of linking a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkResult {
    /// It leads to the identity now, or did before.
    Here,
    /// It leads to another identity: nothing was changed.
    Elsewhere(Identity),
    /// There is no such identity.
    NoIdentity,
}

impl LoginKey<'_> {
    fn row(&self) -> Bytes {
        keys::login(self.pool, self.issuer, self.subject)
    }

    fn own_row(&self, identity: &Identity) -> Bytes {
        keys::own_login(identity, self.pool, self.issuer, self.subject)
    }
}

impl Store {
    /// The identity that a login leads to.
    pub fn identity(&self, login: LoginKey<'_>) -> Result<Option<Identity>, StoreError> {
        self.engine.get(&login.row())?.map(|row| read(&row)).transpose()
    }

    /// Identities that were merged into one, the newest last; `None` if it is not there: never was, was erased, or was merged itself.
    pub fn merged(&self, identity: &Identity) -> Result<Option<Vec<String>>, StoreError> {
        let row = self.engine.get(&keys::identity(identity))?;
        let row = row.map(|row| rows::decode::<IdentityRow>(&row)).transpose()?;
        Ok(row.filter(|row| row.moved_to.is_none()).map(|row| row.merged))
    }

    /// How many identities were erased.
    pub fn erasures(&self) -> Result<u64, StoreError> {
        let row = self.engine.get(&keys::meta(ERASURES))?;
        Ok(row.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default())
    }

    /// The pool of an identity that is there.
    pub fn pool(&self, identity: &Identity) -> Result<Option<String>, StoreError> {
        let row = self.engine.get(&keys::identity(identity))?;
        Ok(row.map(|row| rows::decode::<IdentityRow>(&row)).transpose()?.map(|row| row.pool))
    }

    /// Logins of a pool with this subject, whoever their issuer is: up to `limit`.
    pub fn logins(&self, pool: &str, subject: &str, limit: usize) -> Result<Vec<LoginInfo>, StoreError> {
        let prefix = keys::logins(pool);
        let end = keys::after(&prefix);
        let (mut found, mut start) = (Vec::new(), prefix.clone());
        while found.len() < limit {
            // From issuer to issuer: only the rows of one subject are read.
            let Some((key, _)) = self.engine.scan(&start, &end, 1)?.pop() else { break };
            let issuer = keys::Parts::after(&key, &prefix)?.name()?.to_owned();
            let login = LoginKey { pool, issuer: &issuer, subject };
            if let Some(identity) = self.identity(login)? {
                found.push(LoginInfo { pool: pool.to_owned(), issuer: issuer.clone(), subject: subject.to_owned(), identity });
            }
            start = keys::after(&keys::logins_of(pool, &issuer));
        }
        Ok(found)
    }
}

impl Group<'_> {
    /// The identity that a login leads to; `fresh` becomes it at first sight.
    pub fn identity(&mut self, login: LoginKey<'_>, fresh: &Identity, now_ms: u64) -> Result<Identity, StoreError> {
        let key = login.row();
        if let Some(row) = self.view.get(&key)? {
            return read(&row);
        }
        let identity = IdentityRow { pool: login.pool.to_owned(), made_ms: now_ms, moved_to: None, merged: Vec::new(), pushes: 0 };
        let preconditions = vec![(key.clone(), None), (keys::identity(fresh), None)];
        let rows = vec![
            (key, Some(rows::encode(&fresh.as_str())?)),
            (login.own_row(fresh), Some(Bytes::new())),
            (keys::identity(fresh), Some(rows::encode(&identity)?)),
        ];
        self.view.decide(Batch { preconditions: preconditions, rows });
        self.identities.insert(fresh.clone(), Some(0));
        Ok(fresh.clone())
    }

    /// Whether nobody has or had this identity, as far as the store knows.
    pub fn is_free(&self, identity: &Identity) -> Result<bool, StoreError> {
        Ok(self.view.get(&keys::identity(identity))?.is_none() && self.view.get(&keys::work(identity))?.is_none())
    }

    /// Counts an erasure.
    pub(super) fn count_erasure(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let key = keys::meta(ERASURES);
        let before: u64 = self.view.get(&key)?.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        batch.rows.push((key, Some(rows::encode(&(before + 1))?)));
        Ok(())
    }

    /// Lets another login lead to an identity.
    pub fn link(&mut self, login: LoginKey<'_>, identity: &Identity) -> Result<LinkResult, StoreError> {
        let key = login.row();
        if !self.is_there(identity)? {
            return Ok(LinkResult::NoIdentity);
        }
        match self.view.get(&key)? {
            Some(row) if read(&row)? == *identity => Ok(LinkResult::Here),
            Some(row) => Ok(LinkResult::Elsewhere(read(&row)?)),
            None => {
                let rows = vec![(key.clone(), Some(rows::encode(&identity.as_str())?)), (login.own_row(identity), Some(Bytes::new()))];
                self.view.decide(Batch { preconditions: vec![(key, None)], rows });
                Ok(LinkResult::Here)
            }
        }
    }

    /// Whether there is such an identity: it was neither erased nor merged into another one.
    pub fn has(&mut self, identity: &Identity) -> Result<bool, StoreError> {
        self.is_there(identity)
    }

    /// Whether an identity may be written to.
    pub(super) fn is_there(&mut self, identity: &Identity) -> Result<bool, StoreError> {
        Ok(self.looked_up(identity)?.is_some())
    }

    /// How many devices of an identity are woken by pushes.
    pub(super) fn pushes(&mut self, identity: &Identity) -> Result<u32, StoreError> {
        Ok(self.looked_up(identity)?.unwrap_or(0))
    }

    fn looked_up(&mut self, identity: &Identity) -> Result<Option<u32>, StoreError> {
        if let Some(known) = self.identities.get(identity) {
            return Ok(*known);
        }
        let found = self.identity_row(identity)?.filter(|row| row.moved_to.is_none()).map(|row| row.pushes);
        self.identities.insert(identity.clone(), found);
        Ok(found)
    }

    /// Counts a device that is woken by pushes, or one that is not any more.
    pub(super) fn count_pushes(&mut self, identity: &Identity, change: i32) -> Result<(), StoreError> {
        let Some(mut row) = self.identity_row(identity)? else { return Ok(()) };
        row.pushes = row.pushes.saturating_add_signed(change);
        if row.moved_to.is_none() {
            self.identities.insert(identity.clone(), Some(row.pushes));
        }
        self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(keys::identity(identity), Some(rows::encode(&row)?))] });
        Ok(())
    }

    pub(super) fn identity_row(&self, identity: &Identity) -> Result<Option<IdentityRow>, StoreError> {
        self.view.get(&keys::identity(identity))?.map(|row| rows::decode(&row)).transpose()
    }

    /// The logins that lead to an identity: the rows of both directions.
    pub(super) fn login_rows(&self, identity: &Identity) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let prefix = keys::own_logins(identity);
        let mut found = Vec::new();
        for (own, _) in self.view.scan(&prefix)? {
            let mut parts = keys::Parts::after(&own, &prefix)?;
            let login = keys::login(parts.name()?, parts.name()?, parts.name()?);
            found.push((login, own));
        }
        Ok(found)
    }

    /// The same logins lead to another identity from now on.
    pub(super) fn repoint_logins(&self, from: &Identity, into: &Identity, batch: &mut Batch) -> Result<(), StoreError> {
        let prefix = keys::own_logins(from);
        for (login, own) in self.login_rows(from)? {
            let moved = [keys::own_logins(into).as_slice(), &own[prefix.len()..]].concat();
            batch.rows.push((login, Some(rows::encode(&into.as_str())?)));
            batch.rows.push((moved, Some(Bytes::new())));
            batch.rows.push((own, None));
        }
        Ok(())
    }
}

/// What an identity was, after another one was merged into it: the newest few.
pub(super) fn with_merged(mut into: IdentityRow, from: &Identity, row: IdentityRow) -> IdentityRow {
    into.merged.extend(row.merged);
    into.merged.push(from.as_str().to_owned());
    into.merged.drain(..into.merged.len().saturating_sub(limits::MERGED));
    into
}

fn read(row: &[u8]) -> Result<Identity, StoreError> {
    Ok(Identity::from(rows::decode::<String>(row)?.as_str()))
}
