//! What an identity's logins are: which of them were linked to it, and which of their tokens are refused.

use driftless_protocol::{LinkedLogin, limits};

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::keys::KeyParts;
use super::rows::LoginRow;
use super::{Identity, LoginKey, Store, StoreError, keys};

/// What the logins of an identity mean to its live sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginsState {
    /// The logins that were linked to the identity, the newest first, at most [`limits::LINKED_LOGINS`].
    pub linked: Vec<LinkedLogin>,
    /// Tokens of some login that were issued until then are refused, in seconds since 1970 (UTC).
    pub refused_until_s: Option<u64>,
}

impl LoginsState {
    /// Whether a token that was issued then may be refused. A token that does not say when may be as old as any.
    pub fn refuses(&self, issued_s: Option<u64>) -> bool {
        refuses(self.refused_until_s, issued_s)
    }
}

impl Store {
    /// The state of an identity's logins.
    pub fn logins_state(&self, identity: &Identity) -> Result<LoginsState, StoreError> {
        let prefix = keys::identity_logins(identity);
        let mut state = LoginsState::default();
        for (key, row) in self.engine.scan(&prefix, &keys::prefix_end(&prefix), limits::LOGINS_PER_IDENTITY)? {
            let LoginRow { linked_ms, refused_until_s } = LoginRow::decode(&row)?;
            state.refused_until_s = state.refused_until_s.max(refused_until_s);
            if let Some(at_ms) = linked_ms {
                let mut parts = KeyParts::after(&key, &prefix)?;
                let (_pool, issuer, subject) = (parts.name()?, parts.name()?.to_owned(), parts.name()?.to_owned());
                state.linked.push(LinkedLogin { issuer, subject, at_ms });
            }
        }
        state.linked.sort_by_key(|login| std::cmp::Reverse(login.at_ms));
        state.linked.truncate(limits::LINKED_LOGINS);
        Ok(state)
    }

    /// Up to `limit` logins that lead to an identity, each an issuer and a subject.
    pub fn logins_of(&self, identity: &Identity, limit: usize) -> Result<Vec<(String, String)>, StoreError> {
        let prefix = keys::identity_logins(identity);
        let rows = self.engine.scan(&prefix, &keys::prefix_end(&prefix), limit)?;
        let one = |(key, _): &(Bytes, Bytes)| {
            let mut parts = KeyParts::after(key, &prefix)?;
            let _pool = parts.name()?;
            Ok((parts.name()?.to_owned(), parts.name()?.to_owned()))
        };
        rows.iter().map(one).collect()
    }

    /// Whether a login's token that was issued then is refused, in seconds since 1970 (UTC).
    pub fn refuses_token(&self, login: LoginKey<'_>, identity: &Identity, issued_s: Option<u64>) -> Result<bool, StoreError> {
        let row = self.engine.get(&login.identity_row(identity))?;
        let row = row.map(|row| LoginRow::decode(&row)).transpose()?.unwrap_or_default();
        Ok(refuses(row.refused_until_s, issued_s))
    }
}

impl Group<'_> {
    /// Refuses the tokens of all logins of an identity that were issued until then, in seconds since 1970 (UTC).
    pub fn refuse_tokens(&mut self, identity: &Identity, until_s: u64) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, row) in self.view.scan(&keys::identity_logins(identity))? {
            let mut row = LoginRow::decode(&row)?;
            row.refused_until_s = row.refused_until_s.max(Some(until_s));
            batch.rows.push((key, Some(row.encode()?)));
        }
        self.view.decide(batch);
        Ok(())
    }
}

fn refuses(until_s: Option<u64>, issued_s: Option<u64>) -> bool {
    until_s.is_some_and(|until_s| issued_s.is_none_or(|issued_s| issued_s <= until_s))
}
