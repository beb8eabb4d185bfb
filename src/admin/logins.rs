//! Linking several logins to one identity.

use super::identity_jobs::IdentityMergeOutcome;
use super::{Admin, AdminResult, NotFound};
use crate::committer::Unavailable;
use crate::store::{Identity, LinkResult, LoginKey};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutcome {
    /// The login leads to the identity.
    Linked,
    /// The login already leads to another identity; nothing was changed.
    LeadsElsewhere(Identity),
}

/// The result of signing in with a second login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondSignIn {
    /// The identity that both logins lead to from now on.
    pub identity: Identity,
    /// Whether the identity of the first login was merged into it.
    pub merged: bool,
}

impl Admin {
    /// Links a login of the identity's own pool to it.
    pub async fn link_login(&self, identity: Identity, issuer: String, subject: String) -> AdminResult<LinkOutcome> {
        let summary = match self.summary(identity.clone()).await? {
            Ok(summary) => summary,
            Err(missing) => return Ok(Err(missing)),
        };
        let linked = self.committer.transact(move |group, _| {
            let login = LoginKey { pool: &summary.pool, issuer: &issuer, subject: &subject };
            Ok((group.link(login, &identity)?, Vec::new()))
        });
        Ok(match linked.await? {
            LinkResult::Linked => Ok(LinkOutcome::Linked),
            LinkResult::LinkedElsewhere(other) => Ok(LinkOutcome::LeadsElsewhere(other)),
            LinkResult::NoIdentity => Err(NotFound::Identity),
        })
    }

    /// A signed-in person has proven a second login of the same pool. Links it to their identity or, if it already leads to another one,
    /// merges their identity into that one.
    pub async fn link_or_merge(&self, identity: Identity, issuer: String, subject: String) -> AdminResult<SecondSignIn> {
        match self.link_login(identity.clone(), issuer, subject).await? {
            Ok(LinkOutcome::Linked) => Ok(Ok(SecondSignIn { identity, merged: false })),
            Ok(LinkOutcome::LeadsElsewhere(other)) => match self.merge(identity, other.clone()).await? {
                IdentityMergeOutcome::Merged { .. } => Ok(Ok(SecondSignIn { identity: other, merged: true })),
                IdentityMergeOutcome::NoIdentity(_) => Ok(Err(NotFound::Identity)),
                // A login leads to an identity of its own pool, and this login leads to another identity.
                IdentityMergeOutcome::SameIdentity | IdentityMergeOutcome::OtherPool => Err(Unavailable::Now),
            },
            Err(missing) => Ok(Err(missing)),
        }
    }
}
