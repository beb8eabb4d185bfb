//! A group of writes, decided one after the other and committed together.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use driftless_protocol::{Change, DatasetName, DeviceId, Key, Limits, Op, Record, RefusalCode, limits};

use super::engine::{Batch, Bytes, Committed};
use super::rows::{self, ByteRow, ConflictRow, HeadRow, PatchRow, PointerRow, RecordRow};
use super::view::View;
use super::{Identity, Store, StoreError, keys, pieces};
use crate::merge::{self, Applied, Outcome, Policy, Stored, Terms};

/// Conflicts that a dataset remembers: enough to see a pattern, small beside its records.
const CONFLICT_LOG: u64 = 64;

/// Bytes of results that are kept for a retry of their patch. Larger ones are answered with what the records are by then.
const RESULT_BYTES: usize = 16 * 1024;

/// Records that one entry of the conflict log names.
const CONFLICT_RECORDS: usize = 8;

/// A write: several changes to one dataset, applied all or none.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Whose.
    pub identity: Identity,
    /// Who writes.
    pub device: DeviceId,
    /// Where to.
    pub dataset: DatasetName,
    /// The device's own number for it.
    pub id: u64,
    /// What.
    pub changes: Vec<Change>,
}

/// What the pool says of a dataset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Its bounds.
    pub limits: Limits,
    /// What happens on a conflict.
    pub policy: Policy,
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Applied.
    Written {
        /// The version it made.
        version: u64,
        /// All that it changed.
        records: Vec<Record>,
        /// What the writer cannot know.
        results: Vec<Record>,
    },
    /// It was applied before; this is the first result.
    Repeated {
        /// The version it made then.
        version: u64,
        /// What the writer could not know.
        results: Vec<Record>,
    },
    /// Not applied: the current state of the records in conflict.
    Conflict(Vec<Record>),
    /// Not applied.
    Refused(RefusalCode, String),
}

/// Writes that will be durable together.
pub struct Group<'a> {
    pub(super) view: View<'a>,
    engine: &'a super::engine::Handle,
}

impl Store {
    /// Begins a group. Only the committer does, and one at a time.
    pub fn group(&self) -> Group<'_> {
        Group { view: View::new(&self.engine), engine: &self.engine }
    }
}

impl Group<'_> {
    /// Decides a patch on top of what the group has decided so far. An error concerns this patch only.
    pub fn write(&mut self, patch: &Patch, rules: &Rules, now_ms: u64) -> Result<Decision, StoreError> {
        let digest = digest(patch);
        let slot_key = keys::patch(&patch.identity, &patch.device, (patch.id % limits::PATCH_WINDOW) as u16);
        if let Some(row) = self.view.get(&slot_key)?
            && let Some(decision) = self.known(&rows::decode(&row)?, patch, digest)?
        {
            return Ok(decision);
        }
        let head_key = keys::head(&patch.identity, &patch.dataset);
        let head_row = self.view.get(&head_key)?;
        let head: HeadRow = match &head_row {
            Some(row) => rows::decode(row)?,
            None => {
                if self.view.scan(&keys::heads(&patch.identity))?.len() >= rules.limits.datasets {
                    let message = format!("the identity has {} datasets, its pool allows no more", rules.limits.datasets);
                    return Ok(Decision::Refused(RefusalCode::TooManyDatasets, message));
                }
                HeadRow::default()
            }
        };
        let (current, pointers) = self.current(patch)?;
        let terms = Terms { device: &patch.device, now_ms, policy: rules.policy, limits: &rules.limits };
        let mut batch = Batch { guards: vec![(head_key.clone(), head_row)], rows: Vec::new() };
        match merge::merge(head.head(), &current, &patch.changes, terms) {
            Outcome::Refused(code, message) => Ok(Decision::Refused(code, message)),
            Outcome::Conflict(met) => {
                let conflicts = head.conflicts + 1;
                batch.rows.push(conflict_row(patch, conflicts, &met, false, now_ms)?);
                batch.rows.push((head_key, Some(rows::encode(&HeadRow { conflicts, ..head })?)));
                self.view.decide(batch);
                Ok(Decision::Conflict(met))
            }
            Outcome::Applied(Applied { head: new, records, computed, overruled }) => {
                let mut conflicts = head.conflicts;
                if !overruled.is_empty() {
                    conflicts += 1;
                    batch.rows.push(conflict_row(patch, conflicts, &overruled, true, now_ms)?);
                }
                for (ordinal, stored) in records.iter().enumerate() {
                    move_record(patch, stored, ordinal as u16, pointers.get(&stored.record.key), &mut batch.rows)?;
                }
                let results: Vec<&Stored> = computed.iter().map(|&at| &records[at]).collect();
                let kept = PatchRow { id: patch.id, digest, version: new.version, results: kept(&results)? };
                batch.rows.push((slot_key, Some(rows::encode(&kept)?)));
                let results = results.into_iter().map(|stored| stored.record.clone()).collect();
                let records = records.into_iter().map(|stored| stored.record).collect();
                let row = HeadRow { version: new.version, records: new.records, bytes: new.bytes, modified_ms: now_ms, conflicts };
                batch.rows.push((head_key, Some(rows::encode(&row)?)));
                self.view.decide(batch);
                Ok(Decision::Written { version: new.version, records, results })
            }
        }
    }

    /// Records that a device has everything up to a version. An older acknowledgement changes nothing.
    pub fn acknowledge(&mut self, identity: &Identity, device: &DeviceId, dataset: &DatasetName, version: u64) -> Result<(), StoreError> {
        let key = keys::ack(identity, device, dataset);
        let before = self.view.get(&key)?.map(|row| rows::decode::<rows::AckRow>(&row)).transpose()?;
        if before.is_none_or(|before| before.version < version) {
            let row = rows::encode(&rows::AckRow { version })?;
            self.view.decide(Batch { guards: Vec::new(), rows: vec![(key, Some(row))] });
        }
        Ok(())
    }

    /// Bytes of the rows that were decided so far.
    pub fn bytes(&self) -> usize {
        self.view.bytes()
    }

    /// Makes all of it durable. An error leaves open which of it will be found later: its outcome is unknown.
    pub fn commit(self) -> Result<(), StoreError> {
        let batches = self.view.into_batches();
        if batches.is_empty() {
            return Ok(());
        }
        if self.engine.commit(&batches)?.contains(&Committed::Stale) {
            return Err(StoreError::Io("another writer changed the store under the committer".to_owned()));
        }
        Ok(())
    }

    /// What is already known of a patch number, from what stands in its slot.
    fn known(&self, slot: &PatchRow, patch: &Patch, digest: u32) -> Result<Option<Decision>, StoreError> {
        let id = patch.id;
        if slot.id < id {
            return Ok(None);
        }
        if slot.id > id {
            let message = format!("patch {id} is {} or more behind the device's newest", limits::PATCH_WINDOW);
            return Ok(Some(Decision::Refused(RefusalCode::PatchExpired, message)));
        }
        if slot.digest != digest {
            return Ok(Some(Decision::Refused(RefusalCode::PatchReused, format!("another patch with the number {id} was applied"))));
        }
        let results = match &slot.results {
            Some(results) => results.iter().map(|row| Ok(rows::stored(&row.0)?.record)).collect::<Result<_, StoreError>>()?,
            None => {
                let computes = |change: &&Change| !matches!(change.op, Op::Put | Op::Remove);
                let computed = Patch { changes: patch.changes.iter().filter(computes).cloned().collect(), ..patch.clone() };
                self.current(&computed)?.0.into_iter().flatten().map(|stored| stored.record).collect()
            }
        };
        Ok(Some(Decision::Repeated { version: slot.version, results }))
    }

    /// The stored record of each change's key, at the first change that names it, and where those records stand.
    fn current<'p>(&self, patch: &'p Patch) -> Result<(Vec<Option<Stored>>, Pointers<'p>), StoreError> {
        let (mut current, mut pointers) = (Vec::with_capacity(patch.changes.len()), HashMap::new());
        let mut read = HashSet::with_capacity(patch.changes.len());
        for change in &patch.changes {
            if !read.insert(&change.key) {
                current.push(None);
                continue;
            }
            let Some(row) = self.view.get(&keys::key(&patch.identity, &patch.dataset, &change.key))? else {
                current.push(None);
                continue;
            };
            let pointer: PointerRow = rows::decode(&row)?;
            let at = keys::version(&patch.identity, &patch.dataset, pointer.version, pointer.ordinal);
            let (_, content) =
                self.view.get_pieces(&at)?.ok_or_else(|| StoreError::Damaged("a record that its key points to".to_owned()))?;
            current.push(Some(rows::stored(&content)?));
            pointers.insert(&change.key, pointer);
        }
        Ok((current, pointers))
    }
}

/// Where the records of a patch's keys stand.
type Pointers<'p> = HashMap<&'p Key, PointerRow>;

type Rows = Vec<(Bytes, Option<Bytes>)>;

/// Rows that put a record's new version in the place of its old one.
fn move_record(patch: &Patch, stored: &Stored, ordinal: u16, old: Option<&PointerRow>, batch: &mut Rows) -> Result<(), StoreError> {
    if let Some(old) = old {
        let at = keys::version(&patch.identity, &patch.dataset, old.version, old.ordinal);
        batch.extend((0..old.pieces).map(|piece| (pieces::piece_key(&at, piece), None)));
    }
    let Stored { record, .. } = stored;
    let content = rows::encode(&RecordRow::of(stored))?;
    let at = keys::version(&patch.identity, &patch.dataset, record.version, ordinal);
    batch.extend(pieces::cut(&at, &content).into_iter().map(|(key, row)| (key, Some(row))));
    let pointer = PointerRow { version: record.version, ordinal, pieces: pieces::count(&content) };
    batch.push((keys::key(&patch.identity, &patch.dataset, &record.key), Some(rows::encode(&pointer)?)));
    Ok(())
}

/// The results as they are kept, unless they are too large.
fn kept(results: &[&Stored]) -> Result<Option<Vec<ByteRow>>, StoreError> {
    let rows = results.iter().map(|stored| rows::encode(&RecordRow::of(stored)).map(ByteRow)).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = rows.iter().map(|row| row.0.len()).sum();
    Ok((bytes <= RESULT_BYTES).then_some(rows))
}

fn conflict_row(patch: &Patch, number: u64, met: &[Record], applied: bool, now_ms: u64) -> Result<(Bytes, Option<Bytes>), StoreError> {
    let records = met.iter().take(CONFLICT_RECORDS).map(|r| (r.key.clone(), r.version, r.device.clone())).collect();
    let row = ConflictRow { number, at_ms: now_ms, device: patch.device.clone(), applied, records };
    let key = keys::conflict(&patch.identity, &patch.dataset, (number % CONFLICT_LOG) as u16);
    Ok((key, Some(rows::encode(&row)?)))
}

/// Of what the patch means, not of how it was encoded: a retry may come in the other codec.
fn digest(patch: &Patch) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    patch.dataset.hash(&mut hasher);
    patch.changes.hash(&mut hasher);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
