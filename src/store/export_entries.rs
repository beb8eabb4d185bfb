//! The entries of an identity's export: how a row becomes JSON. Entries are kept apart from the rows, whose fields may change.

use driftless_protocol::Record;
use serde::Serialize;
use serde_json::{Value, json};

use super::history_row::OwnedHistoryRow;
use super::keys::{KeyParts, RowKind};
use super::push::{DeliveryLogRow, RegistrationRow};
use super::rows::{self, AckRow, ByteRow, ConflictRow, DeviceRow, HeadRow, IdentityRow, LoginRow, PatchRow};
use super::{Identity, StoreError, keys};

/// The entry of a row, or of a content that is cut into rows, with its key. An error if an export has no rows of this kind.
pub(super) fn entry(kind: RowKind, identity: &Identity, key: &[u8], row: &[u8]) -> Result<Value, StoreError> {
    let mut parts = KeyParts::after(key, &keys::of_identity(kind, identity))?;
    let key = &mut parts;
    match kind {
        RowKind::Identity => identity_entry(row),
        RowKind::IdentityLogin => login(key, row),
        RowKind::Device => device(key, row),
        RowKind::Head => dataset(key, row),
        RowKind::Record => record(key, row),
        RowKind::History => version(key, row),
        RowKind::Conflict => conflict(key, row),
        RowKind::Ack => acknowledged(key, row),
        RowKind::Patch => patch(key, row),
        RowKind::Registration => registration(key, row),
        RowKind::DeliveryLog => delivery(key, row),
        _ => Err(StoreError::Io(format!("rows of the kind {kind:?} cannot be exported"))),
    }
}

fn identity_entry(row: &[u8]) -> Result<Value, StoreError> {
    let IdentityRow { pool, made_ms, moved_to, merged, push_targets: _, owned_bytes, devices_from: _, guest, retired: _ } =
        rows::decode(row)?;
    Ok(
        json!({ "pool": pool, "created_ms": made_ms, "merged_into": moved_to, "merged": merged, "owned_bytes": owned_bytes, "guest": guest }),
    )
}

fn login(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let LoginRow { linked_ms, refused_until_s } = LoginRow::decode(row)?;
    Ok(json!({
        "pool": key.name()?, "issuer": key.name()?, "subject": key.name()?, "linked_ms": linked_ms, "refused_until_s": refused_until_s,
    }))
}

fn device(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let DeviceRow { first_seen_ms, known_since_ms, seen_ms, revoked_ms } = rows::decode(row)?;
    Ok(json!({
        "device": key.name()?, "first_seen_ms": first_seen_ms, "known_since_ms": known_since_ms, "seen_ms": seen_ms, "revoked_ms": revoked_ms,
    }))
}

fn dataset(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let head: HeadRow = rows::decode(row)?;
    Ok(json!({
        "dataset": key.name()?, "version": head.version, "records": head.records, "bytes": head.bytes, "modified_ms": head.modified_ms,
        "tombstones": head.tombstones, "tombstone_horizon": head.tombstone_horizon, "oldest_version": head.oldest_version,
    }))
}

fn record(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("dataset", key.name()?, &rows::decode_record(row)?.record)
}

fn version(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let (dataset, version) = (key.name()?.to_owned(), key.version()?);
    let (at_ms, row) = OwnedHistoryRow::decode(row)?;
    let mut replaced = Vec::with_capacity(row.entries.len());
    for entry in &row.entries {
        let before = entry.before.as_ref().map(|row| Ok::<_, StoreError>(rows::decode_record(&row.0)?.record)).transpose()?;
        replaced.push(json!({ "key": entry.key, "live": entry.is_live, "before": before }));
    }
    let not_taken = records(&row.not_taken)?;
    let origin = json!(row.origin);
    Ok(json!({
        "dataset": dataset, "version": version, "at_ms": at_ms, "device": row.device, "origin": origin, "replaced": replaced, "not_taken": not_taken,
    }))
}

fn conflict(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("dataset", key.name()?, &rows::decode::<ConflictRow>(row)?)
}

fn acknowledged(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let AckRow { version } = rows::decode(row)?;
    Ok(json!({ "device": key.name()?, "dataset": key.name()?, "version": version }))
}

fn patch(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let PatchRow { id, digest: _, version, results, rejection } = rows::decode(row)?;
    let results = results.as_deref().map(records).transpose()?;
    Ok(json!({ "device": key.name()?, "patch": id, "version": version, "results": results, "applied": rejection.is_none() }))
}

fn registration(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let RegistrationRow { pool: _, provider, target, app, datasets, shown, registered_ms, seen_ms, dead, cognito_pool: _ } =
        rows::decode(row)?;
    Ok(json!({
        "device": key.name()?, "provider": provider, "app": app, "token": target.as_ref().map(|target| target.address().to_owned()),
        "datasets": datasets, "shown": shown, "registered_ms": registered_ms, "seen_ms": seen_ms, "dead": dead,
    }))
}

fn delivery(key: &mut KeyParts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("device", key.name()?, &rows::decode::<DeliveryLogRow>(row)?.entry)
}

fn records(rows: &[ByteRow]) -> Result<Vec<Record>, StoreError> {
    rows.iter().map(|row| Ok(rows::decode_record(&row.0)?.record)).collect()
}

/// An object with one more member.
fn with(name: &str, value: &str, object: &impl Serialize) -> Result<Value, StoreError> {
    let mut object = serde_json::to_value(object).map_err(|error| StoreError::Io(error.to_string()))?;
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), json!(value));
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::row_kinds::ExportList;

    #[test]
    fn the_kinds_with_an_entry_are_those_of_the_table() {
        let identity = Identity::from("local:1");
        for kind in RowKind::all() {
            let found = entry(kind, &identity, &keys::of_identity(kind, &identity), b"");
            let has_none = matches!(&found, Err(StoreError::Io(why)) if why.contains("cannot be exported"));
            assert_eq!(has_none, kind.export() == ExportList::Omitted, "{kind:?}: {found:?}");
        }
    }
}
