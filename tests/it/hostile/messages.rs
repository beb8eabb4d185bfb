//! Frames without a valid message, in both codecs.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage};
use serde_json::json;

use crate::support::raw::{hello, message};
use crate::support::{Bystander, RawSocket, TestServer};

const DEEP: usize = 1_000_000;

/// A write of one put in MessagePack, whose value is these bytes.
fn msgpack_put(id: u8, value: &[u8]) -> Vec<u8> {
    let head = b"\xa4type\xa5write\xa7dataset\xa1d\xa7changes\x91\x83\xa3key\xa1k\xa2op\xa3put\xa5value";
    [b"\x84\xa2id", &[id][..], head, value].concat()
}

#[tokio::test]
async fn an_undecodable_message_closes_the_socket_before_and_after_hello() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
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
                let mut unauthenticated = RawSocket::upgrade(server.address(), codec).await;
                // A text frame with invalid UTF-8 is already an invalid frame.
                unauthenticated.send(message(codec, bytes));
                unauthenticated.expect_close(CloseCode::BadMessage).await;
            }
            let mut mallory = RawSocket::open_session(server.address(), codec, "mallory").await;
            mallory.send(message(codec, bytes));
            mallory.expect_close(CloseCode::BadMessage).await;
        }
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn an_invalid_json_request_is_refused_and_the_session_stays_open() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    let nested = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    for value in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"a":1}}]"#, "1e400", "-1e400", &nested] {
        raw.send(message(Codec::Json, json_put(value).as_bytes()));
        assert_eq!(receive_refusal(&mut raw).await, (Some(1), RefusalCode::BadRequest), "{value}");
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
        assert_eq!(receive_refusal(&mut raw).await.1, code, "{text}");
    }
    raw.send_message(&json!({ "type": "ping" }));
    assert_eq!(raw.receive().await, ServerMessage::Pong);
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn an_invalid_msgpack_request_is_refused_and_the_session_stays_open() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
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
        raw.send(message(Codec::MsgPack, &msgpack_put(1, value)));
        assert_eq!(receive_refusal(&mut raw).await, (Some(1), RefusalCode::BadRequest), "{what}");
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
        assert_eq!(receive_refusal(&mut raw).await.1, RefusalCode::BadRequest, "{what}");
    }
    raw.send(message(Codec::MsgPack, &msgpack_put(1, &[vec![0x91; 32], vec![1]].concat())));
    assert!(matches!(raw.receive().await, ServerMessage::Written { id: 1, version: 1, .. }), "nothing was written before");
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn the_first_message_must_be_hello_and_a_second_hello_is_refused() {
    let server = TestServer::start().await;
    for codec in Codec::ALL {
        for first in
            [json!({ "type": "ping" }), json!({ "type": "list" }), json!({ "type": "fly" }), json!({ "type": "open", "dataset": "d" })]
        {
            let mut unauthenticated = RawSocket::upgrade(server.address(), codec).await;
            unauthenticated.send_message(&first);
            unauthenticated.expect_close(CloseCode::HelloExpected).await;
        }
        let mut raw = RawSocket::open_session(server.address(), codec, "alice").await;
        for other in ["alice", "bob"] {
            raw.send(hello(codec, other, "other"));
            assert_eq!(receive_refusal(&mut raw).await.1, RefusalCode::HelloAgain);
        }
        raw.send_message(&json!({ "type": "ping" }));
        assert_eq!(raw.receive().await, ServerMessage::Pong);
    }
}

#[tokio::test]
async fn a_refusal_does_not_echo_long_input() {
    let server = TestServer::start().await;
    let long = "\u{1}secret".repeat(100_000);
    for codec in Codec::ALL {
        let mut raw = RawSocket::open_session(server.address(), codec, "mallory").await;
        for wrong in [
            json!({ "type": long }),
            json!({ "type": "open", "dataset": long }),
            json!({ "type": "write", "id": long, "dataset": "d", "changes": [] }),
            json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": long }] }),
            json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": 1, "base": long }] }),
        ] {
            raw.send_message(&wrong);
            let ServerMessage::Refused { message, dataset, .. } = raw.receive().await else { panic!("not refused") };
            assert!(message.len() < 500, "{} bytes", message.len());
            assert!(dataset.is_none_or(|dataset| dataset == "d"));
        }
    }
}

#[tokio::test]
async fn random_bytes_are_refused_or_close_the_socket() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut random = Xorshift64(7);
    for codec in Codec::ALL {
        let (mut closed, mut raw) = (0, RawSocket::open_session(server.address(), codec, "mallory").await);
        for round in 0..1000 {
            // Xorshift64 bytes, and a valid message with some bytes changed.
            let noise = if round % 2 == 0 { random.bytes(64) } else { random.corrupt(&codec.encode(&valid_write(round))) };
            let fits = codec == Codec::MsgPack || std::str::from_utf8(&noise).is_ok();
            raw.send(message(codec, &noise));
            raw.send_message(&json!({ "type": "ping" }));
            if !fits || !is_open(&mut raw).await {
                closed += 1;
                raw = RawSocket::open_session(server.address(), codec, "mallory").await;
            }
        }
        assert!(closed > 100, "most random bytes close the socket: {closed}");
    }
    bystander.assert_undisturbed().await;
}

/// Whether the session still answers a ping, after the answer to the message before it.
async fn is_open(raw: &mut RawSocket) -> bool {
    loop {
        match raw.receive().await {
            ServerMessage::Pong => return true,
            ServerMessage::Bye { code, .. } => {
                assert_eq!(code, CloseCode::BadMessage.code());
                return false;
            }
            _ => {}
        }
    }
}

fn valid_write(round: u64) -> serde_json::Value {
    json!({ "type": "write", "id": round, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": { "n": round, "t": ["x", null] } }] })
}

fn json_put(value: &str) -> String {
    format!(r#"{{"type":"write","id":1,"dataset":"d","changes":[{{"key":"k","op":"put","value":{value}}}]}}"#)
}

async fn receive_refusal(raw: &mut RawSocket) -> (Option<u64>, RefusalCode) {
    match raw.receive().await {
        ServerMessage::Refused { id, code, .. } => (id, code),
        other => panic!("not refused: {other:?}"),
    }
}

/// The generator xorshift64 (Marsaglia 2003), from a fixed seed.
struct Xorshift64(u64);

impl Xorshift64 {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        (0..self.next() % max).map(|_| self.next() as u8).collect()
    }

    fn corrupt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut corrupted = bytes.to_vec();
        for _ in 0..1 + self.next() % 3 {
            let at = self.next() as usize % corrupted.len();
            corrupted[at] = self.next() as u8;
        }
        corrupted
    }
}
