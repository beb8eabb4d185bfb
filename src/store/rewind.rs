//! Restores a dataset to an earlier version: as new versions, which reach all devices like any write.
//!
//! - A reader finds what the restore changes ([`Store::rewind_plan`]); the writer applies it in parts of bounded work, each of which is a version.
//! - A record that was written after the plan's base stays as it is: the later write wins, of a device as of an earlier part.
//! - From the first of several parts to the last, a row says which restore is under way. After a crash it is planned once more, from the same base,
//!   and goes on with what is not written yet.

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};
use serde::{Deserialize, Serialize};

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::history::{self, VersionNotKept};
use super::history_row::VersionOrigin;
use super::keys::{KeyParts, RowKind};
use super::row_source::RowSource;
use super::rows::{self, HeadRow, PointerRow};
use super::version::{CurrentRecords, NewVersion};
use super::{Identity, RetentionPolicy, Store, StoreError, keys};
use crate::merge::{ContentState, DatasetHead, StoredRecord};

/// The device that writes the versions that a restore makes.
const OPERATOR_DEVICE: &str = "~operator";

/// Records after which a part ends: of each record the writer deletes and writes some eight rows, so a part takes it as long as some hundred
/// small writes.
const PART_RECORDS: usize = 256;

/// Bytes of values after which a part ends, those that are replaced and those that take their place. One record may have more.
const PART_BYTES: u64 = 512 * 1024;

/// How long after its beginning a restore keeps the history that it needs, in milliseconds. The reaper completes it in some minutes; one that it
/// cannot complete must not keep history for ever.
const HISTORY_KEPT_MS: u64 = 3600 * 1000;

/// `s`: a restore under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RewindRow {
    /// The version to which the dataset is restored.
    to: u64,
    /// The dataset's version before the restore.
    base: u64,
    /// When it began, in milliseconds since 1970 (UTC).
    begun_ms: u64,
}

impl RewindRow {
    /// Whether the restore reads the history row of a version if it is planned once more. Its own parts make history, too, which may be more than is
    /// kept: what they would push out stays until they are written.
    pub(super) fn needs_history_of(&self, version: u64, now_ms: u64) -> bool {
        version > self.to && now_ms.saturating_sub(self.begun_ms) < HISTORY_KEPT_MS
    }
}

/// What a restore changes, in parts.
#[derive(Debug)]
pub struct RewindPlan {
    identity: Identity,
    dataset: DatasetName,
    row: RewindRow,
    /// Whether its row is in the store, and some of its parts were written before this plan was made.
    is_resumed: bool,
    /// At least one, which may be empty.
    parts: Vec<Vec<RewoundRecord>>,
}

/// A record that a restore changes, and its content from then on.
#[derive(Debug)]
struct RewoundRecord {
    key: Key,
    content: Content,
}

/// The outcome of one part of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindPart {
    Written {
        /// The dataset's version.
        version: u64,
        /// How many records the part has changed; 0: it has made no version.
        records: usize,
    },
    /// The restore is not under way any more: a later one of the same dataset has taken its place, or somebody else has completed it.
    Ended,
    NoIdentity,
}

/// A restore whose last part is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedRewind {
    pub identity: Identity,
    pub dataset: DatasetName,
    row: RewindRow,
}

impl UnfinishedRewind {
    /// When it began, in milliseconds since 1970 (UTC).
    pub fn begun_ms(&self) -> u64 {
        self.row.begun_ms
    }
}

impl Store {
    /// What restoring a dataset to a version changes. It holds as much memory as the dataset had at that version. The pool's bounds do not apply:
    /// a state that was accepted once may be restored.
    pub fn rewind_plan(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        to: u64,
        now_ms: u64,
    ) -> Result<Result<RewindPlan, VersionNotKept>, StoreError> {
        let row = RewindRow { to, base: self.head(identity, dataset)?.version, begun_ms: now_ms };
        let plan = |parts| RewindPlan { identity: identity.clone(), dataset: dataset.clone(), row, is_resumed: false, parts };
        Ok(self.rewind_parts(identity, dataset, row)?.map(plan))
    }

    /// What is left of a restore that is under way.
    pub fn resumed_rewind_plan(&self, unfinished: &UnfinishedRewind) -> Result<Result<RewindPlan, VersionNotKept>, StoreError> {
        let UnfinishedRewind { identity, dataset, row } = unfinished.clone();
        let parts = self.rewind_parts(&identity, &dataset, row)?;
        Ok(parts.map(|parts| RewindPlan { identity, dataset, row, is_resumed: true, parts }))
    }

    /// Up to `limit` restores that are under way, in the order of the store, behind one of them.
    pub fn unfinished_rewinds(&self, after: Option<&UnfinishedRewind>, limit: usize) -> Result<Vec<UnfinishedRewind>, StoreError> {
        let prefix = keys::of_kind(RowKind::Rewind);
        let start = after.map_or_else(|| prefix.clone(), |last| keys::prefix_end(&keys::rewind(&last.identity, &last.dataset)));
        let one = |(key, row): &(Bytes, Bytes)| {
            let mut parts = KeyParts::after(key, &prefix)?;
            Ok(UnfinishedRewind { identity: Identity::from(parts.name()?), dataset: parts.dataset()?, row: rows::decode(row)? })
        };
        self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?.iter().map(one).collect()
    }

    /// The records that a restore changes, cut into at least one part.
    fn rewind_parts(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        row: RewindRow,
    ) -> Result<Result<Vec<Vec<RewoundRecord>>, VersionNotKept>, StoreError> {
        let head = HeadRow { version: row.base, ..self.head(identity, dataset)? };
        let undo = match history::undo(&head, row.to, |version| self.engine.content(&keys::history(identity, dataset, version)))? {
            Ok(undo) => undo,
            Err(not_kept) => return Ok(Err(not_kept)),
        };
        let (mut parts, mut part, mut part_bytes) = (Vec::new(), Vec::new(), 0);
        for (key, then) in undo {
            let content = then.as_deref().map(rows::decode_record).transpose()?.map_or(Content::Removed, |stored| stored.record.content);
            let Some(replaced_bytes) = self.replaced_bytes(identity, dataset, &key, &content, row.base)? else { continue };
            part_bytes += replaced_bytes + ContentState::of(&content).value_bytes();
            part.push(RewoundRecord { key, content });
            if part.len() >= PART_RECORDS || part_bytes >= PART_BYTES {
                parts.push(std::mem::take(&mut part));
                part_bytes = 0;
            }
        }
        if !part.is_empty() || parts.is_empty() {
            parts.push(part);
        }
        Ok(Ok(parts))
    }

    /// The bytes of the value that a restore replaces; `None`: the record has the content already, or was written after the base.
    fn replaced_bytes(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        key: &Key,
        then: &Content,
        base: u64,
    ) -> Result<Option<u64>, StoreError> {
        let pointer = || self.engine.row::<PointerRow>(&keys::pointer(identity, dataset, key));
        let is_later = |pointer: &Option<PointerRow>| pointer.as_ref().is_some_and(|pointer| pointer.version > base);
        let now = pointer()?;
        let state = now.as_ref().map_or(ContentState::Removed, PointerRow::state);
        if is_later(&now) {
            return Ok(None);
        }
        if state != ContentState::of(then) {
            return Ok(Some(state.value_bytes()));
        }
        let Some(now) = now.filter(|_| state.is_live()) else { return Ok(None) };
        let content = self.engine.content(&keys::record(identity, dataset, now.version, now.ordinal));
        // It may have been replaced since its pointer was read.
        if !matches!(content, Ok(Some(_))) && is_later(&pointer()?) {
            return Ok(None);
        }
        let content = content?.ok_or_else(|| StoreError::Damaged("a record that its key points to".to_owned()))?;
        let is_same = rows::decode_record(&content)?.record.content == *then;
        Ok((!is_same).then(|| state.value_bytes()))
    }
}

impl RewindPlan {
    /// The number of parts, at least one.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }
}

impl Group<'_> {
    /// Writes a part of a restore as a version. The parts are written in their order.
    pub fn rewind_part(
        &mut self,
        plan: &RewindPlan,
        part: usize,
        retention: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<RewindPart, StoreError> {
        let RewindPlan { identity, dataset, row, is_resumed, parts } = plan;
        if !self.has_identity(identity)? {
            return Ok(RewindPart::NoIdentity);
        }
        let (key, mut batch) = (keys::rewind(identity, dataset), RowBatch::new());
        let under_way = self.view.row::<RewindRow>(&key)?;
        if (part > 0 || *is_resumed) && under_way != Some(*row) {
            return Ok(RewindPart::Ended);
        }
        match part + 1 < parts.len() {
            true if under_way != Some(*row) => batch.push((key, Some(rows::encode(row)?))),
            false if under_way.is_some() => batch.push((key, None)),
            _ => {}
        }
        let before: HeadRow = self.view.row(&keys::head(identity, dataset))?.map_or_else(|| self.new_head(identity), Ok)?;
        let device = DeviceId::new(OPERATOR_DEVICE).map_err(|error| StoreError::Io(error.to_string()))?;
        let mut head = DatasetHead { version: before.version + 1, ..before.head() };
        let (mut records, mut current) = (Vec::new(), CurrentRecords::new());
        for RewoundRecord { key, content } in parts.get(part).into_iter().flatten() {
            let now = self.view.current_record(identity, dataset, key)?;
            if now.as_ref().is_some_and(|now| now.pointer.version > row.base) {
                continue;
            }
            head.replace(key, now.as_ref().map(|now| now.pointer.state()), ContentState::of(content));
            let others_version = now.as_ref().map_or(0, |now| now.pointer.version);
            if let Some(now) = now {
                self.view.read_content(identity, dataset, &now)?;
                current.insert(key.clone(), now);
            }
            let (key, content) = (key.clone(), content.clone());
            let record = Record { key, content, version: head.version, modified_ms: now_ms, device: device.clone() };
            records.push(StoredRecord { record, others_version });
        }
        let mut version = before.version;
        if !records.is_empty() {
            let new_version = NewVersion { identity, dataset, device: &device, origin: VersionOrigin::Restored(row.to), retention, now_ms };
            let mut after = new_version.write(&mut batch, before, head, &records, &current, Vec::new())?;
            if self.count_owned(identity, &mut after, &mut batch)? {
                batch.push((keys::head(identity, dataset), Some(rows::encode(&after)?)));
            }
            version = after.version;
            self.record_debt(identity, dataset, version, &device, now_ms, &mut batch)?;
        }
        self.view.decide(batch);
        Ok(RewindPart::Written { version, records: records.len() })
    }

    /// Ends a restore that cannot go on: history no longer reaches back to its version.
    pub fn end_rewind(&mut self, unfinished: &UnfinishedRewind) -> Result<(), StoreError> {
        let key = keys::rewind(&unfinished.identity, &unfinished.dataset);
        if self.view.row::<RewindRow>(&key)? == Some(unfinished.row) {
            self.view.decide(vec![(key, None)]);
        }
        Ok(())
    }
}
