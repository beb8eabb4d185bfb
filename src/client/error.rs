//! Why a command of `driftless client` failed, with a hint on what to do, and the exit code.

use std::fmt;

use driftless_client::{DeviceShutDown, DisconnectReason, ListError};
use driftless_protocol::{CloseCode, DatasetName, Key, Record, RefusalCode};

use super::exit::CommandExit;
use super::render::printable;
use crate::invocation;

#[derive(Clone, Debug, PartialEq)]
pub enum ClientError {
    /// An argument is invalid; nothing was sent.
    Input(String),
    /// A file could not be read or written, or its contents cannot be used.
    File(String),
    /// The device has no session, and does not try again.
    NoSession { url: String, why: DisconnectReason },
    /// The server refused the request.
    Refused { code: RefusalCode, message: String },
    /// Another device had written first; nothing was applied. Holds the current records.
    Conflict { records: Vec<Record> },
    /// The dataset was never written. Another one's name may be the one that is meant.
    NoDataset { dataset: DatasetName, nearest: Option<String> },
    /// The dataset has no such record. Another one's key may be the one that is meant.
    NoRecord { dataset: DatasetName, key: Key, nearest: Option<String> },
    /// The dataset cannot be written as nested JSON.
    NotNested(String),
    /// The device ended although the command still uses it: a bug.
    DeviceEnded,
    /// The reader of stdout has closed the pipe.
    OutputClosed,
}

impl ClientError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        let exit = match self {
            ClientError::OutputClosed => CommandExit::Done,
            ClientError::File(_)
            | ClientError::NoDataset { .. }
            | ClientError::NoRecord { .. }
            | ClientError::NotNested(_)
            | ClientError::DeviceEnded => CommandExit::Failed,
            ClientError::Input(_) => CommandExit::Usage,
            ClientError::Refused { .. } => CommandExit::Refused,
            ClientError::Conflict { .. } => CommandExit::Conflict,
            ClientError::NoSession { .. } => CommandExit::NoServer,
        };
        exit.code()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Input(why) | ClientError::File(why) | ClientError::NotNested(why) => f.write_str(why),
            ClientError::NoSession { url, why } => write!(f, "{url}: {}{}", printable(&why.to_string()), hint(why)),
            ClientError::Refused { code, message } => write!(f, "refused ({code}): {}", printable(message)),
            ClientError::Conflict { records } => {
                f.write_str("conflict: another device wrote first, nothing was changed; the current records are")?;
                records.iter().try_for_each(|record| write!(f, "\n  {}", super::render::brief(record)))?;
                f.write_str("\nto overwrite them, write again without --base, or with --base and the current version")
            }
            ClientError::NoDataset { dataset, nearest } => write!(f, "there is no dataset {dataset}{}", suggestion(nearest)),
            ClientError::NoRecord { dataset, key, nearest } => {
                write!(f, "{dataset} has no record {}{}", printable(key.as_str()), suggestion(nearest))
            }
            ClientError::DeviceEnded => f.write_str("the client ended unexpectedly; this is a bug"),
            ClientError::OutputClosed => f.write_str("stdout was closed"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<DeviceShutDown> for ClientError {
    fn from(DeviceShutDown: DeviceShutDown) -> ClientError {
        ClientError::DeviceEnded
    }
}

impl From<ListError> for ClientError {
    fn from(why: ListError) -> ClientError {
        match why {
            ListError::ShutDown => ClientError::DeviceEnded,
            ListError::Refused { code, message } => ClientError::Refused { code, message },
        }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {}?", printable(name)))
}

/// What TLS says of a certificate that it does not accept.
pub const UNTRUSTED: &str = "invalid peer certificate";

/// What the user can do about a failed session, on a line of its own.
fn hint(why: &DisconnectReason) -> String {
    let program = invocation::name();
    let hint = match why {
        DisconnectReason::Unreachable(why) if why.contains(UNTRUSTED) => {
            "\ntrust the server's certificate, or that of its authority, with --ca FILE"
        }
        DisconnectReason::Unreachable(_) => return format!("\nis the server running? start one with: {program} dev"),
        DisconnectReason::UpgradeRejected(_) => "\nis it a driftless server? check --url",
        DisconnectReason::NoToken(_) => "\ngive a token with --token or DRIFTLESS_TOKEN",
        DisconnectReason::OtherIdentity | DisconnectReason::Lost(_) | DisconnectReason::Timeout | DisconnectReason::ProtocolError(_) => "",
        DisconnectReason::Closed { .. } => match why.code() {
            Some(CloseCode::TokenRefused | CloseCode::TokenExpired) => {
                return format!(
                    "\ngive a token that this server accepts with --token or DRIFTLESS_TOKEN; without one the command makes a development \
                     token, which only a server started with {program} dev accepts"
                );
            }
            Some(CloseCode::Replaced) => "\nanother client uses the same device id: give each its own with --device",
            Some(CloseCode::TooManyDevices) => "\ndisconnect another device of this person, or raise the pool's limits.devices",
            Some(CloseCode::Overloaded | CloseCode::Restarting | CloseCode::ServerError) => "\ntry again in a moment",
            _ => "",
        },
    };
    hint.to_owned()
}
