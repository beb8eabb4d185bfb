//! A group of writes, decided one after the other and committed together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use driftless_protocol::{Change, Content, DatasetName, DeviceId, Key, Limits, Op, Record, RefusalCode, limits};

use super::engine::{Batch, Bytes, Committed};
use super::history::VersionOrigin;
use super::rows::{self, ByteRow, ConflictRow, HeadRow, PatchRejection, PatchRow, RecordRow};
use super::version::{Known, Making};
use super::view::View;
use super::{Identity, Store, StoreError, keys};
use crate::merge::{self, Applied, Met, Outcome, Policy, Stored, Terms};

/// Conflicts that a dataset remembers: enough to see a pattern, small beside its records.
const CONFLICT_LOG: u64 = 64;

/// Bytes of results that are kept for a retry of their patch. Of larger ones it is answered with those that still stand. Of a conflict as many bytes
/// of keys are kept.
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
pub struct DatasetRules {
    /// Its bounds.
    pub limits: Limits,
    /// What happens on a conflict.
    pub policy: Policy,
    /// How long what is of the past is kept.
    pub keep: RetentionPolicy,
}

/// How long a dataset keeps what is of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How long a tombstone stays for devices that have not acknowledged it, in milliseconds.
    pub tombstone_ms: u64,
    /// How many tombstones are kept at most; the oldest go first.
    pub tombstones: u64,
    /// How long a version stays in the history, in milliseconds.
    pub history_ms: u64,
    /// How many versions stay at most; 0: no history is kept.
    pub history_versions: u64,
    /// How many bytes of history stay at most.
    pub history_bytes: u64,
}

impl Default for RetentionPolicy {
    /// 30 days of tombstones, 7 days and 1,000 versions of history, as many tombstones and bytes of history as a dataset has of records and bytes.
    fn default() -> RetentionPolicy {
        RetentionPolicy {
            tombstone_ms: 30 * DAY_MS,
            tombstones: limits::RECORDS,
            history_ms: 7 * DAY_MS,
            history_versions: 1000,
            history_bytes: limits::DATASET_BYTES,
        }
    }
}

impl RetentionPolicy {
    /// Whether any history is kept.
    pub(super) fn has_history(&self) -> bool {
        self.history_versions > 0 && self.history_ms > 0 && self.history_bytes > 0
    }

    /// How long a tombstone stays at least, in milliseconds: a device that is on its way through the dataset, and has acknowledged nothing yet,
    /// must not be sent back to the beginning all the time.
    pub(super) fn least_ms(&self) -> u64 {
        LEAST_MS.min(self.tombstone_ms)
    }

    /// How long after a dataset's first garbage the reaper looks at it, in milliseconds.
    pub(super) fn first_visit_ms(&self) -> u64 {
        self.least_ms().min(if self.has_history() { self.history_ms } else { LEAST_MS })
    }
}

/// See [`RetentionPolicy::least_ms`]: the time that a slow phone takes for a dataset at its bounds.
const LEAST_MS: u64 = 10 * 60 * 1000;

const DAY_MS: u64 = 24 * 3600 * 1000;

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
        /// What the writer could not know. Records that were written since may be missing: their versions are later than that of the patch.
        results: Vec<Record>,
    },
    /// Not applied: the current state of the records in conflict.
    Conflict(Vec<Record>),
    /// Not applied.
    Refused(RefusalCode, String),
    /// Not applied: the identity was erased, or merged into another one.
    NoIdentity,
}

/// Writes that will be durable together.
pub struct Group<'a> {
    pub(super) view: View<'a>,
    pub(super) store: &'a Store,
    /// Identities that were looked at: whether they are there, and how many of their devices are woken by pushes.
    pub(super) there: HashMap<Identity, Option<u32>>,
}

impl Store {
    /// Begins a group. Only the committer does, and one at a time.
    pub fn group(&self) -> Group<'_> {
        Group { view: View::new(&self.engine), store: self, there: HashMap::new() }
    }
}

impl Group<'_> {
    /// Decides a patch on top of what the group has decided so far. An error concerns this patch only.
    pub fn write(&mut self, patch: Patch, rules: &DatasetRules, now_ms: u64) -> Result<Decision, StoreError> {
        if !self.has_identity(&patch.identity)? {
            return Ok(Decision::NoIdentity);
        }
        let digest = digest(&patch);
        let slot_key = keys::patch(&patch.identity, &patch.device, (patch.id % limits::PATCH_WINDOW) as u16);
        if let Some(row) = self.view.get(&slot_key)?
            && let Some(decision) = self.known(&rows::decode(&row)?, &patch, digest)?
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
                    return self.refuse(slot_key, patch.id, digest, RefusalCode::TooManyDatasets, message);
                }
                HeadRow::default()
            }
        };
        let known = self.stored(&patch)?;
        let Patch { identity, device, dataset, id, changes } = patch;
        let current: Vec<_> = changes.iter().map(|change| known.get(&change.key).map(|old| &old.stored)).collect();
        let terms = Terms { device: &device, now_ms, policy: rules.policy, limits: &rules.limits };
        let mut batch = Batch { guards: vec![(head_key.clone(), head_row)], rows: Vec::new() };
        match merge::merge(head.head(), &current, changes, terms) {
            Outcome::Refused(code, message) => self.refuse(slot_key, id, digest, code, message),
            Outcome::Conflict(met) => {
                let conflicts = head.conflicts + 1;
                batch.rows.push(conflict_row((&identity, &dataset, &device), conflicts, &met, false, now_ms)?);
                batch.rows.push((head_key, Some(rows::encode(&HeadRow { conflicts, ..head })?)));
                let kept = PatchRow { id, digest, version: 0, results: None, rejection: Some(PatchRejection::Conflict(kept_keys(&met))) };
                batch.rows.push((slot_key, Some(rows::encode(&kept)?)));
                self.view.decide(batch);
                Ok(Decision::Conflict(met))
            }
            Outcome::Applied(Applied { head: new, records, computed, overruled }) => {
                let mut head = head;
                if !overruled.is_empty() {
                    head.conflicts += 1;
                    batch.rows.push(conflict_row((&identity, &dataset, &device), head.conflicts, &overruled, true, now_ms)?);
                }
                let making = Making {
                    identity: &identity,
                    dataset: &dataset,
                    device: &device,
                    what: VersionOrigin::Patch,
                    keep: &rules.keep,
                    now_ms,
                };
                making.write(&mut batch, head, new, &records, &known, Vec::new())?;
                self.record_debt(&identity, &dataset, new.version, &device, now_ms, &mut batch)?;
                let results: Vec<&Stored> = computed.iter().map(|&at| &records[at]).collect();
                let kept = PatchRow { id, digest, version: new.version, results: kept(&results)?, rejection: None };
                batch.rows.push((slot_key, Some(rows::encode(&kept)?)));
                let results = results.into_iter().map(|stored| stored.record.clone()).collect();
                let records = records.into_iter().map(|stored| stored.record).collect();
                self.view.decide(batch);
                Ok(Decision::Written { version: new.version, records, results })
            }
        }
    }

    /// Refuses a patch, and remembers it.
    fn refuse(&mut self, slot_key: Bytes, id: u64, digest: u32, code: RefusalCode, message: String) -> Result<Decision, StoreError> {
        let kept = PatchRow { id, digest, version: 0, results: None, rejection: Some(PatchRejection::Refused(code, message.clone())) };
        self.view.decide(Batch { guards: Vec::new(), rows: vec![(slot_key, Some(rows::encode(&kept)?))] });
        Ok(Decision::Refused(code, message))
    }

    /// Records that a device has everything up to a version. An older acknowledgement changes nothing.
    pub fn acknowledge(&mut self, identity: &Identity, device: &DeviceId, dataset: &DatasetName, version: u64) -> Result<(), StoreError> {
        if !self.has_identity(identity)? {
            return Ok(());
        }
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
        let batch = self.view.into_batch();
        if batch.rows.is_empty() {
            return Ok(());
        }
        let behind = self.store.capture.behind(&batch);
        let committed = self.store.engine.commit(vec![batch]).inspect_err(|error| {
            // On a full disk nothing was applied, and a copy under way goes on. Otherwise it would not know of what may be found later.
            if !matches!(error, StoreError::Full(_)) {
                self.store.capture.end();
            }
        })?;
        if committed.contains(&Committed::Stale) {
            return Err(StoreError::Io("another writer changed the store under the committer".to_owned()));
        }
        self.store.capture.capture(behind);
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
            return Ok(Some(Decision::Refused(RefusalCode::PatchReused, format!("the number {id} was used for another patch"))));
        }
        match &slot.rejection {
            None => {}
            Some(PatchRejection::Refused(code, message)) => return Ok(Some(Decision::Refused(*code, message.clone()))),
            Some(PatchRejection::Conflict(keys)) => return self.met_again(patch, keys).map(Some),
        }
        let results = match &slot.results {
            Some(results) => results.iter().map(|row| Ok(rows::decode_record(&row.0)?.record)).collect::<Result<_, StoreError>>()?,
            None => self.still_standing(patch, slot.version)?,
        };
        Ok(Some(Decision::Repeated { version: slot.version, results }))
    }

    /// The results of a patch that nobody has written since: they fit an answer, as all of them did. Whoever is at the patch's version is told of
    /// the others by `changes`, where a record that has grown since has a page to itself.
    fn still_standing(&self, patch: &Patch, version: u64) -> Result<Vec<Record>, StoreError> {
        let last: BTreeMap<&Key, Op> = patch.changes.iter().map(|change| (&change.key, change.op)).collect();
        let mut results = Vec::new();
        for (key, _) in last.into_iter().filter(|(_, op)| !matches!(op, Op::Put | Op::Remove)) {
            let record = self.view.old(&patch.identity, &patch.dataset, key)?.map(|old| old.stored.record);
            results.extend(record.filter(|record| record.version == version && record.content != Content::Removed));
        }
        Ok(results)
    }

    /// What a patch that conflicted is told when it is sent again: the records that it met, as they are by now.
    fn met_again(&self, patch: &Patch, keys: &[Key]) -> Result<Decision, StoreError> {
        let head = self.view.get(&keys::head(&patch.identity, &patch.dataset))?;
        let head: HeadRow = head.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        let mut met = Met::default();
        for key in keys {
            let record = match self.view.old(&patch.identity, &patch.dataset, key)? {
                Some(old) => old.stored.record,
                None => merge::forgotten(key, head.tombstone_horizon).map_err(|error| StoreError::Io(error.to_string()))?,
            };
            met.add(&record);
        }
        Ok(Decision::Conflict(met.records))
    }

    /// The records that a patch names, as they are stored.
    fn stored(&self, patch: &Patch) -> Result<Known, StoreError> {
        let mut known = Known::with_capacity(patch.changes.len());
        let mut read = HashSet::with_capacity(patch.changes.len());
        for key in patch.changes.iter().map(|change| &change.key).filter(|key| read.insert(*key)) {
            known.extend(self.view.old(&patch.identity, &patch.dataset, key)?.map(|old| (key.clone(), old)));
        }
        Ok(known)
    }
}

/// The results as they are kept, unless they are too large.
fn kept(results: &[&Stored]) -> Result<Option<Vec<ByteRow>>, StoreError> {
    let rows = results.iter().map(|stored| rows::encode(&RecordRow::of(stored)).map(ByteRow)).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = rows.iter().map(|row| row.0.len()).sum();
    Ok((bytes <= RESULT_BYTES).then_some(rows))
}

/// The keys that a patch met, as far as they are kept: who resolves these and writes again is told of the rest.
fn kept_keys(met: &[Record]) -> Vec<Key> {
    let mut bytes = 0;
    let keys = met.iter().map(|record| record.key.clone());
    keys.take_while(|key| {
        bytes += key.as_str().len();
        bytes <= RESULT_BYTES
    })
    .collect()
}

/// An entry of the conflict log: whose, where, and by whom.
pub(super) fn conflict_row(
    (identity, dataset, device): (&Identity, &DatasetName, &DeviceId),
    number: u64,
    met: &[Record],
    applied: bool,
    now_ms: u64,
) -> Result<(Bytes, Option<Bytes>), StoreError> {
    let records = met.iter().take(CONFLICT_RECORDS).map(|r| (r.key.clone(), r.version, r.device.clone())).collect();
    let row = ConflictRow { number, at_ms: now_ms, device: device.clone(), applied, records };
    let key = keys::conflict(identity, dataset, (number % CONFLICT_LOG) as u16);
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
