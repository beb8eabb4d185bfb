//! The keys of one issuer, and the choice of those that a token may be signed with.

use std::sync::Arc;

use super::config::MAX_TRIED_KEYS;
use super::header::TokenHeader;
use super::key::VerificationKey;
use super::refusal::TokenRefusal;

/// The keys of one issuer; never empty.
pub(super) struct KeySet(Vec<Arc<VerificationKey>>);

/// The parts of a token that the choice of its key and the check of its signature need.
pub(super) struct SignedMessage<'a> {
    pub(super) header: &'a TokenHeader<'a>,
    /// The tenant that the token's `iss` names, if its issuer has tenants.
    pub(super) tenant: Option<&'a str>,
    /// The bytes that were signed.
    pub(super) message: &'a [u8],
    /// In base64url.
    pub(super) signature: &'a str,
}

impl KeySet {
    /// A set of these keys; `None` if there are none.
    pub(super) fn new(keys: Vec<VerificationKey>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self(keys.into_iter().map(Arc::new).collect()))
    }

    pub(super) fn of_one(key: VerificationKey) -> Self {
        Self(vec![Arc::new(key)])
    }

    /// Verifies the signature with each key that fits the token's `alg` and `kid`, at most [`MAX_TRIED_KEYS`] of them.
    ///
    /// The `kid` is compared with the `kid`s of the keys and used for nothing else. Keys with the token's `kid` come first, then those
    /// without one; a token without `kid` may be signed with any key.
    pub(super) fn verify(&self, token: &SignedMessage<'_>) -> Result<(), TokenRefusal> {
        let algorithm = token.header.algorithm;
        let mut tried = 0;
        for key in self.named(token).filter(|key| key.fits(algorithm)).take(MAX_TRIED_KEYS) {
            if key.verifies(algorithm, token.signature, token.message) {
                return Ok(());
            }
            tried += 1;
        }
        Err(match tried {
            0 if self.named(token).next().is_some() => TokenRefusal::WrongAlgorithm,
            0 => TokenRefusal::UnknownKey,
            _ => TokenRefusal::BadSignature,
        })
    }

    /// The keys that the token's `kid` may mean, without those of another tenant: such a key is none of the token's issuer.
    fn named<'s>(&'s self, token: &SignedMessage<'s>) -> impl Iterator<Item = &'s VerificationKey> {
        let kid = token.header.kid.as_deref();
        let keys = || self.0.iter().map(|key| &**key).filter(|key| key.is_for(token.tenant));
        let exact = keys().filter(move |key| kid.is_none() || key.kid.as_deref() == kid);
        exact.chain(keys().filter(move |key| kid.is_some() && key.kid.is_none()))
    }
}
