//! Linking several logins to one identity.

use std::convert::Infallible;
use std::sync::Arc;

use driftless_protocol::DeviceId;
use tracing::info;

use super::identity_jobs::IdentityMergeOutcome;
use super::{Admin, AdminResult, NotFound};
use crate::committer::{JobOwner, ReadOwner, SessionNotice, Unavailable};
use crate::logging::AUDIT;
use crate::store::{DeviceLink, Group, Identity, LinkObstacle, LinkResult, LinkedToken, LoginKey, StoreError};
use crate::sync::LoginToken;

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
    /// The login leads to the identity from now on.
    Linked,
    /// The login leads to the identity already; nothing was changed.
    Known,
    /// The login already leads to another identity; nothing was changed.
    LeadsElsewhere(Identity),
    /// The identity has as many logins as it may have; nothing was changed.
    TooManyLogins,
}

/// A device that is signed in with a first login presents a second one of the same pool.
#[derive(Clone, Debug)]
pub struct DeviceLinkRequest {
    pub pool: Arc<str>,
    pub identity: Identity,
    pub device: DeviceId,
    pub first: LoginToken,
    pub second: LoginToken,
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
    /// The device or a token was refused since it was checked, or the first login has moved; nothing was changed.
    Refused(LinkObstacle),
}

impl DeviceLinkRequest {
    /// Why the link must not be written; `None`: it may be.
    fn obstacle(&self, group: &mut Group<'_>) -> Result<Option<LinkObstacle>, StoreError> {
        let [first, second] =
            [&self.first, &self.second].map(|token| LinkedToken { login: token.login(&self.pool), issued_s: token.issued_s });
        group.link_obstacle(&DeviceLink { identity: &self.identity, device: &self.device, first, second })
    }

    /// Why the identity must not be merged into the one to which the second login led; `None`: it may be.
    fn obstacle_of_merge(&self, group: &mut Group<'_>, into: &Identity) -> Result<Option<LinkObstacle>, StoreError> {
        match group.leads_to(self.second.login(&self.pool))? {
            Some(other) if other == *into => self.obstacle(group),
            Some(_) | None => Ok(Some(LinkObstacle::Moved)),
        }
    }
}

impl Admin {
    /// Links a login of the identity's own pool to it, for an operator.
    pub async fn link_login(&self, identity: Identity, login: LoginName) -> AdminResult<LinkOutcome> {
        let LoginName { issuer, subject } = login.clone();
        let of = identity.clone();
        let before = self.reader.read(ReadOwner::Server, move |store| store.logins_of(&of, LOGGED_LOGINS)).await?;
        let linked = self.link(identity.clone(), login, |_| Ok(None::<Infallible>)).await?.map(|Ok(linked)| linked);
        if let Ok(LinkOutcome::Linked) = linked {
            info!(target: AUDIT, %identity, logins = ?before, linked_issuer = ?issuer, linked_subject = ?subject, "login linked by an operator");
        }
        Ok(linked)
    }

    /// A signed-in person has proven a second login of the same pool. Links it to their identity or, if it already leads to another one,
    /// merges their identity into that one. The log names both logins of what was changed. A revocation that was acknowledged before the link
    /// is written wins.
    pub async fn link_or_merge(&self, request: DeviceLinkRequest) -> AdminResult<SecondSignIn> {
        let DeviceLinkRequest { pool: _, identity, device, first, second } = request.clone();
        let login = LoginName { issuer: second.issuer.to_string(), subject: second.subject.clone() };
        let before_link = request.clone();
        let linked = match self.link(identity.clone(), login, move |group| before_link.obstacle(group)).await? {
            Ok(Ok(linked)) => linked,
            Ok(Err(obstacle)) => return Ok(Ok(SecondSignIn::Refused(obstacle))),
            Err(missing) => return Ok(Err(missing)),
        };
        let (identity, merged) = match linked {
            LinkOutcome::Linked => (identity, false),
            LinkOutcome::Known => return Ok(Ok(SecondSignIn::SignedIn { identity, merged: false })),
            LinkOutcome::TooManyLogins => return Ok(Ok(SecondSignIn::TooManyLogins)),
            LinkOutcome::LeadsElsewhere(other) => {
                let into = other.clone();
                let obstacle = move |group: &mut Group<'_>| request.obstacle_of_merge(group, &into);
                match self.merge_unless(identity, other.clone(), obstacle).await? {
                    Ok(IdentityMergeOutcome::Merged { .. }) => (other, true),
                    Ok(IdentityMergeOutcome::NoIdentity(_)) => return Ok(Err(NotFound::Identity)),
                    Ok(IdentityMergeOutcome::TooManyLogins) => return Ok(Ok(SecondSignIn::TooManyLogins)),
                    // A login leads to an identity of its own pool, and this login leads to another identity.
                    Ok(IdentityMergeOutcome::SameIdentity | IdentityMergeOutcome::OtherPool) => return Err(Unavailable::Now),
                    Err(obstacle) => return Ok(Ok(SecondSignIn::Refused(obstacle))),
                }
            }
        };
        let (issuer, subject, linked_issuer, linked_subject) = (first.issuer, first.subject, second.issuer, second.subject);
        info!(target: AUDIT, %identity, merged, %device, ?issuer, ?subject, ?linked_issuer, ?linked_subject, "login linked by a device");
        Ok(Ok(SecondSignIn::SignedIn { identity, merged }))
    }

    /// Links a login, unless the transaction finds an obstacle.
    async fn link<O: Send + 'static>(
        &self,
        identity: Identity,
        login: LoginName,
        obstacle: impl Fn(&mut Group<'_>) -> Result<Option<O>, StoreError> + Send + 'static,
    ) -> AdminResult<Result<LinkOutcome, O>> {
        let summary = match self.summary(identity.clone()).await? {
            Ok(summary) => summary,
            Err(missing) => return Ok(Err(missing)),
        };
        let linked = self.committer.transact(JobOwner::Identity(identity.clone()), move |group, now_ms| {
            if let Some(obstacle) = obstacle(group)? {
                return Ok((Err(obstacle), Vec::new()));
            }
            let login = LoginKey { pool: &summary.pool, issuer: &login.issuer, subject: &login.subject };
            let linked = group.link(login, &identity, now_ms)?;
            let notices = if linked == LinkResult::Linked { vec![SessionNotice::LoginsChanged(identity.clone())] } else { Vec::new() };
            Ok((Ok(linked), notices))
        });
        let linked = match linked.await? {
            Ok(linked) => linked,
            Err(obstacle) => return Ok(Ok(Err(obstacle))),
        };
        Ok(match linked {
            LinkResult::Linked => Ok(Ok(LinkOutcome::Linked)),
            LinkResult::Known => Ok(Ok(LinkOutcome::Known)),
            LinkResult::LinkedElsewhere(other) => Ok(Ok(LinkOutcome::LeadsElsewhere(other))),
            LinkResult::TooManyLogins => Ok(Ok(LinkOutcome::TooManyLogins)),
            LinkResult::NoIdentity => Err(NotFound::Identity),
        })
    }
}
