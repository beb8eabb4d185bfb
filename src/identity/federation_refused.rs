//! Why federation gives nothing.

use crate::committer::Unavailable;

/// Why somebody gets no identity or no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FederationRefused {
    NoPool(String),
    NoIdentity(String),
    /// The pool lets nobody in without a login.
    NoGuests,
    /// A token is not valid: of which provider, and why.
    InvalidToken {
        provider: String,
        why: String,
    },
    /// A provider's keys could not be fetched.
    ProviderUnavailable {
        provider: String,
    },
    /// None of the logins is the identity's, or it has none and the caller has no right to it.
    NotItsLogin(String),
    /// An operator has refused the login's tokens.
    TokenRefused,
    TooManyLogins,
    /// A login leads to another identity, and this one has a login of its own.
    LoginOfAnother,
    /// The pool gives tokens to nobody: its identities get credentials only.
    NoClassicFlow,
    /// The pool has no role for this, or the role does not trust the pool.
    NoRole(String),
}

pub type FederationResult<T> = Result<Result<T, FederationRefused>, Unavailable>;
