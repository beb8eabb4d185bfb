//! Decides a patch: the dataset's head, the current records and the patch give the outcome. Pure.
//!
//! Never here: a clock, a store, a runtime. The same arguments give the same outcome.
//!
//! Invariants:
//! - an applied patch raises the version by exactly one (I1), and stamps each record that it touched once;
//! - a patch is applied whole or not at all;
//! - a device never conflicts with its own writes, and equal values never conflict;
//! - a dataset over a bound that was lowered still takes a patch that does not make it larger.

mod bounds;
mod conflict;
mod head;
mod operation;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Content, DeviceId, Key, Limits, Op, Record, RefusalCode, Value};

use bounds::{PatchRefusal, check_base, check_change, check_dataset, check_value, quoted};
pub use conflict::{ConflictPolicy, ConflictingRecords, StoredRecord, reaped_record};
use conflict::{REPLY_BYTES, conflicts, is_behind_horizon};
pub use head::DatasetHead;
use operation::compute;

/// Bytes of stored values that the operations of a patch may compute on. Each operation reads and copies its record's value, and all datasets
/// wait meanwhile: a small patch of many operations on one large record would hold up every other write.
const OPERAND_BYTES: usize = 8 * protocol_limits::VALUE_BYTES;

/// The writing device, the time, and the rules of a merge.
#[derive(Clone, Copy, Debug)]
pub struct MergeTerms<'a> {
    pub device: &'a DeviceId,
    /// Now, in milliseconds since 1970 (UTC).
    pub now_ms: u64,
    pub policy: ConflictPolicy,
    pub limits: &'a Limits,
}

/// The outcome of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum MergeOutcome {
    Applied(AppliedPatch),
    /// Another device changed some of the same records; these are the current ones.
    Conflict(Vec<Record>),
    /// The patch cannot be applied.
    Refused(RefusalCode, String),
}

/// A patch that is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct AppliedPatch {
    /// The dataset's head after the patch.
    pub head: DatasetHead,
    /// The new state of each touched record, in the order in which the patch first names them.
    pub records: Vec<StoredRecord>,
    /// Indexes of the `records` that the writer cannot know: results of add, merge, insert and discard.
    pub computed: Vec<usize>,
    /// Records of another device that the patch overruled: conflicts that the policy resolves in favour of the patch.
    pub overruled: Vec<Record>,
}

/// Decides a patch. `current` holds the stored record of each change's key, in the order of the changes; of a key that occurs several times
/// only the first occurrence needs it. Values that are put are shared with the records, not copied: they can be large.
pub fn merge(head: DatasetHead, current: &[Option<&StoredRecord>], changes: &[Change], terms: MergeTerms<'_>) -> MergeOutcome {
    if changes.is_empty() || changes.len() > terms.limits.changes_per_patch {
        let message = format!("a patch has 1 to {} changes, this one has {}", terms.limits.changes_per_patch, changes.len());
        return MergeOutcome::Refused(RefusalCode::TooManyChanges, message);
    }
    let count = changes.len();
    let mut draft = PatchDraft {
        terms,
        version: head.version,
        tombstone_horizon: head.tombstone_horizon,
        touched: Vec::with_capacity(count),
        by_key: HashMap::with_capacity(count),
        conflicting: ConflictingRecords::default(),
        operand_bytes: 0,
    };
    for (change, &current) in changes.iter().zip(current) {
        if let Err(PatchRefusal(code, message)) = draft.apply(change, current) {
            return MergeOutcome::Refused(code, message);
        }
    }
    if !draft.conflicting.records.is_empty() && terms.policy == ConflictPolicy::Reject {
        return MergeOutcome::Conflict(draft.conflicting.records);
    }
    match draft.finish(head) {
        Ok(applied) => MergeOutcome::Applied(applied),
        Err(PatchRefusal(code, message)) => MergeOutcome::Refused(code, message),
    }
}

/// At most how many bytes the operations of a patch look at, those of the operands and of the records together.
pub fn operand_bytes(current: &[Option<&StoredRecord>], changes: &[Change]) -> usize {
    let bytes = |(change, stored): (&Change, &Option<&StoredRecord>)| match change.op {
        Op::Put | Op::Remove => 0,
        Op::Add | Op::Merge | Op::Insert | Op::Discard => {
            let value = stored.and_then(|stored| stored.record.content.value());
            change.value.as_ref().map_or(0, Value::packed_bytes) + value.map_or(0, Value::packed_bytes)
        }
    };
    changes.iter().zip(current).map(bytes).sum::<usize>().min(OPERAND_BYTES)
}

/// One record that the patch names.
struct TouchedRecord<'a> {
    key: Key,
    stored: Option<&'a StoredRecord>,
    /// The state that the patch gives the record; `None` as long as it leaves it alone.
    next: Option<Content>,
    is_computed: bool,
    /// A change's base shows that the device has seen the other devices' writes.
    has_seen_others: bool,
}

impl<'a> TouchedRecord<'a> {
    fn new(key: Key, stored: Option<&'a StoredRecord>) -> Self {
        TouchedRecord { key, stored, next: None, is_computed: false, has_seen_others: false }
    }

    fn value(&self) -> Option<&Value> {
        self.next.as_ref().or(self.stored.map(|stored| &stored.record.content)).and_then(Content::value)
    }

    fn put(&mut self, value: Value) {
        self.next = Some(Content::Value(value));
        self.is_computed = false;
    }

    fn remove(&mut self, has_base: bool) {
        // A base shows that the device knew the record: its removal is remembered even where the record never was.
        let is_unknown = self.stored.is_none() && self.next.is_none() && has_base;
        if self.value().is_some() || is_unknown {
            self.next = Some(Content::Removed);
            self.is_computed = false;
        }
    }

    fn operate(&mut self, op: Op, operand: &Value, limits: &Limits) -> Result<(), PatchRefusal> {
        let wrong_type = |why| PatchRefusal(RefusalCode::WrongType, format!("{}: {why}", quoted(&self.key)));
        let Some(value) = compute(op, self.value(), operand).map_err(wrong_type)? else { return Ok(()) };
        if self.value().is_none_or(|before| value.packed_bytes() >= before.packed_bytes()) {
            check_value(&self.key, &value, limits)?;
        }
        self.next = Some(Content::Value(value));
        self.is_computed = true;
        Ok(())
    }
}

/// A patch that is being decided, change by change.
struct PatchDraft<'a> {
    terms: MergeTerms<'a>,
    /// The dataset's version before the patch.
    version: u64,
    tombstone_horizon: u64,
    touched: Vec<TouchedRecord<'a>>,
    by_key: HashMap<Key, usize>,
    conflicting: ConflictingRecords,
    operand_bytes: usize,
}

impl<'a> PatchDraft<'a> {
    fn apply(&mut self, change: &Change, stored: Option<&'a StoredRecord>) -> Result<(), PatchRefusal> {
        check_change(change, self.terms.limits)?;
        check_base(change, self.version)?;
        let at = match self.by_key.entry(change.key.clone()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.touched.push(TouchedRecord::new(change.key.clone(), stored));
                *entry.insert(self.touched.len() - 1)
            }
        };
        self.note_conflict(at, change)?;
        let touched = &mut self.touched[at];
        let others_version = touched.stored.map_or(0, |stored| stored.version_by_others(self.terms.device));
        touched.has_seen_others |= change.base.is_some_and(|base| base >= others_version);
        match (change.op, &change.value) {
            (Op::Put, Some(value)) => touched.put(value.clone()),
            (Op::Remove, _) => touched.remove(change.base.is_some()),
            (op, Some(operand)) => {
                self.operand_bytes += touched.value().map_or(0, Value::packed_bytes);
                if self.operand_bytes > OPERAND_BYTES {
                    let message = format!("the operations of this patch compute on over {OPERAND_BYTES} bytes: split it");
                    return Err(PatchRefusal(RefusalCode::TooLarge, message));
                }
                touched.operate(op, operand, self.terms.limits)?;
            }
            (_, None) => {
                return Err(PatchRefusal(RefusalCode::BadRequest, format!("the change of {} needs a value", quoted(&change.key))));
            }
        }
        Ok(())
    }

    fn note_conflict(&mut self, at: usize, change: &Change) -> Result<(), PatchRefusal> {
        // A record that this patch has changed already is the device's own write: it cannot conflict.
        if self.touched[at].next.is_some() {
            return Ok(());
        }
        match self.touched[at].stored {
            Some(stored) if conflicts(change, stored, self.terms.device) => self.conflicting.add(&stored.record),
            None if is_behind_horizon(change, self.tombstone_horizon) => {
                self.conflicting.add(&reaped_record(&change.key, self.tombstone_horizon)?)
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, before: DatasetHead) -> Result<AppliedPatch, PatchRefusal> {
        let MergeTerms { device, now_ms, limits, .. } = self.terms;
        let mut head = DatasetHead { version: before.version + 1, ..before };
        let mut records: Vec<StoredRecord> = Vec::with_capacity(self.touched.len());
        let mut computed = Vec::new();
        for touched in self.touched {
            let Some(content) = touched.next else { continue };
            head.replace(&touched.key, touched.stored.map(|stored| &stored.record.content), &content);
            if touched.is_computed {
                computed.push(records.len());
            }
            let unseen = touched.stored.filter(|_| !touched.has_seen_others);
            let others_version = unseen.map_or(0, |stored| stored.version_by_others(device));
            let record = Record { key: touched.key, content, version: head.version, modified_ms: now_ms, device: device.clone() };
            records.push(StoredRecord { record, others_version });
        }
        check_reply(&records, &computed)?;
        check_dataset(&before, &head, limits)?;
        Ok(AppliedPatch { head, records, computed, overruled: self.conflicting.records })
    }
}

/// Checks that the results that the writer cannot know fit the reply.
fn check_reply(records: &[StoredRecord], computed: &[usize]) -> Result<(), PatchRefusal> {
    let bytes: usize = computed.iter().filter_map(|&at| records[at].record.content.value()).map(Value::packed_bytes).sum();
    if computed.len() > 1 && bytes > REPLY_BYTES {
        let message = format!("the results of this patch have {bytes} bytes, {REPLY_BYTES} fit an answer: split it");
        return Err(PatchRefusal(RefusalCode::TooLarge, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
