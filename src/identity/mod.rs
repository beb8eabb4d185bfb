//! Identities and the logins that lead to them. An identity is created and stored when a login first signs in, so that
//! several logins can lead to it later.

mod federation;
mod federation_refused;
mod issuer;
mod links;
mod made_pools;
mod proved_login;
mod role_choice;
mod web_identity;

use std::sync::Arc;

use driftless_protocol::DeviceId;
use uuid::Uuid;

use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, SessionNotice, SignInRequest, Unavailable};
use crate::store::{Admission, Identity, LoginKey, Store};

pub use federation::{FederatedIdentities, FederationParts, IdentityCredentials};
pub use federation_refused::{FederationRefused, FederationResult};
pub use issuer::{IDENTITY_ISSUER, IdentityIssuer};
pub use links::{IdentityLinks, IdentityMergeOutcome, LinkOutcome, LoginName};
pub use made_pools::{FoundKeys, IdentityPools, PoolDetails, PoolRefused, PoolResult, UserPoolKeys};
pub use proved_login::{MOST_LOGINS, ProvedLogin, SentLogins};
pub use web_identity::{WebIdentities, WebIdentityRefused, WebIdentitySession};

/// The namespace of identities that are derived from logins (RFC 9562 section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2f0e_6c3b_4f5a_9d55_0b8e_37a1_d4c2);

/// Pools that one transaction looks at.
const POOLS_AT_ONCE: usize = 32;

/// What a device signs in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInPurpose {
    /// For a session, or a request that can write: the store knows the device from then on.
    Use,
    /// For a request over HTTP that only reads: it makes no device.
    Read,
}

/// A verified login on a device.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    pub pool: Arc<str>,
    /// The first part of the pool's identities.
    pub region: Arc<str>,
    pub issuer: Arc<str>,
    pub subject: String,
    /// When the token was issued, in seconds since 1970 (UTC), if it says so.
    pub issued_s: Option<u64>,
    pub device: DeviceId,
    pub purpose: SignInPurpose,
    /// How many devices the pool allows an identity.
    pub max_devices: usize,
}

/// Whether a device may act for the identity that its login leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInResult {
    SignedIn(Identity),
    /// The device is new, and as many devices of the identity as its pool allows have a session now.
    TooManyDevices,
    /// The device was revoked.
    Revoked,
    /// An operator has refused the login's tokens that were issued until then, in seconds since 1970 (UTC).
    TokenRefused {
        until_s: u64,
    },
}

/// Whether a login leads to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundLogin {
    Leads(Identity),
    LeadsNowhere,
    /// An operator has refused the login's tokens that were issued until then, in seconds since 1970 (UTC).
    TokenRefused {
        until_s: u64,
    },
}

/// Finds or makes identities.
#[derive(Clone)]
pub struct Identities {
    reader: Reader,
    committer: Committer,
    clock: Clock,
}

impl Identities {
    pub fn new(reader: Reader, committer: Committer, clock: Clock) -> Identities {
        Identities { reader, committer, clock }
    }

    /// The identity that a login leads to, without making one.
    pub async fn find(&self, request: LoginRequest) -> Result<FoundLogin, Unavailable> {
        let owner = ReadOwner::Login(request.subject.clone());
        let read = move |store: &Store| {
            let Some(identity) = store.identity(login_key(&request))? else { return Ok(FoundLogin::LeadsNowhere) };
            let refused = store.refused_until(login_key(&request), &identity, request.issued_s)?;
            Ok(refused.map_or(FoundLogin::Leads(identity), |until_s| FoundLogin::TokenRefused { until_s }))
        };
        self.reader.read(owner, read).await
    }

    /// The identity that a login leads to. A login or a device that is new is durable before this returns.
    pub async fn sign_in(&self, request: LoginRequest) -> Result<SignInResult, Unavailable> {
        let (known, now_ms) = (request.clone(), self.clock.unix_ms());
        let known = self.reader.read(ReadOwner::Login(request.subject.clone()), move |store| {
            let Some(identity) = store.identity(login_key(&known))? else { return Ok(None) };
            if let Some(until_s) = store.refused_until(login_key(&known), &identity, known.issued_s)? {
                return Ok(Some((SignInResult::TokenRefused { until_s }, false)));
            }
            Ok(match (store.device_admission(&identity, &known.device)?, known.purpose) {
                // What else the device has is moved by a transaction.
                (Some(_), SignInPurpose::Use) if store.is_device_unmoved(&identity, &known.device)? => None,
                (Some(admission), _) => {
                    let is_mark_due = store.should_mark_device_seen(&identity, &known.device, now_ms)?;
                    Some((sign_in_result(identity, admission), is_mark_due))
                }
                (None, SignInPurpose::Read) => Some((SignInResult::SignedIn(identity), false)),
                (None, SignInPurpose::Use) => None,
            })
        });
        match known.await? {
            Some((SignInResult::SignedIn(identity), true)) => {
                self.write_seen(&identity, &request.device).await;
                Ok(SignInResult::SignedIn(identity))
            }
            Some((result, _)) => Ok(result),
            None => self.store_login(request).await,
        }
    }

    /// Refuses all tokens of the identities that a login of these pools leads to, if they were issued until a time, in seconds since 1970 (UTC); their
    /// sessions end.
    pub async fn refuse_tokens(&self, pools: Vec<Arc<str>>, issuer: Arc<str>, subject: String, until_s: u64) -> Result<(), Unavailable> {
        for some in pools.chunks(POOLS_AT_ONCE) {
            let (pools, issuer, subject) = (some.to_vec(), Arc::clone(&issuer), subject.clone());
            let decide = move |group: &mut crate::store::Group<'_>, _| {
                let mut notices = Vec::new();
                for pool in &pools {
                    if let Some(identity) = group.leads_to(LoginKey { pool, issuer: &issuer, subject: &subject })? {
                        group.refuse_tokens(&identity, until_s)?;
                        notices.push(SessionNotice::LoginsChanged(identity));
                    }
                }
                Ok(((), notices))
            };
            self.committer.transact(JobOwner::Store, decide).await?;
        }
        Ok(())
    }

    /// Marks a known device as seen, if its last mark is old.
    pub async fn mark_seen(&self, identity: &Identity, device: &DeviceId) {
        let (of, known, now_ms) = (identity.clone(), device.clone(), self.clock.unix_ms());
        let is_due = self.reader.read(identity, move |store| store.should_mark_device_seen(&of, &known, now_ms)).await;
        if is_due == Ok(true) {
            self.write_seen(identity, device).await;
        }
    }

    /// If this fails, the device looks as if it was away for longer, until it is marked the next time.
    async fn write_seen(&self, identity: &Identity, device: &DeviceId) {
        let (of, known) = (identity.clone(), device.clone());
        let owner = JobOwner::Identity(identity.clone());
        let _ = self.committer.transact(owner, move |group, now_ms| Ok((group.mark_device_seen(&of, &known, now_ms)?, Vec::new()))).await;
    }

    /// The identity of a new login is derived from the login, so a store that was restored from an older backup gives the login the same
    /// identity again, and its devices can offer the writes that the backup lacks. The number of erasures is part of the derivation: after an
    /// erasure a login gets a new identity.
    async fn store_login(&self, request: LoginRequest) -> Result<SignInResult, Unavailable> {
        let erasures = self.reader.read(ReadOwner::Login(request.subject.clone()), Store::erasures).await?;
        let LoginRequest { pool, region, issuer, subject, issued_s, device, purpose, max_devices } = request;
        let device = (purpose == SignInPurpose::Use).then_some(device);
        let name = format!("{pool}\0{issuer}\0{subject}\0{erasures}");
        let identity_of = |uuid: Uuid| Identity::from(format!("{region}:{uuid}").as_str());
        let new_identity = identity_of(Uuid::new_v5(&NAMESPACE, name.as_bytes()));
        let fallback_identity = identity_of(Uuid::new_v4());
        let request = SignInRequest { pool, issuer, subject, issued_s, new_identity, fallback_identity, device, max_devices };
        let (identity, admission) = self.committer.sign_in(request).await?;
        Ok(sign_in_result(identity, admission))
    }
}

fn sign_in_result(identity: Identity, admission: Admission) -> SignInResult {
    match admission {
        Admission::Admitted => SignInResult::SignedIn(identity),
        Admission::TooMany => SignInResult::TooManyDevices,
        Admission::Revoked => SignInResult::Revoked,
        Admission::TokenRefused { until_s } => SignInResult::TokenRefused { until_s },
    }
}

fn login_key(request: &LoginRequest) -> LoginKey<'_> {
    LoginKey { pool: &request.pool, issuer: &request.issuer, subject: &request.subject }
}
