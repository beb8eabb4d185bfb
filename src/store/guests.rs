//! Identities of guests: they have no login, and everybody who knows the id gets in until a login is linked.

use super::commit::Group;
use super::live_identity::LiveIdentity;
use super::row_source::RowSource;
use super::rows::{self, IdentityRow};
use super::{Identity, LoginKey, Store, StoreError, keys};

/// An identity as federation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityState {
    pub pool: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// It was made for a guest and no login was linked since.
    pub is_guest: bool,
    /// The identity into which it was merged.
    pub moved_to: Option<Identity>,
    /// Issuer and subject of each login.
    pub logins: Vec<(String, String)>,
}

impl Store {
    /// An identity as federation sees it; `None`: there is none, or it was erased.
    pub fn identity_state(&self, identity: &Identity, logins: usize) -> Result<Option<IdentityState>, StoreError> {
        let Some(row) = self.engine.row::<IdentityRow>(&keys::identity(identity))? else { return Ok(None) };
        let logins = self.logins_of(identity, logins)?;
        let is_guest = row.guest && logins.is_empty();
        let moved_to = row.moved_to.as_deref().map(Identity::from);
        Ok(Some(IdentityState { pool: row.pool, made_ms: row.made_ms, is_guest, moved_to, logins }))
    }
}

impl Group<'_> {
    /// Makes an identity without a login; whether its id was free.
    pub fn make_guest(&mut self, pool: &str, identity: &Identity, now_ms: u64) -> Result<bool, StoreError> {
        if !self.is_free(identity)? {
            return Ok(false);
        }
        let row = IdentityRow {
            pool: pool.to_owned(),
            made_ms: now_ms,
            moved_to: None,
            merged: Vec::new(),
            push_targets: 0,
            owned_bytes: 0,
            devices_from: Vec::new(),
            retired: 0,
            guest: true,
        };
        self.view.decide(vec![(keys::identity(identity), Some(rows::encode(&row)?))]);
        self.identities.insert(identity.clone(), Some(LiveIdentity::default()));
        Ok(true)
    }

    /// Whether an identity may be used by who only knows its id.
    pub fn is_guest(&self, identity: &Identity) -> Result<bool, StoreError> {
        let Some(row) = self.identity_row(identity)? else { return Ok(false) };
        Ok(row.guest && row.moved_to.is_none() && self.login_count(identity)? == 0)
    }

    /// Takes a login away from an identity, which is no guest's any more; whether it led there. The login leads to another identity when it signs in
    /// the next time.
    pub fn unlink(&mut self, login: LoginKey<'_>, identity: &Identity) -> Result<bool, StoreError> {
        if self.leads_to(login)?.as_ref() != Some(identity) {
            return Ok(false);
        }
        let Some(row) = self.identity_row(identity)? else { return Ok(false) };
        let unlinked = IdentityRow { guest: false, ..row };
        self.view.decide(vec![
            (keys::login(login.pool, login.issuer, login.subject), None),
            (login.identity_row(identity), None),
            (keys::identity(identity), Some(rows::encode(&unlinked)?)),
        ]);
        Ok(true)
    }
}
