//! What is kept of a new password: made on the threads for it, sealed for one user.

use super::fault::UserFault;
use super::proof::{Password, PasswordHash, PasswordPolicy, SrpVerifier};
use super::user_pools::UserPools;
use crate::keyring::SecretKind;
use crate::store::{PasswordDemands, PoolUserKey, SealedSecret, StoredPassword};

/// What a pool demands of a password, as it is checked.
pub(super) fn policy(demands: &PasswordDemands) -> PasswordPolicy {
    let PasswordDemands { minimum_length, uppercase, lowercase, numbers, symbols, temporary_days: _ } = *demands;
    let mut policy = PasswordPolicy::of_length(minimum_length).unwrap_or_default();
    policy.requires_uppercase = uppercase;
    policy.requires_lowercase = lowercase;
    policy.requires_numbers = numbers;
    policy.requires_symbols = symbols;
    policy
}

/// The owner of what is sealed of a user's password.
pub(super) fn sealed_for(key: &PoolUserKey) -> Vec<u8> {
    format!("{}:{}", key.pool, key.name).into_bytes()
}

impl UserPools {
    /// What is kept of a password of a user. The policy is checked before anything is hashed.
    pub(super) async fn new_password(
        &self,
        key: &PoolUserKey,
        demands: &PasswordDemands,
        text: &str,
        until_ms: Option<u64>,
    ) -> Result<StoredPassword, UserFault> {
        policy(demands).check(Password::parse(text)?)?;
        let number = getrandom::u64().map_err(|_| UserFault::Internal)?.max(1);
        let (key, text, keyring) = (key.clone(), zeroize::Zeroizing::new(text.to_owned()), self.keyring.current());
        let make = move || -> Result<StoredPassword, UserFault> {
            let password = Password::parse(&text)?;
            let (mut hash_salt, mut srp_salt) = ([0; 16], [0; 16]);
            getrandom::fill(&mut hash_salt).map_err(|_| UserFault::Internal)?;
            getrandom::fill(&mut srp_salt).map_err(|_| UserFault::Internal)?;
            let hash = PasswordHash::of(password, hash_salt)?.to_bytes();
            let srp = SrpVerifier::of_password(key.pool.name(), &key.name, password, srp_salt).to_bytes();
            let owner = sealed_for(&key);
            let seal = |kind, bytes: &[u8]| keyring.seal_secret(kind, &owner, bytes).map(SealedSecret);
            let (srp, hash) = (seal(SecretKind::SrpVerifier, &srp)?, seal(SecretKind::PasswordHash, &hash)?);
            Ok(StoredPassword { number, srp, hash, until_ms })
        };
        self.workers.run(make).await?
    }
}
