//! Why an operator's command failed, with a hint on what to do, and the exit code.

use std::fmt;
use std::path::Path;

use crate::client::{CommandExit, UNTRUSTED, printable};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorError {
    /// An argument is invalid or missing; nothing was done.
    Input(String),
    /// A file could not be read or written, or its contents are invalid.
    File(String),
    /// What the arguments name does not exist, or what was asked for did not happen.
    Failed(String),
    /// The server could not be reached, or its answer was not understood.
    NoServer { url: String, why: String },
    /// What answers at the address is no Driftless server, or not one of this version.
    NotDriftless { url: String, what: String },
    /// A proxy before the server, or another server, demands something or forbids the request.
    RefusedByProxy { url: String, status: String },
    /// The server answered with an HTTP error status; `why` is its text.
    Refused { status: u16, why: String },
    /// The reader of stdout has closed the pipe.
    OutputClosed,
}

impl OperatorError {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> OperatorError {
        OperatorError::File(format!("{}: {why}", path.display()))
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        let exit = match self {
            OperatorError::OutputClosed => CommandExit::Done,
            OperatorError::File(_) | OperatorError::Failed(_) => CommandExit::Failed,
            OperatorError::Input(_) => CommandExit::Usage,
            OperatorError::Refused { .. } => CommandExit::Refused,
            OperatorError::NoServer { .. } | OperatorError::NotDriftless { .. } | OperatorError::RefusedByProxy { .. } => {
                CommandExit::NoServer
            }
        };
        exit.code()
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperatorError::Input(why) | OperatorError::File(why) => f.write_str(why),
            OperatorError::Failed(why) => f.write_str(&printable(why)),
            OperatorError::NoServer { url, why } if why.contains(UNTRUSTED) => {
                write!(f, "{url}: {}\ntrust the server's certificate, or that of its authority, with --ca FILE", printable(why))
            }
            OperatorError::NoServer { url, why } => {
                write!(f, "{url}: {}\nis the server running there? give another address with --url or DRIFTLESS_ADMIN_URL", printable(why))
            }
            OperatorError::NotDriftless { url, what } => {
                write!(
                    f,
                    "{url} is no Driftless server: {}\ngive the address of its admin.listen with --url or DRIFTLESS_ADMIN_URL",
                    printable(what)
                )
            }
            OperatorError::RefusedByProxy { url, status } => {
                write!(
                    f,
                    "{url}: a proxy answered with the HTTP status {status}, and not the Driftless server\nlet the proxy pass /admin/api to the server's admin.listen, or give that address with --url or DRIFTLESS_ADMIN_URL"
                )
            }
            OperatorError::Refused { status, why } => {
                write!(f, "{}", printable(why))?;
                match status {
                    401 => f.write_str("\ngive the server's admin.key with --key or DRIFTLESS_ADMIN_KEY"),
                    503 => f.write_str("\nthe server's store is busy or failing; see its log, and try again in a moment"),
                    _ => Ok(()),
                }
            }
            OperatorError::OutputClosed => f.write_str("stdout was closed"),
        }
    }
}

impl std::error::Error for OperatorError {}
