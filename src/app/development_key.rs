//! The access key for development: a server for development adds it to the store, any other refuses a store that has it.

use std::fmt;

use tracing::warn;

use crate::access::{Accounts, DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCOUNT, DEVELOPMENT_SECRET_ACCESS_KEY};
use crate::committer::Unavailable;
use crate::config::DevelopmentKeyUse;

/// Whether the store has the public access key for development.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevelopmentKey {
    /// Both are public.
    Present {
        id: &'static str,
        secret: &'static str,
    },
    Absent,
}

/// Why a server does not start because of the access key for development.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevelopmentKeyError {
    /// The store has it, and the server is none for development.
    Refused,
    Unavailable(Unavailable),
}

impl fmt::Display for DevelopmentKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DevelopmentKeyError::Refused => write!(
                f,
                "the store has the access key of `driftless dev`, {DEVELOPMENT_ACCESS_KEY_ID}, whose secret is public: delete it with \
                 `driftless access delete-key {DEVELOPMENT_ACCOUNT} {DEVELOPMENT_ACCESS_KEY_ID}` while `driftless dev` runs on the store, or \
                 name another folder with --data"
            ),
            DevelopmentKeyError::Unavailable(_) => f.write_str("the store is not available now"),
        }
    }
}

impl std::error::Error for DevelopmentKeyError {}

impl From<Unavailable> for DevelopmentKeyError {
    fn from(why: Unavailable) -> DevelopmentKeyError {
        DevelopmentKeyError::Unavailable(why)
    }
}

/// Adds the access key for development, or refuses the store that has it.
pub(super) async fn apply(accounts: &Accounts, key_use: DevelopmentKeyUse) -> Result<DevelopmentKey, DevelopmentKeyError> {
    match key_use {
        DevelopmentKeyUse::Refused if accounts.has_development_key().await? => Err(DevelopmentKeyError::Refused),
        DevelopmentKeyUse::Refused => Ok(DevelopmentKey::Absent),
        DevelopmentKeyUse::Added => match accounts.ensure_development().await? {
            Ok(()) => Ok(DevelopmentKey::Present { id: DEVELOPMENT_ACCESS_KEY_ID, secret: DEVELOPMENT_SECRET_ACCESS_KEY }),
            Err(why) => {
                warn!(account = DEVELOPMENT_ACCOUNT, %why, "the access key for development was not added");
                Ok(DevelopmentKey::Absent)
            }
        },
    }
}
