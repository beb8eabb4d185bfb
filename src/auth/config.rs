//! What a pool says about an issuer that it trusts, and the bounds within which tokens and keys are handled.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// How far an issuer's clock may be from ours, in seconds, when `exp` and `nbf` are judged (RFC 7519 sections 4.1.4 and
/// 4.1.5: "usually no more than a few minutes").
pub const LEEWAY_S: u64 = 60;

/// The longest token that is looked at, in bytes. Tokens with many group claims reach a few KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest `sub`, in bytes: RFC 7519 names no bound, OpenID Connect Core section 2 says 255 ASCII characters.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// The latest date that `exp` and `nbf` may name, in Unix seconds: the end of the year 9999. A date in milliseconds, a
/// common mistake that would make a token valid for ever, lies beyond it.
pub const MAX_DATE_S: u64 = 253_402_300_799;

/// The shortest shared secret, in bytes: HS256 needs a key at least as long as its hash (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// The shortest RSA modulus, in bits (RFC 7518 section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

/// The longest RSA modulus, in bits: what the cryptographic library accepts, so that verifying stays cheap.
pub const MAX_RSA_BITS: usize = 8192;

/// How long fetching an issuer's keys may take as a whole, in milliseconds. Logins wait for it.
pub const FETCH_TIMEOUT_MS: u64 = 5_000;

/// The largest JWKS document or key file, in bytes. Large providers serve about 10 KiB.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// The most keys in a JWKS document. Issuers have two to ten.
pub const MAX_JWKS_KEYS: usize = 100;

/// How old fetched keys may be, in seconds, before they are fetched again. A key that its issuer withdraws is believed
/// for at most this long while the issuer can be reached.
pub const CACHE_LIFETIME_S: u64 = 10 * 60;

/// The shortest time between two fetches from one configured issuer, in seconds, whatever `kid`s tokens name: anyone can
/// invent a `kid`. A key that is published and used at once is known after this time at the latest.
pub const REFETCH_AFTER_S: u64 = 30;

/// The shortest time between two fetches while an issuer has never given us keys, in seconds: none of its logins work, so
/// it is asked sooner. Longer than a fetch, so that nobody waits for two.
pub const RETRY_AFTER_S: u64 = 10;

/// The secret that development pools share with the command that makes tokens for them. Everyone knows it: **never use
/// it in production**.
pub const DEVELOPMENT_SECRET: &str = "driftless development secret, public, not for production";

/// An issuer of tokens that a pool trusts, and where its keys come from: exactly one of `jwks_url`, `keys_file` and
/// `secret`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What a token's `iss` must be, to the letter (RFC 7519 section 4.1.1).
    pub issuer: String,
    /// The names of which a token's `aud` must hold one (RFC 7519 section 4.1.3). At least one, none empty.
    pub audience: Vec<String>,
    /// Where the issuer publishes its keys (RFC 7517 section 5). `https`, or `http` on this machine only.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file that holds a JWKS document, or one public key in PEM form. Read once, at the start.
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// A secret shared with the issuer for HS256: at least [`MIN_SECRET_BYTES`].
    #[serde(default)]
    pub secret: Option<String>,
}

impl IssuerConfig {
    /// Whether this issuer's tokens can be made by anyone, because its secret is [`DEVELOPMENT_SECRET`].
    pub fn uses_development_secret(&self) -> bool {
        self.secret.as_deref() == Some(DEVELOPMENT_SECRET)
    }
}

impl fmt::Debug for IssuerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerConfig")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("jwks_url", &self.jwks_url.as_deref().map(without_password))
            .field("keys_file", &self.keys_file)
            .field("secret", &self.secret.as_ref().map(|_| "hidden"))
            .finish()
    }
}

/// A URL with a password is refused later; until then it is not shown.
fn without_password(url: &str) -> &str {
    if url.contains('@') { "hidden" } else { url }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOCAL: &str = r#"{"issuer":"https://a.example","audience":["app"],"secret":"do-not-show-me"}"#;

    #[test]
    fn debug_hides_the_secret() {
        let config: IssuerConfig = serde_json::from_str(LOCAL).unwrap();
        assert!(!format!("{config:?}").contains("do-not-show-me"));
        assert!(format!("{config:?}").contains("https://a.example"));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let misspelt = LOCAL.replace("secret", "secrets");
        assert!(serde_json::from_str::<IssuerConfig>(&misspelt).is_err());
    }

    #[test]
    fn the_development_secret_is_recognised() {
        let mut config: IssuerConfig = serde_json::from_str(LOCAL).unwrap();
        assert!(!config.uses_development_secret());
        config.secret = Some(DEVELOPMENT_SECRET.to_owned());
        assert!(config.uses_development_secret());
        assert!(DEVELOPMENT_SECRET.len() >= MIN_SECRET_BYTES);
    }

    #[test]
    fn nobody_waits_for_two_fetches() {
        const { assert!(RETRY_AFTER_S * 1000 > FETCH_TIMEOUT_MS && REFETCH_AFTER_S > RETRY_AFTER_S) }
    }
}
