//! Identities and the logins that lead to them. An identity is made at first sight and stored, so that later several logins can lead to one.

use driftless_protocol::DeviceId;
use uuid::Uuid;

use crate::committer::{Committer, Reader, SignIn, Unavailable};
use crate::store::{Admission, Identity, LoginKey, Store};

/// The namespace of identities that are derived from logins (RFC 9562 section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2f0e_6c3b_4f5a_9d55_0b8e_37a1_d4c2);

/// A login as its checked token names it, and where it wants in.
#[derive(Clone, Debug)]
pub struct LoginRequest {
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
pub enum SignInResult {
    /// This identity.
    Welcome(Identity),
    /// This identity, with no room for another device.
    TooManyDevices,
    /// This identity, of which the device was revoked.
    Revoked,
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
    pub async fn find(&self, visitor: LoginRequest) -> Result<Option<Identity>, Unavailable> {
        self.reader.read(move |store| store.identity(login(&visitor))).await
    }

    /// Lets a visitor in: what is new is stored before this returns.
    pub async fn arrive(&self, visitor: LoginRequest) -> Result<SignInResult, Unavailable> {
        let known = visitor.clone();
        let known = self.reader.read(move |store| match store.identity(login(&known))? {
            Some(identity) => Ok(store.device_admission(&identity, &known.device)?.map(|admission| (identity, admission))),
            None => Ok(None),
        });
        match known.await? {
            Some((identity, admission)) => Ok(arrival(identity, admission)),
            None => self.sign_in(visitor).await,
        }
    }

    /// A login gets the same identity again from a restored store that does not know it: its devices are at home there, and offer what they have.
    /// After an erasure new logins get others: whoever was erased comes back as somebody new.
    async fn sign_in(&self, visitor: LoginRequest) -> Result<SignInResult, Unavailable> {
        let erasures = self.reader.read(Store::erasures).await?;
        let LoginRequest { pool, region, issuer, subject, device, most_devices } = visitor;
        let name = format!("{pool}\0{issuer}\0{subject}\0{erasures}");
        let of = |uuid: Uuid| Identity::from(format!("{region}:{uuid}").as_str());
        let (fresh, spare) = (of(Uuid::new_v5(&NAMESPACE, name.as_bytes())), of(Uuid::new_v4()));
        let (identity, admission) = self.committer.sign_in(SignIn { pool, issuer, subject, fresh, spare, device, most_devices }).await?;
        Ok(arrival(identity, admission))
    }
}

fn arrival(identity: Identity, admission: Admission) -> SignInResult {
    match admission {
        Admission::Admitted => SignInResult::Welcome(identity),
        Admission::TooMany => SignInResult::TooManyDevices,
        Admission::Revoked => SignInResult::Revoked,
    }
}

fn login(visitor: &LoginRequest) -> LoginKey<'_> {
    LoginKey { pool: &visitor.pool, issuer: &visitor.issuer, subject: &visitor.subject }
}
