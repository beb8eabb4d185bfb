//! Decides a patch: head + current records + patch -> what becomes of them. Pure.
//!
//! Never here: a clock, a store, a runtime. The same arguments give the same outcome.
//!
//! Invariants:
//! - an applied patch raises the version by exactly one (I1), and stamps each record that it touched once;
//! - a patch is applied whole or not at all;
//! - a device never conflicts with its own writes, and equal states never conflict;
//! - a dataset over a bound that was lowered still takes whatever does not make it larger.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Content, DeviceId, Key, Limits, NameError, Number, Op, Record, RefusalCode, Value};

/// Bytes of values that an answer to a patch may carry: with one more record at its bound it still fits a message.
const ANSWER_BYTES: usize = protocol_limits::PAGE_BYTES * 8;

/// Bytes of stored values that a patch may have computed on. Each operation reads and copies its record's value, and all datasets wait
/// for it: a small patch of many operations on one large record would hold up everybody.
const WORK_BYTES: usize = 8 * protocol_limits::VALUE_BYTES;

/// What a dataset is counted by. The default is a dataset that was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The version: how many patches were accepted.
    pub version: u64,
    /// Records that live.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Removed records of which a tombstone is kept.
    pub tombstones: u64,
    /// The newest version whose tombstones may be gone: who has seen less cannot be told what was removed.
    pub horizon: u64,
}

impl Head {
    /// Counts a record's new state in the place of the one that is stored.
    pub fn replace(&mut self, key: &Key, before: Option<&Content>, after: &Content) {
        match before {
            Some(Content::Value(value)) => {
                self.records = self.records.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(record_bytes(key, value));
            }
            Some(Content::Removed) => self.tombstones = self.tombstones.saturating_sub(1),
            None => {}
        }
        match after {
            Content::Value(value) => {
                self.records += 1;
                self.bytes += record_bytes(key, value);
            }
            Content::Removed => self.tombstones += 1,
        }
    }
}

/// What happens when two devices changed the same record without knowing of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Nothing of the later patch is applied; its device resolves.
    #[default]
    Reject,
    /// The later patch wins.
    LastWriterWins,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// The newest version of it by another device that the one that wrote it last had not seen, as far as its bases tell; 0 if there is none.
    pub others_version: u64,
}

impl Stored {
    /// The newest version that somebody else than this device wrote.
    fn version_by_others(&self, device: &DeviceId) -> u64 {
        if self.record.device == *device { self.others_version } else { self.record.version }
    }
}

/// Who writes, when, and under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The writing device.
    pub device: &'a DeviceId,
    /// Now, in milliseconds since 1970 (UTC).
    pub now_ms: u64,
    /// The dataset's policy.
    pub policy: Policy,
    /// The pool's bounds.
    pub limits: &'a Limits,
}

/// Who removed a record whose tombstone is gone.
const NOBODY_KNOWN: &str = "~removed";

/// What becomes of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is applied.
    Applied(Applied),
    /// It met changes of another device; here are the current records.
    Conflict(Vec<Record>),
    /// It cannot be applied.
    Refused(RefusalCode, String),
}

/// A patch that is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The dataset after it.
    pub head: Head,
    /// The new state of each touched record, in the order in which the patch first names them.
    pub records: Vec<Stored>,
    /// Which of `records` the writer cannot know, by index: results of add, merge, insert and discard.
    pub computed: Vec<usize>,
    /// Records of another device that it overruled: conflicts that the policy let pass.
    pub overruled: Vec<Record>,
}

/// Decides a patch. `current` holds the stored record of each change's key, in the order of the changes; of a key that stands several
/// times only the first needs it. Values that are put go into the records as they are: they can be large.
pub fn merge(head: Head, current: &[Option<&Stored>], changes: Vec<Change>, terms: Terms<'_>) -> Outcome {
    if changes.is_empty() || changes.len() > terms.limits.changes_per_patch {
        let message = format!("a patch has 1 to {} changes, this one has {}", terms.limits.changes_per_patch, changes.len());
        return Outcome::Refused(RefusalCode::TooManyChanges, message);
    }
    let room = changes.len();
    let mut draft = Draft {
        terms,
        horizon: head.horizon,
        slots: Vec::with_capacity(room),
        by_key: HashMap::with_capacity(room),
        met: Met::default(),
        work_bytes: 0,
    };
    for (change, &current) in changes.into_iter().zip(current) {
        if let Err(Refusal(code, message)) = draft.apply(change, current) {
            return Outcome::Refused(code, message);
        }
    }
    if !draft.met.records.is_empty() && terms.policy == Policy::Reject {
        return Outcome::Conflict(draft.met.records);
    }
    draft.finish(head)
}

/// The records that a patch is in conflict with. An answer must fit a message: the first record always does, of the others those that have
/// room; who resolves these and writes again is told of the rest.
#[derive(Debug, Default)]
pub struct Met {
    /// The records.
    pub records: Vec<Record>,
    bytes: usize,
}

impl Met {
    /// Adds a record, if there is room.
    pub fn add(&mut self, record: &Record) {
        let bytes = record.content.value().map_or(0, Value::packed_bytes);
        if self.records.is_empty() || self.bytes + bytes <= ANSWER_BYTES {
            self.records.push(record.clone());
        }
        self.bytes += bytes;
    }
}

struct Refusal(RefusalCode, String);

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Refusal {
        Refusal(RefusalCode::BadName, error.to_string())
    }
}

/// One record that the patch names.
struct Slot<'a> {
    key: Key,
    stored: Option<&'a Stored>,
    /// The state that the patch gives it; `None` as long as it leaves it alone.
    next: Option<Content>,
    computed: bool,
    /// A base told that the device has seen what others wrote.
    seen: bool,
}

impl Slot<'_> {
    fn value(&self) -> Option<&Value> {
        self.next.as_ref().or(self.stored.map(|stored| &stored.record.content)).and_then(Content::value)
    }
}

struct Draft<'a> {
    terms: Terms<'a>,
    horizon: u64,
    slots: Vec<Slot<'a>>,
    by_key: HashMap<Key, usize>,
    met: Met,
    work_bytes: usize,
}

impl<'a> Draft<'a> {
    fn apply(&mut self, change: Change, stored: Option<&'a Stored>) -> Result<(), Refusal> {
        check_shape(&change, self.terms.limits)?;
        let at = match self.by_key.entry(change.key.clone()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.slots.push(Slot { key: change.key.clone(), stored, next: None, computed: false, seen: false });
                *entry.insert(self.slots.len() - 1)
            }
        };
        // What this very patch did to the record is the device's own write.
        if self.slots[at].next.is_none() {
            match self.slots[at].stored {
                Some(stored) if conflicts(&change, stored, self.terms.device) => self.met.add(&stored.record),
                None if is_behind(&change, self.horizon) => self.met.add(&forgotten(&change.key, self.horizon)?),
                _ => {}
            }
        }
        let slot = &mut self.slots[at];
        let others_version = slot.stored.map_or(0, |stored| stored.version_by_others(self.terms.device));
        slot.seen |= change.base.is_some_and(|base| base >= others_version);
        match (change.op, change.value) {
            (Op::Put, Some(value)) => {
                slot.next = Some(Content::Value(value));
                slot.computed = false;
            }
            (Op::Remove, _) => {
                // A base says that the device knew the record: that it is gone is worth remembering even where it never was.
                let unknown = slot.stored.is_none() && slot.next.is_none() && change.base.is_some();
                if slot.value().is_some() || unknown {
                    slot.next = Some(Content::Removed);
                    slot.computed = false;
                }
            }
            (op, Some(operand)) => {
                self.work_bytes += slot.value().map_or(0, Value::packed_bytes);
                if self.work_bytes > WORK_BYTES {
                    let message = format!("the operations of this patch compute on over {WORK_BYTES} bytes: split it");
                    return Err(Refusal(RefusalCode::TooLarge, message));
                }
                let result = compute(op, slot.value(), operand).map_err(|why| wrong_type(&change.key, why))?;
                if let Some(value) = result {
                    if slot.value().is_none_or(|before| value.packed_bytes() >= before.packed_bytes()) {
                        check_size(&change.key, &value, self.terms.limits)?;
                    }
                    slot.next = Some(Content::Value(value));
                    slot.computed = true;
                }
            }
            (_, None) => return Err(Refusal(RefusalCode::BadRequest, format!("the change of {} needs a value", shown(&change.key)))),
        }
        Ok(())
    }

    fn finish(self, old: Head) -> Outcome {
        let Terms { device, now_ms, limits, .. } = self.terms;
        let mut head = Head { version: old.version + 1, ..old };
        let mut records: Vec<Stored> = Vec::with_capacity(self.slots.len());
        let mut computed = Vec::new();
        for slot in self.slots {
            let Some(content) = slot.next else { continue };
            head.replace(&slot.key, slot.stored.map(|stored| &stored.record.content), &content);
            if slot.computed {
                computed.push(records.len());
            }
            let others_version = slot.stored.filter(|_| !slot.seen).map_or(0, |stored| stored.version_by_others(device));
            let record = Record { key: slot.key, content, version: head.version, modified_ms: now_ms, device: device.clone() };
            records.push(Stored { record, others_version });
        }
        let answer_bytes: usize =
            computed.iter().filter_map(|&at: &usize| records[at].record.content.value()).map(Value::packed_bytes).sum();
        if computed.len() > 1 && answer_bytes > ANSWER_BYTES {
            let message = format!("the results of this patch have {answer_bytes} bytes, {ANSWER_BYTES} fit an answer: split it");
            return Outcome::Refused(RefusalCode::TooLarge, message);
        }
        if head.records > limits.records && head.records > old.records {
            let message = format!("the dataset would hold {} records, its pool allows {}", head.records, limits.records);
            return Outcome::Refused(RefusalCode::TooManyRecords, message);
        }
        if head.bytes > limits.dataset_bytes && head.bytes > old.bytes {
            let message = format!("the dataset would hold {} bytes, its pool allows {}", head.bytes, limits.dataset_bytes);
            return Outcome::Refused(RefusalCode::DatasetFull, message);
        }
        Outcome::Applied(Applied { head, records, computed, overruled: self.met.records })
    }
}

/// The bytes that a live record counts.
fn record_bytes(key: &Key, value: &Value) -> u64 {
    (key.as_str().len() + value.packed_bytes()) as u64
}

fn check_shape(change: &Change, limits: &Limits) -> Result<(), Refusal> {
    // A bound that was lowered does not keep what is there from going.
    if change.op != Op::Remove && change.key.as_str().len() > limits.key_bytes {
        return Err(Refusal(RefusalCode::TooLarge, format!("the key {} is longer than {} bytes", shown(&change.key), limits.key_bytes)));
    }
    if change.base.is_some() && !matches!(change.op, Op::Put | Op::Remove) {
        return Err(Refusal(RefusalCode::BadRequest, format!("only put and remove have a base, see {}", shown(&change.key))));
    }
    match &change.value {
        Some(_) if change.op == Op::Remove => {
            Err(Refusal(RefusalCode::BadRequest, format!("remove has no value, see {}", shown(&change.key))))
        }
        Some(value) => check_size(&change.key, value, limits),
        None => Ok(()),
    }
}

fn check_size(key: &Key, value: &Value, limits: &Limits) -> Result<(), Refusal> {
    let bytes = value.packed_bytes();
    if bytes <= limits.value_bytes {
        if value.fits_json() {
            return Ok(());
        }
        let most = protocol_limits::VALUE_JSON_BYTES;
        return Err(Refusal(RefusalCode::TooLarge, format!("the value of {} is over {most} bytes as JSON", shown(key))));
    }
    Err(Refusal(RefusalCode::TooLarge, format!("the value of {} has {bytes} bytes, its pool allows {}", shown(key), limits.value_bytes)))
}

fn wrong_type(key: &Key, why: &str) -> Refusal {
    Refusal(RefusalCode::WrongType, format!("{}: {why}", shown(key)))
}

/// A key in a message for people: quoted, and cut.
fn shown(key: &Key) -> String {
    format!("{:?}", key.as_str().chars().take(64).collect::<String>())
}

fn conflicts(change: &Change, stored: &Stored, device: &DeviceId) -> bool {
    let Some(base) = change.base else { return false };
    stored.version_by_others(device) > base && stored.record.content.value() != change.value.as_ref()
}

/// Whether a change rests on a record that is gone without a trace: it was removed after the base, by whom is not known any more.
fn is_behind(change: &Change, horizon: u64) -> bool {
    change.op == Op::Put && change.base.is_some_and(|base| base > 0 && base < horizon)
}

/// What is left to say of a record whose tombstone is gone. Its version is the horizon: who writes again with that as base is past it.
pub fn forgotten(key: &Key, horizon: u64) -> Result<Record, NameError> {
    let device = DeviceId::new(NOBODY_KNOWN)?;
    Ok(Record { key: key.clone(), content: Content::Removed, version: horizon, modified_ms: 0, device })
}

/// The record's new value, or `None` if the operation leaves the record alone.
fn compute(op: Op, current: Option<&Value>, operand: Value) -> Result<Option<Value>, &'static str> {
    match op {
        Op::Add => add(current, operand).map(Some),
        Op::Merge => Ok(Some(merge_patch(current.cloned().unwrap_or(Value::Null), operand))),
        Op::Insert => insert(current, operand).map(Some),
        Op::Discard => discard(current, operand),
        Op::Put | Op::Remove => Ok(None),
    }
}

fn add(current: Option<&Value>, operand: Value) -> Result<Value, &'static str> {
    let Value::Number(operand) = operand else { return Err("add takes a number") };
    let current = match current {
        None => Number::Int(0),
        Some(Value::Number(number)) => *number,
        Some(_) => return Err("add needs a record that is a number"),
    };
    current.sum(operand).map(Value::Number).ok_or("the sum is not finite")
}

/// JSON merge patch, RFC 7396 §2.
fn merge_patch(target: Value, patch: Value) -> Value {
    let Value::Map(patch) = patch else { return patch };
    let mut members = if let Value::Map(members) = target { members } else { Default::default() };
    for (name, value) in patch {
        if value == Value::Null {
            members.remove(&name);
        } else {
            let old = members.remove(&name).unwrap_or(Value::Null);
            members.insert(name, merge_patch(old, value));
        }
    }
    Value::Map(members)
}

fn insert(current: Option<&Value>, operand: Value) -> Result<Value, &'static str> {
    let Value::List(elements) = operand else { return Err("insert takes a list of elements") };
    let mut set = match current {
        None => Vec::new(),
        Some(Value::List(set)) => set.clone(),
        Some(_) => return Err("insert needs a record that is a list"),
    };
    let known: HashSet<&Value> = set.iter().collect();
    let mut seen = HashSet::new();
    let new: Vec<bool> = elements.iter().map(|element| !known.contains(element) && seen.insert(element)).collect();
    set.extend(elements.into_iter().zip(new).filter_map(|(element, new)| new.then_some(element)));
    Ok(Value::List(set))
}

fn discard(current: Option<&Value>, operand: Value) -> Result<Option<Value>, &'static str> {
    let Value::List(elements) = operand else { return Err("discard takes a list of elements") };
    match current {
        None => Ok(None),
        Some(Value::List(set)) => {
            let unwanted: HashSet<&Value> = elements.iter().collect();
            Ok(Some(Value::List(set.iter().filter(|element| !unwanted.contains(element)).cloned().collect())))
        }
        Some(_) => Err("discard needs a record that is a list"),
    }
}

#[cfg(test)]
mod tests;
