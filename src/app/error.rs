//! Why a server did not start, or stopped.

use std::fmt;

use super::development_key::DevelopmentKeyError;
use crate::http::ListenError;
use crate::keyring::KeyringError;
use crate::store::StoreError;

/// Why a server did not start, or stopped.
#[derive(Debug)]
pub enum AppError {
    /// A token issuer, a push credential, a certificate or the folder of the store cannot be used as it is configured.
    Config(crate::config::ConfigError),
    Store(StoreError),
    Listen(ListenError),
    /// The operating system refused a thread, a file descriptor or random bytes.
    System(std::io::Error),
    /// The key file or the keys of the store cannot be used.
    Keyring(KeyringError),
    /// The store has the access key for development, and the server is none for development.
    DevelopmentKey(DevelopmentKeyError),
    /// The committer stopped while the server ran.
    StoreFailed,
    /// The store did not close within its share of `drain_s`.
    StoreNotClosed,
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppError::Config(error) => write!(f, "{error}"),
            AppError::Store(error) => write!(f, "{error}"),
            AppError::Keyring(error) => write!(f, "{error}"),
            AppError::DevelopmentKey(error) => write!(f, "{error}"),
            AppError::Listen(error) => write!(f, "{error}"),
            AppError::System(error) => write!(f, "operating system error: {error}"),
            AppError::StoreNotClosed => {
                write!(f, "the store did not close in time; no acknowledged write is lost: the next start reads the journal")
            }
            AppError::StoreFailed => {
                write!(f, "the store failed, see the log; no acknowledged write is lost: repair the disk and start again")
            }
        }
    }
}

impl std::error::Error for AppError {}
