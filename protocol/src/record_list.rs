//! The MessagePack of a message's records, which are its last field. A value is copied as the bytes that are stored: to go through its elements
//! takes some 30 times as long.

use crate::packed::{self, ContainerHead};
use crate::{Content, Number, Record, ServerMessage};

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

/// Replaces an empty list at the end of an encoded message by these records.
pub(crate) fn replace_empty_list(records: &[Record], out: &mut Vec<u8>) {
    let empty = out.pop();
    debug_assert_eq!(empty, Some(0x90), "records are the last field");
    out.extend_from_slice(ContainerHead::list(records.len()).as_bytes());
    records.iter().for_each(|record| write_record(record, out));
}

fn write_record(Record { key, content, version, modified_ms, device }: &Record, out: &mut Vec<u8>) {
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
                let mut encoded = b"before".to_vec();
                Codec::MsgPack.encode_server_into(&message, &mut encoded);
                assert!(encoded[6..] == Codec::MsgPack.encode(&message), "{} records", records.len());
                assert_eq!(Codec::MsgPack.decode_server(&encoded[6..]), Ok(message));
            }
        }
    }
}
