//! Identities, and the logins that lead to them.
//!
//! Nothing is written for an identity that does not exist: one that was erased, or merged into another one.

use driftless_protocol::limits;

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::live_identity::LiveIdentity;
use super::row_source::RowSource;
use super::rows::{self, IdentityRow, LoginRow};
use super::{Identity, Store, StoreError, keys};

/// The name of the row that counts erasures.
const ERASURES: &str = "erasures";

/// A subject of an issuer, in a pool. Several logins can lead to one identity.
#[derive(Clone, Copy, Debug)]
pub struct LoginKey<'a> {
    pub pool: &'a str,
    /// The token's `iss`.
    pub issuer: &'a str,
    /// The token's `sub`.
    pub subject: &'a str,
}

/// A login, and the identity to which it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginInfo {
    pub pool: String,
    pub issuer: String,
    pub subject: String,
    pub identity: Identity,
}

/// The result of linking a login to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkResult {
    /// The login leads to the identity from now on.
    Linked,
    /// The login leads to the identity already; nothing was changed.
    Known,
    /// The login leads to another identity; nothing was changed.
    LinkedElsewhere(Identity),
    /// The identity has as many logins as it may have.
    TooManyLogins,
    /// The identity does not exist.
    NoIdentity,
}

impl LoginKey<'_> {
    fn row(&self) -> Bytes {
        keys::login(self.pool, self.issuer, self.subject)
    }

    pub(super) fn identity_row(&self, identity: &Identity) -> Bytes {
        keys::identity_login(identity, self.pool, self.issuer, self.subject)
    }
}

impl Store {
    /// The identity to which a login leads.
    pub fn identity(&self, login: LoginKey<'_>) -> Result<Option<Identity>, StoreError> {
        self.engine.get(&login.row())?.map(|row| decode_identity(&row)).transpose()
    }

    /// The newest [`limits::MERGED_IDENTITIES`] identities that were merged into an identity, the newest last. `None` if the identity does not
    /// exist: it never did, was erased, or was merged into another one.
    pub fn merged(&self, identity: &Identity) -> Result<Option<Vec<String>>, StoreError> {
        let row = self.engine.row::<IdentityRow>(&keys::identity(identity))?;
        Ok(row.filter(|row| row.moved_to.is_none()).map(|IdentityRow { mut merged, .. }| {
            // The row keeps older ones, too, while they are not finished.
            merged.drain(..merged.len().saturating_sub(limits::MERGED_IDENTITIES));
            merged
        }))
    }

    /// How many identities were erased.
    pub fn erasures(&self) -> Result<u64, StoreError> {
        Ok(self.engine.row(&keys::meta(ERASURES))?.unwrap_or_default())
    }

    /// The pool of an identity. One that was merged still has its pool, one that was erased has none.
    pub fn pool(&self, identity: &Identity) -> Result<Option<String>, StoreError> {
        Ok(self.engine.row::<IdentityRow>(&keys::identity(identity))?.map(|row| row.pool))
    }

    /// Up to `limit` logins of a pool with this subject, of any issuer.
    pub fn logins(&self, pool: &str, subject: &str, limit: usize) -> Result<Vec<LoginInfo>, StoreError> {
        let prefix = keys::logins(pool);
        let end = keys::prefix_end(&prefix);
        let (mut found, mut start) = (Vec::new(), prefix.clone());
        while found.len() < limit {
            // Skips from issuer to issuer, so that it reads the rows of one subject only.
            let Some((key, _)) = self.engine.scan(&start, &end, 1)?.pop() else { break };
            let issuer = keys::KeyParts::after(&key, &prefix)?.name()?.to_owned();
            let login = LoginKey { pool, issuer: &issuer, subject };
            if let Some(identity) = self.identity(login)? {
                found.push(LoginInfo { pool: pool.to_owned(), issuer: issuer.clone(), subject: subject.to_owned(), identity });
            }
            start = keys::prefix_end(&keys::logins_of(pool, &issuer));
        }
        Ok(found)
    }
}

impl Group<'_> {
    /// The identity to which a login leads. If it leads to none, `fresh` becomes its identity.
    pub fn identity(&mut self, login: LoginKey<'_>, fresh: &Identity, now_ms: u64) -> Result<Identity, StoreError> {
        let key = login.row();
        if let Some(row) = self.view.get(&key)? {
            return decode_identity(&row);
        }
        let identity = IdentityRow {
            pool: login.pool.to_owned(),
            made_ms: now_ms,
            moved_to: None,
            merged: Vec::new(),
            push_targets: 0,
            owned_bytes: 0,
            devices_from: Vec::new(),
            guest: false,
            retired: 0,
        };
        let rows = vec![
            (key, Some(rows::encode(&fresh.as_str())?)),
            (login.identity_row(fresh), Some(Bytes::new())),
            (keys::identity(fresh), Some(rows::encode(&identity)?)),
        ];
        self.view.decide(rows);
        self.identities.insert(fresh.clone(), Some(LiveIdentity::default()));
        Ok(fresh.clone())
    }

    /// The identity to which a login leads.
    pub fn leads_to(&self, login: LoginKey<'_>) -> Result<Option<Identity>, StoreError> {
        self.view.get(&login.row())?.map(|row| decode_identity(&row)).transpose()
    }

    /// Whether an id may be given to a new identity: no identity has it, and no job is under way for one that had it.
    pub fn is_free(&self, identity: &Identity) -> Result<bool, StoreError> {
        Ok(self.view.get(&keys::identity(identity))?.is_none() && self.view.get(&keys::job(identity))?.is_none())
    }

    pub(super) fn count_erasure(&self, batch: &mut RowBatch) -> Result<(), StoreError> {
        let key = keys::meta(ERASURES);
        let before: u64 = self.view.row(&key)?.unwrap_or_default();
        batch.push((key, Some(rows::encode(&(before + 1))?)));
        Ok(())
    }

    /// Lets another login lead to an identity.
    pub fn link(&mut self, login: LoginKey<'_>, identity: &Identity, now_ms: u64) -> Result<LinkResult, StoreError> {
        let key = login.row();
        if !self.has_identity(identity)? {
            return Ok(LinkResult::NoIdentity);
        }
        match self.view.get(&key)? {
            Some(row) if decode_identity(&row)? == *identity => Ok(LinkResult::Known),
            Some(row) => Ok(LinkResult::LinkedElsewhere(decode_identity(&row)?)),
            None if self.login_count(identity)? >= limits::LOGINS_PER_IDENTITY => Ok(LinkResult::TooManyLogins),
            None => {
                let linked = LoginRow { linked_ms: Some(now_ms), ..LoginRow::default() };
                let rows =
                    vec![(key.clone(), Some(rows::encode(&identity.as_str())?)), (login.identity_row(identity), Some(linked.encode()?))];
                self.view.decide(rows);
                Ok(LinkResult::Linked)
            }
        }
    }

    /// Whether an identity exists and may be written to: it was neither erased nor merged into another one.
    pub fn has_identity(&mut self, identity: &Identity) -> Result<bool, StoreError> {
        self.of_live(identity, |live| live.is_some())
    }

    /// Whether an identity has a device with a live push token, or may get one of an identity that is merged into it.
    pub(super) fn has_push_targets(&mut self, identity: &Identity) -> Result<bool, StoreError> {
        self.of_live(identity, |live| live.is_some_and(|live| live.push_targets > 0 || !live.devices_from.is_empty()))
    }

    /// The identities that are merged into this one and whose devices have not all moved. The caller reads another row of the identity, which notes
    /// that the job depends on it.
    pub(super) fn unmoved_identities(&mut self, identity: &Identity) -> Result<Vec<Identity>, StoreError> {
        if let Some(Some(known)) = self.identities.get(identity) {
            return Ok(known.devices_from.clone());
        }
        self.of_live(identity, |live| live.map_or_else(Vec::new, |live| live.devices_from.clone()))
    }

    /// Something of an identity, which is `None` if it does not exist. The group reads an identity's row once.
    fn of_live<T>(&mut self, identity: &Identity, of: impl FnOnce(Option<&LiveIdentity>) -> T) -> Result<T, StoreError> {
        if let Some(known) = self.identities.get(identity) {
            self.view.note_identity(identity);
            return Ok(of(known.as_ref()));
        }
        let found = self.identity_row(identity)?.as_ref().and_then(LiveIdentity::of);
        let value = of(found.as_ref());
        self.identities.insert(identity.clone(), found);
        Ok(value)
    }

    /// Adds to the number of an identity's push targets, or subtracts from it.
    pub(super) fn add_push_targets(&mut self, identity: &Identity, change: i32) -> Result<(), StoreError> {
        let Some(mut row) = self.identity_row(identity)? else { return Ok(()) };
        row.push_targets = row.push_targets.saturating_add_signed(change);
        if let Some(Some(known)) = self.identities.get_mut(identity) {
            known.push_targets = row.push_targets;
        }
        self.view.decide(vec![(keys::identity(identity), Some(rows::encode(&row)?))]);
        Ok(())
    }

    pub(super) fn identity_row(&self, identity: &Identity) -> Result<Option<IdentityRow>, StoreError> {
        self.view.row(&keys::identity(identity))
    }

    /// How many logins lead to an identity.
    pub(super) fn login_count(&self, identity: &Identity) -> Result<usize, StoreError> {
        Ok(self.view.all_of(&keys::identity_logins(identity))?.len())
    }

    /// The keys of the logins that lead to an identity: of the login's row, and of the identity's row for it.
    pub(super) fn login_rows(&self, identity: &Identity) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let prefix = keys::identity_logins(identity);
        let mut found = Vec::new();
        for (own, _) in self.view.all_of(&prefix)? {
            let mut parts = keys::KeyParts::after(&own, &prefix)?;
            let login = keys::login(parts.name()?, parts.name()?, parts.name()?);
            found.push((login, own));
        }
        Ok(found)
    }

    /// Notes that the login which an identity was made for is linked to what another identity brings: its people are told of it too.
    pub(super) fn mark_logins_linked(&self, identity: &Identity, now_ms: u64, batch: &mut RowBatch) -> Result<(), StoreError> {
        for (key, row) in self.view.all_of(&keys::identity_logins(identity))? {
            let row = LoginRow::decode(&row)?;
            if row.linked_ms.is_none() {
                batch.push((key, Some(LoginRow { linked_ms: Some(now_ms), ..row }.encode()?)));
            }
        }
        Ok(())
    }

    /// Lets the logins of an identity lead to another one, to which they are linked from now on. Tokens that are refused stay refused.
    pub(super) fn repoint_logins(&self, from: &Identity, into: &Identity, now_ms: u64, batch: &mut RowBatch) -> Result<(), StoreError> {
        let prefix = keys::identity_logins(from);
        for (own, row) in self.view.all_of(&prefix)? {
            let row = LoginRow { linked_ms: Some(now_ms), ..LoginRow::decode(&row)? };
            let mut parts = keys::KeyParts::after(&own, &prefix)?;
            let login = keys::login(parts.name()?, parts.name()?, parts.name()?);
            let moved = [keys::identity_logins(into).as_slice(), &own[prefix.len()..]].concat();
            batch.push((login, Some(rows::encode(&into.as_str())?)));
            batch.push((moved, Some(row.encode()?)));
            batch.push((own, None));
        }
        Ok(())
    }
}

fn decode_identity(row: &[u8]) -> Result<Identity, StoreError> {
    Ok(Identity::from(rows::decode::<String>(row)?.as_str()))
}
