//! Why an operator's command failed, with a hint on what to do, and the exit code.

use std::fmt;
use std::path::Path;

use crate::client::printable;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorError {
    /// An argument is invalid or missing; nothing was done.
    Input(String),
    /// A file could not be read or written, or its contents are invalid.
    File(String),
    /// The server could not be reached, or its answer was not understood.
    NoServer { url: String, why: String },
    /// The server answered with an HTTP error status; `why` is its text.
    Refused { status: u16, why: String },
    /// The reader of stdout has closed the pipe.
    OutputClosed,
}

impl OperatorError {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> OperatorError {
        OperatorError::File(format!("{}: {why}", path.display()))
    }

    /// The exit code of the process: 0 if stdout was closed, 1 file error, 2 invalid argument, 3 refused by the server, 5 server not reached.
    pub fn exit_code(&self) -> u8 {
        match self {
            OperatorError::OutputClosed => 0,
            OperatorError::File(_) => 1,
            OperatorError::Input(_) => 2,
            OperatorError::Refused { .. } => 3,
            OperatorError::NoServer { .. } => 5,
        }
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperatorError::Input(why) | OperatorError::File(why) => f.write_str(why),
            OperatorError::NoServer { url, why } => {
                write!(f, "{url}: {}\nis the server running there? give another address with --url or DRIFTLESS_URL", printable(why))
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
