//! The one list of what an identity owns. Erasing and exporting walk it, and nothing else: what is on it is erased and exported, and a test
//! fails when a new kind of row is on no list.

use driftless_protocol::Record;
use serde::Serialize;
use serde_json::{Value, json};

use super::history_row::OwnedHistoryRow;
use super::keys::{Kind, Parts};
use super::push::{self, LogRow, OwedRow, PushRow};
use super::rows::{self, AckRow, ConflictRow, DeviceRow, HeadRow, IdentityRow, PatchRow};
use super::{Identity, StoreError, keys};

/// A kind of row whose keys begin with the identity.
pub(super) struct Owned {
    pub kind: Kind,
    pub export: Export,
}

/// How a kind of row stands in an export.
pub(super) enum Export {
    /// One entry for each row, in a list of this name. What it says is made of the key behind the identity, and of the row.
    Rows(&'static str, fn(&mut Parts<'_>, &[u8]) -> Result<Value, StoreError>),
    /// The same, for a content that is cut into pieces.
    Contents(&'static str, fn(&mut Parts<'_>, &[u8]) -> Result<Value, StoreError>),
    /// Not at all: it says where other rows stand, and nothing of its own.
    Index,
}

/// In the order of an export.
pub(super) const OWNED: &[Owned] = &[
    Owned { kind: Kind::Identity, export: Export::Rows("account", account) },
    Owned { kind: Kind::OwnLogin, export: Export::Rows("logins", login) },
    Owned { kind: Kind::Device, export: Export::Rows("devices", device) },
    Owned { kind: Kind::Head, export: Export::Rows("datasets", dataset) },
    Owned { kind: Kind::Version, export: Export::Contents("records", record) },
    Owned { kind: Kind::History, export: Export::Contents("history", version) },
    Owned { kind: Kind::Conflict, export: Export::Rows("conflicts", conflict) },
    Owned { kind: Kind::Ack, export: Export::Rows("acknowledged", acknowledged) },
    Owned { kind: Kind::Patch, export: Export::Rows("patches", patch) },
    Owned { kind: Kind::Push, export: Export::Rows("push", registration) },
    Owned { kind: Kind::WakeLog, export: Export::Rows("wakes", wake) },
    Owned { kind: Kind::PushBudget, export: Export::Index },
    Owned { kind: Kind::Debt, export: Export::Index },
    Owned { kind: Kind::Key, export: Export::Index },
    Owned { kind: Kind::Gone, export: Export::Index },
    Owned { kind: Kind::Work, export: Export::Index },
];

/// The row of another owner's kind that goes with a row: a login's, from the list of an identity's logins; a date with the reaper, from a head.
pub(super) fn elsewhere(kind: Kind, identity: &Identity, key: &[u8], row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut parts = Parts::after(key, &keys::owned(kind, identity))?;
    Ok(match kind {
        Kind::OwnLogin => Some(keys::login(parts.name()?, parts.name()?, parts.name()?)),
        Kind::Head => {
            let head: HeadRow = rows::decode(row)?;
            Some(keys::due(head.due_ms, identity, &parts.dataset()?)).filter(|_| head.due_ms > 0)
        }
        Kind::Push => push::bindings(row)?,
        Kind::Debt => Some(keys::wake_due(rows::decode::<OwedRow>(row)?.at_ms, identity, &parts.dataset()?)),
        Kind::Meta
        | Kind::Binding
        | Kind::WakeDue
        | Kind::PushBudget
        | Kind::WakeLog
        | Kind::Login
        | Kind::Due
        | Kind::Identity
        | Kind::Device
        | Kind::Patch
        | Kind::Ack
        | Kind::Key
        | Kind::Version
        | Kind::Conflict
        | Kind::Gone
        | Kind::History
        | Kind::Work => None,
    })
}

fn account(_: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let IdentityRow { pool, made_ms, moved_to, merged, pushes: _ } = rows::decode(row)?;
    Ok(json!({ "pool": pool, "made_ms": made_ms, "moved_to": moved_to, "merged": merged }))
}

fn login(key: &mut Parts<'_>, _: &[u8]) -> Result<Value, StoreError> {
    Ok(json!({ "pool": key.name()?, "issuer": key.name()?, "subject": key.name()? }))
}

fn device(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let DeviceRow { first_seen_ms, revoked_ms } = rows::decode(row)?;
    Ok(json!({ "device": key.name()?, "first_seen_ms": first_seen_ms, "revoked_ms": revoked_ms }))
}

fn dataset(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let head: HeadRow = rows::decode(row)?;
    Ok(json!({
        "dataset": key.name()?, "version": head.version, "records": head.records, "bytes": head.bytes, "modified_ms": head.modified_ms,
        "tombstones": head.tombstones, "horizon": head.horizon, "oldest_version": head.floor,
    }))
}

fn record(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("dataset", key.name()?, &rows::stored(row)?.record)
}

fn version(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let (dataset, version) = (key.name()?.to_owned(), key.version()?);
    let (at_ms, row) = OwnedHistoryRow::decode(row)?;
    let mut replaced = Vec::with_capacity(row.entries.len());
    for entry in &row.entries {
        let before = entry.before.as_ref().map(|row| Ok::<_, StoreError>(rows::stored(&row.0)?.record)).transpose()?;
        replaced.push(json!({ "key": entry.key, "lives": entry.is_live, "before": before }));
    }
    let lost = row.not_taken.iter().map(|row| Ok(rows::stored(&row.0)?.record)).collect::<Result<Vec<Record>, StoreError>>()?;
    let what = json!(row.origin);
    Ok(json!({
        "dataset": dataset, "version": version, "at_ms": at_ms, "device": row.device, "what": what, "replaced": replaced, "not_taken": lost,
    }))
}

fn conflict(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("dataset", key.name()?, &rows::decode::<ConflictRow>(row)?)
}

fn acknowledged(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let AckRow { version } = rows::decode(row)?;
    Ok(json!({ "device": key.name()?, "dataset": key.name()?, "version": version }))
}

fn patch(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let PatchRow { id, digest: _, version, results, verdict } = rows::decode(row)?;
    let records = |rows: Vec<rows::ByteRow>| rows.iter().map(|row| Ok(rows::stored(&row.0)?.record)).collect();
    let results: Option<Result<Vec<Record>, StoreError>> = results.map(records);
    Ok(json!({ "device": key.name()?, "patch": id, "version": version, "results": results.transpose()?, "applied": verdict.is_none() }))
}

fn registration(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    let PushRow { pool: _, provider, target, app, datasets, shown, registered_ms, seen_ms, dead } = rows::decode(row)?;
    Ok(json!({
        "device": key.name()?, "provider": provider, "app": app, "token": target.as_ref().map(|target| target.address().to_owned()),
        "datasets": datasets, "shown": shown, "registered_ms": registered_ms, "seen_ms": seen_ms, "dead": dead,
    }))
}

fn wake(key: &mut Parts<'_>, row: &[u8]) -> Result<Value, StoreError> {
    with("device", key.name()?, &rows::decode::<LogRow>(row)?.entry)
}

/// An object with one more member in front of it.
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

    #[test]
    fn every_kind_of_row_is_owned_by_somebody() {
        for kind in Kind::ALL {
            let owned = OWNED.iter().filter(|owned| owned.kind == kind).count();
            match kind {
                Kind::Meta => assert_eq!(owned, 0, "the store's own"),
                Kind::Login | Kind::Due | Kind::Binding | Kind::WakeDue => {
                    assert_eq!(owned, 0, "found through another row, see `elsewhere`")
                }
                kind => assert_eq!(owned, 1, "{kind:?} is not on the list: it would be neither exported nor erased"),
            }
        }
    }
}
