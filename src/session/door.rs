//! Token and device in, principal out: the one way in, for sockets and for HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use driftless_protocol::{CloseCode, DeviceId};

use crate::auth::{LEEWAY_S, Login, Refusal, Verifier};
use crate::clock::Clock;
use crate::identity::{Arrival, Identities, Visitor};
use crate::sync::{Pool, Principal};

/// Who came in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who it is.
    pub principal: Principal,
    /// Until when the token is accepted, in seconds since 1970: its `exp` and the leeway.
    pub expires_s: u64,
}

/// Why somebody did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The token is no good.
    Token(Refusal),
    /// The identity has as many devices as its pool allows.
    TooManyDevices,
    /// The device was revoked.
    Revoked,
    /// The store cannot.
    Unavailable,
}

/// The result of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The token is good until then, in seconds since 1970.
    Until(u64),
    /// It leads to another identity.
    OtherIdentity,
}

impl Denied {
    /// What a socket closes with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Denied::Token(refusal) if refusal.is_temporary() => CloseCode::Overloaded,
            Denied::Token(_) => CloseCode::TokenRefused,
            Denied::TooManyDevices => CloseCode::TooManyDevices,
            Denied::Revoked => CloseCode::Revoked,
            Denied::Unavailable => CloseCode::ServerError,
        }
    }

    /// For counting.
    pub fn code(&self) -> &'static str {
        match self {
            Denied::Token(refusal) => refusal.code(),
            Denied::TooManyDevices => "too_many_devices",
            Denied::Revoked => "revoked",
            Denied::Unavailable => "unavailable",
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Denied::Token(refusal) => write!(f, "{refusal}"),
            Denied::TooManyDevices => f.write_str("this identity has as many devices as its pool allows"),
            Denied::Revoked => f.write_str("this device was revoked; an operator can let it in again"),
            Denied::Unavailable => f.write_str("the store cannot be asked now"),
        }
    }
}

/// The door; cheap to clone.
#[derive(Clone)]
pub struct Door {
    verifier: Verifier,
    identities: Identities,
    pools: Arc<HashMap<Arc<str>, Arc<Pool>>>,
    clock: Clock,
}

impl Door {
    /// A door to some pools.
    pub fn new(verifier: Verifier, identities: Identities, pools: impl IntoIterator<Item = Pool>, clock: Clock) -> Door {
        let pools = pools.into_iter().map(|pool| (Arc::clone(&pool.name), Arc::new(pool))).collect();
        Door { verifier, identities, pools: Arc::new(pools), clock }
    }

    /// Lets a device in. A login or a device that is new is stored before this returns.
    pub async fn enter(&self, token: &str, device: DeviceId) -> Result<Entry, Denied> {
        let login = self.check(token).await?;
        let pool = self.pools.get(&login.pool).ok_or(Denied::Token(Refusal::UnknownIssuer))?;
        let expires_s = login.expires_s.saturating_add(LEEWAY_S);
        match self.identities.arrive(visitor(pool, login, device.clone())).await {
            Ok(Arrival::Welcome(identity)) => Ok(Entry { principal: Principal { pool: Arc::clone(pool), identity, device }, expires_s }),
            Ok(Arrival::TooManyDevices) => Err(Denied::TooManyDevices),
            Ok(Arrival::Revoked) => Err(Denied::Revoked),
            Err(_) => Err(Denied::Unavailable),
        }
    }

    /// Checks a fresh token of somebody who is in.
    pub async fn renew(&self, token: &str, who: &Principal) -> Result<Renewal, Denied> {
        let login = self.check(token).await?;
        let expires_s = login.expires_s.saturating_add(LEEWAY_S);
        if login.pool != who.pool.name {
            return Ok(Renewal::OtherIdentity);
        }
        match self.identities.find(visitor(&who.pool, login, who.device.clone())).await {
            Ok(Some(identity)) if identity == who.identity => Ok(Renewal::Until(expires_s)),
            Ok(_) => Ok(Renewal::OtherIdentity),
            Err(_) => Err(Denied::Unavailable),
        }
    }

    /// Who a token is about, without letting anybody in.
    pub async fn check(&self, token: &str) -> Result<Login, Denied> {
        self.verifier.verify(token, self.clock.unix_ms() / 1000).await.map_err(Denied::Token)
    }
}

fn visitor(pool: &Pool, login: Login, device: DeviceId) -> Visitor {
    Visitor {
        pool: Arc::clone(&pool.name),
        region: Arc::clone(&pool.region),
        issuer: login.issuer,
        subject: login.subject,
        device,
        most_devices: pool.limits.devices,
    }
}
