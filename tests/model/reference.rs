//! The store as it should be: for each dataset the list of accepted patches, and nothing else. Whatever is asked is worked out from
//! the whole list again. Nothing here is shared with `src/merge.rs`.

use std::collections::BTreeMap;

use driftless_protocol::{Change, DeviceId, Epoch, Key, Number, Op, Position, Record, RefusalCode, Value, limits};

use crate::device::Sent;
use crate::script::{DATASETS, MONTH, PERSONS};

/// The pool's bounds in this test: small, so that scripts meet them.
pub const RECORDS: usize = 6;
pub const DATASET_BYTES: usize = 150_000;

/// A record without its time: key, value (none: a tombstone), version, device.
pub type Seen = (Key, Option<Value>, u64, DeviceId);

pub fn seen(record: &Record) -> Seen {
    (record.key.clone(), record.content.value().cloned(), record.version, record.device.clone())
}

/// The answer that a patch must get; its records by key.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Written { version: u64, results: Vec<Seen> },
    Conflict(Vec<Seen>),
    Refused(RefusalCode),
}

#[derive(Clone)]
struct Accepted {
    device: DeviceId,
    changes: Vec<Change>,
    offer: bool,
    day: u64,
}

/// What the first answer to a patch was.
#[derive(Clone)]
enum Verdict {
    Written {
        version: u64,
    },
    /// It met these keys.
    Conflict(Vec<Key>),
    Refused(RefusalCode),
}

/// A patch that was decided: under its number it stays so.
#[derive(Clone)]
struct Decided {
    dataset: usize,
    changes: Vec<Change>,
    verdict: Verdict,
}

/// One write of one record.
struct Write {
    version: u64,
    device: DeviceId,
    /// The newest base that the patch named for this record.
    base: Option<u64>,
    value: Option<Value>,
    /// The writer must be told the value.
    computed: bool,
}

/// Everything that was ever written to each key, oldest first.
type History = BTreeMap<Key, Vec<Write>>;

/// One dataset.
#[derive(Clone, Default)]
pub struct Dataset {
    log: Vec<Accepted>,
    /// Tombstones that went: after how many patches, and up to which version.
    reaped: Vec<(usize, u64)>,
    /// What devices have acknowledged.
    acknowledged: BTreeMap<DeviceId, u64>,
    last_writer_wins: bool,
}

/// All datasets of all persons. A copy is a backup.
#[derive(Clone)]
pub struct Reference {
    datasets: [[Dataset; DATASETS.len()]; PERSONS.len()],
    /// What became of the patches of each device, by their numbers.
    decided: [BTreeMap<DeviceId, BTreeMap<u64, Decided>>; PERSONS.len()],
    /// The histories that this one comes from, each with the versions up to which it is this one.
    before: Vec<(Epoch, [[u64; DATASETS.len()]; PERSONS.len()])>,
    /// Days that have passed.
    pub day: u64,
}

/// How the answer to an `open` begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    /// With what lives.
    Fresh,
    /// With what changed after this version.
    After(u64),
    /// With what lives, and the device forgets what it had.
    Reset { shared: Option<u64> },
}

impl Reference {
    pub fn new() -> Reference {
        let dataset = |at: usize| Dataset { last_writer_wins: DATASETS[at] == "last-writer-wins", ..Dataset::default() };
        let datasets = std::array::from_fn(|_| std::array::from_fn(dataset));
        Reference { datasets, decided: Default::default(), before: Vec::new(), day: 0 }
    }

    /// A store that is made of this backup, which was taken in an epoch that is over now.
    pub fn restored(&self, epoch: Epoch) -> Reference {
        let versions = std::array::from_fn(|person| std::array::from_fn(|dataset| self.datasets[person][dataset].version()));
        let before = self.before.iter().cloned().chain([(epoch, versions)]).collect();
        Reference { before, ..self.clone() }
    }

    /// What a device at a position gets; `epoch` is the present one.
    pub fn begins(&self, person: usize, dataset: usize, epoch: Option<&Epoch>, position: Option<&Position>) -> Begin {
        match position {
            None => Begin::Fresh,
            Some(position) if Some(&position.epoch) != epoch => {
                let lost = self.before.iter().skip_while(|(before, _)| *before != position.epoch);
                Begin::Reset { shared: lost.map(|(_, versions)| versions[person][dataset]).min() }
            }
            Some(position) => match self.datasets[person][dataset].horizon() {
                horizon if position.version >= horizon => Begin::After(position.version),
                _ => Begin::Reset { shared: None },
            },
        }
    }

    /// A device has everything up to a version.
    pub fn acknowledge(&mut self, person: usize, device: &DeviceId, dataset: usize, version: u64) {
        let known = self.datasets[person][dataset].acknowledged.entry(device.clone()).or_insert(0);
        *known = version.max(*known);
    }

    /// Days pass. Returns how many tombstones go.
    pub fn reap(&mut self, days: u64) -> usize {
        self.day += days;
        self.datasets.iter_mut().flatten().map(|dataset| dataset.reap(self.day)).sum()
    }

    pub fn dataset(&self, person: usize, dataset: usize) -> &Dataset {
        &self.datasets[person][dataset]
    }

    /// The highest number of a device's patches that were decided.
    pub fn newest_patch(&self, person: usize, device: &DeviceId) -> u64 {
        self.decided[person].get(device).and_then(|decided| decided.keys().max()).copied().unwrap_or(0)
    }

    /// Decides a patch, once; an accepted one is added to the list.
    pub fn write(&mut self, person: usize, device: &DeviceId, sent: &Sent) -> Answer {
        let Sent { id, dataset: at, changes, offer } = sent.clone();
        let decided = self.decided[person].entry(device.clone()).or_default();
        let dataset = &mut self.datasets[person][at];
        if decided.keys().any(|other| *other > id && other % limits::PATCH_WINDOW == id % limits::PATCH_WINDOW) {
            return Answer::Refused(RefusalCode::PatchExpired);
        }
        let verdict = match decided.get(&id) {
            Some(known) if known.dataset != at || known.changes != changes => return Answer::Refused(RefusalCode::PatchReused),
            Some(known) => known.verdict.clone(),
            None => {
                let verdict = dataset.decide(Accepted { device: device.clone(), changes: changes.clone(), offer, day: self.day });
                decided.insert(id, Decided { dataset: at, changes, verdict: verdict.clone() });
                verdict
            }
        };
        dataset.answer(verdict)
    }
}

impl Dataset {
    pub fn version(&self) -> u64 {
        self.log.len() as u64
    }

    /// The latest state of each record that changed after a version, in the order of the versions.
    pub fn after(&self, version: u64) -> Vec<Seen> {
        let last =
            |(key, writes): (Key, Vec<Write>)| writes.into_iter().last().map(|write| (key, write.value, write.version, write.device));
        let mut all: Vec<Seen> = self.history(self.log.len()).into_iter().filter_map(last).filter(|seen| seen.2 > version).collect();
        all.sort_by_key(|seen| seen.2);
        all
    }

    /// The version of the last tombstone that went; 0 if none did.
    fn horizon(&self) -> u64 {
        self.reaped.last().map_or(0, |(_, horizon)| *horizon)
    }

    /// Tombstones go in the order of their versions: the old ones, those that nobody needs, and those that are more than records may be.
    fn reap(&mut self, day: u64) -> usize {
        let tombstones: Vec<u64> = self.after(0).iter().filter(|seen| seen.1.is_none()).map(|seen| seen.2).collect();
        let needed = self.acknowledged.values().min().copied().unwrap_or(0);
        let is_old = |version: u64| day - self.log[version as usize - 1].day >= MONTH - 1;
        let may_go = |(at, version): (usize, &u64)| is_old(*version) || *version <= needed || at + RECORDS < tombstones.len();
        let count = tombstones.iter().enumerate().filter(|one| may_go(*one)).map(|(at, _)| at + 1).max().unwrap_or(0);
        self.reaped.extend(tombstones[..count].last().map(|version| (self.log.len(), *version)));
        count
    }

    /// The records that live.
    pub fn live(&self) -> Vec<Seen> {
        self.after(0).into_iter().filter(|seen| seen.1.is_some()).collect()
    }

    /// What the device is told: the first results, or the records that it met as they are by now.
    fn answer(&self, verdict: Verdict) -> Answer {
        match verdict {
            Verdict::Written { version } => Answer::Written { version, results: self.results(version as usize) },
            Verdict::Conflict(keys) => {
                let forgotten = |key: &Key| (key.clone(), None, self.horizon(), DeviceId::new("~removed").unwrap());
                let known = self.after(0);
                let current = |key: &Key| known.iter().find(|seen| seen.0 == *key).cloned().unwrap_or_else(|| forgotten(key));
                Answer::Conflict(keys.iter().map(current).collect())
            }
            Verdict::Refused(code) => Answer::Refused(code),
        }
    }

    fn decide(&mut self, patch: Accepted) -> Verdict {
        let (history, before) = (self.history(self.log.len()), self.live());
        let met = match apply(&history, &patch, self.version() + 1, self.horizon()) {
            Ok((_, met)) => met,
            Err(code) => return Verdict::Refused(code),
        };
        // What is offered again is never the last word.
        if !met.is_empty() && (!self.last_writer_wins || patch.offer) {
            return Verdict::Conflict(met);
        }
        self.log.push(patch);
        let after = self.live();
        let over = |count: fn(&[Seen]) -> usize, most: usize| count(&after) > most && count(&after) > count(&before);
        let refused = match () {
            () if over(|records| records.len(), RECORDS) => RefusalCode::TooManyRecords,
            () if over(bytes, DATASET_BYTES) => RefusalCode::DatasetFull,
            () => return Verdict::Written { version: self.version() },
        };
        self.log.pop();
        Verdict::Refused(refused)
    }

    /// What the writer of a version had to be told.
    fn results(&self, version: usize) -> Vec<Seen> {
        let last = |(key, mut writes): (Key, Vec<Write>)| {
            let write = writes.pop().filter(|write| write.version == version as u64 && write.computed)?;
            Some((key, write.value, write.version, write.device))
        };
        self.history(version).into_iter().filter_map(last).collect()
    }

    /// Replays the first patches of the list.
    fn history(&self, patches: usize) -> History {
        let mut history = History::new();
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

impl Answer {
    /// With its records by key: their order is no promise.
    pub fn by_key(mut self) -> Answer {
        if let Answer::Written { results: records, .. } | Answer::Conflict(records) = &mut self {
            records.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self
    }
}

/// Bytes of keys and values.
pub fn bytes(records: &[Seen]) -> usize {
    records.iter().map(|(key, value, ..)| key.as_str().len() + value.as_ref().map_or(0, Value::packed_bytes)).sum()
}

/// What a patch writes, and the keys where it conflicts.
fn apply(history: &History, patch: &Accepted, version: u64, horizon: u64) -> Result<(BTreeMap<Key, Write>, Vec<Key>), RefusalCode> {
    let (mut writes, mut met) = (BTreeMap::<Key, Write>::new(), Vec::new());
    for change in &patch.changes {
        let before = history.get(&change.key).map_or(&[][..], Vec::as_slice);
        let own = writes.get(&change.key);
        let current = own.or(before.last()).and_then(|write| write.value.clone());
        // A record that is gone without a tombstone was removed by somebody, at or before the horizon.
        let is_forgotten = before.is_empty() && change.op == Op::Put && change.base.is_some_and(|base| base > 0 && base < horizon);
        if own.is_none() && (is_forgotten || conflicts(before, change, &patch.device)) {
            met.push(change.key.clone());
        }
        let (value, computed) = match (change.op, &change.value, &current) {
            (Op::Put, value, _) => (value.clone(), false),
            // A base says that the device knew the record: its removal is remembered even where it never was.
            (Op::Remove, _, None) if change.base.is_some() && before.is_empty() && own.is_none() => (None, false),
            (Op::Remove, _, None) | (Op::Discard, Some(Value::List(_)), None) => continue,
            (Op::Remove, _, Some(_)) => (None, false),
            (op, operand, current) => (Some(compute(op, current.as_ref(), operand.as_ref())?), true),
        };
        // All changes of the patch to this record speak for it, also those that found nothing to do.
        let base = patch.changes.iter().filter(|other| other.key == change.key).filter_map(|other| other.base).max();
        writes.insert(change.key.clone(), Write { version, device: patch.device.clone(), base, value, computed });
    }
    Ok((writes, met))
}

/// Somebody else wrote after the base, the device has not written in view of that since, and the record is not what it shall be already.
fn conflicts(before: &[Write], change: &Change, device: &DeviceId) -> bool {
    let (Some(base), Some(last)) = (change.base, before.last()) else { return false };
    let theirs = before.iter().filter(|write| write.device != *device).map(|write| write.version).max().unwrap_or(0);
    let saw = |write: &Write| write.device == *device && write.version > theirs && write.base.is_some_and(|base| base >= theirs);
    theirs > base && !before.iter().any(saw) && last.value != change.value
}

fn compute(op: Op, current: Option<&Value>, operand: Option<&Value>) -> Result<Value, RefusalCode> {
    match (op, current, operand) {
        (Op::Add, None, Some(Value::Number(_))) => Ok(operand.cloned().unwrap_or(Value::Null)),
        (Op::Add, Some(Value::Number(a)), Some(Value::Number(b))) => Ok(Value::Number(match (a, b) {
            (Number::Int(a), Number::Int(b)) => Number::Int(a + b),
            _ => Number::Float(a.as_f64() + b.as_f64()),
        })),
        (Op::Merge, current, Some(patch)) => Ok(merged(current, patch)),
        (Op::Insert, current @ (None | Some(Value::List(_))), Some(Value::List(new))) => {
            let mut list = elements(current);
            new.iter().for_each(|one| {
                if !list.contains(one) {
                    list.push(one.clone())
                }
            });
            Ok(Value::List(list))
        }
        (Op::Discard, Some(Value::List(_)), Some(Value::List(gone))) => {
            Ok(Value::List(elements(current).into_iter().filter(|one| !gone.contains(one)).collect()))
        }
        _ => Err(RefusalCode::WrongType),
    }
}

fn elements(value: Option<&Value>) -> Vec<Value> {
    if let Some(Value::List(elements)) = value { elements.clone() } else { Vec::new() }
}

/// RFC 7396: maps are merged member by member, null takes a member away, all else replaces.
fn merged(current: Option<&Value>, patch: &Value) -> Value {
    let Value::Map(patch) = patch else { return patch.clone() };
    let mut members = if let Some(Value::Map(members)) = current { members.clone() } else { BTreeMap::new() };
    for (name, value) in patch {
        match (members.remove(name), value) {
            (_, Value::Null) => {}
            (old, value) => drop(members.insert(name.clone(), merged(old.as_ref(), value))),
        }
    }
    Value::Map(members)
}
