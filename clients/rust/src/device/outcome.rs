//! Answers to the requests of an app.

use std::fmt;

use driftless_protocol::{Record, RefusalCode};

/// The server's answer to a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteOutcome {
    /// The patch is applied and on the server's disk.
    Written {
        /// The version of the dataset that the patch made.
        version: u64,
        /// The results that only the server can compute: those of `add`, `merge`, `insert` and `discard`. If a reply was lost, large records
        /// that were written since may be missing; the changes of the dataset bring them.
        records: Vec<Record>,
    },
    /// Another device had written first; nothing of the patch was applied.
    Conflict {
        /// The current state of the records in conflict.
        records: Vec<Record>,
    },
    /// The server refused the patch; nothing of it was applied.
    Refused {
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
}

/// The error of every method of a [`super::Device`] that was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceShutDown;

impl fmt::Display for DeviceShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device was shut down")
    }
}

impl std::error::Error for DeviceShutDown {}

/// Why the device could not list the datasets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The device was shut down.
    ShutDown,
    /// The server refused the request.
    Refused {
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::ShutDown => DeviceShutDown.fmt(f),
            ListError::Refused { code, message } => write!(f, "{code}: {message}"),
        }
    }
}

impl std::error::Error for ListError {}
