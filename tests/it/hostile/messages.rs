//! Frames whose content is no message, or a wrong one, in both codecs.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage};
use serde_json::json;

use crate::support::raw::{hello, message};
use crate::support::{Bystander, Raw, Server};

const DEEP: usize = 1_000_000;

/// A MessagePack map of one put, whose value is these bytes.
fn packed_put(id: u8, value: &[u8]) -> Vec<u8> {
    let head = b"\xa4type\xa5write\xa7dataset\xa1d\xa7changes\x91\x83\xa3key\xa1k\xa2op\xa3put\xa5value";
    [b"\x84\xa2id", &[id][..], head, value].concat()
}

#[tokio::test]
async fn what_is_no_message_ends_the_socket_before_hello_and_after() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let deep = [br#"{"type":"ping","x":"#.to_vec(), vec![b'['; DEEP]].concat();
    let json: &[&[u8]] =
        &[b"", b"{", b"null", b"[1,2]", b"\"ping\"", b"{\"type\":\"ping\"} {}", b"{\"type\":NaN}", b"{\"type\":\"\xff\"}", &deep];
    let deep = [b"\x82\xa4type\xa4ping\xa1x".to_vec(), vec![0x91; DEEP]].concat();
    let endless_map = [&b"\xdf\xff\xff\xff\xff"[..], b"abcde"].concat();
    let packed: &[&[u8]] = &[
        b"",
        b"\xc0",
        b"\x91\xa4ping",
        b"\x81\xa4type\xdb\xff\xff\xff\xffabcde",
        b"\x81\xa4type\xc6\xff\xff\xff\xffabcde",
        b"\x81\xa4type\xdd\xff\xff\xff\xffabcde",
        b"\x81\xa4type\xc9\xff\xff\xff\xff\x01abcd",
        b"\x81\xa4type\xa4ping\xc0",
        b"\xc1",
        &endless_map,
        &deep,
    ];
    for (codec, frames) in [(Codec::Json, json), (Codec::MsgPack, packed)] {
        for bytes in frames {
            if bytes.len() < 1000 {
                let mut stranger = Raw::upgraded(server.address(), codec).await;
                // An invalid text is a broken frame already.
                stranger.send(message(codec, bytes));
                stranger.ends_with(CloseCode::BadMessage).await;
            }
            let mut mallory = Raw::welcomed(server.address(), codec, "mallory").await;
            mallory.send(message(codec, bytes));
            mallory.ends_with(CloseCode::BadMessage).await;
        }
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_wrong_json_request_is_refused_by_itself() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
    let nested = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    for value in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"a":1}}]"#, "1e400", "-1e400", &nested] {
        raw.send(message(Codec::Json, write(value).as_bytes()));
        assert_eq!(refusal(&mut raw).await, (Some(1), RefusalCode::BadRequest), "{value}");
    }
    for (text, code) in [
        (r#"{"type":"ping","type":"list"}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"d","dataset":"d"}"#, RefusalCode::BadRequest),
        (r#"{"type":"write","id":1,"id":2,"dataset":"d","changes":[]}"#, RefusalCode::BadRequest),
        (r#"{"type":"write","id":1,"dataset":"d","changes":[{"key":"k","key":"k","op":"remove"}]}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"d","position":{"epoch":"e","version":1,"version":1}}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"d","position":["e",1]}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"d","position":{"epoch":"e","version":-1}}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"d","position":{"epoch":"","version":1}}"#, RefusalCode::BadName),
        (r#"{"type":"ack","dataset":"d","version":1.5}"#, RefusalCode::BadRequest),
        (r#"{"type":{"ping":1}}"#, RefusalCode::BadRequest),
        (r#"{"type":["ping"]}"#, RefusalCode::BadRequest),
        (r#"{}"#, RefusalCode::BadRequest),
        (r#"{"type":"PING"}"#, RefusalCode::UnknownType),
        (r#"{"type":"welcome"}"#, RefusalCode::UnknownType),
    ] {
        raw.send(message(Codec::Json, text.as_bytes()));
        assert_eq!(refusal(&mut raw).await.1, code, "{text}");
    }
    raw.say(&json!({ "type": "ping" }));
    assert_eq!(raw.hear().await, ServerMessage::Pong);
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_wrong_packed_request_is_refused_by_itself() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    let nested = [vec![0x91; 33], vec![1]].concat();
    let values: &[(&str, &[u8])] = &[
        ("binary", b"\xc4\x01a"),
        ("binary inside", b"\x91\xc4\x01a"),
        ("a binary name", b"\x81\xc4\x01a\x01"),
        ("a number as a name", b"\x81\x01\x01"),
        ("extension", b"\xd4\x01a"),
        ("timestamp", b"\xd6\xff\0\0\0\0"),
        ("not a number", b"\xcb\x7f\xf8\0\0\0\0\0\0"),
        ("infinite", b"\xcb\x7f\xf0\0\0\0\0\0\0"),
        ("infinite, short", b"\xca\xff\x80\0\0"),
        ("no UTF-8", b"\xa2\xc3\x28"),
        ("a name twice", b"\x82\xa1a\x01\xa1a\x01"),
        ("deep", &nested),
    ];
    for (what, value) in values {
        raw.send(message(Codec::MsgPack, &packed_put(1, value)));
        assert_eq!(refusal(&mut raw).await, (Some(1), RefusalCode::BadRequest), "{what}");
    }
    let wrong: &[(&str, &[u8])] = &[
        ("a type in bytes", b"\x81\xa4type\xc4\x04ping"),
        ("a field by number", b"\x81\x00\xa4ping"),
        ("a field in bytes", b"\x81\xc4\x04type\xa4ping"),
        ("an operation by number", b"\x84\xa4type\xa5write\xa2id\x01\xa7dataset\xa1d\xa7changes\x91\x82\xa3key\xa1k\xa2op\x01"),
        (
            "an operation as a map",
            b"\x84\xa4type\xa5write\xa2id\x01\xa7dataset\xa1d\xa7changes\x91\x82\xa3key\xa1k\xa2op\x81\xa6remove\xc0",
        ),
        ("a change as a list", b"\x84\xa4type\xa5write\xa2id\x01\xa7dataset\xa1d\xa7changes\x91\x92\xa1k\xa6remove"),
    ];
    for (what, bytes) in wrong {
        raw.send(message(Codec::MsgPack, bytes));
        assert_eq!(refusal(&mut raw).await.1, RefusalCode::BadRequest, "{what}");
    }
    raw.send(message(Codec::MsgPack, &packed_put(1, &[vec![0x91; 32], vec![1]].concat())));
    assert!(matches!(raw.hear().await, ServerMessage::Written { id: 1, version: 1, .. }), "nothing was written before");
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn the_first_message_is_hello_and_later_ones_are_not() {
    let server = Server::start().await;
    for codec in Codec::ALL {
        for first in
            [json!({ "type": "ping" }), json!({ "type": "list" }), json!({ "type": "fly" }), json!({ "type": "open", "dataset": "d" })]
        {
            let mut stranger = Raw::upgraded(server.address(), codec).await;
            stranger.say(&first);
            stranger.ends_with(CloseCode::HelloExpected).await;
        }
        let mut raw = Raw::welcomed(server.address(), codec, "alice").await;
        for other in ["alice", "bob"] {
            raw.send(hello(codec, other, "other"));
            assert_eq!(refusal(&mut raw).await.1, RefusalCode::HelloAgain);
        }
        raw.say(&json!({ "type": "ping" }));
        assert_eq!(raw.hear().await, ServerMessage::Pong);
    }
}

#[tokio::test]
async fn a_refusal_does_not_repeat_what_was_wrong_at_length() {
    let server = Server::start().await;
    let long = "\u{1}secret".repeat(100_000);
    for codec in Codec::ALL {
        let mut raw = Raw::welcomed(server.address(), codec, "mallory").await;
        for wrong in [
            json!({ "type": long }),
            json!({ "type": "open", "dataset": long }),
            json!({ "type": "write", "id": long, "dataset": "d", "changes": [] }),
            json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": long }] }),
            json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": 1, "base": long }] }),
        ] {
            raw.say(&wrong);
            let ServerMessage::Refused { message, dataset, .. } = raw.hear().await else { panic!("not refused") };
            assert!(message.len() < 500, "{} bytes", message.len());
            assert!(dataset.is_none_or(|dataset| dataset == "d"));
        }
    }
}

#[tokio::test]
async fn random_bytes_are_refused_or_end_the_socket() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut random = Random(7);
    for codec in Codec::ALL {
        let (mut ended, mut raw) = (0, Raw::welcomed(server.address(), codec, "mallory").await);
        for round in 0..1000 {
            // Plain noise, and a good message with some of its bytes changed.
            let noise = if round % 2 == 0 { random.bytes(64) } else { random.spoil(&codec.encode(&good(round))) };
            let fits = codec == Codec::MsgPack || std::str::from_utf8(&noise).is_ok();
            raw.send(message(codec, &noise));
            raw.say(&json!({ "type": "ping" }));
            if !fits || !goes_on(&mut raw).await {
                ended += 1;
                raw = Raw::welcomed(server.address(), codec, "mallory").await;
            }
        }
        assert!(ended > 100, "most noise is no message: {ended}");
    }
    bystander.is_undisturbed().await;
}

/// Whether the session still answers a ping, after whatever answers to the message before it.
async fn goes_on(raw: &mut Raw) -> bool {
    loop {
        match raw.hear().await {
            ServerMessage::Pong => return true,
            ServerMessage::Bye { code, .. } => {
                assert_eq!(code, CloseCode::BadMessage.code());
                return false;
            }
            _ => {}
        }
    }
}

fn good(round: u64) -> serde_json::Value {
    json!({ "type": "write", "id": round, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": { "n": round, "t": ["x", null] } }] })
}

fn write(value: &str) -> String {
    format!(r#"{{"type":"write","id":1,"dataset":"d","changes":[{{"key":"k","op":"put","value":{value}}}]}}"#)
}

async fn refusal(raw: &mut Raw) -> (Option<u64>, RefusalCode) {
    match raw.hear().await {
        ServerMessage::Refused { id, code, .. } => (id, code),
        other => panic!("not refused: {other:?}"),
    }
}

/// The generator xorshift64 (Marsaglia 2003), from a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| self.next() as u8).collect()
    }

    fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoilt = bytes.to_vec();
        for _ in 0..1 + self.next() % 3 {
            let at = self.next() as usize % spoilt.len();
            spoilt[at] = self.next() as u8;
        }
        spoilt
    }
}
