//! How the records of a message are encoded, which are its last field: in MessagePack a value is copied as the bytes that are stored, in JSON it is
//! written from them in one pass. To go through its elements with the derived code takes some 30 and some 5 times as long.

use crate::packed::{self, ContainerHead};
use crate::{Content, Number, Record, ServerMessage, json_text};

impl ServerMessage {
    /// The same message without its records, and the records; `None` for one that has none, or that leaves out an empty list of them.
    pub(crate) fn split_records(&self) -> Option<(ServerMessage, &[Record])> {
        match self {
            ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records } => {
                let (dataset, epoch) = (dataset.clone(), epoch.clone());
                let (from, to, reset, shared) = (*from, *to, *reset, *shared);
                let (more, fresh_until) = (*more, *fresh_until);
                let rest = ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records: Vec::new() };
                Some((rest, records))
            }
            ServerMessage::Conflict { id, dataset, records } => {
                Some((ServerMessage::Conflict { id: *id, dataset: dataset.clone(), records: Vec::new() }, records))
            }
            _ => None,
        }
    }
}

/// Replaces the empty list at the end of a message in MessagePack by these records.
pub(crate) fn replace_packed(records: &[Record], out: &mut Vec<u8>) {
    cut_off(&[0x90], out);
    out.extend_from_slice(ContainerHead::list(records.len()).as_bytes());
    records.iter().for_each(|record| write_packed(record, out));
}

/// Replaces the empty list at the end of a message in JSON by these records.
pub(crate) fn replace_json(records: &[Record], out: &mut Vec<u8>) {
    cut_off(b"[]}", out);
    out.push(b'[');
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_json(record, out);
    }
    out.extend_from_slice(b"]}");
}

fn cut_off(empty: &[u8], out: &mut Vec<u8>) {
    debug_assert!(out.ends_with(empty), "records are the last field");
    out.truncate(out.len() - empty.len());
}

fn write_json(Record { key, content, version, modified_ms, device }: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    json_text::write_text(key.as_str(), out);
    match content {
        Content::Value(value) => {
            out.extend_from_slice(b",\"value\":");
            json_text::write_value(value.packed(), out);
        }
        Content::Removed => out.extend_from_slice(b",\"removed\":true"),
    }
    out.extend_from_slice(b",\"version\":");
    json_text::write_number(Number::from(*version), out);
    out.extend_from_slice(b",\"modified_ms\":");
    json_text::write_number(Number::from(*modified_ms), out);
    out.extend_from_slice(b",\"device\":");
    json_text::write_text(device.as_str(), out);
    out.push(b'}');
}

fn write_packed(Record { key, content, version, modified_ms, device }: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(ContainerHead::map(5).as_bytes());
    packed::write_text("key", out);
    packed::write_text(key.as_str(), out);
    match content {
        Content::Value(value) => {
            packed::write_text("value", out);
            out.extend_from_slice(value.packed());
        }
        Content::Removed => {
            packed::write_text("removed", out);
            out.push(TRUE);
        }
    }
    packed::write_text("version", out);
    packed::write_number(Number::from(*version), out);
    packed::write_text("modified_ms", out);
    packed::write_number(Number::from(*modified_ms), out);
    packed::write_text("device", out);
    packed::write_text(device.as_str(), out);
}

/// MessagePack's `true`.
const TRUE: u8 = 0xc3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Codec, DatasetName, DeviceId, Epoch, Key, Value};

    fn record(key: &str, content: Content, version: u64) -> Record {
        let (key, device) = (Key::new(key).expect("a key"), DeviceId::new("phone").expect("a device"));
        Record { key, content, version, modified_ms: version.wrapping_mul(1_000_003), device }
    }

    fn value(json: serde_json::Value) -> Content {
        Content::Value(serde_json::from_value::<Value>(json).expect("a value"))
    }

    fn notes() -> DatasetName {
        DatasetName::new("notes").expect("a name")
    }

    fn changes(records: Vec<Record>) -> ServerMessage {
        let (dataset, epoch) = (notes(), Epoch::new("e1").expect("an epoch"));
        let (from, to, reset, shared, more, fresh_until) = (1, 1 << 40, true, Some(7), false, None);
        ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records }
    }

    /// The bytes are those that the derived code writes, which goes through every element.
    #[test]
    fn records_are_encoded_as_the_derived_code_does() {
        let long = "k".repeat(1024);
        let one = vec![
            record("a", value(json!({ "list": [1, -1, 0.5, null, true, "text"], "map": { "": {} } })), 0),
            record("b", Content::Removed, u64::from(u32::MAX) + 1),
            record(&long, value(json!("x".repeat(70_000))), u64::MAX),
            record("c", value(json!((0..70_000).collect::<Vec<_>>())), 255),
        ];
        let many = |count: u64| (0..count).map(|at| record(&format!("key {at}"), value(json!(at)), at)).collect::<Vec<_>>();
        let lists = [Vec::new(), one, many(15), many(16), many(70_000)];
        for records in lists {
            let conflict = ServerMessage::Conflict { id: 300, dataset: notes(), records: records.clone() };
            let written = ServerMessage::Written { id: 1, version: 2, records: records.clone() };
            for message in [changes(records.clone()), conflict, written, ServerMessage::Pong] {
                for codec in Codec::ALL {
                    let mut encoded = b"before".to_vec();
                    codec.encode_server_into(&message, &mut encoded);
                    assert!(encoded[6..] == codec.encode(&message), "{} records in {codec:?}", records.len());
                    assert_eq!(codec.decode_server(&encoded[6..]).as_ref(), Ok(&message));
                }
            }
        }
    }
}
