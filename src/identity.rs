//! Identities and the logins that lead to them. An identity is made at first sight and stored, so that later several logins can lead to one.

use driftless_protocol::DeviceId;
use uuid::Uuid;

use crate::committer::{Committer, SignIn, Unavailable};
use crate::store::{Admission, DeviceKnown, Identity, LoginKey, Store};

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
    /// This identity; the device's highest patch number is known.
    Welcome(Identity, u64),
    /// This identity, with no room for another device.
    TooManyDevices,
}

/// Finds or makes identities; cheap to clone.
#[derive(Clone)]
pub struct Identities {
    store: Store,
    committer: Committer,
}

impl Identities {
    /// Over a store and its committer.
    pub fn new(store: Store, committer: Committer) -> Identities {
        Identities { store, committer }
    }

    /// The identity that a login leads to, without making one.
    pub async fn find(&self, visitor: &Visitor) -> Result<Option<Identity>, Unavailable> {
        let (store, visitor) = (self.store.clone(), visitor.clone());
        let found = tokio::task::spawn_blocking(move || store.identity(login(&visitor))).await;
        self.committer.gate().pass().await?;
        found.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
    }

    /// Lets a visitor in: what is new is stored before this returns.
    pub async fn arrive(&self, visitor: Visitor) -> Result<Arrival, Unavailable> {
        let (store, known) = (self.store.clone(), visitor.clone());
        let found = tokio::task::spawn_blocking(move || {
            let Some(identity) = store.identity(login(&known))? else { return Ok(None) };
            match store.device(&identity, &known.device)? {
                DeviceKnown::Yes { patch } => Ok(Some(Arrival::Welcome(identity, patch))),
                DeviceKnown::No => Ok::<_, crate::store::StoreError>(None),
            }
        });
        let found = found.await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
        self.committer.gate().pass().await?;
        match found {
            Some(arrival) => Ok(arrival),
            None => self.sign_in(visitor).await,
        }
    }

    async fn sign_in(&self, visitor: Visitor) -> Result<Arrival, Unavailable> {
        let fresh = Identity::from(format!("{}:{}", visitor.region, Uuid::new_v4()).as_str());
        let Visitor { pool, issuer, subject, device, most_devices, .. } = visitor;
        match self.committer.sign_in(SignIn { pool, issuer, subject, fresh, device, most_devices }).await? {
            (identity, Admission::Admitted) => Ok(Arrival::Welcome(identity, 0)),
            (_, Admission::TooMany) => Ok(Arrival::TooManyDevices),
        }
    }
}

fn login(visitor: &Visitor) -> LoginKey<'_> {
    LoginKey { pool: &visitor.pool, issuer: &visitor.issuer, subject: &visitor.subject }
}
