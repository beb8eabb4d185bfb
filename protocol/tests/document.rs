//! Checks that `PROTOCOL.md` and the code agree, so that neither changes alone.
//!
//! The patterns here name the fields of each message without `..`, so a new field does not compile until it is named, and each named
//! field must be in the document's table under the message's heading. Codes and bounds are compared value by value.

#![allow(clippy::unwrap_used)]

mod document_text;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use document_text::{DOCUMENT, rows, section};
use driftless_protocol::{Advice, Change, ClientMessage, CloseCode, Limits, Record, RefusalCode, Registration, ServerMessage, limits};
use samples::{client_samples, server_samples};

/// The name and the fields of a message.
fn client_fields(message: &ClientMessage) -> (&'static str, &'static [&'static str]) {
    match message {
        ClientMessage::Hello { token: _, device: _, client: _ } => ("hello", &["token", "device", "client"]),
        ClientMessage::Renew { token: _ } => ("renew", &["token"]),
        ClientMessage::Open { dataset: _, position: _ } => ("open", &["dataset", "position"]),
        ClientMessage::Close { dataset: _ } => ("close", &["dataset"]),
        ClientMessage::List => ("list", &[]),
        ClientMessage::Write { id: _, dataset: _, changes: _, offer: _ } => ("write", &["id", "dataset", "changes", "offer"]),
        ClientMessage::Ack { dataset: _, version: _ } => ("ack", &["dataset", "version"]),
        ClientMessage::Register(Registration { target: _, app: _, datasets: _, shown: _ }) => {
            ("register", &["provider", "app", "token", "subscription", "datasets", "shown"])
        }
        ClientMessage::Unregister => ("unregister", &[]),
        ClientMessage::Ping => ("ping", &[]),
    }
}

fn server_fields(message: &ServerMessage) -> (&'static str, &'static [&'static str]) {
    match message {
        ServerMessage::Welcome {
            identity: _,
            session: _,
            patch: _,
            heartbeat_s: _,
            token_expires_in_s: _,
            limits: _,
            merged: _,
            linked: _,
            push_lost: _,
            known_since_ms: _,
        } => (
            "welcome",
            &[
                "identity",
                "session",
                "patch",
                "heartbeat_s",
                "token_expires_in_s",
                "limits",
                "merged",
                "linked",
                "push_lost",
                "known_since_ms",
            ],
        ),
        ServerMessage::Changes { dataset: _, epoch: _, from: _, to: _, reset: _, shared: _, more: _, fresh_until: _, records: _ } => {
            ("changes", &["dataset", "epoch", "from", "to", "reset", "shared", "more", "fresh_until", "records"])
        }
        ServerMessage::Datasets { datasets: _ } => ("datasets", &["datasets"]),
        ServerMessage::Written { id: _, version: _, records: _ } => ("written", &["id", "version", "records"]),
        ServerMessage::Conflict { id: _, dataset: _, records: _ } => ("conflict", &["id", "dataset", "records"]),
        ServerMessage::Refused { id: _, dataset: _, code: _, message: _ } => ("refused", &["id", "dataset", "code", "message"]),
        ServerMessage::Renew { expires_in_s: _ } => ("renew", &["expires_in_s"]),
        ServerMessage::Renewed { expires_in_s: _ } => ("renewed", &["expires_in_s"]),
        ServerMessage::Registered { provider: _, app: _ } => ("registered", &["provider", "app"]),
        ServerMessage::Linked { logins: _ } => ("linked", &["logins"]),
        ServerMessage::Unregistered => ("unregistered", &[]),
        ServerMessage::Pong => ("pong", &[]),
        ServerMessage::Bye { code: _, reason: _, message: _, reconnect_after_ms: _ } => {
            ("bye", &["code", "reason", "message", "reconnect_after_ms"])
        }
    }
}

fn headings(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect()
}

#[test]
fn the_document_has_every_message_of_the_device_with_its_fields() {
    let part = section(DOCUMENT, "## 2. Messages of the device");
    let known: BTreeMap<_, _> = client_samples().iter().map(|(_, message)| client_fields(message)).collect();
    assert_eq!(headings(part), known.keys().copied().collect(), "messages");
    for (name, fields) in known {
        let listed: Vec<_> = rows(section(part, &format!("### `{name}`")), "field").into_iter().map(|row| row[0]).collect();
        assert_eq!(listed[..fields.len()], *fields, "fields of {name}");
    }
    let listed: Vec<_> = rows(section(part, "### `write`"), "field").into_iter().map(|row| row[0]).collect();
    let change: Change = serde_json::from_str(r#"{"key":"k","op":"put","value":1,"base":1}"#).unwrap();
    let Change { key: _, op: _, value: _, base: _ } = change;
    assert_eq!(listed[4..], ["key", "op", "value", "base"], "fields of a change");
}

#[test]
fn the_document_has_every_message_of_the_server_with_its_fields() {
    let part = section(DOCUMENT, "## 3. Messages of the server");
    let known: BTreeMap<_, _> = server_samples().iter().map(|(_, message)| server_fields(message)).collect();
    assert_eq!(headings(part), known.keys().copied().collect(), "messages");
    for (name, fields) in known {
        let listed: Vec<_> = rows(section(part, &format!("### `{name}`")), "field").into_iter().map(|row| row[0]).collect();
        assert_eq!(listed[..fields.len()], *fields, "fields of {name}");
    }
    let sample = server_samples().into_iter().find_map(|(_, message)| match message {
        ServerMessage::Conflict { records, .. } => records.into_iter().next(),
        _ => None,
    });
    // On the wire `content` is either `value` or `removed`.
    let Record { key: _, content: _, version: _, modified_ms: _, device: _ } = sample.unwrap();
    let listed: Vec<_> = rows(section(part, "### `changes`"), "field").into_iter().map(|row| row[0]).collect();
    assert_eq!(listed[9..], ["key", "value", "removed", "version", "modified_ms", "device"], "fields of a record");
}

#[test]
fn every_message_has_a_vector() {
    let with_vectors: BTreeSet<_> = client_samples().iter().map(|(_, message)| client_fields(message).0).collect();
    assert_eq!(with_vectors, headings(section(DOCUMENT, "## 2. Messages of the device")));
    let with_vectors: BTreeSet<_> = server_samples().iter().map(|(_, message)| server_fields(message).0).collect();
    assert_eq!(with_vectors, headings(section(DOCUMENT, "## 3. Messages of the server")));
}

#[test]
fn the_document_lists_the_refusal_codes() {
    let listed: Vec<_> = rows(section(DOCUMENT, "## 4. Refusal codes"), "code").into_iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(listed, RefusalCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_document_lists_the_close_codes_with_their_advice() {
    let listed: Vec<_> = rows(section(DOCUMENT, "## 6. Close codes"), "code")
        .into_iter()
        .map(|row| (row[0].parse::<u16>().unwrap(), row[1].trim_matches('`').to_owned(), row[3].to_owned()))
        .collect();
    let advice = |code: &CloseCode| match code.advice() {
        Advice::Reconnect => "reconnects",
        Advice::RenewToken => "renews its token",
        Advice::GiveUp => "gives up",
    };
    let known: Vec<_> = CloseCode::ALL.iter().map(|code| (code.code(), code.reason().to_owned(), advice(code).to_owned())).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_document_lists_the_bounds() {
    let part = section(DOCUMENT, "## 5. Bounds");
    let listed: BTreeMap<_, _> = rows(part, "limit").into_iter().map(|row| (row[0].to_owned(), row[1].parse::<u64>().unwrap())).collect();
    let known: BTreeMap<String, u64> = serde_json::from_value(serde_json::to_value(Limits::default()).unwrap()).unwrap();
    assert_eq!(listed, known);
    for sentence in [
        format!("a message is at most {}", thousands(limits::MESSAGE_BYTES)),
        format!("the first one {};", thousands(limits::HELLO_BYTES)),
        format!("nest at most {} levels", limits::VALUE_DEPTH),
    ] {
        assert!(part.contains(&sentence), "{sentence}");
    }
    assert!(DOCUMENT.contains(&format!("an explanation for people, at most {} bytes", limits::BYE_MESSAGE_BYTES)));
    assert!(DOCUMENT.contains(&format!("the last {} patch numbers", limits::PATCH_WINDOW)));
    assert!(DOCUMENT.contains(&format!("cut at about {} KiB", limits::PAGE_BYTES / 1024)));
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8(group.to_vec()).unwrap()).collect();
    groups.join(",")
}
