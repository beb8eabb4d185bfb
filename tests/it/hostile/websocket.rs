//! Frames with wrong headers, invalid frames and unfinished frames (RFC 6455 §5).

use driftless_protocol::{CloseCode, Codec, ServerMessage, limits};
use serde_json::json;

use crate::support::raw::{BINARY, CLOSE, CONTINUE, LAST, PING, ReceivedFrame, TEXT, frame, frame_header, hello, opcode, upgrade_request};
use crate::support::{Bystander, RawSocket, TestServer, resident_kib};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_frame_header() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    for codec in Codec::ALL {
        let opcode = opcode(codec);
        let fragment = frame(CONTINUE, &vec![b'x'; MIB]);
        for bytes in [
            frame_header(LAST | opcode, limits::MESSAGE_BYTES as u64 + 1),
            frame_header(LAST | opcode, 1 << 32),
            frame_header(LAST | opcode, 1 << 63),
            frame_header(LAST | opcode, u64::MAX),
            [frame(opcode, b"x"), frame_header(CONTINUE, 1 << 63)].concat(),
            [frame(opcode, b"x"), fragment.clone(), fragment].concat(),
        ] {
            let mut raw = RawSocket::open_session(server.address(), codec, "mallory").await;
            raw.send(bytes);
            raw.expect_close(CloseCode::TooLarge).await;
        }
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn messages_and_pings_before_hello_have_a_smaller_limit() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let part = frame(CONTINUE, &[b' '; 8 * 1024]);
    for bytes in [
        frame_header(LAST | TEXT, limits::HELLO_BYTES as u64 + 1),
        [frame(TEXT, b" "), part.clone(), part.clone(), part.clone(), part].concat(),
        frame_header(LAST | PING, limits::MESSAGE_BYTES as u64),
        frame_header(LAST | PING, 126),
    ] {
        let mut raw = RawSocket::upgrade(server.address(), Codec::Json).await;
        raw.send(bytes);
        raw.expect_close(CloseCode::TooLarge).await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_still_receives_the_close_code() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    for _ in 0..20 {
        let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
        raw.send(frame(LAST | TEXT, &vec![b' '; 3 * MIB]));
        raw.expect_close(CloseCode::TooLarge).await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn frames_that_violate_rfc_6455_close_the_socket() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
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
        let mut unauthenticated = RawSocket::upgrade(server.address(), Codec::Json).await;
        unauthenticated.send(bytes.clone());
        unauthenticated.expect_close(CloseCode::BadMessage).await;
        let mut mallory = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
        mallory.send(bytes);
        mallory.expect_close(CloseCode::BadMessage).await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let server = TestServer::start().await;
    for (payload, answer) in [(&[][..], 0), (&[0x03, 0xe8], 1000), (&[0x0f, 0xa0], 4000), (&[0x03, 0xed], 1002)] {
        let mut unauthenticated = RawSocket::upgrade(server.address(), Codec::Json).await;
        unauthenticated.send(frame(LAST | CLOSE, payload));
        assert_eq!(
            (unauthenticated.next_frame().await, unauthenticated.next_frame().await),
            (ReceivedFrame::Close(answer), ReceivedFrame::EndOfStream)
        );
        let mut phone = RawSocket::open_session(server.address(), Codec::MsgPack, "alice").await;
        phone.send(frame(LAST | CLOSE, payload));
        assert_eq!((phone.next_frame().await, phone.next_frame().await), (ReceivedFrame::Close(answer), ReceivedFrame::EndOfStream));
    }
}

#[tokio::test]
async fn a_frame_of_the_other_codecs_opcode_closes_the_socket() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    for (codec, other) in [(Codec::MsgPack, TEXT), (Codec::Json, BINARY)] {
        let mut raw = RawSocket::open_session(server.address(), codec, "mallory").await;
        raw.send(frame(LAST | other, &codec.encode(&json!({ "type": "ping" }))));
        raw.expect_close(CloseCode::BadMessage).await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn many_empty_fragments_cost_no_memory() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    for codec in Codec::ALL {
        let mut raw = RawSocket::open_session(server.address(), codec, "mallory").await;
        let before = resident_kib();
        raw.send(frame(opcode(codec), b""));
        for _ in 0..50 {
            raw.send(frame(CONTINUE, b"").repeat(10_000));
            bystander.assert_undisturbed().await;
        }
        // The last fragment completes a valid message.
        raw.send(frame(LAST | CONTINUE, &codec.encode(&json!({ "type": "ping" }))));
        assert_eq!(raw.receive().await, ServerMessage::Pong);
        assert!(resident_kib() < before + 64 * 1024, "{before} KiB became {}", resident_kib());
    }
}

#[tokio::test]
async fn a_flood_of_pings_delays_only_its_own_connection() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    for _ in 0..10 {
        raw.send(frame(LAST | PING, &[b'p'; 125]).repeat(10_000));
        bystander.assert_undisturbed().await;
    }
    raw.send_message(&json!({ "type": "ping" }));
    let mut pongs = 0;
    loop {
        match raw.next_frame().await {
            ReceivedFrame::Pong(payload) => {
                assert_eq!(payload, [b'p'; 125]);
                pongs += 1;
            }
            heard => break assert_eq!(heard, ReceivedFrame::Message(ServerMessage::Pong)),
        }
    }
    assert_eq!(pongs, 100_000);
}

#[tokio::test]
async fn connections_that_stop_within_a_frame_delay_no_others() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut halves = Vec::new();
    for n in 0..50 {
        let half = RawSocket::open_session(server.address(), Codec::MsgPack, &format!("mallory{n}")).await;
        half.send([frame_header(LAST | BINARY, 1_000_000), vec![0x81; n * 100]].concat());
        halves.push(half);
    }
    bystander.assert_undisturbed().await;
    drop(halves);
    while server.metric("driftless_session_open").await > 2.0 {
        tokio::task::yield_now().await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn requests_and_frames_may_arrive_byte_by_byte() {
    let server = TestServer::start().await;
    let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
    for byte in upgrade_request(Codec::Json.subprotocol(), "").bytes() {
        raw.send([byte]);
    }
    assert!(raw.read_http_head().await.starts_with("HTTP/1.1 101 "));
    for byte in [hello(Codec::Json, "alice", "slow"), frame(LAST | PING, b"p"), frame(LAST | TEXT, br#"{"type":"ping"}"#)].concat() {
        raw.send([byte]);
    }
    assert!(matches!(raw.next_frame().await, ReceivedFrame::Message(ServerMessage::Welcome { .. })));
    assert_eq!(raw.next_frame().await, ReceivedFrame::Pong(b"p".to_vec()));
    assert_eq!(raw.next_frame().await, ReceivedFrame::Message(ServerMessage::Pong));
}

#[tokio::test]
async fn a_message_sent_together_with_hello_has_the_limit_of_a_session() {
    let server = TestServer::start().await;
    let mut raw = RawSocket::upgrade(server.address(), Codec::Json).await;
    let write = json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": "x".repeat(MIB / 2) }] });
    raw.send([hello(Codec::Json, "alice", "raw"), frame(LAST | TEXT, &Codec::Json.encode(&write))].concat());
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
    assert!(matches!(raw.receive().await, ServerMessage::Written { id: 1, version: 1, .. }));
}
