//! Support for the store's tests: a store in a folder with one identity, and patches from short descriptions.

use std::path::Path;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Record, Value};

use super::{
    Cursor, DatasetRules, Decision, DeviceBound, EngineConfig, Group, Identity, LoginKey, Patch, ReadResult, ReadStart, RecordPage, Store,
};

pub const CONFIG: EngineConfig = EngineConfig::cached(16);

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

/// A store in which the identity [`me`] has a login.
pub fn store(folder: &Path) -> Store {
    let store = Store::open(folder, &CONFIG, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    store
}

/// A subject signs in for the first time and becomes an identity.
pub fn sign_in(store: &Store, subject: &str, identity: &Identity) {
    let mut group = store.group();
    let login = LoginKey { pool: "demo", issuer: "issuer", subject };
    group.identity(login, identity, 7).expect("decides");
    group.commit().expect("commits");
}

/// A patch of [`me`] to [`dataset`]. Each change is a key, an operation, and a value as JSON; an empty text: no value.
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
    sign_in_device(&mut group, patch);
    let decision = group.write(patch, rules, now_ms).expect("decides");
    group.commit().expect("commits");
    decision
}

/// Admits the device of a patch, if its identity exists.
pub fn sign_in_device(group: &mut Group<'_>, patch: &Patch) {
    if group.has_identity(&patch.identity).expect("reads") {
        group.admit(&patch.identity, &patch.device, &DeviceBound::without_sessions(100), 1).expect("decides");
    }
}

pub fn page(store: &Store, identity: &Identity, cursor: Cursor) -> RecordPage {
    match store.changes(identity, &dataset(), cursor).expect("reads") {
        ReadResult::Page(page) => page,
        ReadResult::Behind(again) => panic!("behind: {again:?}"),
    }
}

/// The records that a device without a position gets.
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
