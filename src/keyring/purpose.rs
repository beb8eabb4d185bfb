//! What sealing keys are for. Each purpose has keys of its own, and each kind of what is sealed belongs to one purpose.

use serde::{Deserialize, Serialize};

const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// What a generation of sealing keys is for. The name is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Temporary credentials: their secrets and session tokens.
    Sts,
    /// What a client carries from one request to the next.
    Token,
    /// Secrets in rows.
    Secret,
}

impl Purpose {
    pub const ALL: [Purpose; 3] = [Purpose::Sts, Purpose::Token, Purpose::Secret];

    /// How long a generation seals, in milliseconds. What `Secret` seals does not expire, so its generations are kept for ever: they turn as
    /// rarely as signing keys, so that a store of ten years has some forty of them and not five hundred.
    pub(super) const fn turn_ms(self) -> u64 {
        match self {
            Purpose::Sts | Purpose::Token => 7 * DAY_MS,
            Purpose::Secret => 90 * DAY_MS,
        }
    }

    /// How long what it seals can be valid, in milliseconds; `None`: for ever.
    pub(super) const fn longest_life_ms(self) -> Option<u64> {
        match self {
            // GetSessionToken's maximum of 129,600 s: the longest of the operations that give temporary credentials.
            Purpose::Sts => Some(36 * HOUR_MS),
            Purpose::Token => Some(DAY_MS),
            Purpose::Secret => None,
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Purpose::Sts => 1,
            Purpose::Token => 2,
            Purpose::Secret => 3,
        }
    }
}

/// What a client carries for the server without being able to read it. One kind never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The session token of temporary credentials. Its owner is the access key id.
    SessionToken,
    /// The `SyncSessionToken` of Amazon Cognito Sync.
    SyncSession,
    /// A `NextToken`: where a list goes on.
    NextToken,
    /// The `Session` of an authentication challenge.
    ChallengeSession,
    /// The `SECRET_BLOCK` of a PASSWORD_VERIFIER challenge.
    SecretBlock,
    /// The `state` that a sign-in with an outside provider comes back with.
    OauthState,
}

impl TokenKind {
    pub const ALL: [TokenKind; 6] = [
        TokenKind::SessionToken,
        TokenKind::SyncSession,
        TokenKind::NextToken,
        TokenKind::ChallengeSession,
        TokenKind::SecretBlock,
        TokenKind::OauthState,
    ];

    pub const fn purpose(self) -> Purpose {
        match self {
            TokenKind::SessionToken => Purpose::Sts,
            _ => Purpose::Token,
        }
    }

    /// How long a token of this kind may be valid, in milliseconds.
    pub const fn longest_life_ms(self) -> u64 {
        match self {
            TokenKind::SessionToken => 36 * HOUR_MS,
            TokenKind::SyncSession | TokenKind::NextToken => DAY_MS,
            // AuthSessionValidity of CreateUserPoolClient: 3 to 15 minutes.
            TokenKind::ChallengeSession | TokenKind::SecretBlock => 15 * MINUTE_MS,
            // The time in which somebody signs in at the provider, a second factor and a forgotten password included.
            TokenKind::OauthState => HOUR_MS,
        }
    }

    /// How many bytes of content a token of this kind may have.
    pub const fn max_content_bytes(self) -> usize {
        match self {
            // As text under 7 KiB: with the name of the header it fits a line of 8 KiB, which is what proxies such as nginx take by default.
            TokenKind::SessionToken => 5 * 1024,
            // A `Session` may have 2,048 characters (SessionType of the service's model).
            TokenKind::ChallengeSession | TokenKind::SecretBlock => 1_280,
            // Short states; the text stays under 1,500 characters, which fits an address with room to spare.
            TokenKind::SyncSession | TokenKind::NextToken | TokenKind::OauthState => 1024,
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            TokenKind::SessionToken => 1,
            TokenKind::SyncSession => 2,
            TokenKind::NextToken => 3,
            TokenKind::ChallengeSession => 4,
            TokenKind::SecretBlock => 5,
            TokenKind::OauthState => 6,
        }
    }
}

/// A secret in a row. One kind never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// The secret of a long-lived access key. Its owner is the access key id.
    AccessKey,
    /// A user's SRP verifier.
    SrpVerifier,
    /// The hash of a user's password.
    PasswordHash,
    /// The seed of a user's time-based codes.
    TotpSeed,
    /// The secret of a user pool's client, or with an outside provider.
    ClientSecret,
    /// The credentials of a push application.
    PushCredential,
}

impl SecretKind {
    pub const ALL: [SecretKind; 6] = [
        SecretKind::AccessKey,
        SecretKind::SrpVerifier,
        SecretKind::PasswordHash,
        SecretKind::TotpSeed,
        SecretKind::ClientSecret,
        SecretKind::PushCredential,
    ];

    pub(super) const fn byte(self) -> u8 {
        match self {
            SecretKind::AccessKey => 128,
            SecretKind::SrpVerifier => 129,
            SecretKind::PasswordHash => 130,
            SecretKind::TotpSeed => 131,
            SecretKind::ClientSecret => 132,
            SecretKind::PushCredential => 133,
        }
    }
}

/// The maximum bytes of a secret in a row: a Firebase service account, the largest, has 2.4 KiB.
pub(super) const MAX_SECRET_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_kinds_share_a_byte_and_no_token_outlives_its_purpose() {
        let tokens = TokenKind::ALL.map(TokenKind::byte);
        let secrets = SecretKind::ALL.map(SecretKind::byte);
        let bytes: BTreeSet<u8> = tokens.into_iter().chain(secrets).collect();
        assert_eq!(bytes.len(), TokenKind::ALL.len() + SecretKind::ALL.len());
        assert_eq!(BTreeSet::from(Purpose::ALL.map(Purpose::byte)).len(), Purpose::ALL.len());
        for kind in TokenKind::ALL {
            assert!(kind.purpose().longest_life_ms().is_some_and(|longest| kind.longest_life_ms() <= longest), "{kind:?}");
        }
    }
}
