//! The rules that a pool sets for a dataset.

use driftless_protocol::Limits;

use super::super::RetentionPolicy;
use super::super::devices::REVOKED_DEVICES;
use crate::merge::{Bases, ConflictPolicy};

/// What an identity may own by default: 1 GiB, 64 datasets of the largest size. A person's data is a few MiB.
pub const IDENTITY_BYTES: u64 = 1 << 30;

/// What a device of an identity keeps beside datasets at most, with the longest names: answers to its patches (112 KiB), acknowledgements of 200
/// datasets (91 KiB), its delivery log (50 KiB), what it was woken for (36 KiB) and its registration (32 KiB).
pub(in crate::store) const DEVICE_BYTES: u64 = 384 * 1024;

/// What a revoked device keeps at most: its row, with the longest name.
pub(in crate::store) const REVOKED_DEVICE_BYTES: u64 = 512;

#[derive(Clone, Copy, Debug)]
pub struct DatasetRules {
    pub limits: Limits,
    /// What happens on a conflict.
    pub policy: ConflictPolicy,
    /// How the bases of a patch are compared. A patch with exact bases has no number: it is decided anew whenever it is sent.
    pub bases: Bases,
    pub retention: RetentionPolicy,
    /// Bytes that the identity may own.
    pub identity_bytes: u64,
}

impl Default for DatasetRules {
    fn default() -> DatasetRules {
        DatasetRules {
            limits: Limits::default(),
            policy: ConflictPolicy::default(),
            bases: Bases::default(),
            retention: RetentionPolicy::default(),
            identity_bytes: IDENTITY_BYTES,
        }
    }
}

impl DatasetRules {
    /// Bytes that the identity's datasets may have: what its devices keep at most is set aside.
    pub(super) fn datasets_bytes(&self) -> u64 {
        self.identity_bytes.saturating_sub(device_bytes(&self.limits))
    }
}

/// Bytes that all devices of an identity keep at most, beside datasets.
pub fn device_bytes(limits: &Limits) -> u64 {
    (limits.devices as u64).saturating_mul(DEVICE_BYTES).saturating_add(REVOKED_DEVICES as u64 * REVOKED_DEVICE_BYTES)
}
