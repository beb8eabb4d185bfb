//! The configuration of a trusted issuer, and the limits for tokens and keys.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// How far the clocks of an issuer and of this server may differ, in seconds, when `exp` and `nbf` are checked (RFC 7519 sections 4.1.4 and
/// 4.1.5: "usually no more than a few minutes").
pub const LEEWAY_S: u64 = 60;

/// The claim that names the audience, unless the issuer's configuration says otherwise (RFC 7519 section 4.1.3).
pub(super) const AUDIENCE_CLAIM: &str = "aud";

/// The longest token that is accepted, in bytes. Tokens with many group claims have a few KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest `sub`, in bytes: RFC 7519 sets no limit, OpenID Connect Core section 2 sets 255 ASCII characters.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// The latest `exp` and `nbf`, in Unix seconds: the end of the year 9999. A date in milliseconds, a common mistake that would make a token
/// valid for ever, exceeds it.
pub const MAX_DATE_S: u64 = 253_402_300_799;

/// The shortest shared secret, in bytes: HS256 requires a key at least as long as its hash (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// The shortest RSA modulus, in bits (RFC 7518 section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

/// The longest RSA modulus, in bits: the limit of the cryptographic library, which keeps verification cheap.
pub const MAX_RSA_BITS: usize = 8192;

/// How many keys of an issuer are tried for one token. Few have two of a kind without a `kid`; a forged token costs this many checks at most.
pub const MAX_TRIED_KEYS: usize = 8;

/// The longest tenant in an issuer's template, in bytes. Microsoft's are 36.
pub const MAX_TENANT_BYTES: usize = 64;

/// How long a fetch of an issuer's keys may take, in milliseconds. Logins wait for it.
pub const FETCH_TIMEOUT_MS: u64 = 5_000;

/// The largest JWKS document or key file, in bytes. Large providers serve about 10 KiB.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// The maximum number of keys in a JWKS document. Issuers have two to ten.
pub const MAX_JWKS_KEYS: usize = 100;

/// How old cached keys may be, in seconds, before they are fetched again. A key that its issuer withdraws is accepted for at most this long,
/// as long as the issuer can be reached.
pub const CACHE_LIFETIME_S: u64 = 10 * 60;

/// The minimum interval between the starts of two fetches from one issuer, in seconds. A clock that jumps makes one more. It does not depend on the `kid`s of tokens, as anyone can invent a
/// `kid`. A key that is used as soon as it is published is known after this time at the latest.
pub const REFETCH_AFTER_S: u64 = 30;

/// The same interval while no fetch from the issuer has succeeded yet, in seconds. It is shorter, as none of the issuer's logins work until
/// then, but longer than a fetch, so that no login waits for two.
pub const RETRY_AFTER_S: u64 = 10;

/// The secret of the development pool, with which test tokens are signed. It is public: **never use it in production**.
pub const DEVELOPMENT_SECRET: &str = "driftless development secret, public, not for production";

/// An issuer of tokens that a pool trusts, and the source of its keys: at most one of `jwks_url`, `keys_file`, `secret` and `secret_file`; without
/// one of them the issuer's metadata name its keys (OpenID Connect Discovery).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The `iss` of its tokens. The comparison is exact (RFC 7519 section 4.1.1), but for `{tenantid}`, which stands for any one segment of
    /// the path.
    pub issuer: String,
    /// The claim that names a token's audience: `aud`, unless the issuer's tokens have their audience in another one.
    #[serde(default = "audience_claim")]
    pub audience_claim: String,
    /// The names of which that claim must contain one (RFC 7519 section 4.1.3). At least one name, and none empty.
    pub audience: Vec<String>,
    /// The URL of the issuer's JWKS document (RFC 7517 section 5): `https`, or `http` to this machine, or as `allow_private_http` says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file with a JWKS document or one public key in PEM form. Read once, when the server starts.
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// A JWKS document of an issuer that this server is itself: never set by a configuration.
    #[serde(skip)]
    pub own_keys: Option<String>,
    /// A secret shared with the issuer: at least [`MIN_SECRET_BYTES`] for HS256, 48 bytes for HS384, 64 for HS512.
    #[serde(default)]
    pub secret: Option<String>,
    /// A file with that secret, and perhaps a line end after it. Read once, when the server starts.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A PEM file with additional root certificates to trust when keys and metadata are fetched.
    #[serde(default)]
    pub authority_file: Option<PathBuf>,
    /// Whether keys and metadata may be fetched by plain `http` from a private address: everyone in that network can then make tokens.
    #[serde(default)]
    pub allow_private_http: bool,
}

fn audience_claim() -> String {
    AUDIENCE_CLAIM.to_owned()
}

impl Default for IssuerConfig {
    /// An issuer without a name, an audience and keys.
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience_claim: audience_claim(),
            audience: Vec::new(),
            jwks_url: None,
            keys_file: None,
            own_keys: None,
            secret: None,
            secret_file: None,
            authority_file: None,
            allow_private_http: false,
        }
    }
}

impl IssuerConfig {
    /// An issuer whose metadata name its keys, with tokens for one of these audiences.
    pub fn discovered(issuer: String, audience: Vec<String>) -> IssuerConfig {
        IssuerConfig { issuer, audience, ..IssuerConfig::default() }
    }

    /// An issuer that this server is itself, with its JWKS document.
    pub fn own(issuer: String, audience: Vec<String>, keys: String) -> IssuerConfig {
        IssuerConfig { issuer, audience, own_keys: Some(keys), ..IssuerConfig::default() }
    }

    /// Whether the secret is [`DEVELOPMENT_SECRET`], so that anyone can make tokens of this issuer.
    pub fn uses_development_secret(&self) -> bool {
        self.secret.as_deref() == Some(DEVELOPMENT_SECRET)
    }
}

impl fmt::Debug for IssuerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerConfig")
            .field("issuer", &self.issuer)
            .field("audience_claim", &self.audience_claim)
            .field("audience", &self.audience)
            .field("jwks_url", &self.jwks_url.as_deref().map(without_password))
            .field("keys_file", &self.keys_file)
            .field("secret", &self.secret.as_ref().map(|_| "hidden"))
            .field("secret_file", &self.secret_file)
            .field("authority_file", &self.authority_file)
            .field("allow_private_http", &self.allow_private_http)
            .finish()
    }
}

/// Hides a URL that may contain a password; the check of the configuration will reject it.
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
    fn an_unknown_setting_is_an_error() {
        let misspelt = LOCAL.replace("secret", "secrets");
        assert!(serde_json::from_str::<IssuerConfig>(&misspelt).is_err());
    }

    #[test]
    fn the_development_secret_is_recognized() {
        let mut config: IssuerConfig = serde_json::from_str(LOCAL).unwrap();
        assert!(!config.uses_development_secret());
        config.secret = Some(DEVELOPMENT_SECRET.to_owned());
        assert!(config.uses_development_secret());
        assert!(DEVELOPMENT_SECRET.len() >= MIN_SECRET_BYTES);
    }

    #[test]
    fn no_login_waits_for_two_fetches() {
        const { assert!(RETRY_AFTER_S * 1000 > FETCH_TIMEOUT_MS && REFETCH_AFTER_S > RETRY_AFTER_S) }
    }
}
