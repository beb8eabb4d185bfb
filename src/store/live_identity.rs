//! An identity that exists, as a group of writes and the readers see it: with the devices that are yet to come from identities that are merged
//! into it.

use driftless_protocol::DeviceId;

use super::row_source::RowSource;
use super::rows::{DeviceRow, IdentityRow};
use super::{Identity, StoreError, keys};

/// What a group has noted of an identity that exists.
#[derive(Default)]
pub(super) struct LiveIdentity {
    /// How many of its devices have a live push token.
    pub push_targets: u32,
    /// Identities that are merged into it, whose devices have not all moved yet.
    pub devices_from: Vec<Identity>,
}

impl LiveIdentity {
    /// `None`: it was merged into another one.
    pub(super) fn of(row: &IdentityRow) -> Option<LiveIdentity> {
        row.moved_to.is_none().then(|| LiveIdentity { push_targets: row.push_targets, devices_from: unmoved(Some(row)) })
    }
}

/// The identities whose devices are yet to come to one that exists.
pub(super) fn unmoved(row: Option<&IdentityRow>) -> Vec<Identity> {
    let rows = row.filter(|row| row.moved_to.is_none());
    rows.map_or_else(Vec::new, |row| row.devices_from.iter().map(|from| Identity::from(from.as_str())).collect())
}

/// The row of a device wherever it stands.
pub(super) fn device_row(
    source: &(impl RowSource + ?Sized),
    identity: &Identity,
    device: &DeviceId,
) -> Result<Option<DeviceRow>, StoreError> {
    let own = keys::device(identity, device);
    if let Some(row) = source.row(&own)? {
        return Ok(Some(row));
    }
    for from in unmoved(source.row(&keys::identity(identity))?.as_ref()) {
        if let Some(row) = source.row(&keys::device(&from, device))? {
            return Ok(Some(row));
        }
    }
    // It may have moved in between: a reader sees no single state.
    source.row(&own)
}

/// Whether a device is revoked that has a row under this very identity.
pub(super) fn is_revoked_at(source: &(impl RowSource + ?Sized), identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
    let row: Option<DeviceRow> = source.row(&keys::device(identity, device))?;
    Ok(row.is_some_and(|row| row.revoked_ms.is_some()))
}
