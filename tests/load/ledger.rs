//! What was acknowledged, and what every dataset must be by it.
//!
//! - Each accepted patch made a version of its own. Once every patch is answered, the versions 1 to the head are one acknowledged
//!   patch each: none is missing (I1), none is lost (I2), none was applied twice.
//! - Replayed in the order of their versions the patches give the dataset at every version: what whoever read it may have seen.
//! - It shares no code with the server's own merging, and knows only the operations that the load uses.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use driftless_protocol::{Change, Content, DatasetInfo, DatasetName, DeviceId, Key, Number, Op, Record, Value};
use tokio::sync::watch;

/// A person's dataset.
pub type Place = (&'static str, DatasetName);

/// A record as far as the ledger knows it; no value: a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub version: u64,
    pub value: Option<Value>,
    pub device: DeviceId,
}

impl Cell {
    pub fn of(record: &Record) -> Cell {
        let value = match &record.content {
            Content::Value(value) => Some(value.clone()),
            Content::Removed => None,
        };
        Cell { version: record.version, value, device: record.device.clone() }
    }

    /// What this record adds to the digest of its dataset. Tombstones add nothing: not everybody is sent them.
    pub fn digest(&self, key: &Key) -> u64 {
        let Some(value) = &self.value else { return 0 };
        let mut hasher = DefaultHasher::new();
        (key, self.version, &self.device, value).hash(&mut hasher);
        hasher.finish()
    }

    /// For a message: large values are cut.
    fn shown(&self) -> String {
        let text = format!("{:?}", self.value);
        format!("version {} of {}: {}", self.version, self.device, text.chars().take(60).collect::<String>())
    }
}

/// An accepted patch.
pub struct Entry {
    pub device: DeviceId,
    pub changes: Vec<Change>,
    pub results: Vec<Record>,
}

/// A conflict with a record that is by now what was to be written. That can be told only of a patch that was sent again: it has met something
/// else before.
struct Doubt {
    device: DeviceId,
    change: Change,
    record: Record,
}

#[derive(Default)]
struct Book {
    /// Conflicts that are explained only by what others wrote before.
    doubts: Vec<Doubt>,
    /// All that records ever were.
    past: BTreeMap<Key, Vec<Cell>>,
    /// Acknowledged, not replayed yet.
    entries: BTreeMap<u64, Entry>,
    /// What somebody had when it was complete: version, digest, who.
    seen: Vec<(u64, u64, String)>,
    version: u64,
    digest: u64,
    cells: BTreeMap<Key, Cell>,
}

/// All of it. Faults are collected: the whole picture says more than the first of them.
pub struct Ledger {
    books: Mutex<BTreeMap<Place, Book>>,
    faults: Mutex<Vec<String>>,
    lost: Mutex<u64>,
    answered: watch::Sender<u64>,
    acknowledged: Mutex<u64>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let zero = || Mutex::new(0);
        let (books, faults) = (Mutex::default(), Mutex::default());
        Ledger { books, faults, lost: zero(), answered: watch::Sender::new(0), acknowledged: zero() }
    }
}

impl Ledger {
    /// A patch was answered with success: from now on it must be there.
    pub fn written(&self, place: &Place, version: u64, entry: Entry) {
        let mut books = self.books.lock().unwrap();
        let book = books.entry(place.clone()).or_default();
        let old = book.version >= version;
        if old || book.entries.insert(version, entry).is_some() {
            self.lost(1, format!("{place:?}: version {version} was acknowledged twice"));
        }
        *self.acknowledged.lock().unwrap() += 1;
        drop(books);
        self.answered();
    }

    /// A patch was answered with a conflict: somebody else must have written, after the base, something else.
    pub fn conflict(&self, place: &Place, device: &DeviceId, changes: &[Change], met: &[Record]) {
        for record in met {
            let change = changes.iter().find(|change| change.key == record.key);
            let later = change.filter(|change| change.base.is_some_and(|base| record.version > base));
            match later {
                Some(change) if Cell::of(record).value != change.value => {}
                Some(change) => {
                    let doubt = Doubt { device: device.clone(), change: change.clone(), record: record.clone() };
                    self.books.lock().unwrap().entry(place.clone()).or_default().doubts.push(doubt);
                }
                None => self.fault(format!("{place:?}: {device} is told of a conflict with {record:?} that is none for {change:?}")),
            }
        }
        if met.is_empty() {
            self.fault(format!("{place:?}: {device} is told of a conflict with nothing"));
        }
        self.answered();
    }

    /// Somebody has a dataset complete at a version.
    pub fn seen(&self, place: &Place, version: u64, digest: u64, who: &str) {
        self.books.lock().unwrap().entry(place.clone()).or_default().seen.push((version, digest, who.to_owned()));
    }

    /// Something that must not be.
    pub fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn lost(&self, count: u64, what: String) {
        *self.lost.lock().unwrap() += count;
        // Before all others: most of them follow from it.
        self.faults.lock().unwrap().insert(0, what);
    }

    fn answered(&self) {
        self.answered.send_modify(|count| *count += 1);
    }

    /// How many patches were answered, and news of it.
    pub fn answers(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }

    /// How many patches were acknowledged, and how many of them were lost.
    pub fn sums(&self) -> (u64, u64) {
        (*self.acknowledged.lock().unwrap(), *self.lost.lock().unwrap())
    }

    /// Fails if anything was wrong so far.
    pub fn check(&self, context: &str) {
        let faults = self.faults.lock().unwrap();
        let (acknowledged, lost) = self.sums();
        let first = faults.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert!(faults.is_empty(), "{context}: {acknowledged} acknowledged, {lost} lost, {} faults:\n  {first}", faults.len());
    }

    /// All is quiet, every patch is answered, and the server says how a dataset is: replays up to its head.
    pub fn settle(&self, place: &Place, info: Option<&DatasetInfo>) {
        let mut books = self.books.lock().unwrap();
        let Some(book) = books.get_mut(place) else { return };
        let head = info.map_or(0, |info| info.version);
        let mut digests = BTreeMap::from([(book.version, book.digest)]);
        for version in book.version + 1..=head {
            match book.entries.remove(&version) {
                Some(entry) => book.replay(version, &entry).into_iter().for_each(|what| self.fault(format!("{place:?}: {what}"))),
                None => self.fault(format!("{place:?}: nobody was ever answered with version {version}, the head is {head}")),
            }
            book.version = version;
            digests.insert(version, book.digest);
        }
        for Doubt { device, change, record } in std::mem::take(&mut book.doubts) {
            let met = |cell: &Cell| {
                change.base.is_some_and(|base| cell.version > base)
                    && cell.version < record.version
                    && cell.device != device
                    && cell.value != change.value
            };
            if !book.past.get(&change.key).is_some_and(|cells| cells.iter().any(met)) {
                self.fault(format!("{place:?}: {device} is told of a conflict with {record:?} that never was one for {change:?}"));
            }
        }
        let beyond = std::mem::take(&mut book.entries);
        if let Some((first, last)) = beyond.keys().next().zip(beyond.keys().last()) {
            self.lost(beyond.len() as u64, format!("{place:?}: versions {first} to {last} were acknowledged, the head is {head}"));
        }
        for (version, digest, who) in std::mem::take(&mut book.seen) {
            if digests.get(&version).is_some_and(|expected| *expected != digest) {
                self.fault(format!("{place:?}: {who} had something else at version {version} than what was written up to it"));
            }
            if version > head {
                self.fault(format!("{place:?}: {who} was sent version {version}, the head is {head}"));
            }
        }
        let sizes = |(key, cell): (&Key, &Cell)| cell.value.as_ref().map(|value| key.as_str().len() + value.packed_bytes());
        let live: Vec<usize> = book.cells.iter().filter_map(sizes).collect();
        let expected = (live.len() as u64, live.iter().sum::<usize>() as u64);
        if let Some(info) = info.filter(|info| (info.records, info.bytes) != expected) {
            self.fault(format!("{place:?}: {info:?} counts other records and bytes than {expected:?}"));
        }
    }

    /// The dataset's version and digest as settled.
    pub fn settled(&self, place: &Place) -> (u64, u64) {
        self.books.lock().unwrap().get(place).map_or((0, 0), |book| (book.version, book.digest))
    }

    /// Somebody's live records must be those of the ledger.
    pub fn equals(&self, place: &Place, who: &str, records: &BTreeMap<Key, Cell>) {
        let expected = self.since(place, 0).into_iter().filter(|(_, cell)| cell.value.is_some()).collect();
        self.differ(place, who, &expected, records);
    }

    /// Somebody at a position was sent what changed after it: each record that lives, and that the others are gone. A tombstone may be
    /// newer than the ledger's: a removal of what is gone already may leave one.
    pub fn follows(&self, place: &Place, who: &str, position: u64, records: &BTreeMap<Key, Cell>) {
        let mut expected = self.since(place, position);
        let mut found = records.clone();
        found.retain(|key, cell| match expected.get(key) {
            Some(known) if known.value.is_none() && cell.value.is_none() && known.version <= cell.version => {
                expected.remove(key);
                false
            }
            Some(_) => true,
            None => cell.value.is_some() || self.lives(place, key),
        });
        self.differ(place, &format!("{who}, from {position} on,"), &expected, &found);
    }

    fn lives(&self, place: &Place, key: &Key) -> bool {
        let books = self.books.lock().unwrap();
        books.get(place).and_then(|book| book.cells.get(key)).is_some_and(|cell| cell.value.is_some())
    }

    fn since(&self, place: &Place, position: u64) -> BTreeMap<Key, Cell> {
        let books = self.books.lock().unwrap();
        let cells = books.get(place).map(|book| book.cells.iter()).into_iter().flatten();
        cells.filter(|(_, cell)| cell.version > position).map(|(key, cell)| (key.clone(), cell.clone())).collect()
    }

    fn differ(&self, place: &Place, who: &str, expected: &BTreeMap<Key, Cell>, found: &BTreeMap<Key, Cell>) {
        let shown = |cell: Option<&Cell>| cell.map_or("nothing".to_owned(), Cell::shown);
        for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(*key))) {
            if expected.get(key) != found.get(key) {
                let (expected, found) = (shown(expected.get(key)), shown(found.get(key)));
                self.fault(format!("{place:?}: {who} has of {key}: {found}; expected {expected}"));
            }
        }
    }
}

impl Book {
    /// Applies a patch; returns what was wrong with its acknowledgement.
    fn replay(&mut self, version: u64, entry: &Entry) -> Vec<String> {
        let mut faults = Vec::new();
        let mut results = Vec::new();
        for Change { key, op, value, base } in &entry.changes {
            let before = self.cells.get(key);
            if let (Some(base), Some(before)) = (base, before)
                && before.version > *base
                && before.device != entry.device
                && before.value != *value
            {
                faults.push(format!("version {version} wrote {key} in view of {base} and over {}", before.shown()));
            }
            let live = before.and_then(|cell| cell.value.as_ref());
            let value = match op {
                Op::Put => value.clone(),
                // With a base also where nothing was.
                Op::Remove if live.is_some() || (before.is_none() && base.is_some()) => None,
                Op::Remove => continue,
                Op::Add => Some(Value::from(whole(live) + whole(value.as_ref()))),
                Op::Merge | Op::Insert | Op::Discard => unreachable!("the load does not use it"),
            };
            let after = Cell { version, value, device: entry.device.clone() };
            if *op == Op::Add {
                results.push((key.clone(), after.clone()));
            }
            self.digest ^= after.digest(key) ^ before.map_or(0, |before| before.digest(key));
            self.past.entry(key.clone()).or_default().push(after.clone());
            self.cells.insert(key.clone(), after);
        }
        let given: Vec<_> = entry.results.iter().map(|record| (record.key.clone(), Cell::of(record))).collect();
        if given != results {
            faults.push(format!("version {version} was answered with {given:?} and not {results:?}"));
        }
        faults
    }
}

fn whole(value: Option<&Value>) -> i64 {
    match value {
        None => 0,
        Some(Value::Number(Number::Int(number))) => *number,
        Some(other) => panic!("no whole number: {other:?}"),
    }
}
