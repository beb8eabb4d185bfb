//! Why a command did not do what it was asked, and what to do about it.

use std::fmt;

use driftless_client::{DisconnectReason, Gone, ListError};
use driftless_protocol::{CloseCode, DatasetName, Key, Record, RefusalCode};

use super::render::printable;

/// The end of a command that failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// An argument or a file is not what it must be; nothing was sent.
    Input(String),
    /// A file could not be read or written.
    File(String),
    /// There is no session and there will be none.
    NoSession {
        /// The server's socket.
        url: String,
        /// Why.
        why: DisconnectReason,
    },
    /// The server refused the request.
    Refused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
    /// Another device had written first; nothing was applied.
    Conflict {
        /// The records as they are.
        records: Vec<Record>,
    },
    /// There is no such record.
    NoRecord {
        /// Where.
        dataset: DatasetName,
        /// Which.
        key: Key,
    },
    /// The dataset cannot be written as nested JSON.
    NotNested(String),
    /// The device ended by itself, which is a bug.
    Gone,
    /// Nobody reads stdout any more.
    NobodyReads,
}

impl Failure {
    /// The exit code of the process: 1 no such record or a broken file, 2 bad input, 3 refused, 4 conflict, 5 no session.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::NobodyReads => 0,
            Failure::File(_) | Failure::NoRecord { .. } | Failure::NotNested(_) | Failure::Gone => 1,
            Failure::Input(_) => 2,
            Failure::Refused { .. } => 3,
            Failure::Conflict { .. } => 4,
            Failure::NoSession { .. } => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(why) | Failure::File(why) | Failure::NotNested(why) => f.write_str(why),
            Failure::NoSession { url, why } => write!(f, "{url}: {}{}", printable(&why.to_string()), hint(why)),
            Failure::Refused { code, message } => write!(f, "refused ({code}): {}", printable(message)),
            Failure::Conflict { records } => {
                f.write_str("another device wrote first, and nothing was changed; now there is")?;
                records.iter().try_for_each(|record| write!(f, "\n  {}", super::render::brief(record)))?;
                f.write_str("\nwrite again with --base and the version that you saw, or without --base to win")
            }
            Failure::NoRecord { dataset, key } => write!(f, "{dataset} has no record {}", printable(key.as_str())),
            Failure::Gone => f.write_str("the client ended by itself; this is a bug"),
            Failure::NobodyReads => f.write_str("nobody reads the output"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Failure {
        Failure::Gone
    }
}

impl From<ListError> for Failure {
    fn from(why: ListError) -> Failure {
        match why {
            ListError::Gone => Failure::Gone,
            ListError::Refused { code, message } => Failure::Refused { code, message },
        }
    }
}

/// What a person can do about a session that did not come about, on a line of its own.
fn hint(why: &DisconnectReason) -> &'static str {
    match why {
        DisconnectReason::Unreachable(_) => "\nis the server running? start one with: driftless dev",
        DisconnectReason::UpgradeRejected(_) => "\nis it a driftless server? look at --url",
        DisconnectReason::NoToken(_) => "\ngive a token with --token or DRIFTLESS_TOKEN",
        DisconnectReason::OtherIdentity | DisconnectReason::Lost(_) | DisconnectReason::HeartbeatTimeout | DisconnectReason::ProtocolError(_) => "",
        DisconnectReason::Closed { .. } => match why.code() {
            Some(CloseCode::TokenRefused | CloseCode::TokenExpired) => {
                "\ngive a token that this server takes with --token or DRIFTLESS_TOKEN; without one, a development token is made, \
                 which only a server started with driftless dev takes"
            }
            Some(CloseCode::Replaced) => "\nanother client has the same device id: give each its own with --device",
            Some(CloseCode::TooManyDevices) => {
                "\nuse a device id that is known already with --device, or have the pool's limits.devices raised"
            }
            Some(CloseCode::Overloaded | CloseCode::Restarting | CloseCode::ServerError) => "\ntry again in a moment",
            _ => "",
        },
    }
}
