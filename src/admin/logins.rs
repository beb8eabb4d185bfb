//! Linking several logins to one identity.

use driftless_protocol::DeviceId;
use tracing::info;

use super::identity_jobs::IdentityMergeOutcome;
use super::{Admin, AdminResult, NotFound};
use crate::committer::{SessionNotice, Unavailable};
use crate::store::{Identity, LinkResult, LoginKey};

/// How many of an identity's logins the log names when an operator links another one.
const LOGGED_LOGINS: usize = 4;

/// A user of an issuer, by the issuer's name for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginName {
    pub issuer: String,
    pub subject: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutcome {
    /// The login leads to the identity, since now or before.
    Linked,
    /// The login already leads to another identity; nothing was changed.
    LeadsElsewhere(Identity),
    /// The identity has as many logins as it may have; nothing was changed.
    TooManyLogins,
}

/// The result of signing in with a second login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondSignIn {
    /// Both logins lead to this identity from now on.
    SignedIn {
        identity: Identity,
        /// Whether the identity of the first login was merged into it.
        merged: bool,
    },
    /// The identity would have more logins than it may have; nothing was changed.
    TooManyLogins,
}

impl Admin {
    /// Links a login of the identity's own pool to it, for an operator.
    pub async fn link_login(&self, identity: Identity, login: LoginName) -> AdminResult<LinkOutcome> {
        let LoginName { issuer, subject } = login.clone();
        let of = identity.clone();
        let before = self.reader.read(move |store| store.logins_of(&of, LOGGED_LOGINS)).await?;
        let linked = self.link(identity.clone(), login).await?;
        if let Ok(LinkOutcome::Linked) = linked {
            info!(%identity, logins = ?before, linked_issuer = ?issuer, linked_subject = ?subject, "login linked by an operator");
        }
        Ok(linked)
    }

    /// A signed-in person has proven a second login of the same pool. Links it to their identity or, if it already leads to another one,
    /// merges their identity into that one. The log names both logins.
    pub async fn link_or_merge(
        &self,
        identity: Identity,
        device: DeviceId,
        first: LoginName,
        second: LoginName,
    ) -> AdminResult<SecondSignIn> {
        let signed_in = match self.link(identity.clone(), second.clone()).await? {
            Ok(LinkOutcome::Linked) => SecondSignIn::SignedIn { identity, merged: false },
            Ok(LinkOutcome::TooManyLogins) => return Ok(Ok(SecondSignIn::TooManyLogins)),
            Ok(LinkOutcome::LeadsElsewhere(other)) => match self.merge(identity, other.clone()).await? {
                IdentityMergeOutcome::Merged { .. } => SecondSignIn::SignedIn { identity: other, merged: true },
                IdentityMergeOutcome::NoIdentity(_) => return Ok(Err(NotFound::Identity)),
                IdentityMergeOutcome::TooManyLogins => return Ok(Ok(SecondSignIn::TooManyLogins)),
                // A login leads to an identity of its own pool, and this login leads to another identity.
                IdentityMergeOutcome::SameIdentity | IdentityMergeOutcome::OtherPool => return Err(Unavailable::Now),
            },
            Err(missing) => return Ok(Err(missing)),
        };
        if let SecondSignIn::SignedIn { identity, merged } = &signed_in {
            let (issuer, subject, linked_issuer, linked_subject) = (first.issuer, first.subject, second.issuer, second.subject);
            info!(%identity, merged, %device, ?issuer, ?subject, ?linked_issuer, ?linked_subject, "login linked by a device");
        }
        Ok(Ok(signed_in))
    }

    async fn link(&self, identity: Identity, login: LoginName) -> AdminResult<LinkOutcome> {
        let summary = match self.summary(identity.clone()).await? {
            Ok(summary) => summary,
            Err(missing) => return Ok(Err(missing)),
        };
        let linked = self.committer.transact(move |group, now_ms| {
            let login = LoginKey { pool: &summary.pool, issuer: &login.issuer, subject: &login.subject };
            let linked = group.link(login, &identity, now_ms)?;
            let notices = if linked == LinkResult::Linked { vec![SessionNotice::LoginsChanged(identity)] } else { Vec::new() };
            Ok((linked, notices))
        });
        Ok(match linked.await? {
            LinkResult::Linked | LinkResult::Known => Ok(LinkOutcome::Linked),
            LinkResult::LinkedElsewhere(other) => Ok(LinkOutcome::LeadsElsewhere(other)),
            LinkResult::TooManyLogins => Ok(LinkOutcome::TooManyLogins),
            LinkResult::NoIdentity => Err(NotFound::Identity),
        })
    }
}
