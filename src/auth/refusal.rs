//! Why a token is rejected.

use std::fmt;

use super::config::{LEEWAY_S, MAX_TOKEN_BYTES};

/// Why a token is rejected. The text is for the app's developer and contains nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenRefusal {
    /// Over [`MAX_TOKEN_BYTES`].
    TooLarge,
    /// Not a signed token in the compact form with the required claims; the text says why.
    Malformed(&'static str),
    /// No pool trusts its `iss`.
    UnknownIssuer,
    /// No pool trusts its `iss`, but one trusts the same name with, or without, a slash at its end.
    IssuerSlash,
    /// Its audience matches no pool that trusts its issuer, or more than one.
    WrongAudience,
    /// Its `typ` is neither that of a JWT nor that of an access token.
    WrongType,
    /// Its `kid` names no key of its issuer.
    UnknownKey,
    /// Its `alg` does not fit its key, or is not supported.
    WrongAlgorithm,
    /// Its signature was not made with its issuer's key.
    BadSignature,
    /// Its `exp` is in the past.
    Expired,
    /// Its `nbf` is in the future.
    NotYetValid,
    /// The keys of its issuer cannot be fetched at the moment, and nothing that can be said without them is wrong with it: its form, issuer,
    /// audience, kind of algorithm and times are good. A signature that no cached key has made is no proof then, as the issuer may have a new key.
    KeysUnavailable,
}

impl TokenRefusal {
    /// A stable name for metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Malformed(_) => "token_malformed",
            Self::UnknownIssuer | Self::IssuerSlash => "unknown_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// Whether the issuer made the token, as far as is known: times are checked last, or while the issuer's keys are not at hand. Such a token is
    /// old, or early, and no guess.
    pub fn is_of_genuine_token(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid)
    }

    /// Whether the same token may be accepted later. Any other refusal is final.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::KeysUnavailable => true,
            Self::TooLarge
            | Self::Malformed(_)
            | Self::UnknownIssuer
            | Self::IssuerSlash
            | Self::WrongAudience
            | Self::WrongType
            | Self::UnknownKey
            | Self::WrongAlgorithm
            | Self::BadSignature
            | Self::Expired
            | Self::NotYetValid => false,
        }
    }
}

impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the token is over {MAX_TOKEN_BYTES} bytes"),
            Self::Malformed(what) => write!(f, "the token cannot be read: {what}"),
            Self::UnknownIssuer => f.write_str("no pool of this server trusts the token's iss"),
            Self::IssuerSlash => {
                f.write_str("no pool of this server trusts the token's iss, but one would with a slash more or less at its end")
            }
            Self::WrongAudience => {
                f.write_str("the token's audience (aud) must name exactly one pool of this server that trusts its issuer")
            }
            Self::WrongType => f.write_str("the token's typ is neither JWT nor at+jwt"),
            Self::UnknownKey => f.write_str("the token's kid names no key of its issuer"),
            Self::WrongAlgorithm => f.write_str("the token's alg is not supported, or does not fit its issuer's key"),
            Self::BadSignature => f.write_str("the token's signature was not made by its issuer's key"),
            Self::Expired => write!(f, "the token has expired (leeway {LEEWAY_S} s)"),
            Self::NotYetValid => write!(f, "the token is not valid yet (leeway {LEEWAY_S} s)"),
            Self::KeysUnavailable => f.write_str("the issuer's keys cannot be fetched at the moment; try again later"),
        }
    }
}

impl std::error::Error for TokenRefusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unavailable_keys_are_worth_a_retry() {
        assert!(TokenRefusal::KeysUnavailable.is_temporary());
        assert!(!TokenRefusal::UnknownKey.is_temporary());
        assert!(!TokenRefusal::Expired.is_temporary());
    }

    #[test]
    fn only_a_token_whose_signature_was_verified_is_genuine() {
        assert!(TokenRefusal::Expired.is_of_genuine_token() && TokenRefusal::NotYetValid.is_of_genuine_token());
        assert!(!TokenRefusal::BadSignature.is_of_genuine_token() && !TokenRefusal::WrongAudience.is_of_genuine_token());
    }
}
