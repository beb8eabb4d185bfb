//! The issuer of the identity pools' own tokens: what GetOpenIdToken gives, and AssumeRoleWithWebIdentity takes.
//! Source: "GetOpenIdToken" (Amazon Cognito Federated Identities API Reference), "Basic (classic) authflow" (Amazon Cognito Developer Guide).

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::access::{Federation, IDENTITY_PROVIDER};
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::keyring::{SharedKeyring, SigningKeyPair, SigningTimes, signing_plan};

/// The `iss` of the tokens.
pub const IDENTITY_ISSUER: &str = "https://cognito-identity.amazonaws.com";

/// What the names of the issuer's rows in the keyring begin with.
const ROWS: &str = "identities/";

/// How long a token is valid, in seconds: "the token is valid for 10 minutes".
const LIFE_S: u64 = 600;

/// How long the pairs are kept before their rows are read again: another server of the store may have made one.
const KEPT_MS: u64 = 60 * 1000;

/// Signatures and pairs that are made at a time: each takes a processor for a millisecond, a pair for a tenth of a second.
const AT_A_TIME: usize = 4;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityClaims {
    /// The identity.
    pub sub: String,
    /// The id of its pool.
    pub aud: String,
    pub amr: Vec<String>,
    pub iss: String,
    /// Seconds since 1970 (UTC).
    pub exp: u64,
    pub iat: u64,
}

/// The pairs, and when they were read.
struct IssuerPairs {
    read_ms: u64,
    pairs: Vec<(u64, SigningKeyPair)>,
}

/// The issuer. Clones share its key pairs.
#[derive(Clone)]
pub struct IdentityIssuer {
    reader: Reader,
    committer: Committer,
    keyring: SharedKeyring,
    clock: Clock,
    kept: Arc<Mutex<Option<Arc<IssuerPairs>>>>,
    places: Arc<Semaphore>,
}

impl IssuerPairs {
    fn times(&self) -> Vec<SigningTimes> {
        let of = |(from, pair): &(u64, SigningKeyPair)| SigningTimes { signs_from_ms: *from, key_id: pair.key_id().to_owned() };
        self.pairs.iter().map(of).collect()
    }
}

impl IdentityIssuer {
    pub fn new(reader: Reader, committer: Committer, keyring: SharedKeyring, clock: Clock) -> IdentityIssuer {
        IdentityIssuer { reader, committer, keyring, clock, kept: Arc::default(), places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// A token of an identity that `federation` describes.
    pub async fn token(&self, federation: &Federation) -> Result<String, Unavailable> {
        let now_ms = self.clock.unix_ms();
        let pairs = self.pairs().await?;
        let claims = IdentityClaims {
            sub: federation.claim("sub").unwrap_or_default().to_owned(),
            aud: federation.claim("aud").unwrap_or_default().to_owned(),
            amr: federation.claims.iter().find(|(name, _)| name == "amr").map(|(_, values)| values.clone()).unwrap_or_default(),
            iss: IDENTITY_ISSUER.to_owned(),
            exp: now_ms / 1000 + LIFE_S,
            iat: now_ms / 1000,
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| Unavailable::Now)?;
        self.aside(move || {
            let signs = signing_plan(&pairs.times(), now_ms).signs?;
            let (_, pair) = pairs.pairs.iter().find(|(_, pair)| pair.key_id() == signs)?;
            pair.sign(&claims).ok()
        })
        .await
    }

    /// What a token of this issuer says; `None` if it made no such token, or the token has expired.
    pub async fn verified(&self, token: &str) -> Result<Option<IdentityClaims>, Unavailable> {
        let pairs = self.pairs().await?;
        let claims = pairs.pairs.iter().find_map(|(_, pair)| pair.verified_claims(token));
        let claims: Option<IdentityClaims> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
        let now_s = self.clock.unix_ms() / 1000;
        Ok(claims.filter(|claims| claims.iss == IDENTITY_ISSUER && claims.exp > now_s))
    }

    /// The pairs, which may have been read up to a minute ago. One that is due is made, and those whose tokens have ended are dropped.
    async fn pairs(&self) -> Result<Arc<IssuerPairs>, Unavailable> {
        let now_ms = self.clock.unix_ms();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(pairs) = kept
            && now_ms.wrapping_sub(pairs.read_ms) < KEPT_MS
        {
            return Ok(pairs);
        }
        let pairs = self.read(now_ms).await?;
        let plan = signing_plan(&pairs.times(), now_ms);
        if plan.make_from_ms.is_none() && plan.drop.is_empty() {
            return Ok(pairs);
        }
        let mut made = None;
        if let Some(from_ms) = plan.make_from_ms {
            let keyring = self.keyring.clone();
            let make = move || keyring.wrap_pair(IDENTITY_PROVIDER, &SigningKeyPair::generate().ok()?, from_ms).ok();
            made = Some((row_name(from_ms), self.aside(make).await?));
        }
        let is_dropped = |pair: &&(u64, SigningKeyPair)| plan.drop.iter().any(|id| id == pair.1.key_id());
        let dropped: Vec<String> = pairs.pairs.iter().filter(is_dropped).map(|(from_ms, _)| row_name(*from_ms)).collect();
        let write = self.committer.transact(JobOwner::Store, move |group, _| {
            if let Some((name, row)) = &made {
                group.add_keyring_row(name, row)?;
            }
            dropped.iter().for_each(|name| group.delete_keyring_row(name));
            Ok(((), Vec::new()))
        });
        write.await?;
        self.read(now_ms).await
    }

    async fn read(&self, read_ms: u64) -> Result<Arc<IssuerPairs>, Unavailable> {
        let rows = self.reader.read(ReadOwner::Server, |store| store.keyring_rows()).await?;
        let own = rows.iter().filter(|(name, _)| name.starts_with(ROWS));
        let pairs: Result<Vec<_>, _> = own.map(|(_, row)| self.keyring.unwrap_pair(IDENTITY_PROVIDER, row)).collect();
        let pairs = Arc::new(IssuerPairs { read_ms, pairs: pairs.map_err(|_| Unavailable::Now)? });
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&pairs));
        Ok(pairs)
    }

    /// Does what takes a processor's time on a thread that serves nobody. Who comes while as many are at work waits for one of them.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> Option<T> + Send + 'static) -> Result<T, Unavailable> {
        let _place = self.places.acquire().await.map_err(|_| Unavailable::Now)?;
        tokio::task::spawn_blocking(work).await.ok().flatten().ok_or(Unavailable::Now)
    }
}

fn row_name(signs_from_ms: u64) -> String {
    format!("{ROWS}{signs_from_ms}")
}

impl IdentityClaims {
    /// The claims as policies ask for them.
    pub fn federation(&self) -> Federation {
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        let claims = vec![one("aud", &self.aud), one("sub", &self.sub), ("amr".to_owned(), self.amr.clone())];
        Federation { provider: IDENTITY_PROVIDER.to_owned(), principal: IDENTITY_PROVIDER.to_owned(), claims }
    }
}
