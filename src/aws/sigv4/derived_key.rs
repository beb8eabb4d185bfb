//! The key that is derived from a secret for one scope.

use aws_lc_rs::hmac;

use super::scope::CredentialScope;

/// A derived key (IAM User Guide, "Create a signed AWS API request", step 3). It is good for its scope only, so it may be kept as long as the
/// secret is valid, by access key id and scope: deriving it costs four HMACs.
#[derive(Clone)]
pub struct DerivedKey {
    scope: CredentialScope,
    key: hmac::Key,
}

impl DerivedKey {
    pub fn derive(secret: &str, scope: &CredentialScope) -> DerivedKey {
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        for part in scope.parts() {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        DerivedKey { scope: scope.clone(), key }
    }

    pub fn scope(&self) -> &CredentialScope {
        &self.scope
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, string_to_sign: &[u8], signature: &[u8; 32]) -> bool {
        hmac::verify(&self.key, string_to_sign, signature).is_ok()
    }
}
