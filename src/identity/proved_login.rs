//! Logins that people prove with tokens, and what a session of an identity says of them.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::{Federation, IDENTITY_PROVIDER};
use crate::store::{Identity, MadePool};

/// Logins of one call ("GetId": `Logins` has at most 10 entries).
pub const MOST_LOGINS: usize = 10;

/// Logins as they are sent: the provider's name and a token.
pub type SentLogins = Vec<(String, String)>;

/// A token that was verified.
#[derive(Clone, Debug)]
pub struct ProvedLogin {
    /// The name under which it was sent: it decides nothing.
    pub sent_as: String,
    /// The name of the provider that made the token, as the pool and policies have it.
    pub provider: String,
    pub issuer: Arc<str>,
    pub subject: String,
    pub issued_s: Option<u64>,
    pub claims: Map<String, Value>,
}

/// The name of an issuer's tokens: as a pool that was made names its provider, else the issuer without its scheme.
pub(super) fn provider_name(made: Option<&MadePool>, issuer: &str) -> String {
    let plain = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let named = made.and_then(|made| {
        let id = plain.rsplit('/').next().unwrap_or_default();
        let user_pool = made.user_pools.iter().find(|trusted| trusted.provider.rsplit('/').next() == Some(id));
        user_pool.map(|trusted| trusted.provider.clone())
    });
    named.unwrap_or_else(|| plain.to_owned())
}

/// What an identity's session says of it, as trust and permission policies ask for it.
pub fn federation(pool: &str, identity: &Identity, logins: &[ProvedLogin]) -> Federation {
    let mut amr = vec![if logins.is_empty() { "unauthenticated".to_owned() } else { "authenticated".to_owned() }];
    for login in logins {
        amr.push(login.provider.clone());
        amr.push(format!("{}:{pool}:{}", login.provider, login.subject));
    }
    let one = |name: &str, value: String| (name.to_owned(), vec![value]);
    let claims = vec![one("aud", pool.to_owned()), one("sub", identity.to_string()), ("amr".to_owned(), amr)];
    Federation { provider: IDENTITY_PROVIDER.to_owned(), principal: IDENTITY_PROVIDER.to_owned(), claims }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TrustedUserPool;

    #[test]
    fn a_provider_is_named_by_who_made_the_token() {
        let trusted = TrustedUserPool {
            provider: "cognito-idp.local.amazonaws.com/local_abc".to_owned(),
            client_id: "app".to_owned(),
            server_side_check: false,
        };
        let made = MadePool {
            account: "123456789012".to_owned(),
            name: "mine".to_owned(),
            allow_guests: false,
            allow_classic_flow: None,
            login_providers: Default::default(),
            oidc_providers: Vec::new(),
            user_pools: vec![trusted],
            developer_provider: None,
            tags: Default::default(),
            made_ms: 0,
        };
        let name = |issuer| provider_name(Some(&made), issuer);
        assert_eq!(name("http://127.0.0.1:7400/local_abc"), "cognito-idp.local.amazonaws.com/local_abc");
        assert_eq!(name("https://accounts.google.com"), "accounts.google.com");
        assert_eq!(provider_name(None, "https://idp.example/a"), "idp.example/a");
    }
}
