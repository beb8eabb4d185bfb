//! Answers to what an app asks of its device.

use std::fmt;

use driftless_protocol::{Record, RefusalCode};

/// What became of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is applied and on the server's disk.
    Written {
        /// The dataset's version that it made.
        version: u64,
        /// The results that only the server could work out: of `add`, `merge`, `insert` and `discard`. If a reply was lost, large ones may be
        /// missing that were written since; the changes of the dataset bring them.
        records: Vec<Record>,
    },
    /// Another device had written first; nothing of it was applied.
    Conflict {
        /// The current state of the records in conflict.
        records: Vec<Record>,
    },
    /// It cannot be granted; nothing of it was applied.
    Refused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
}

/// The device was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device was shut down")
    }
}

impl std::error::Error for Gone {}

/// Why there is no list of datasets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The device was shut down.
    Gone,
    /// The server cannot give it.
    Refused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::Gone => Gone.fmt(f),
            ListError::Refused { code, message } => write!(f, "{code}: {message}"),
        }
    }
}

impl std::error::Error for ListError {}
