//! Why a command did not do what it was asked, and what to do about it.

use std::fmt;
use std::path::Path;

use crate::client::printable;

/// The end of a command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An argument is not what it must be, or does not say enough; nothing was done.
    Input(String),
    /// A file.
    File(String),
    /// The server cannot be reached, or does not answer as one.
    NoServer {
        /// Where it should be.
        url: String,
        /// Why.
        why: String,
    },
    /// The server did not do it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, in its words.
        why: String,
    },
    /// Nobody reads stdout any more.
    NobodyReads,
}

impl Failure {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> Failure {
        Failure::File(format!("{}: {why}", path.display()))
    }

    /// The exit code of the process: 1 a file or what was read from it, 2 bad input, 3 refused, 5 no server.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::NobodyReads => 0,
            Failure::File(_) => 1,
            Failure::Input(_) => 2,
            Failure::Refused { .. } => 3,
            Failure::NoServer { .. } => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(why) | Failure::File(why) => f.write_str(why),
            Failure::NoServer { url, why } => {
                write!(f, "{url}: {}\nis the server running there? name another place with --url or DRIFTLESS_URL", printable(why))
            }
            Failure::Refused { status, why } => {
                write!(f, "{}", printable(why))?;
                match status {
                    401 => f.write_str("\ngive the server's admin.key with --key or DRIFTLESS_ADMIN_KEY"),
                    503 => f.write_str("\nits store is busy or failing; see its log, and try again in a moment"),
                    _ => Ok(()),
                }
            }
            Failure::NobodyReads => f.write_str("nobody reads the output"),
        }
    }
}

impl std::error::Error for Failure {}
