//! What an identity's logins are: which of them were linked to it, and which of their tokens are refused.

use driftless_protocol::{LinkedLogin, limits};

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::keys::KeyParts;
use super::row_source::RowSource;
use super::rows::LoginRow;
use super::{Identity, LoginKey, Store, StoreError, keys};

impl Store {
    /// The logins that were linked to the identity, the newest first, at most [`limits::LINKED_LOGINS`].
    pub fn linked_logins(&self, identity: &Identity) -> Result<Vec<LinkedLogin>, StoreError> {
        let prefix = keys::identity_logins(identity);
        let mut linked = Vec::new();
        for (key, row) in self.engine.some_of(&prefix, limits::LOGINS_PER_IDENTITY)? {
            if let Some(at_ms) = LoginRow::decode(&row)?.linked_ms {
                let mut parts = KeyParts::after(&key, &prefix)?;
                let (_pool, issuer, subject) = (parts.name()?, parts.name()?.to_owned(), parts.name()?.to_owned());
                linked.push(LinkedLogin { issuer, subject, at_ms });
            }
        }
        linked.sort_by_key(|login| std::cmp::Reverse(login.at_ms));
        linked.truncate(limits::LINKED_LOGINS);
        Ok(linked)
    }

    /// Up to `limit` logins that lead to an identity, each an issuer and a subject.
    pub fn logins_of(&self, identity: &Identity, limit: usize) -> Result<Vec<(String, String)>, StoreError> {
        let prefix = keys::identity_logins(identity);
        let rows = self.engine.some_of(&prefix, limit)?;
        let one = |(key, _): &(Bytes, Bytes)| {
            let mut parts = KeyParts::after(key, &prefix)?;
            let _pool = parts.name()?;
            Ok((parts.name()?.to_owned(), parts.name()?.to_owned()))
        };
        rows.iter().map(one).collect()
    }

    /// Whether a login's token that was issued then is refused: until when tokens of the login must have been issued to be refused like it, in
    /// seconds since 1970 (UTC). `None`: it is not refused.
    pub fn refused_until(&self, login: LoginKey<'_>, identity: &Identity, issued_s: Option<u64>) -> Result<Option<u64>, StoreError> {
        refused_until(self.engine.get(&login.identity_row(identity))?, issued_s)
    }
}

impl Group<'_> {
    /// As [`Store::refused_until`], on top of the group's earlier decisions.
    pub fn refused_until(&self, login: LoginKey<'_>, identity: &Identity, issued_s: Option<u64>) -> Result<Option<u64>, StoreError> {
        refused_until(self.view.get(&login.identity_row(identity))?, issued_s)
    }

    /// Refuses the tokens of all logins of an identity that were issued until then, in seconds since 1970 (UTC).
    ///
    /// The newest refusal counts. Its date is before that of an earlier one only if the clock was set back since: that date was ahead of the
    /// time at which it was written, and would keep the person out until then.
    pub fn refuse_tokens(&mut self, identity: &Identity, until_s: u64) -> Result<(), StoreError> {
        let mut batch = RowBatch::new();
        for (key, row) in self.view.all_of(&keys::identity_logins(identity))? {
            let row = LoginRow { refused_until_s: Some(until_s), ..LoginRow::decode(&row)? };
            batch.push((key, Some(row.encode()?)));
        }
        self.view.decide(batch);
        Ok(())
    }
}

/// A token that does not say when it was issued may be as old as any.
fn refused_until(row: Option<Bytes>, issued_s: Option<u64>) -> Result<Option<u64>, StoreError> {
    let row = row.map(|row| LoginRow::decode(&row)).transpose()?.unwrap_or_default();
    Ok(row.refused_until_s.filter(|until_s| issued_s.is_none_or(|issued_s| issued_s <= *until_s)))
}
