//! The patches that the server acknowledged, and the contents that every dataset must have because of them.
//!
//! - Each applied patch has its own version. Once every patch is answered, each version from 1 to the head is exactly one acknowledged
//!   patch: no version is missing (I1), no acknowledged patch is lost (I2), none was applied twice.
//! - Replaying the patches in the order of their versions gives the dataset at every version, and with it what a device that was complete
//!   at that version must have had.
//! - It shares no code with the server's merging, and supports only the operations that the load uses.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use driftless_protocol::{Change, Content, DatasetInfo, DatasetName, DeviceId, Key, Op, Record, Value};
use tokio::sync::watch;

/// A person and one of their datasets.
pub type DatasetKey = (&'static str, DatasetName);

/// A record without its time. A tombstone has no value.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRecord {
    pub version: u64,
    pub value: Option<Value>,
    pub device: DeviceId,
}

impl LedgerRecord {
    pub fn of(record: &Record) -> LedgerRecord {
        let value = match &record.content {
            Content::Value(value) => Some(value.clone()),
            Content::Removed => None,
        };
        LedgerRecord { version: record.version, value, device: record.device.clone() }
    }

    /// The record's part of its dataset's digest. A tombstone's part is 0, because not every device is sent it.
    pub fn digest(&self, key: &Key) -> u64 {
        let Some(value) = &self.value else { return 0 };
        let mut hasher = DefaultHasher::new();
        (key, self.version, &self.device, value).hash(&mut hasher);
        hasher.finish()
    }

    /// The record for an assertion's message: large values are truncated.
    fn summary(&self) -> String {
        let text = format!("{:?}", self.value);
        format!("version {} of {}: {}", self.version, self.device, text.chars().take(60).collect::<String>())
    }
}

/// A patch that the server applied.
pub struct AcknowledgedPatch {
    pub device: DeviceId,
    pub changes: Vec<Change>,
    pub results: Vec<Record>,
}

/// A conflict whose record already has the value that the patch writes. It is valid only if the patch was sent before, and then
/// conflicted with an earlier version of the record; `replay_to_head` looks for that version.
struct UnexplainedConflict {
    device: DeviceId,
    change: Change,
    record: Record,
}

#[derive(Default)]
struct DatasetLedger {
    unexplained: Vec<UnexplainedConflict>,
    /// All states that each record ever had.
    past: BTreeMap<Key, Vec<LedgerRecord>>,
    /// Acknowledged patches that are not replayed yet, by version.
    patches: BTreeMap<u64, AcknowledgedPatch>,
    /// Version, digest and name of each device that was complete at a version.
    observed: Vec<(u64, u64, String)>,
    version: u64,
    digest: u64,
    records: BTreeMap<Key, LedgerRecord>,
}

/// The ledger of all datasets. It collects violations instead of panicking at the first one, because all of them together say more.
pub struct WriteLedger {
    datasets: Mutex<BTreeMap<DatasetKey, DatasetLedger>>,
    violations: Mutex<Vec<String>>,
    lost: Mutex<u64>,
    answered: watch::Sender<u64>,
    acknowledged: Mutex<u64>,
}

impl Default for WriteLedger {
    fn default() -> WriteLedger {
        let zero = || Mutex::new(0);
        let (datasets, violations) = (Mutex::default(), Mutex::default());
        WriteLedger { datasets, violations, lost: zero(), answered: watch::Sender::new(0), acknowledged: zero() }
    }
}

impl WriteLedger {
    /// The server acknowledged a patch: it must not lose it from now on.
    pub fn record_written(&self, key: &DatasetKey, version: u64, patch: AcknowledgedPatch) {
        let mut datasets = self.datasets.lock().unwrap();
        let dataset = datasets.entry(key.clone()).or_default();
        let is_replayed = dataset.version >= version;
        if is_replayed || dataset.patches.insert(version, patch).is_some() {
            self.report_lost(1, format!("{key:?}: version {version} was acknowledged twice"));
        }
        *self.acknowledged.lock().unwrap() += 1;
        drop(datasets);
        self.count_answer();
    }

    /// The server answered a patch with a conflict: another device must have written another value after the base.
    pub fn record_conflict(&self, key: &DatasetKey, device: &DeviceId, changes: &[Change], met: &[Record]) {
        for record in met {
            let change = changes.iter().find(|change| change.key == record.key);
            let later = change.filter(|change| change.base.is_some_and(|base| record.version > base));
            match later {
                Some(change) if LedgerRecord::of(record).value != change.value => {}
                Some(change) => {
                    let conflict = UnexplainedConflict { device: device.clone(), change: change.clone(), record: record.clone() };
                    self.datasets.lock().unwrap().entry(key.clone()).or_default().unexplained.push(conflict);
                }
                None => {
                    self.report(format!("{key:?}: {device} was answered with a conflict with {record:?}, which is none for {change:?}"))
                }
            }
        }
        if met.is_empty() {
            self.report(format!("{key:?}: {device} was answered with a conflict without records"));
        }
        self.count_answer();
    }

    /// A device has a dataset complete at a version, with this digest.
    pub fn record_observed(&self, key: &DatasetKey, version: u64, digest: u64, device: &str) {
        self.datasets.lock().unwrap().entry(key.clone()).or_default().observed.push((version, digest, device.to_owned()));
    }

    /// Reports a violation.
    pub fn report(&self, violation: String) {
        self.violations.lock().unwrap().push(violation);
    }

    fn report_lost(&self, count: u64, violation: String) {
        *self.lost.lock().unwrap() += count;
        // Before all others, because most of them are its consequences.
        self.violations.lock().unwrap().insert(0, violation);
    }

    fn count_answer(&self) {
        self.answered.send_modify(|count| *count += 1);
    }

    /// The number of answered patches, as a channel to wait on.
    pub fn answers(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }

    /// How many patches were acknowledged, and how many of them are lost.
    pub fn sums(&self) -> (u64, u64) {
        (*self.acknowledged.lock().unwrap(), *self.lost.lock().unwrap())
    }

    /// Panics if a violation was reported so far.
    pub fn check(&self, context: &str) {
        let violations = self.violations.lock().unwrap();
        let (acknowledged, lost) = self.sums();
        let first = violations.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert!(violations.is_empty(), "{context}: {acknowledged} acknowledged, {lost} lost, {} violations:\n  {first}", violations.len());
    }

    /// Replays a dataset's patches up to its head, as the server lists it, and checks what was observed meanwhile. Every patch must be
    /// answered and none in flight.
    pub fn replay_to_head(&self, key: &DatasetKey, info: Option<&DatasetInfo>) {
        let mut datasets = self.datasets.lock().unwrap();
        let Some(dataset) = datasets.get_mut(key) else { return };
        let head = info.map_or(0, |info| info.version);
        let mut digests = BTreeMap::from([(dataset.version, dataset.digest)]);
        for version in dataset.version + 1..=head {
            match dataset.patches.remove(&version) {
                Some(patch) => dataset.replay(version, &patch).into_iter().for_each(|what| self.report(format!("{key:?}: {what}"))),
                None => self.report(format!("{key:?}: no patch was answered with version {version}, the head is {head}")),
            }
            dataset.version = version;
            digests.insert(version, dataset.digest);
        }
        for UnexplainedConflict { device, change, record } in std::mem::take(&mut dataset.unexplained) {
            let conflicts = |past: &LedgerRecord| {
                change.base.is_some_and(|base| past.version > base)
                    && past.version < record.version
                    && past.device != device
                    && past.value != change.value
            };
            if !dataset.past.get(&change.key).is_some_and(|past| past.iter().any(conflicts)) {
                self.report(format!("{key:?}: {device} was answered with a conflict with {record:?}, which never was one for {change:?}"));
            }
        }
        let beyond = std::mem::take(&mut dataset.patches);
        if let Some((first, last)) = beyond.keys().next().zip(beyond.keys().last()) {
            self.report_lost(beyond.len() as u64, format!("{key:?}: versions {first} to {last} were acknowledged, the head is {head}"));
        }
        for (version, digest, device) in std::mem::take(&mut dataset.observed) {
            if digests.get(&version).is_some_and(|expected| *expected != digest) {
                self.report(format!("{key:?}: the records of {device} at version {version} differ from the patches up to it"));
            }
            if version > head {
                self.report(format!("{key:?}: {device} was sent version {version}, the head is {head}"));
            }
        }
        let sizes = |(key, record): (&Key, &LedgerRecord)| record.value.as_ref().map(|value| key.as_str().len() + value.packed_bytes());
        let live: Vec<usize> = dataset.records.iter().filter_map(sizes).collect();
        let expected = (live.len() as u64, live.iter().sum::<usize>() as u64);
        if let Some(info) = info.filter(|info| (info.records, info.bytes) != expected) {
            self.report(format!("{key:?}: {info:?} counts other records and bytes than {expected:?}"));
        }
    }

    /// The version and the digest of a dataset after the last replay.
    pub fn replayed(&self, key: &DatasetKey) -> (u64, u64) {
        self.datasets.lock().unwrap().get(key).map_or((0, 0), |dataset| (dataset.version, dataset.digest))
    }

    /// Checks that a device's records are the live records of the ledger.
    pub fn check_live_records(&self, key: &DatasetKey, device: &str, records: &BTreeMap<Key, LedgerRecord>) {
        let expected = self.changed_after(key, 0).into_iter().filter(|(_, record)| record.value.is_some()).collect();
        self.report_differences(key, device, &expected, records);
    }

    /// Checks what a device at a position was sent: every live record that changed after the position, and the removal of the others. A
    /// tombstone may be newer than the ledger's, because removing a record that is already removed may write one.
    pub fn check_changes(&self, key: &DatasetKey, device: &str, position: u64, records: &BTreeMap<Key, LedgerRecord>) {
        let mut expected = self.changed_after(key, position);
        let mut found = records.clone();
        found.retain(|name, record| match expected.get(name) {
            Some(known) if known.value.is_none() && record.value.is_none() && known.version <= record.version => {
                expected.remove(name);
                false
            }
            Some(_) => true,
            None => record.value.is_some() || self.is_live(key, name),
        });
        self.report_differences(key, &format!("{device}, from {position} on,"), &expected, &found);
    }

    fn is_live(&self, key: &DatasetKey, name: &Key) -> bool {
        let datasets = self.datasets.lock().unwrap();
        datasets.get(key).and_then(|dataset| dataset.records.get(name)).is_some_and(|record| record.value.is_some())
    }

    fn changed_after(&self, key: &DatasetKey, position: u64) -> BTreeMap<Key, LedgerRecord> {
        let datasets = self.datasets.lock().unwrap();
        let records = datasets.get(key).map(|dataset| dataset.records.iter()).into_iter().flatten();
        records.filter(|(_, record)| record.version > position).map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    fn report_differences(
        &self,
        key: &DatasetKey,
        device: &str,
        expected: &BTreeMap<Key, LedgerRecord>,
        found: &BTreeMap<Key, LedgerRecord>,
    ) {
        let summary = |record: Option<&LedgerRecord>| record.map_or("nothing".to_owned(), LedgerRecord::summary);
        for name in expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name))) {
            if expected.get(name) != found.get(name) {
                let (expected, found) = (summary(expected.get(name)), summary(found.get(name)));
                self.report(format!("{key:?}: {device} has of {name}: {found}; expected {expected}"));
            }
        }
    }
}

impl DatasetLedger {
    /// Applies a patch and returns what was wrong with its acknowledgement.
    fn replay(&mut self, version: u64, patch: &AcknowledgedPatch) -> Vec<String> {
        let mut violations = Vec::new();
        let mut results = Vec::new();
        for Change { key, op, value, base } in &patch.changes {
            let before = self.records.get(key);
            if let (Some(base), Some(before)) = (base, before)
                && before.version > *base
                && before.device != patch.device
                && before.value != *value
            {
                violations.push(format!("version {version} wrote {key} with base {base} over {}", before.summary()));
            }
            let live = before.and_then(|record| record.value.as_ref());
            let value = match op {
                Op::Put => value.clone(),
                // With a base, a removal writes a tombstone also where no record was.
                Op::Remove if live.is_some() || (before.is_none() && base.is_some()) => None,
                Op::Remove => continue,
                Op::Add => Some(Value::from(integer(live) + integer(value.as_ref()))),
                Op::Merge | Op::Insert | Op::Discard => unreachable!("the load does not use {op:?}"),
            };
            let after = LedgerRecord { version, value, device: patch.device.clone() };
            if *op == Op::Add {
                results.push((key.clone(), after.clone()));
            }
            self.digest ^= after.digest(key) ^ before.map_or(0, |before| before.digest(key));
            self.past.entry(key.clone()).or_default().push(after.clone());
            self.records.insert(key.clone(), after);
        }
        let answered: Vec<_> = patch.results.iter().map(|record| (record.key.clone(), LedgerRecord::of(record))).collect();
        if answered != results {
            violations.push(format!("version {version} was answered with {answered:?} and not {results:?}"));
        }
        violations
    }
}

fn integer(value: Option<&Value>) -> i64 {
    match value {
        None => 0,
        Some(value) => value.number().and_then(|number| number.as_i64()).expect("an integer"),
    }
}
