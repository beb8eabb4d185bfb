//! The log of a dataset's conflicts: a ring of the newest, without any value.

use driftless_protocol::{DatasetName, DeviceId, Key};

use super::super::engine::Bytes;
use super::super::rows::{self, ConflictRow};
use super::super::{Identity, StoreError, keys};

/// Conflicts that a dataset remembers: enough to see a pattern, small beside its records.
pub(in crate::store) const CONFLICT_LOG: u64 = 64;

/// Records that one entry of the log names.
const CONFLICT_RECORDS: usize = 8;

/// The row of a dataset's conflict number `number`, found in a patch of `device`; it overwrites the oldest row. Of each record in conflict it has the
/// key, the version and the writer.
pub(in crate::store) fn conflict_row(
    (identity, dataset, device): (&Identity, &DatasetName, &DeviceId),
    number: u64,
    conflicting: impl Iterator<Item = (Key, u64, DeviceId)>,
    applied: bool,
    now_ms: u64,
) -> Result<(Bytes, Option<Bytes>), StoreError> {
    let records = conflicting.take(CONFLICT_RECORDS).collect();
    let row = ConflictRow { number, at_ms: now_ms, device: device.clone(), applied, records };
    let key = keys::conflict(identity, dataset, (number % CONFLICT_LOG) as u16);
    Ok((key, Some(rows::encode(&row)?)))
}
