//! The plumbing under the store's own tests: a store in a folder with one identity, and patches from words.

use std::path::Path;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Record, Value};

use super::{Cursor, DatasetRules, Decision, EngineConfig, Identity, LoginKey, Patch, ReadResult, ReadStart, RecordPage, Store};

pub const CONFIG: EngineConfig = EngineConfig::cached(16);

/// Written by the first version: two logins, records, tombstones, a conflict, an acknowledgement, patch results.
pub const FORMAT_1: &str = include_str!("tests/format1.rows");

/// Written by the last version that had each kind of row by itself: two identities, a registered phone, records, a tombstone, history, a conflict, an
/// acknowledgement, patch results, something owed, and the second identity's erasure begun.
pub const FORMAT_2: &str = include_str!("tests/format2.rows");

/// The rows of such a text: key and value in hexadecimal digits, a row a line.
pub fn rows_of(text: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let bytes = |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    let row = |line: &str| line.split_once(' ').map(|(key, row)| (bytes(key), Some(bytes(row)))).expect("a row");
    text.lines().map(row).collect()
}

pub fn epoch(text: &str) -> Epoch {
    Epoch::new(text).expect("an epoch")
}

pub fn me() -> Identity {
    Identity::from("local:1")
}

pub fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

pub fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a device")
}

pub fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

/// A store whose identity has a login.
pub fn store(folder: &Path) -> Store {
    let store = Store::open(folder, &CONFIG, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    store
}

/// Somebody comes for the first time.
pub fn sign_in(store: &Store, subject: &str, identity: &Identity) {
    let mut group = store.group();
    let login = LoginKey { pool: "demo", issuer: "issuer", subject };
    group.identity(login, identity, 7).expect("decides");
    group.commit().expect("commits");
}

pub fn patch(id: u64, device_name: &str, changes: &[(&str, Op, &str)]) -> Patch {
    let change = |(name, op, json): &(&str, Op, &str)| {
        let value = (!json.is_empty()).then(|| serde_json::from_str::<Value>(json).expect("json"));
        Change::new(key(name), *op, value)
    };
    let changes = changes.iter().map(change).collect();
    Patch { identity: me(), device: device(device_name), dataset: dataset(), id, changes }
}

pub fn write(store: &Store, patch: &Patch) -> Decision {
    write_at(store, patch, &DatasetRules::default(), 7)
}

pub fn write_at(store: &Store, patch: &Patch, rules: &DatasetRules, now_ms: u64) -> Decision {
    let mut group = store.group();
    let decision = group.write(patch.clone(), rules, now_ms).expect("decides");
    group.commit().expect("commits");
    decision
}

pub fn page(store: &Store, identity: &Identity, cursor: Cursor) -> RecordPage {
    match store.changes(identity, &dataset(), cursor).expect("reads") {
        ReadResult::Page(page) => page,
        ReadResult::Behind(again) => panic!("behind: {again:?}"),
    }
}

/// What a device that comes from nothing gets.
pub fn all(store: &Store) -> Vec<Record> {
    all_of(store, &me())
}

pub fn all_of(store: &Store, identity: &Identity) -> Vec<Record> {
    let Ok(ReadStart::Fresh(mut cursor)) = store.start(identity, &dataset(), None) else { panic!("not fresh") };
    let mut records = Vec::new();
    loop {
        let page = page(store, identity, cursor);
        records.extend(page.records);
        cursor = page.cursor;
        if !page.more {
            return records;
        }
    }
}
