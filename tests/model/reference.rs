//! The store's expected behaviour: each dataset is the list of its accepted patches, and every answer is computed from the whole list.
//! It shares no code with `src/merge.rs`.

use std::collections::BTreeMap;

use driftless_protocol::{Change, DeviceId, Epoch, Key, Number, Op, Position, Record, RefusalCode, Value, ValueRef, limits};

use crate::script::{DATASETS, MONTH, PERSONS};

/// The pool's limits in this test: small, so that scripts reach them.
pub const RECORDS: usize = 6;
pub const DATASET_BYTES: usize = 150_000;

/// A patch with its number, as a device sends it. `dataset` is an index of `DATASETS`.
#[derive(Clone, Debug)]
pub struct ScriptPatch {
    pub id: u64,
    pub dataset: usize,
    pub changes: Vec<Change>,
    pub offer: bool,
}

/// A record without its time: key, value (`None` for a tombstone), version, device.
pub type RecordState = (Key, Option<Value>, u64, DeviceId);

pub fn record_state(record: &Record) -> RecordState {
    (record.key.clone(), record.content.value().cloned(), record.version, record.device.clone())
}

/// The answer to a patch.
#[derive(Debug, PartialEq)]
pub enum PatchAnswer {
    Written { version: u64, results: Vec<RecordState> },
    Conflict(Vec<RecordState>),
    Refused(RefusalCode),
}

#[derive(Clone)]
struct LoggedPatch {
    device: DeviceId,
    changes: Vec<Change>,
    offer: bool,
    day: u64,
}

/// The decision about a patch, from which later answers to the same patch are made, too.
#[derive(Clone)]
enum ReferenceVerdict {
    Written {
        version: u64,
    },
    /// The keys in conflict.
    Conflict(Vec<Key>),
    Refused(RefusalCode),
}

/// A decided patch. Its number is never decided again.
#[derive(Clone)]
struct DecidedPatch {
    dataset: usize,
    changes: Vec<Change>,
    verdict: ReferenceVerdict,
}

/// One write of one record.
struct RecordWrite {
    version: u64,
    device: DeviceId,
    /// The newest base that the patch named for this record.
    base: Option<u64>,
    value: Option<Value>,
    /// Whether the server computed the value, so that its answer must contain it.
    computed: bool,
}

/// All writes to each key, oldest first.
type WriteHistory = BTreeMap<Key, Vec<RecordWrite>>;

/// A dataset: its accepted patches and what was reaped of them.
#[derive(Clone, Default)]
pub struct ReferenceDataset {
    log: Vec<LoggedPatch>,
    /// Reaped tombstones: after how many patches, and up to which version.
    reaped: Vec<(usize, u64)>,
    /// The highest version that each device has acknowledged.
    acknowledged: BTreeMap<DeviceId, u64>,
    last_writer_wins: bool,
}

/// All datasets of all persons. A copy is a backup.
#[derive(Clone)]
pub struct Reference {
    datasets: [[ReferenceDataset; DATASETS.len()]; PERSONS.len()],
    /// Decided patches of each device, by their numbers.
    decided: [BTreeMap<DeviceId, BTreeMap<u64, DecidedPatch>>; PERSONS.len()],
    /// Epochs before the present one, each with the versions up to which its history is the present one's.
    former_epochs: Vec<(Epoch, [[u64; DATASETS.len()]; PERSONS.len()])>,
    /// Days since the start of the run.
    pub day: u64,
}

/// How the answer to an `open` starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamStart {
    /// With all live records.
    Snapshot,
    /// With the changes after this version.
    After(u64),
    /// With all live records, after the device has dropped its own.
    Reset { shared: Option<u64> },
}

impl Reference {
    pub fn new() -> Reference {
        let dataset = |at: usize| ReferenceDataset { last_writer_wins: DATASETS[at] == "last-writer-wins", ..ReferenceDataset::default() };
        let datasets = std::array::from_fn(|_| std::array::from_fn(dataset));
        Reference { datasets, decided: Default::default(), former_epochs: Vec::new(), day: 0 }
    }

    /// A store restored from this backup, which was taken in `epoch`.
    pub fn restored(&self, epoch: Epoch) -> Reference {
        let versions = std::array::from_fn(|person| std::array::from_fn(|dataset| self.datasets[person][dataset].version()));
        let former_epochs = self.former_epochs.iter().cloned().chain([(epoch, versions)]).collect();
        Reference { former_epochs, ..self.clone() }
    }

    /// How the answer to a device at this position starts; `epoch` is the present one.
    pub fn stream_start(&self, person: usize, dataset: usize, epoch: Option<&Epoch>, position: Option<&Position>) -> StreamStart {
        match position {
            None => StreamStart::Snapshot,
            Some(position) if Some(&position.epoch) != epoch => {
                let since = self.former_epochs.iter().skip_while(|(former, _)| *former != position.epoch);
                StreamStart::Reset { shared: since.map(|(_, versions)| versions[person][dataset]).min() }
            }
            Some(position) => match self.datasets[person][dataset].horizon() {
                horizon if position.version >= horizon => StreamStart::After(position.version),
                _ => StreamStart::Reset { shared: None },
            },
        }
    }

    /// A device acknowledges a version.
    pub fn acknowledge(&mut self, person: usize, device: &DeviceId, dataset: usize, version: u64) {
        let known = self.datasets[person][dataset].acknowledged.entry(device.clone()).or_insert(0);
        *known = version.max(*known);
    }

    /// Advances the clock and reaps tombstones. Returns how many were reaped.
    pub fn reap(&mut self, days: u64) -> usize {
        self.day += days;
        self.datasets.iter_mut().flatten().map(|dataset| dataset.reap(self.day)).sum()
    }

    pub fn dataset(&self, person: usize, dataset: usize) -> &ReferenceDataset {
        &self.datasets[person][dataset]
    }

    /// The highest number of a device's decided patches; 0 if it has none.
    pub fn newest_patch(&self, person: usize, device: &DeviceId) -> u64 {
        self.decided[person].get(device).and_then(|decided| decided.keys().max()).copied().unwrap_or(0)
    }

    /// Decides a patch unless it was decided before, and returns its answer.
    pub fn write(&mut self, person: usize, device: &DeviceId, sent: &ScriptPatch) -> PatchAnswer {
        let ScriptPatch { id, dataset: at, changes, offer } = sent.clone();
        let decided = self.decided[person].entry(device.clone()).or_default();
        let dataset = &mut self.datasets[person][at];
        if decided.keys().any(|other| *other > id && other % limits::PATCH_WINDOW == id % limits::PATCH_WINDOW) {
            return PatchAnswer::Refused(RefusalCode::PatchExpired);
        }
        let verdict = match decided.get(&id) {
            Some(known) if known.dataset != at || known.changes != changes => return PatchAnswer::Refused(RefusalCode::PatchReused),
            Some(known) => known.verdict.clone(),
            None => {
                let verdict = dataset.decide(LoggedPatch { device: device.clone(), changes: changes.clone(), offer, day: self.day });
                decided.insert(id, DecidedPatch { dataset: at, changes, verdict: verdict.clone() });
                verdict
            }
        };
        dataset.answer(verdict)
    }
}

impl ReferenceDataset {
    pub fn version(&self) -> u64 {
        self.log.len() as u64
    }

    /// The present state of each record that changed after a version, in the order of the versions.
    pub fn after(&self, version: u64) -> Vec<RecordState> {
        let last =
            |(key, writes): (Key, Vec<RecordWrite>)| writes.into_iter().last().map(|write| (key, write.value, write.version, write.device));
        let mut all: Vec<RecordState> =
            self.history(self.log.len()).into_iter().filter_map(last).filter(|record| record.2 > version).collect();
        all.sort_by_key(|record| record.2);
        all
    }

    /// The tombstone horizon: the version of the last reaped tombstone; 0 if there is none.
    fn horizon(&self) -> u64 {
        self.reaped.last().map_or(0, |(_, horizon)| *horizon)
    }

    /// Reaps tombstones in the order of their versions: those that have expired, those that every device has acknowledged, and those
    /// beyond the limit of records.
    fn reap(&mut self, day: u64) -> usize {
        let tombstones: Vec<u64> = self.after(0).iter().filter(|record| record.1.is_none()).map(|record| record.2).collect();
        let acknowledged_by_all = self.acknowledged.values().min().copied().unwrap_or(0);
        let is_old = |version: u64| day - self.log[version as usize - 1].day >= MONTH - 1;
        let may_go = |(at, version): (usize, &u64)| is_old(*version) || *version <= acknowledged_by_all || at + RECORDS < tombstones.len();
        let count = tombstones.iter().enumerate().filter(|one| may_go(*one)).map(|(at, _)| at + 1).max().unwrap_or(0);
        self.reaped.extend(tombstones[..count].last().map(|version| (self.log.len(), *version)));
        count
    }

    /// The live records.
    pub fn live(&self) -> Vec<RecordState> {
        self.after(0).into_iter().filter(|record| record.1.is_some()).collect()
    }

    /// The answer that follows from a decision: the results of its version, or the present state of the records in conflict.
    fn answer(&self, verdict: ReferenceVerdict) -> PatchAnswer {
        match verdict {
            ReferenceVerdict::Written { version } => PatchAnswer::Written { version, results: self.results(version as usize) },
            ReferenceVerdict::Conflict(keys) => {
                let reaped = |key: &Key| (key.clone(), None, self.horizon(), DeviceId::new("~removed").unwrap());
                let known = self.after(0);
                let current = |key: &Key| known.iter().find(|record| record.0 == *key).cloned().unwrap_or_else(|| reaped(key));
                PatchAnswer::Conflict(keys.iter().map(current).collect())
            }
            ReferenceVerdict::Refused(code) => PatchAnswer::Refused(code),
        }
    }

    fn decide(&mut self, patch: LoggedPatch) -> ReferenceVerdict {
        let (history, before) = (self.history(self.log.len()), self.live());
        let conflicting = match apply(&history, &patch, self.version() + 1, self.horizon()) {
            Ok((_, conflicting)) => conflicting,
            Err(code) => return ReferenceVerdict::Refused(code),
        };
        // A record offered again never wins.
        if !conflicting.is_empty() && (!self.last_writer_wins || patch.offer) {
            return ReferenceVerdict::Conflict(conflicting);
        }
        self.log.push(patch);
        let after = self.live();
        let over = |count: fn(&[RecordState]) -> usize, limit: usize| count(&after) > limit && count(&after) > count(&before);
        let refused = match () {
            () if over(|records| records.len(), RECORDS) => RefusalCode::TooManyRecords,
            () if over(bytes, DATASET_BYTES) => RefusalCode::DatasetFull,
            () => return ReferenceVerdict::Written { version: self.version() },
        };
        self.log.pop();
        ReferenceVerdict::Refused(refused)
    }

    /// The computed records of a version, which its answer must contain.
    fn results(&self, version: usize) -> Vec<RecordState> {
        let last = |(key, mut writes): (Key, Vec<RecordWrite>)| {
            let write = writes.pop().filter(|write| write.version == version as u64 && write.computed)?;
            Some((key, write.value, write.version, write.device))
        };
        self.history(version).into_iter().filter_map(last).collect()
    }

    /// Replays the first patches of the list, and the reaping between them.
    fn history(&self, patches: usize) -> WriteHistory {
        let mut history = WriteHistory::new();
        for at in 0..=patches {
            for (_, horizon) in self.reaped.iter().filter(|(after, _)| *after == at) {
                history.retain(|_, writes| writes.last().is_some_and(|last| last.value.is_some() || last.version > *horizon));
            }
            let Some(patch) = self.log[..patches].get(at) else { break };
            let (writes, _) = apply(&history, patch, at as u64 + 1, 0).expect("it was accepted");
            writes.into_iter().for_each(|(key, write)| history.entry(key).or_default().push(write));
        }
        history
    }
}

impl PatchAnswer {
    /// The answer with its records sorted by key, because their order is not specified.
    pub fn by_key(mut self) -> PatchAnswer {
        if let PatchAnswer::Written { results: records, .. } | PatchAnswer::Conflict(records) = &mut self {
            records.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self
    }
}

/// Bytes of all keys and values.
pub fn bytes(records: &[RecordState]) -> usize {
    records.iter().map(|(key, value, ..)| key.as_str().len() + value.as_ref().map_or(0, Value::packed_bytes)).sum()
}

/// The writes of a patch, and the keys on which it conflicts.
fn apply(
    history: &WriteHistory,
    patch: &LoggedPatch,
    version: u64,
    horizon: u64,
) -> Result<(BTreeMap<Key, RecordWrite>, Vec<Key>), RefusalCode> {
    let (mut writes, mut conflicting) = (BTreeMap::<Key, RecordWrite>::new(), Vec::new());
    for change in &patch.changes {
        let before = history.get(&change.key).map_or(&[][..], Vec::as_slice);
        let own = writes.get(&change.key);
        let current = own.or(before.last()).and_then(|write| write.value.clone());
        // The base names a record of which not even a tombstone is left: it was removed, at or before the horizon.
        let is_reaped = before.is_empty() && change.op == Op::Put && change.base.is_some_and(|base| base > 0 && base < horizon);
        if own.is_none() && (is_reaped || conflicts(before, change, &patch.device)) {
            conflicting.push(change.key.clone());
        }
        let (value, computed) = match (change.op, change.value.as_ref().map(Value::view), &current) {
            (Op::Put, ..) => (change.value.clone(), false),
            // A base says that the device had the record: its removal writes a tombstone even where no record is.
            (Op::Remove, _, None) if change.base.is_some() && before.is_empty() && own.is_none() => (None, false),
            (Op::Remove, _, None) | (Op::Discard, Some(ValueRef::List(_)), None) => continue,
            (Op::Remove, _, Some(_)) => (None, false),
            (op, _, current) => (Some(compute(op, current.as_ref(), change.value.as_ref())?), true),
        };
        // The newest base of all the patch's changes to this record counts, also of those that changed nothing.
        let base = patch.changes.iter().filter(|other| other.key == change.key).filter_map(|other| other.base).max();
        writes.insert(change.key.clone(), RecordWrite { version, device: patch.device.clone(), base, value, computed });
    }
    Ok((writes, conflicting))
}

/// Whether a change conflicts: another device wrote after the base, this device has not since written with a base that includes that
/// write, and the record does not already have the change's value.
fn conflicts(before: &[RecordWrite], change: &Change, device: &DeviceId) -> bool {
    let (Some(base), Some(last)) = (change.base, before.last()) else { return false };
    let theirs = before.iter().filter(|write| write.device != *device).map(|write| write.version).max().unwrap_or(0);
    let includes_theirs =
        |write: &RecordWrite| write.device == *device && write.version > theirs && write.base.is_some_and(|base| base >= theirs);
    theirs > base && !before.iter().any(includes_theirs) && last.value != change.value
}

fn compute(op: Op, current: Option<&Value>, operand: Option<&Value>) -> Result<Value, RefusalCode> {
    match (op, current.map(Value::view), operand.map(Value::view)) {
        (Op::Add, None, Some(ValueRef::Number(_))) => Ok(operand.cloned().unwrap_or(Value::null())),
        (Op::Add, Some(ValueRef::Number(a)), Some(ValueRef::Number(b))) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(Value::from(a + b)),
            _ => Number::from_f64(a.as_f64() + b.as_f64()).map(Value::from).ok_or(RefusalCode::WrongType),
        },
        (Op::Merge, ..) => operand.map(|patch| merged(current, patch)).ok_or(RefusalCode::WrongType),
        (Op::Insert, None | Some(ValueRef::List(_)), Some(ValueRef::List(_))) => {
            let mut list = elements(current);
            elements(operand).into_iter().for_each(|one| {
                if !list.contains(&one) {
                    list.push(one)
                }
            });
            Ok(Value::from(list))
        }
        (Op::Discard, Some(ValueRef::List(_)), Some(ValueRef::List(_))) => {
            let discarded = elements(operand);
            Ok(Value::from(elements(current).into_iter().filter(|one| !discarded.contains(one)).collect::<Vec<_>>()))
        }
        _ => Err(RefusalCode::WrongType),
    }
}

fn elements(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::items).into_iter().flatten().map(Value::from).collect()
}

fn members(value: &Value) -> Option<BTreeMap<String, Value>> {
    Some(value.members()?.map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

/// RFC 7396: maps are merged member by member, null removes a member, any other value replaces the current one.
fn merged(current: Option<&Value>, patch: &Value) -> Value {
    let Some(changes) = members(patch) else { return patch.clone() };
    let mut result = current.and_then(members).unwrap_or_default();
    for (name, value) in changes {
        match (result.remove(&name), value) {
            (_, null) if null == Value::null() => {}
            (old, value) => drop(result.insert(name, merged(old.as_ref(), &value))),
        }
    }
    Value::from(result)
}
