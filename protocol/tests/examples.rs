//! The examples of `PROTOCOL.md`, read out of the document: each is a message of the heading that it stands under, survives both codecs unchanged,
//! and is a vector for clients in other languages.

#![allow(clippy::unwrap_used)]

mod document_text;
mod vector_file;

use driftless_protocol::{ClientMessage, Codec, ServerMessage};
use serde::Serialize;
use serde_json::Value as Json;

use document_text::{DOCUMENT, blocks, section};

/// The headings of a section with their examples.
fn examples(heading: &str) -> Vec<(&'static str, Vec<Json>)> {
    let part = section(DOCUMENT, heading);
    let names = part.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    names
        .map(|name| {
            let text = section(part, &format!("### `{name}`"));
            let found = blocks(text, "json").into_iter().flat_map(|block| serde_json::Deserializer::from_str(block).into_iter::<Json>());
            (name, found.map(|example| example.unwrap_or_else(|why| panic!("{name}: {why}"))).collect())
        })
        .collect()
}

fn of_device(example: &Json) -> ClientMessage {
    let message = Codec::Json.decode_client(example.to_string().as_bytes()).unwrap_or_else(|why| panic!("{example}: {why}"));
    assert_eq!(Codec::MsgPack.decode_client(&Codec::MsgPack.encode(&message)).as_ref(), Ok(&message), "{example}");
    message
}

fn of_server(example: &Json) -> ServerMessage {
    let message = Codec::Json.decode_server(example.to_string().as_bytes()).unwrap_or_else(|why| panic!("{example}: {why}"));
    assert_eq!(Codec::MsgPack.decode_server(&Codec::MsgPack.encode(&message)).as_ref(), Ok(&message), "{example}");
    message
}

/// The vectors of a section's examples, each of which the codec must encode as the document shows it.
fn vectors<M: Serialize>(heading: &str, decode: fn(&Json) -> M) -> Vec<Json> {
    let mut vectors = Vec::new();
    for (name, examples) in examples(heading) {
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            assert_eq!(example["type"], name, "an example stands under the heading of its message");
            let message = decode(&example);
            let (text, packed) = (Codec::Json.encode(&message), Codec::MsgPack.encode(&message));
            assert_eq!(serde_json::from_slice::<Json>(&text).unwrap(), example, "the codec encodes the example of {name} as it stands");
            vectors.push(vector_file::vector(&format!("example of {name}"), text, packed));
        }
    }
    vectors
}

#[test]
fn every_message_of_the_device_has_examples_that_are_vectors() {
    vector_file::check("client_examples", &vectors("## 2. Messages of the device", of_device));
}

#[test]
fn every_message_of_the_server_has_examples_that_are_vectors() {
    vector_file::check("server_examples", &vectors("## 3. Messages of the server", of_server));
}

#[test]
fn the_session_of_the_document_consists_of_messages() {
    let sessions = blocks(section(DOCUMENT, "## 1. Connecting"), "session");
    let lines: Vec<&str> = sessions.iter().flat_map(|session| session.lines()).collect();
    for line in &lines {
        let (side, text) = line.split_at(2);
        let example: Json = serde_json::from_str(text).unwrap();
        let encoded = match side {
            "> " => Codec::Json.encode(&of_device(&example)),
            "< " => Codec::Json.encode(&of_server(&example)),
            other => panic!("neither side: {other}"),
        };
        assert_eq!(serde_json::from_slice::<Json>(&encoded).unwrap(), example);
    }
    assert!(lines.len() > 10);
}
