//! Frames that lie, break the rules, or never end (RFC 6455 §5).

use driftless_protocol::{CloseCode, Codec, ServerMessage, limits};
use serde_json::json;

use crate::support::raw::{BINARY, CLOSE, CONTINUE, Heard, LAST, PING, TEXT, frame, head, hello, kind, upgrade};
use crate::support::{Bystander, Raw, Server, resident_kib};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_message_over_the_bound_is_refused_at_its_header() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    for codec in Codec::ALL {
        let kind = kind(codec);
        let fragment = frame(CONTINUE, &vec![b'x'; MIB]);
        for bytes in [
            head(LAST | kind, limits::MESSAGE_BYTES as u64 + 1),
            head(LAST | kind, 1 << 32),
            head(LAST | kind, 1 << 63),
            head(LAST | kind, u64::MAX),
            [frame(kind, b"x"), head(CONTINUE, 1 << 63)].concat(),
            [frame(kind, b"x"), fragment.clone(), fragment].concat(),
        ] {
            let mut raw = Raw::welcomed(server.address(), codec, "mallory").await;
            raw.send(bytes);
            raw.ends_with(CloseCode::TooLarge).await;
        }
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn before_hello_the_bound_is_smaller_for_messages_and_for_pings() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let part = frame(CONTINUE, &[b' '; 8 * 1024]);
    for bytes in [
        head(LAST | TEXT, limits::HELLO_BYTES as u64 + 1),
        [frame(TEXT, b" "), part.clone(), part.clone(), part.clone(), part].concat(),
        head(LAST | PING, limits::MESSAGE_BYTES as u64),
        head(LAST | PING, 126),
    ] {
        let mut raw = Raw::upgraded(server.address(), Codec::Json).await;
        raw.send(bytes);
        raw.ends_with(CloseCode::TooLarge).await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn who_sends_too_much_and_reads_later_still_finds_out_why() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    for _ in 0..20 {
        let mut raw = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
        raw.send(frame(LAST | TEXT, &vec![b' '; 3 * MIB]));
        raw.ends_with(CloseCode::TooLarge).await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_socket() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let ping = br#"{"type":"ping"}"#;
    let mut broken = vec![
        [&[LAST | TEXT, ping.len() as u8][..], ping].concat(),
        frame(CONTINUE, ping),
        frame(LAST | CONTINUE, ping),
        [frame(TEXT, b"{"), frame(LAST | TEXT, ping)].concat(),
        frame(PING, b"in parts"),
        frame(LAST | CLOSE, b"x"),
        frame(LAST | CLOSE, b"\x03\xe8\xff\xff"),
        frame(LAST | BINARY, ping),
        frame(LAST | TEXT, b"\xff\xfe"),
        [frame(TEXT, b"\xc3"), frame(LAST | CONTINUE, b"(")].concat(),
    ];
    broken.extend([0x40, 0x20, 0x10].map(|reserved| frame(LAST | reserved | TEXT, ping)));
    broken.extend([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| frame(LAST | opcode, ping)));
    for bytes in broken {
        let mut stranger = Raw::upgraded(server.address(), Codec::Json).await;
        stranger.send(bytes.clone());
        stranger.ends_with(CloseCode::BadMessage).await;
        let mut mallory = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
        mallory.send(bytes);
        mallory.ends_with(CloseCode::BadMessage).await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let server = Server::start().await;
    for (payload, answer) in [(&[][..], 0), (&[0x03, 0xe8], 1000), (&[0x0f, 0xa0], 4000), (&[0x03, 0xed], 1002)] {
        let mut stranger = Raw::upgraded(server.address(), Codec::Json).await;
        stranger.send(frame(LAST | CLOSE, payload));
        assert_eq!((stranger.next().await, stranger.next().await), (Heard::Close(answer), Heard::End));
        let mut phone = Raw::welcomed(server.address(), Codec::MsgPack, "alice").await;
        phone.send(frame(LAST | CLOSE, payload));
        assert_eq!((phone.next().await, phone.next().await), (Heard::Close(answer), Heard::End));
    }
}

#[tokio::test]
async fn text_in_the_binary_protocol_and_the_other_way_round_end_the_socket() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    for (codec, other) in [(Codec::MsgPack, TEXT), (Codec::Json, BINARY)] {
        let mut raw = Raw::welcomed(server.address(), codec, "mallory").await;
        raw.send(frame(LAST | other, &codec.encode(&json!({ "type": "ping" }))));
        raw.ends_with(CloseCode::BadMessage).await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_great_many_empty_fragments_cost_nothing() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    for codec in Codec::ALL {
        let mut raw = Raw::welcomed(server.address(), codec, "mallory").await;
        let before = resident_kib();
        raw.send(frame(kind(codec), b""));
        for _ in 0..50 {
            raw.send(frame(CONTINUE, b"").repeat(10_000));
            bystander.is_undisturbed().await;
        }
        // And in the end they are a message like any other.
        raw.send(frame(LAST | CONTINUE, &codec.encode(&json!({ "type": "ping" }))));
        assert_eq!(raw.hear().await, ServerMessage::Pong);
        assert!(resident_kib() < before + 64 * 1024, "{before} KiB became {}", resident_kib());
    }
}

#[tokio::test]
async fn a_flood_of_pings_without_reading_holds_up_only_itself() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
    for _ in 0..10 {
        raw.send(frame(LAST | PING, &[b'p'; 125]).repeat(10_000));
        bystander.is_undisturbed().await;
    }
    raw.say(&json!({ "type": "ping" }));
    let mut pongs = 0;
    loop {
        match raw.next().await {
            Heard::Pong(payload) => {
                assert_eq!(payload, [b'p'; 125]);
                pongs += 1;
            }
            heard => break assert_eq!(heard, Heard::Message(ServerMessage::Pong)),
        }
    }
    assert_eq!(pongs, 100_000);
}

#[tokio::test]
async fn half_a_frame_and_then_silence_holds_nobody_up() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut halves = Vec::new();
    for n in 0..50 {
        let half = Raw::welcomed(server.address(), Codec::MsgPack, &format!("mallory{n}")).await;
        half.send([head(LAST | BINARY, 1_000_000), vec![0x81; n * 100]].concat());
        halves.push(half);
    }
    bystander.is_undisturbed().await;
    drop(halves);
    while server.metric("driftless_session_open").await > 2.0 {
        tokio::task::yield_now().await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn everything_may_come_a_byte_at_a_time() {
    let server = Server::start().await;
    let mut raw = Raw::connected(server.address(), Codec::Json).await;
    for byte in upgrade(Codec::Json.subprotocol(), "").bytes() {
        raw.send([byte]);
    }
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    for byte in [hello(Codec::Json, "alice", "slow"), frame(LAST | PING, b"p"), frame(LAST | TEXT, br#"{"type":"ping"}"#)].concat() {
        raw.send([byte]);
    }
    assert!(matches!(raw.next().await, Heard::Message(ServerMessage::Welcome { .. })));
    assert_eq!(raw.next().await, Heard::Pong(b"p".to_vec()));
    assert_eq!(raw.next().await, Heard::Message(ServerMessage::Pong));
}

#[tokio::test]
async fn what_follows_hello_at_once_is_bounded_as_a_session_is() {
    let server = Server::start().await;
    let mut raw = Raw::upgraded(server.address(), Codec::Json).await;
    let write = json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": "x".repeat(MIB / 2) }] });
    raw.send([hello(Codec::Json, "alice", "raw"), frame(LAST | TEXT, &Codec::Json.encode(&write))].concat());
    assert!(matches!(raw.hear().await, ServerMessage::Welcome { .. }));
    assert!(matches!(raw.hear().await, ServerMessage::Written { id: 1, version: 1, .. }));
}
