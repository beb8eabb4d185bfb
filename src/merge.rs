//! Decides a patch: the dataset's head, the heads of the current records and the patch give the outcome. Pure. The value of a record is asked for
//! only where an operation computes on it, or where a conflict depends on whether a value of the same size is the same.
//!
//! Never here: a clock, a store, a runtime. The same arguments give the same outcome.
//!
//! Invariants:
//! - an applied patch raises the version by exactly one (I1), and stamps each record that it touched once;
//! - a patch is applied whole or not at all;
//! - a device never conflicts with its own writes, and equal values never conflict, unless bases are exact;
//! - a dataset over a bound that was lowered still takes a patch that does not make it larger.

mod bounds;
mod conflict;
mod element_set;
mod head;
mod operation;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Content, DeviceId, Key, Limits, Op, Record, RefusalCode, Value};

use bounds::{PatchRefusal, check_base, check_change, check_dataset, check_value, quoted};
pub use conflict::{Bases, ConflictPolicy, ConflictReply, StoredRecord, reaped_record, unknown_device};
use conflict::{REPLY_BYTES, is_another_version, is_behind_horizon, is_changed_by_others};
pub use head::{ContentState, DatasetHead, RecordHead};
use operation::compute;

/// Bytes that the operations of a patch may compute on, those of the records' values and of the operands. All datasets wait meanwhile, and this many
/// take some milliseconds: one operation on a record of the largest size, with an operand that is as large.
const OPERAND_BYTES: u64 = 2 * protocol_limits::VALUE_BYTES as u64;

/// Elements that the operations of a patch may look at: values in the records' values and in the operands, and names of members. Each is found, compared
/// or hashed, and written, which takes 10 to 40 ns however few bytes it has: this many take as long as a few MiB of text.
const OPERAND_ELEMENTS: usize = 128 * 1024;

/// How often more an element of the operand of `insert` and `discard` is looked at: a set is made of them, in which those of the record are looked up.
const SET_LOOKS: usize = 3;

/// What each element of the operand of `insert` and `discard` counts beside its bytes: it is hashed, and kept until the record's list is gone through.
const ELEMENT_BYTES: u64 = 32;

/// The writing device, the time, and the rules of a merge.
#[derive(Clone, Copy, Debug)]
pub struct MergeTerms<'a> {
    pub device: &'a DeviceId,
    /// Now, in milliseconds since 1970 (UTC).
    pub now_ms: u64,
    pub policy: ConflictPolicy,
    /// What the bases of changes are compared with. With exact ones a conflict is never overruled.
    pub bases: Bases,
    pub limits: &'a Limits,
}

/// The outcome of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum MergeOutcome {
    Applied(AppliedPatch),
    /// Another device changed some of the same records: those of these changes, of which the reply has room for the current state.
    Conflict(Vec<usize>),
    /// The patch cannot be applied.
    Refused(RefusalCode, String),
}

/// The outcome of a patch, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    pub outcome: MergeOutcome,
    /// Elements that operations looked at, also those of a patch that was refused.
    pub elements: usize,
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
    /// The changes that overruled the record of another device: conflicts that the policy resolves in favour of the patch.
    pub overruled: Vec<usize>,
}

/// Decides a patch. `current` holds the head of the stored record of each change's key, in the order of the changes; of a key that occurs several
/// times only the first occurrence needs it. `value_of` gives the value of the record of a change, by the change's index; it is asked once at most
/// for each record. Values that are put are shared with the records, not copied: they can be large.
pub fn merge<E>(
    head: DatasetHead,
    current: &[Option<RecordHead<'_>>],
    changes: &[Change],
    terms: MergeTerms<'_>,
    value_of: impl FnMut(usize) -> Result<Value, E>,
) -> Result<Merged, E> {
    let mut draft = PatchDraft::new(head, terms, changes.len(), value_of);
    let outcome = draft.merge(head, current, changes);
    Ok(Merged { outcome: outcome?, elements: draft.operand_elements })
}

/// The work of a patch's operations, in bytes, and at most as much as one patch may have.
pub fn operand_bytes(current: &[Option<RecordHead<'_>>], changes: &[Change]) -> usize {
    let bytes = |(change, stored): (&Change, &Option<RecordHead<'_>>)| change_bytes(change, stored.map(|stored| stored.state));
    changes.iter().zip(current).map(bytes).sum::<u64>().min(OPERAND_BYTES) as usize
}

/// The elements that an operation looks at; it counts no further than `most`.
fn count_elements(op: Op, before: Option<&Value>, operand: &Value, most: usize) -> usize {
    let again = match op {
        // They look at the whole of a number, or at nothing.
        Op::Add | Op::Put | Op::Remove => return 0,
        Op::Merge => 0,
        Op::Insert | Op::Discard => SET_LOOKS * operand.items().map_or(0, |items| items.len()),
    };
    [before, Some(operand)].into_iter().flatten().fold(again.min(most), |count, value| count + value.whole().count_up_to(most - count))
}

/// The work of a change's operation on a record, in bytes.
fn change_bytes(change: &Change, state: Option<ContentState>) -> u64 {
    let operand = change.value.as_ref();
    let elements = match change.op {
        Op::Put | Op::Remove => return 0,
        Op::Add | Op::Merge => 0,
        Op::Insert | Op::Discard => operand.and_then(Value::items).map_or(0, |items| items.len()),
    };
    let operand = operand.map_or(0, Value::packed_bytes) as u64 + ELEMENT_BYTES * elements as u64;
    state.map_or(0, ContentState::value_bytes) + operand
}

/// Why a patch is not merged.
enum NotMerged<E> {
    Refused(PatchRefusal),
    /// A value that it depends on cannot be read.
    Unread(E),
}

impl<E, R: Into<PatchRefusal>> From<R> for NotMerged<E> {
    fn from(refusal: R) -> NotMerged<E> {
        NotMerged::Refused(refusal.into())
    }
}

/// One record that the patch names.
struct TouchedRecord<'a> {
    key: Key,
    /// The first change that names it.
    at: usize,
    stored: Option<RecordHead<'a>>,
    /// The value that is stored, once it was asked for.
    value: Option<Value>,
    /// The state that the patch gives the record; `None` as long as it leaves it alone.
    next: Option<Content>,
    is_computed: bool,
    /// A change's base shows that the device has seen the other devices' writes.
    has_seen_others: bool,
}

impl<'a> TouchedRecord<'a> {
    fn new(key: Key, at: usize, stored: Option<RecordHead<'a>>) -> Self {
        TouchedRecord { key, at, stored, value: None, next: None, is_computed: false, has_seen_others: false }
    }

    /// What the record is after the changes so far.
    fn state(&self) -> Option<ContentState> {
        self.next.as_ref().map(ContentState::of).or(self.stored.map(|stored| stored.state))
    }

    fn is_live(&self) -> bool {
        self.state().is_some_and(ContentState::is_live)
    }

    /// Its value after the changes so far.
    fn value<E>(&mut self, value_of: &mut impl FnMut(usize) -> Result<Value, E>) -> Result<Option<&Value>, E> {
        match &self.next {
            Some(next) => Ok(next.value()),
            None if self.is_live() => {
                if self.value.is_none() {
                    self.value = Some(value_of(self.at)?);
                }
                Ok(self.value.as_ref())
            }
            None => Ok(None),
        }
    }

    fn put(&mut self, value: Value) {
        self.next = Some(Content::Value(value));
        self.is_computed = false;
    }

    fn remove(&mut self, has_base: bool, bases: Bases) {
        // A base shows that the device knew the record: its removal is remembered even where the record never was.
        let is_unknown = self.stored.is_none() && self.next.is_none() && has_base;
        if self.is_live() || is_unknown || bases == Bases::Exact {
            self.next = Some(Content::Removed);
            self.is_computed = false;
        }
    }

    fn operate<E>(
        &mut self,
        op: Op,
        operand: &Value,
        limits: &Limits,
        elements: &mut usize,
        value_of: &mut impl FnMut(usize) -> Result<Value, E>,
    ) -> Result<(), NotMerged<E>> {
        let before = self.value(value_of).map_err(NotMerged::Unread)?;
        *elements += count_elements(op, before, operand, OPERAND_ELEMENTS + 1 - *elements);
        if *elements > OPERAND_ELEMENTS {
            return Err(too_many_elements().into());
        }
        let before_bytes = before.map(Value::packed_bytes);
        let computed = compute(op, before, operand);
        let wrong_type = |why| PatchRefusal(RefusalCode::WrongType, format!("{}: {why}", quoted(&self.key)));
        let Some(value) = computed.map_err(wrong_type)? else { return Ok(()) };
        if before_bytes.is_none_or(|before| value.packed_bytes() >= before) {
            check_value(&self.key, &value, limits)?;
        }
        self.next = Some(Content::Value(value));
        self.is_computed = true;
        Ok(())
    }
}

/// A patch that is being decided, change by change.
struct PatchDraft<'a, V> {
    terms: MergeTerms<'a>,
    /// The dataset's version before the patch.
    version: u64,
    tombstone_horizon: u64,
    /// The version that deleted the dataset.
    deleted: u64,
    value_of: V,
    touched: Vec<TouchedRecord<'a>>,
    by_key: HashMap<Key, usize>,
    /// The changes in conflict of which the reply has room for the record.
    conflicting: Vec<usize>,
    reply: ConflictReply,
    operand_bytes: u64,
    operand_elements: usize,
}

impl<'a, V> PatchDraft<'a, V> {
    fn new(head: DatasetHead, terms: MergeTerms<'a>, count: usize, value_of: V) -> Self {
        // A patch of more changes is refused.
        let count = count.min(terms.limits.changes_per_patch);
        PatchDraft {
            terms,
            version: head.version,
            tombstone_horizon: head.tombstone_horizon,
            deleted: head.deleted,
            value_of,
            touched: Vec::with_capacity(count),
            by_key: HashMap::with_capacity(count),
            conflicting: Vec::new(),
            reply: ConflictReply::default(),
            operand_bytes: 0,
            operand_elements: 0,
        }
    }

    fn merge<E>(&mut self, head: DatasetHead, current: &[Option<RecordHead<'a>>], changes: &[Change]) -> Result<MergeOutcome, E>
    where
        V: FnMut(usize) -> Result<Value, E>,
    {
        let most = self.terms.limits.changes_per_patch;
        if changes.is_empty() || changes.len() > most {
            let message = format!("a patch has 1 to {most} changes, this one has {}", changes.len());
            return Ok(MergeOutcome::Refused(RefusalCode::TooManyChanges, message));
        }
        for (at, (change, &current)) in changes.iter().zip(current).enumerate() {
            match self.apply(at, change, current) {
                Ok(()) => {}
                Err(NotMerged::Refused(PatchRefusal(code, message))) => return Ok(MergeOutcome::Refused(code, message)),
                Err(NotMerged::Unread(error)) => return Err(error),
            }
        }
        let is_rejected = self.terms.policy == ConflictPolicy::Reject || self.terms.bases == Bases::Exact;
        if !self.conflicting.is_empty() && is_rejected {
            return Ok(MergeOutcome::Conflict(std::mem::take(&mut self.conflicting)));
        }
        Ok(match self.finish(head) {
            Ok(applied) => MergeOutcome::Applied(applied),
            Err(PatchRefusal(code, message)) => MergeOutcome::Refused(code, message),
        })
    }

    fn apply<E>(&mut self, at: usize, change: &Change, stored: Option<RecordHead<'a>>) -> Result<(), NotMerged<E>>
    where
        V: FnMut(usize) -> Result<Value, E>,
    {
        check_change(change, self.terms.limits)?;
        if self.terms.bases == Bases::Seen {
            check_base(change, self.version)?;
        }
        let place = match self.by_key.entry(change.key.clone()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.touched.push(TouchedRecord::new(change.key.clone(), at, stored));
                *entry.insert(self.touched.len() - 1)
            }
        };
        self.note_conflict(place, change)?;
        let touched = &mut self.touched[place];
        let others_version = touched.stored.map_or(0, |stored| stored.version_by_others(self.terms.device));
        touched.has_seen_others |= change.base.is_some_and(|base| base >= others_version);
        match (change.op, &change.value) {
            (Op::Put, Some(value)) => touched.put(value.clone()),
            (Op::Remove, _) => touched.remove(change.base.is_some(), self.terms.bases),
            (op, Some(operand)) => {
                // Before the value is read.
                self.operand_bytes += change_bytes(change, touched.state());
                if self.operand_bytes > OPERAND_BYTES {
                    let message = format!("the operations of this patch compute on over {OPERAND_BYTES} bytes: split it");
                    return Err(PatchRefusal(RefusalCode::TooLarge, message).into());
                }
                touched.operate(op, operand, self.terms.limits, &mut self.operand_elements, &mut self.value_of)?;
            }
            (_, None) => {
                return Err(PatchRefusal(RefusalCode::BadRequest, format!("the change of {} needs a value", quoted(&change.key))).into());
            }
        }
        Ok(())
    }

    fn note_conflict<E>(&mut self, place: usize, change: &Change) -> Result<(), NotMerged<E>>
    where
        V: FnMut(usize) -> Result<Value, E>,
    {
        let touched = &mut self.touched[place];
        // A record that this patch has changed already is the device's own write: it cannot conflict.
        if touched.next.is_some() {
            return Ok(());
        }
        let state = match touched.stored {
            Some(stored) if self.terms.bases == Bases::Exact => match is_another_version(change, stored, self.deleted) {
                true => stored.state,
                false => return Ok(()),
            },
            None if self.terms.bases == Bases::Exact => return Ok(()),
            Some(stored) if is_changed_by_others(change, stored, self.terms.device) => {
                // A value of another size is another value. One of the same size costs no more to read than the change itself.
                let is_equal = stored.state == ContentState::of_value(change.value.as_ref())
                    && touched.value(&mut self.value_of).map_err(NotMerged::Unread)? == change.value.as_ref();
                if is_equal {
                    return Ok(());
                }
                stored.state
            }
            None if is_behind_horizon(change, self.tombstone_horizon) => ContentState::Removed,
            _ => return Ok(()),
        };
        if self.reply.takes(state) {
            self.conflicting.push(touched.at);
        }
        Ok(())
    }

    fn finish(&mut self, before: DatasetHead) -> Result<AppliedPatch, PatchRefusal> {
        let MergeTerms { device, now_ms, limits, .. } = self.terms;
        let mut head = DatasetHead { version: before.version + 1, ..before };
        let mut records: Vec<StoredRecord> = Vec::with_capacity(self.touched.len());
        let mut computed = Vec::new();
        for touched in std::mem::take(&mut self.touched) {
            let Some(content) = touched.next else { continue };
            head.replace(&touched.key, touched.stored.map(|stored| stored.state), ContentState::of(&content));
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
        Ok(AppliedPatch { head, records, computed, overruled: std::mem::take(&mut self.conflicting) })
    }
}

fn too_many_elements() -> PatchRefusal {
    let message = format!(
        "the operations of this patch look at over {OPERAND_ELEMENTS} elements: split it, or put the elements of the record into several records"
    );
    PatchRefusal(RefusalCode::TooLarge, message)
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
mod element_tests;
#[cfg(test)]
mod tests;
