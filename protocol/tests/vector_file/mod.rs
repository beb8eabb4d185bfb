//! The files of vectors. `UPDATE_VECTORS=1 cargo test -p driftless-protocol` rewrites them: then the protocol has changed, and the diff shows how.

// Each test program uses a part of these items.
#![allow(dead_code)]

use std::path::PathBuf;

use serde_json::{Value as Json, json};

pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn vector(name: &str, text: Vec<u8>, packed: Vec<u8>) -> Json {
    let text = String::from_utf8(text).unwrap();
    let value: Json = serde_json::from_str(&text).unwrap();
    json!({ "name": name, "value": value, "json": text, "msgpack": hex(&packed) })
}

/// Compares vectors with the file that has them.
pub fn check(name: &str, now: &[Json]) {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(file(name), serde_json::to_string_pretty(now).unwrap() + "\n").unwrap();
    }
    let kept: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap();
    for (kept, now) in kept.iter().zip(now) {
        assert_eq!(kept, now, "{name}: the encoding of a message has changed");
    }
    assert_eq!(kept.len(), now.len(), "{name}: UPDATE_VECTORS=1 writes new vectors");
}
