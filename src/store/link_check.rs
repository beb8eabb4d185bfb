//! What a device's link of two logins depends on, looked at in the transaction that writes the link: a revocation that was acknowledged before
//! then wins, although the tokens were verified earlier.

use driftless_protocol::DeviceId;

use super::commit::Group;
use super::{Identity, LoginKey, StoreError};

/// A login, and when the token that proved it was issued, in seconds since 1970 (UTC), if the token says so.
#[derive(Clone, Copy, Debug)]
pub struct LinkedToken<'a> {
    pub login: LoginKey<'a>,
    pub issued_s: Option<u64>,
}

/// A device links a second login to its identity, or merges its identity into the one to which that login leads.
#[derive(Clone, Copy, Debug)]
pub struct DeviceLink<'a> {
    pub identity: &'a Identity,
    pub device: &'a DeviceId,
    /// The login with which the device was signed in.
    pub first: LinkedToken<'a>,
    pub second: LinkedToken<'a>,
}

/// Why a device's link is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkObstacle {
    /// The first login leads to another identity by now, or to none.
    Moved,
    DeviceRevoked,
    /// Tokens of the first login that were issued until then are refused, in seconds since 1970 (UTC).
    FirstRefused {
        until_s: u64,
    },
    /// Tokens of the second login that were issued until then are refused, in seconds since 1970 (UTC).
    SecondRefused {
        until_s: u64,
    },
}

impl Group<'_> {
    /// Why the link must not be written now; `None`: it may be.
    pub fn link_obstacle(&mut self, link: &DeviceLink<'_>) -> Result<Option<LinkObstacle>, StoreError> {
        let DeviceLink { identity, device, first, second } = link;
        if self.leads_to(first.login)?.as_ref() != Some(identity) {
            return Ok(Some(LinkObstacle::Moved));
        }
        if self.is_revoked(identity, device)? {
            return Ok(Some(LinkObstacle::DeviceRevoked));
        }
        if let Some(until_s) = self.refused_until(first.login, identity, first.issued_s)? {
            return Ok(Some(LinkObstacle::FirstRefused { until_s }));
        }
        let refused = match self.leads_to(second.login)? {
            Some(other) => self.refused_until(second.login, &other, second.issued_s)?,
            None => None,
        };
        Ok(refused.map(|until_s| LinkObstacle::SecondRefused { until_s }))
    }
}
