//! Every field of every message of the device, with each kind of value that it cannot have: the refusal names the field, what was expected and what
//! was found, in words that an app's developer knows.

#![allow(clippy::unwrap_used)]

mod document_text;
#[allow(dead_code)]
mod samples;

use document_text::DOCUMENT;
use driftless_protocol::{Codec, DecodeError, RefusalCode};
use samples::client_samples;
use serde_json::{Value as Json, json};

/// Words of the decoders and of this code that nobody else knows.
const JARGON: [&str; 12] = ["u64", "i64", "usize", "string", "integer", "sequence", "boolean", "unit", "variant", "struct", "`", "at line"];

fn refusal(codec: Codec, message: &Json) -> (Option<u64>, RefusalCode, String) {
    match codec.decode_client(&codec.encode(message)) {
        Err(DecodeError::Refused { id, code, message, .. }) => (id, code, message),
        other => panic!("{message} in {codec:?}: {other:?}"),
    }
}

fn said(message: &Json) -> String {
    let [packed, text] = Codec::ALL.map(|codec| refusal(codec, message));
    assert_eq!(packed, text, "both codecs say the same of {message}");
    text.2
}

#[test]
fn a_fault_names_its_place_what_was_expected_and_what_was_found() {
    let write = |change: Json| json!({ "type": "write", "id": 7, "dataset": "d", "changes": [{ "key": "a", "op": "remove" }, change] });
    for (message, expected) in [
        (json!({ "type": 7 }), "type must be a text, not the number 7"),
        (json!({}), "the message needs the field type"),
        (json!({ "type": "fly" }), "unknown type fly"),
        (json!({ "type": "hello", "token": 7, "device": "d", "client": "c" }), "token must be a text, not the number 7"),
        (json!({ "type": "hello", "token": "t", "device": null, "client": "c" }), "hello needs the field device"),
        (json!({ "type": "hello", "token": "t", "device": ["d"], "client": "c" }), "device must be a text, a device's id, not a list"),
        (json!({ "type": "open", "dataset": true }), "dataset must be a text, a dataset's name, not true"),
        (json!({ "type": "open", "dataset": "d", "position": 5 }), "position must be a map with names, not the number 5"),
        (json!({ "type": "open", "dataset": "d", "position": {} }), "position needs the field epoch"),
        (
            json!({ "type": "open", "dataset": "d", "position": { "epoch": "e", "version": -1 } }),
            "position.version must be a whole number that is not negative, not the number -1",
        ),
        (
            json!({ "type": "ack", "dataset": "d", "version": 1.5 }),
            "version must be a whole number that is not negative, not a number with a fraction or an exponent",
        ),
        (json!({ "type": "ack", "dataset": "d", "version": 1_u64 << 53 }), "version must be below 2^53"),
        (json!({ "type": "write", "id": 0, "dataset": "d", "changes": [] }), "id counts from 1"),
        (
            json!({ "type": "write", "id": "7", "dataset": "d", "changes": [] }),
            "id must be a whole number that is not negative, not a text",
        ),
        (json!({ "type": "write", "id": 7, "dataset": "d", "changes": {} }), "changes must be a list, not a map"),
        (json!({ "type": "write", "id": 7, "dataset": "d", "changes": [], "offer": 1 }), "offer must be true or false, not the number 1"),
        (write(json!("remove")), "changes[1] must be a map with names, not a text"),
        (write(json!({ "op": "remove" })), "changes[1] needs the field key"),
        (write(json!({ "key": 1, "op": "remove" })), "changes[1].key must be a text, a key, not the number 1"),
        (write(json!({ "key": "", "op": "remove" })), "changes[1].key: a key must be 1 to 1024 bytes of UTF-8"),
        (write(json!({ "key": "k", "op": "fly" })), "changes[1].op must be put, remove, add, merge, insert or discard"),
        (write(json!({ "key": "k", "op": null })), "changes[1].op must be a text, not null"),
        (
            write(json!({ "key": "k", "op": "put", "value": 1, "base": {} })),
            "changes[1].base must be a whole number that is not negative, not a map",
        ),
        (
            json!({ "type": "register", "provider": "apple", "app": "a", "token": "t" }),
            "provider must be apns, apns-sandbox, fcm or webpush",
        ),
        (
            json!({ "type": "register", "provider": "webpush", "app": "a", "subscription": "s" }),
            "subscription must be a map with names, not a text",
        ),
        (json!({ "type": "register", "provider": "webpush", "app": "a", "subscription": {} }), "subscription needs the field endpoint"),
        (
            json!({ "type": "register", "provider": "fcm", "app": "a", "token": "t", "datasets": "d" }),
            "datasets must be a list, not a text",
        ),
    ] {
        assert_eq!(said(&message), expected, "{message}");
    }
}

#[test]
fn the_document_shows_such_a_fault() {
    let base = json!({ "key": "k", "op": "remove", "base": "x" });
    let said = said(&json!({ "type": "write", "id": 17, "dataset": "settings", "changes": [base] }));
    assert!(DOCUMENT.contains(&format!(r#""code":"bad_request","message":"{said}""#)), "{said}");
}

#[test]
fn every_field_of_every_message_has_such_a_fault() {
    let wrong = [json!(true), json!(-7), json!(1.5), json!("\u{7}"), json!([[]]), json!({ "x": 1 })];
    let mut tried = 0;
    for (name, message) in client_samples() {
        let good: Json = serde_json::from_slice(&Codec::Json.encode(&message)).unwrap();
        for field in good.as_object().unwrap().keys() {
            for value in &wrong {
                let mut bad = good.clone();
                bad[field] = value.clone();
                // Some of these are right: a text for a text, a list for a list.
                if Codec::Json.decode_client(&Codec::Json.encode(&bad)).is_ok() {
                    continue;
                }
                let words = said(&bad);
                assert!(words.contains(field.as_str()) || field == "type", "{name}, {field}: {words}");
                assert!(JARGON.iter().all(|jargon| !words.contains(jargon)), "{name}, {field}: {words}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn an_invalid_name_has_its_own_code_and_is_named() {
    let (dataset, key, epoch) = ("must be 1 to 128 of a-z", "must be 1 to 1024 bytes", "must be 1 to 64 printable");
    for (message, start) in [
        (json!({ "type": "hello", "token": "t", "device": "a b", "client": "c" }), "device: a device's id must be 1 to 256".to_owned()),
        (json!({ "type": "open", "dataset": "a b" }), format!("dataset: a dataset's name {dataset}")),
        (json!({ "type": "open", "dataset": "d", "position": { "epoch": "", "version": 1 } }), format!("position.epoch: an epoch {epoch}")),
        (
            json!({ "type": "write", "id": 7, "dataset": "..", "changes": [{ "key": "k", "op": "remove" }] }),
            format!("dataset: a dataset's name {dataset}"),
        ),
        (
            json!({ "type": "write", "id": 7, "dataset": "d", "changes": [{ "key": "k", "op": "remove" }, { "key": "", "op": "remove" }] }),
            format!("changes[1].key: a key {key}"),
        ),
        (
            json!({ "type": "register", "provider": "fcm", "app": "a", "token": "t", "datasets": ["d", "a b"] }),
            format!("datasets[1]: a dataset's name {dataset}"),
        ),
    ] {
        for codec in Codec::ALL {
            let (id, code, said) = refusal(codec, &message);
            assert_eq!((id, code), (message["id"].as_u64(), RefusalCode::BadName), "{message}");
            assert!(said.starts_with(&start), "{message}: {said}");
        }
    }
    // Only a name is one: a text that looks like its refusal is not.
    let (_, code, said) = refusal(Codec::Json, &json!({ "type": " must be 1 to 9" }));
    assert_eq!(code, RefusalCode::UnknownType, "{said}");
    let (_, code, said) = refusal(Codec::Json, &json!({ "type": "ack", "dataset": "d", "version": " must be 1 to 9" }));
    assert_eq!(code, RefusalCode::BadRequest, "{said}");
    // The refusal quotes an invalid name for the device that sent it, but not a long one.
    for (name, quoted) in [("a b".to_owned(), Some("a b")), ("x".repeat(129), None)] {
        match Codec::Json.decode_client(&Codec::Json.encode(&json!({ "type": "open", "dataset": name }))) {
            Err(DecodeError::Refused { dataset, .. }) => assert_eq!(dataset.as_deref(), quoted),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_whole_number_of_more_than_64_bits_is_refused_at_its_place() {
    let changes = r#"[{"key":"a","op":"put","value":18446744073709551615},{"key":"b","op":"put","value":[{"c":-9223372036854775809}]}]"#;
    let expected = "changes[1].value: a whole number must be from -2^63 to 2^64 - 1";
    let over_socket = format!(r#"{{"type":"write","id":7,"dataset":"d","changes":{changes}}}"#);
    let over_http = format!(r#"{{"id":7,"changes":{changes}}}"#);
    let dataset = driftless_protocol::DatasetName::new("d").unwrap();
    for decoded in
        [Codec::Json.decode_client(over_socket.as_bytes()), Codec::Json.decode_client_as(over_http.as_bytes(), "write", &dataset)]
    {
        match decoded {
            Err(DecodeError::Refused { id, dataset, code, message }) => {
                assert_eq!((id, dataset.as_deref(), code), (Some(7), Some("d"), RefusalCode::BadRequest));
                assert_eq!(message, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_field_that_is_there_twice_is_named() {
    for (text, expected) in [
        (r#"{"type":"ping","type":"ping"}"#, "the message has the field type twice"),
        (r#"{"type":"open","dataset":"d","position":{"epoch":"e","version":1,"version":1}}"#, "position has the field version twice"),
        (
            r#"{"type":"write","id":7,"dataset":"d","changes":[{"key":"k","op":"put","value":{"a":1,"a":2}}]}"#,
            "changes[0].value: a map names a member twice",
        ),
    ] {
        match Codec::Json.decode_client(text.as_bytes()) {
            Err(DecodeError::Refused { message, .. }) => assert_eq!(message, expected),
            other => panic!("{text}: {other:?}"),
        }
    }
}
