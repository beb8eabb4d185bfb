//! Golden vectors: each message as a value, as JSON text and as MessagePack, byte by byte.
//!
//! Clients in every language test against `vectors/*.json`.

#![allow(clippy::unwrap_used)]

mod samples;
mod vector_file;

use driftless_protocol::{Codec, ServerMessage};
use samples::{client_samples, server_samples};
use serde_json::Value as Json;
use vector_file::{check, file, vector};

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_encoding_of_the_devices_messages_has_not_changed() {
    let encoded = |codec: Codec, message| codec.encode(message);
    let now: Vec<Json> = client_samples()
        .iter()
        .map(|(name, message)| vector(name, encoded(Codec::Json, message), encoded(Codec::MsgPack, message)))
        .collect();
    check("client", &now);
}

#[test]
fn the_encoding_of_the_servers_messages_has_not_changed() {
    let now: Vec<Json> =
        server_samples().iter().map(|(name, message)| vector(name, Codec::Json.encode(message), Codec::MsgPack.encode(message))).collect();
    check("server", &now);
}

#[test]
fn every_vector_decodes_to_its_message() {
    let bytes = |name: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap();
        kept.iter().map(|v| (v["json"].as_str().unwrap().as_bytes().to_vec(), unhex(v["msgpack"].as_str().unwrap()))).collect()
    };
    for ((name, message), (text, packed)) in client_samples().iter().zip(bytes("client")) {
        assert_eq!(Codec::Json.decode_client(&text).as_ref(), Ok(message), "{name}");
        assert_eq!(Codec::MsgPack.decode_client(&packed).as_ref(), Ok(message), "{name}");
    }
    for ((name, message), (text, packed)) in server_samples().iter().zip(bytes("server")) {
        assert_eq!(Codec::Json.decode_server(&text).as_ref(), Ok(message), "{name}");
        assert_eq!(Codec::MsgPack.decode_server(&packed).as_ref(), Ok(message), "{name}");
    }
}

#[test]
fn a_truncated_message_or_one_with_trailing_bytes_is_rejected() {
    for (name, message) in client_samples() {
        for codec in Codec::ALL {
            let whole = codec.encode(&message);
            for length in 0..whole.len() {
                assert!(codec.decode_client(&whole[..length]).is_err(), "{name}, {length} bytes");
            }
            assert!(codec.decode_client(&[&whole[..], b"\x01"].concat()).is_err(), "{name}, one byte more");
        }
    }
}

#[test]
fn a_refusal_of_a_newer_server_decodes() {
    let text = br#"{"type":"refused","code":"from_the_future","message":"m","more":[1]}"#;
    assert!(matches!(Codec::Json.decode_server(text), Ok(ServerMessage::Refused { .. })));
}
