//! Logins that people prove with tokens, and what a session of an identity says of them.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::{Federation, IDENTITY_PROVIDER};
use crate::store::Identity;

/// Logins of one call ("GetId": `Logins` has at most 10 entries).
pub const MOST_LOGINS: usize = 10;

/// Logins as they are sent: the provider's name and a token.
pub type SentLogins = Vec<(String, String)>;

/// A token that was verified.
#[derive(Clone, Debug)]
pub struct ProvedLogin {
    /// The name under which it was sent.
    pub provider: String,
    pub issuer: Arc<str>,
    pub subject: String,
    pub issued_s: Option<u64>,
    pub claims: Map<String, Value>,
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
