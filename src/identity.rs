//! Identities and the logins that lead to them. An identity is made at first sight and stored, so that later several logins can lead to one.

use driftless_protocol::DeviceId;
use uuid::Uuid;

use crate::committer::{Committer, Reader, SignIn, Unavailable};
use crate::store::{Admission, Identity, LoginKey};

/// A login as its checked token names it, and where it wants in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The pool.
    pub pool: std::sync::Arc<str>,
    /// The first part of the pool's identities.
    pub region: std::sync::Arc<str>,
    /// The token's issuer.
    pub issuer: std::sync::Arc<str>,
    /// The token's subject.
    pub subject: String,
    /// The device.
    pub device: DeviceId,
    /// How many devices the pool allows an identity.
    pub most_devices: usize,
}

/// Who the visitor turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// This identity.
    Welcome(Identity),
    /// This identity, with no room for another device.
    TooManyDevices,
}

/// Finds or makes identities; cheap to clone.
#[derive(Clone)]
pub struct Identities {
    reader: Reader,
    committer: Committer,
}

impl Identities {
    /// Over a reader and its committer.
    pub fn new(reader: Reader, committer: Committer) -> Identities {
        Identities { reader, committer }
    }

    /// The identity that a login leads to, without making one.
    pub async fn find(&self, visitor: Visitor) -> Result<Option<Identity>, Unavailable> {
        self.reader.read(move |store| store.identity(login(&visitor))).await
    }

    /// Lets a visitor in: what is new is stored before this returns.
    pub async fn arrive(&self, visitor: Visitor) -> Result<Arrival, Unavailable> {
        let known = visitor.clone();
        let known = self.reader.read(move |store| match store.identity(login(&known))? {
            Some(identity) if store.knows(&identity, &known.device)? => Ok(Some(identity)),
            _ => Ok(None),
        });
        match known.await? {
            Some(identity) => Ok(Arrival::Welcome(identity)),
            None => self.sign_in(visitor).await,
        }
    }

    async fn sign_in(&self, visitor: Visitor) -> Result<Arrival, Unavailable> {
        let fresh = Identity::from(format!("{}:{}", visitor.region, Uuid::new_v4()).as_str());
        let Visitor { pool, issuer, subject, device, most_devices, .. } = visitor;
        match self.committer.sign_in(SignIn { pool, issuer, subject, fresh, device, most_devices }).await? {
            (identity, Admission::Admitted) => Ok(Arrival::Welcome(identity)),
            (_, Admission::TooMany) => Ok(Arrival::TooManyDevices),
        }
    }
}

fn login(visitor: &Visitor) -> LoginKey<'_> {
    LoginKey { pool: &visitor.pool, issuer: &visitor.issuer, subject: &visitor.subject }
}
