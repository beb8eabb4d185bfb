//! Several logins lead to one identity.

use super::{Admin, AdminResult, Merged, NotFound};
use crate::committer::Unavailable;
use crate::store::{Identity, LinkResult, LoginKey};

/// What became of linking a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutcome {
    /// It leads to the identity.
    Here,
    /// It leads to another identity: nothing was changed.
    Elsewhere(Identity),
}

/// Who somebody is after they signed in with a second login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The identity that both logins lead to.
    pub identity: Identity,
    /// Whether the one that they were was merged into it.
    pub merged: bool,
}

impl Admin {
    /// Lets a login of the identity's own pool lead to it.
    pub async fn link_login(&self, identity: Identity, issuer: String, subject: String) -> AdminResult<LinkOutcome> {
        let account = match self.account(identity.clone()).await? {
            Ok(account) => account,
            Err(missing) => return Ok(Err(missing)),
        };
        let linked = self.committer.transact(move |group, _| {
            let login = LoginKey { pool: &account.pool, issuer: &issuer, subject: &subject };
            Ok((group.link(login, &identity)?, Vec::new()))
        });
        Ok(match linked.await? {
            LinkResult::Linked => Ok(LinkOutcome::Here),
            LinkResult::LinkedElsewhere(other) => Ok(LinkOutcome::Elsewhere(other)),
            LinkResult::NoIdentity => Err(NotFound::Identity),
        })
    }

    /// Somebody who is in proves a second login of the same pool: it leads to the same identity from now on, or, if it leads to another one
    /// already, theirs is merged into that one.
    pub async fn sign_in_as_well(&self, identity: Identity, issuer: String, subject: String) -> AdminResult<Signed> {
        match self.link_login(identity.clone(), issuer, subject).await? {
            Ok(LinkOutcome::Here) => Ok(Ok(Signed { identity, merged: false })),
            Ok(LinkOutcome::Elsewhere(other)) => match self.merge(identity, other.clone()).await? {
                Merged::Done { .. } => Ok(Ok(Signed { identity: other, merged: true })),
                Merged::NoIdentity(_) => Ok(Err(NotFound::Identity)),
                // A login leads to an identity of its own pool, and this one leads elsewhere.
                Merged::Same | Merged::OtherPool => Err(Unavailable::Now),
            },
            Err(missing) => Ok(Err(missing)),
        }
    }
}
