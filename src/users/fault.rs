//! Why something is not done for a user, a client or an administrator. The wire gives each its code.

use std::fmt;

use super::proof::{PasswordFlaw, PolicyFlaw};
use super::workers::Overloaded;
use crate::committer::Unavailable;
use crate::keyring::{CryptoFailed, KeyringError, OpenError, SealError};

/// Why something is not done. The words are the service's where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFault {
    /// A parameter is missing, malformed, or asks for what this server does not have.
    Parameter(String),
    /// The caller has not proved to be who it says, or may not do this.
    NotAuthorized(&'static str),
    /// There is no such pool or client.
    NoResource(String),
    NoUser,
    NotConfirmed,
    ResetRequired,
    UsernameTaken(&'static str),
    AliasTaken(&'static str),
    Password(PolicyFlaw),
    CodeWrong,
    CodeExpired,
    /// Too much was asked for in a time.
    AttemptLimit,
    /// Wrong codes.
    TooManyTries,
    /// There are as many pools or clients as there can be.
    TooMany(&'static str),
    /// The server has too much to do.
    Overloaded,
    /// No message can be sent to this kind of address.
    NotDelivered,
    UserState(&'static str),
    TokenReuse,
    TokenKind,
    Unsupported(&'static str),
    Unavailable,
    /// The server failed.
    Internal,
}

/// The words for every wrong name and password.
pub const WRONG_PASSWORD: UserFault = UserFault::NotAuthorized("Incorrect username or password.");

/// The words while no password is looked at.
pub const LOCKED_OUT: UserFault = UserFault::NotAuthorized("Password attempts exceeded");

impl UserFault {
    pub fn parameter(words: impl Into<String>) -> UserFault {
        UserFault::Parameter(words.into())
    }

    pub fn no_pool(id: &str) -> UserFault {
        let id: String = id.chars().take(55).collect();
        UserFault::NoResource(format!("User pool {id} does not exist."))
    }

    pub fn no_client(id: &str) -> UserFault {
        let id: String = id.chars().take(128).collect();
        UserFault::NoResource(format!("User pool client {id} does not exist."))
    }
}

impl fmt::Display for UserFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            UserFault::Parameter(words) | UserFault::NoResource(words) => words.as_str(),
            UserFault::NotAuthorized(words)
            | UserFault::UsernameTaken(words)
            | UserFault::AliasTaken(words)
            | UserFault::TooMany(words)
            | UserFault::UserState(words)
            | UserFault::Unsupported(words) => words,
            UserFault::NoUser => "User does not exist.",
            UserFault::NotConfirmed => "User is not confirmed.",
            UserFault::ResetRequired => "Password reset required for the user",
            UserFault::Password(flaw) => return write!(f, "{flaw}"),
            UserFault::CodeWrong => "Invalid verification code provided, please try again.",
            UserFault::CodeExpired => "Invalid code provided, please request a code again.",
            UserFault::AttemptLimit => "Attempt limit exceeded, please try after some time.",
            UserFault::TooManyTries => "Too many failed attempts, please try after some time.",
            UserFault::Overloaded => "Too many requests, please try again",
            UserFault::NotDelivered => "This server sends no messages of this kind",
            UserFault::TokenReuse => "Refresh token reuse: the token was exchanged before",
            UserFault::TokenKind => "Unsupported token type",
            UserFault::Unavailable => "The server cannot do this now; try again",
            UserFault::Internal => "The server failed to process the request",
        };
        f.write_str(words)
    }
}

impl std::error::Error for UserFault {}

impl From<Unavailable> for UserFault {
    fn from(_: Unavailable) -> UserFault {
        UserFault::Unavailable
    }
}

impl From<Overloaded> for UserFault {
    fn from(_: Overloaded) -> UserFault {
        UserFault::Overloaded
    }
}

impl From<CryptoFailed> for UserFault {
    fn from(_: CryptoFailed) -> UserFault {
        UserFault::Internal
    }
}

impl From<SealError> for UserFault {
    fn from(_: SealError) -> UserFault {
        UserFault::Internal
    }
}

impl From<OpenError> for UserFault {
    fn from(_: OpenError) -> UserFault {
        UserFault::Internal
    }
}

impl From<KeyringError> for UserFault {
    fn from(_: KeyringError) -> UserFault {
        UserFault::Unavailable
    }
}

impl From<PasswordFlaw> for UserFault {
    fn from(flaw: PasswordFlaw) -> UserFault {
        UserFault::Parameter(flaw.to_string())
    }
}

impl From<PolicyFlaw> for UserFault {
    fn from(flaw: PolicyFlaw) -> UserFault {
        UserFault::Password(flaw)
    }
}
