//! The format of the store's rows, and the steps from an older one to today's.
//!
//! Each step may be interrupted and run again. A store of a newer format is refused: what it holds would be misread.

use driftless_protocol::{Content, Record};
use serde::Deserialize;
use tracing::info;

use super::engine::{Batch, Bytes, SupervisedEngine};
use super::keys::{self, Kind, Parts};
use super::rows::{self, GoneRow, HeadRow, IdentityRow};
use super::version::move_due;
use super::{Identity, StoreError, pieces};

/// The format that this version writes.
///
/// - 1: the first.
/// - 2: an identity knows its logins (`o`) and what became of it; a head counts tombstones and history; tombstones can be found (`g`).
/// - 3: what an identity owns stands together (`keys`), not by kind.
pub(super) const FORMAT: u32 = 3;

/// Rows that are read at a time: 6 MiB of the largest.
pub(super) const CHUNK: usize = 128;

/// The row that says which format a store comes from while it is being brought to today's.
const UNFINISHED: &str = "unfinished";

/// How many moved rows are reported at a time.
const TOLD_ROWS: u64 = 100_000;

/// The format of an open store; `None`: it is new. If it was left on its way to another one, the format that it comes from.
pub(super) fn format(engine: &SupervisedEngine) -> Result<Option<u32>, StoreError> {
    let read = |name| engine.get(&keys::meta(name))?.map(|row| rows::decode::<u32>(&row)).transpose();
    let (format, unfinished) = (read("format")?, read(UNFINISHED)?);
    // A newer version may have left it halfway: what it was before says nothing then.
    match (unfinished.filter(|_| format <= Some(FORMAT)).or(format), engine.get(&keys::meta("epoch"))?) {
        (Some(format), _) => Ok(Some(format)),
        (None, Some(_)) => Ok(Some(1)),
        (None, None) => Ok(None),
    }
}

/// The row that says which format the store has.
pub(super) fn format_row(format: u32) -> Result<(Bytes, Option<Bytes>), StoreError> {
    Ok((keys::meta("format"), Some(rows::encode(&format)?)))
}

/// Brings a store to today's format. From the first step on only this version, or a later one, opens it.
pub(super) fn run(engine: &SupervisedEngine, from: u32) -> Result<(), StoreError> {
    if from > FORMAT || from == 0 {
        return Err(StoreError::Open(format!(
            "its format is {from}, this driftless knows 1 to {FORMAT}: start the driftless that wrote it, or a newer one"
        )));
    }
    info!(from, to = FORMAT, "the store is brought to a newer format");
    let unfinished = keys::meta(UNFINISHED);
    if engine.get(&unfinished)?.is_none() {
        look(engine, from)?;
    }
    commit(engine, vec![format_row(FORMAT)?, (unfinished.clone(), Some(rows::encode(&from)?))])?;
    // First: what comes after it knows today's keys only.
    if from < 3 {
        put_together(engine)?;
    }
    if from < 2 {
        fill_in(engine)?;
    }
    commit(engine, vec![(unfinished, None)])?;
    info!(to = FORMAT, "done");
    Ok(())
}

/// Reads what the steps will read: a row that says nothing is told while the older version still knows the store's format.
fn look(engine: &SupervisedEngine, from: u32) -> Result<(), StoreError> {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_with_its_identity() || *kind == Kind::Login) {
        let prefix = keys::kind(kind);
        each(engine, &prefix, CHUNK, |key, row, _| {
            check(kind, Parts::after(key, &prefix)?, row, from).map_err(|error| {
                let key = key.escape_ascii();
                StoreError::Open(format!(
                    "a row of it cannot be read ({kind:?} {key}: {error}). No row was changed: use a backup from before the damage, or go on with \
                     the driftless that wrote it"
                ))
            })
        })?;
    }
    Ok(())
}

fn check(kind: Kind, mut key: Parts<'_>, row: &[u8], from: u32) -> Result<(), StoreError> {
    key.name()?;
    if from >= 2 {
        return Ok(());
    }
    match kind {
        Kind::Login => {
            key.name().and_then(|_| key.name())?;
            rows::decode::<String>(row).map(drop)?;
        }
        Kind::Identity => rows::decode::<Identity1>(row).map(drop)?,
        Kind::Head => {
            key.dataset()?;
            rows::decode::<Head1>(row).map(drop)?;
        }
        Kind::Version => {
            key.dataset().and_then(|_| key.version()).and_then(|_| key.number())?;
            removed(row).map(drop)?;
        }
        _ => {}
    }
    Ok(())
}

/// Format 3: rows that stood by kind stand with their identity.
fn put_together(engine: &SupervisedEngine) -> Result<(), StoreError> {
    let mut moved = 0;
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_with_its_identity()) {
        let prefix = keys::kind(kind);
        each(engine, &prefix, CHUNK, |key, row, changes| {
            let mut parts = Parts::after(key, &prefix)?;
            let identity = Identity::from(parts.name()?);
            let place = [keys::owned(kind, &identity).as_slice(), parts.rest()].concat();
            changes.extend([(key.to_vec(), None), (place, Some(row.to_vec()))]);
            moved += 1;
            if moved % TOLD_ROWS == 0 {
                info!(rows = moved, "moved so far");
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn commit(engine: &SupervisedEngine, rows: Vec<(Bytes, Option<Bytes>)>) -> Result<(), StoreError> {
    engine.commit(vec![Batch { preconditions: Vec::new(), rows }])?;
    Ok(())
}

/// Goes over all rows with a prefix, a chunk at a time, and commits what becomes of each.
pub(super) fn each(
    engine: &SupervisedEngine,
    prefix: &[u8],
    chunk: usize,
    mut change: impl FnMut(&[u8], &[u8], &mut Vec<(Bytes, Option<Bytes>)>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let end = keys::after(prefix);
    let mut start = prefix.to_vec();
    loop {
        let rows = engine.scan(&start, &end, chunk)?;
        let mut changes = Vec::new();
        for (key, row) in &rows {
            change(key, row, &mut changes)?;
        }
        if !changes.is_empty() {
            commit(engine, changes)?;
        }
        match rows.last() {
            Some((key, _)) if rows.len() == chunk => start = [key.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

/// `h` in format 1.
#[derive(Deserialize)]
struct Head1 {
    version: u64,
    records: u64,
    bytes: u64,
    modified_ms: u64,
    conflicts: u64,
}

/// `i` in format 1.
#[derive(Deserialize)]
struct Identity1 {
    pool: String,
    made_ms: u64,
}

/// Format 2, in today's places.
fn fill_in(engine: &SupervisedEngine) -> Result<(), StoreError> {
    let logins = keys::kind(Kind::Login);
    each(engine, &logins, CHUNK, |key, row, changes| {
        let mut parts = Parts::after(key, &logins)?;
        let identity = Identity::from(rows::decode::<String>(row)?.as_str());
        changes.push((keys::own_login(&identity, parts.name()?, parts.name()?, parts.name()?), Some(Bytes::new())));
        Ok(())
    })?;
    let people = keys::people();
    each(engine, &people, CHUNK, |key, row, changes| {
        if Kind::Identity.is_of(key)
            && let Ok(Identity1 { pool, made_ms }) = rows::decode(row)
        {
            let row = IdentityRow { pool, made_ms, moved_to: None, merged: Vec::new(), pushes: 0 };
            changes.push((key.to_vec(), Some(rows::encode(&row)?)));
        }
        if !Kind::Head.is_of(key) {
            return Ok(());
        }
        // One of today's was made before the step was interrupted.
        let Ok(Head1 { version, records, bytes, modified_ms, conflicts }) = rows::decode(row) else { return Ok(()) };
        let identity = Identity::from(Parts::after(key, &people)?.name()?);
        let dataset = Parts::after(key, &keys::heads(&identity))?.dataset()?;
        let tombstones = find_tombstones(engine, &keys::of_dataset(Kind::Version, &identity, &dataset), |version, ordinal, row| {
            let gone = (keys::gone(&identity, &dataset, version, ordinal), Some(rows::encode(&row)?));
            commit(engine, vec![gone])
        })?;
        let mut head = HeadRow { version, records, bytes, modified_ms, conflicts, tombstones, floor: version, ..HeadRow::default() };
        if tombstones > 0 {
            move_due(&identity, &dataset, &mut head, modified_ms.max(1), changes);
        }
        changes.push((key.to_vec(), Some(rows::encode(&head)?)));
        Ok(())
    })
}

/// The record of a row if it is a tombstone. They are small: always one piece.
fn removed(row: &[u8]) -> Result<Option<Record>, StoreError> {
    let (count, part) = pieces::part(row)?;
    let record = (count == 1).then(|| rows::stored(part)).transpose()?.map(|stored| stored.record);
    Ok(record.filter(|record| record.content == Content::Removed))
}

/// Finds the tombstones among a dataset's records.
fn find_tombstones(
    engine: &SupervisedEngine,
    prefix: &[u8],
    mut found: impl FnMut(u64, u16, GoneRow) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut tombstones = 0;
    each(engine, prefix, CHUNK, |key, row, _| {
        if let Some(record) = removed(row)? {
            let mut parts = Parts::after(key, prefix)?;
            found(parts.version()?, parts.number()?, GoneRow { key: record.key, at_ms: record.modified_ms })?;
            tombstones += 1;
        }
        Ok(())
    })?;
    Ok(tombstones)
}
