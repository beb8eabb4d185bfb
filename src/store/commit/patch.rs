//! A patch as a device writes it, and the store's decision about it.

use std::hash::Hash;

use driftless_protocol::{Change, DatasetName, DeviceId, Record, RefusalCode};

use super::super::Identity;

/// A write: several changes to one dataset, applied all or none.
#[derive(Clone, Debug)]
pub struct Patch {
    pub identity: Identity,
    pub device: DeviceId,
    pub dataset: DatasetName,
    /// The device's own number for the patch.
    pub id: u64,
    pub changes: Vec<Change>,
}

impl Patch {
    /// A checksum of the patch's meaning, not of its encoding: a retry may come in the other codec.
    pub(super) fn digest(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.dataset.hash(&mut hasher);
        self.changes.hash(&mut hasher);
        hasher.finalize()
    }
}

/// The store's decision about a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The patch is applied.
    Written {
        /// The version that the patch made.
        version: u64,
        /// All records that it changed.
        records: Vec<Record>,
        /// The records that the writer cannot compute itself.
        results: Vec<Record>,
    },
    /// The patch was applied before; this is its first result.
    Repeated {
        /// The version that the patch made then.
        version: u64,
        /// The records that the writer could not compute itself. Records that were written since may be missing: their versions are later than
        /// the patch's.
        results: Vec<Record>,
    },
    /// The patch is not applied: the current state of the records in conflict.
    Conflict(Vec<Record>),
    /// The patch is not applied.
    Refused(RefusalCode, String),
    /// The patch is not applied: the identity was erased, or merged into another one.
    NoIdentity,
}
