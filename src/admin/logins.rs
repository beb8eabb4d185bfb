//! Linking several logins to one identity.

use std::convert::Infallible;
use std::sync::Arc;

use driftless_protocol::DeviceId;
use tracing::info;

use super::{Admin, AdminResult, NotFound};
use crate::committer::{ReadOwner, Unavailable};
use crate::identity::{IdentityMergeOutcome, LinkOutcome, LoginName};
use crate::logging::AUDIT;
use crate::store::{DeviceLink, Group, Identity, LinkObstacle, LinkedToken, StoreError};
use crate::sync::LoginToken;

/// How many of an identity's logins the log names when an operator links another one.
const LOGGED_LOGINS: usize = 4;

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
        let linked = self.links.link(identity.clone(), login, |_| Ok(None::<Infallible>)).await?;
        let linked = linked.ok_or(NotFound::Identity).map(|Ok(linked)| linked);
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
        let linked = match self.links.link(identity.clone(), login, move |group| before_link.obstacle(group)).await? {
            Some(Ok(linked)) => linked,
            Some(Err(obstacle)) => return Ok(Ok(SecondSignIn::Refused(obstacle))),
            None => return Ok(Err(NotFound::Identity)),
        };
        let (identity, merged) = match linked {
            LinkOutcome::Linked => (identity, false),
            LinkOutcome::Known => return Ok(Ok(SecondSignIn::SignedIn { identity, merged: false })),
            LinkOutcome::TooManyLogins => return Ok(Ok(SecondSignIn::TooManyLogins)),
            LinkOutcome::LeadsElsewhere(other) => {
                let into = other.clone();
                let obstacle = move |group: &mut Group<'_>| request.obstacle_of_merge(group, &into);
                match self.links.merge_unless(identity, other.clone(), obstacle).await? {
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
}
