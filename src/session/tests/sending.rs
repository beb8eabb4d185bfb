//! What a session sends, and what it keeps of what it was sent, whatever its peer does.

use std::pin::pin;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use super::*;
use crate::committer::ReadOwner;
use crate::session::socket::{Incoming, SessionSocket};

/// The bytes that a socket has for its peer, for a peer that reads all of them.
async fn read_all(near: &mut DuplexStream, socket: &mut SessionSocket<DuplexStream>, length: usize) -> Vec<u8> {
    let mut read = vec![0; length];
    let (received, _) = tokio::join!(near.read_exact(&mut read), async {
        // The pong goes out when the next message is waited for.
        let _ = tokio::time::timeout(Duration::from_secs(30), socket.flush()).await;
    });
    received.expect("all of it");
    read
}

#[tokio::test]
async fn a_pong_that_is_half_written_is_finished_before_a_message() {
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    let mut socket = SessionSocket::new(far, Codec::Json);
    // A ping whose pong does not fit into the pipe, beside what is in it already.
    let (filler, payload) = ([7; PIPE_BYTES - 3], *b"0123456789");
    socket.feed(Bytes::copy_from_slice(&filler)).await.expect("waits");
    socket.flush().await.expect("fits");
    near.write_all(&[&[0x89, 0x8a, 0, 0, 0, 0], payload.as_slice()].concat()).await.expect("fits");
    assert_eq!(socket.next().now_or_never(), None);
    socket.feed(Bytes::from_static(b"frame")).await.expect("waits");
    assert_eq!(socket.flush().now_or_never(), None, "the peer does not read");
    let expected = [&filler, [0x8a, 10].as_slice(), &payload, b"frame"].concat();
    assert_eq!(read_all(&mut near, &mut socket, expected.len()).await, expected);
}

#[tokio::test]
async fn a_sleeping_socket_sends_frames_in_order_without_waking() {
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    let mut socket = SessionSocket::new(far, Codec::Json);
    let frames: Vec<Bytes> = (0..50).map(|n| vec![n; usize::from(n) * 700 % 9_000].into()).collect();
    let expected = frames.concat();
    let mut read = vec![0; expected.len()];
    let (received, ()) = tokio::join!(near.read_exact(&mut read), async {
        for frame in frames {
            socket.feed(frame).await.expect("the peer reads");
            assert!(!socket.is_awake());
        }
        socket.flush().await.expect("the peer reads");
    });
    assert!(received.is_ok() && read == expected && !socket.is_awake());
    drop(near);
    assert_eq!(socket.next().await, Incoming::Closed);
}

#[tokio::test]
async fn changes_are_sent_by_a_sleeping_session_which_stays_asleep() {
    let fixture = fixture();
    let writer = fixture.principal("writer").await;
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    send(&mut device, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    session.settle().await;
    send(&mut device, &ClientMessage::Ping).await;
    while session.is_awake() {
        session.settle().await;
        tokio::task::yield_now().await;
    }
    for expected in ["welcome", "changes", "pong"] {
        let message = receive(&mut device).await;
        assert_eq!(serde_json::to_value(&message).expect("encodes")["type"], expected);
    }
    for id in 1..=3 {
        fixture.write(&writer, id, 10).await;
        // The writer is answered before the session is woken.
        let mut received = pin!(receive(&mut device));
        let message = loop {
            session.settle().await;
            assert!(!session.is_awake());
            if let Some(message) = received.as_mut().now_or_never() {
                break message;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(message, ServerMessage::Changes { to, .. } if to == id));
    }
}

/// The session does not hold the acknowledgement, so it does not matter how it ends.
#[tokio::test]
async fn the_acknowledgements_of_a_session_that_was_killed_are_kept() {
    let fixture = fixture();
    let (writer, phone) = (fixture.principal("writer").await, fixture.principal("phone").await);
    fixture.write(&writer, 1, 10).await;
    fixture.write(&writer, 2, 10).await;
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    send(&mut device, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    for version in 1..=2 {
        send(&mut device, &ClientMessage::Ack { dataset: dataset(), version }).await;
    }
    session.settle().await;
    drop(session);
    fixture.committer.flush_acks().await.expect("are durable");
    let (identity, device) = (phone.identity, phone.device);
    let acknowledged =
        fixture.reader.read(ReadOwner::Server, move |store| store.acknowledged_version(&identity, &device, &dataset())).await;
    assert_eq!(acknowledged, Ok(2));
}

/// Pages are read ahead; what is written meanwhile moves records behind the page that is being sent.
#[tokio::test]
async fn a_device_that_catches_up_gets_pages_without_a_gap_while_the_dataset_is_written_to() {
    const RECORDS: u64 = 40;
    let fixture = fixture();
    let writer = fixture.principal("writer").await;
    let write = async |id: u64| {
        let key = Key::new(&format!("k{}", id % RECORDS)).expect("a key");
        let change = Change::new(key, Op::Put, Value::from(format!("{id} {}", "x".repeat(9_000))));
        let request = WriteRequest { id, changes: vec![change], offer: false };
        fixture.sync.write(&writer, dataset(), request, 0).await.expect("is queued").await.expect("is answered").expect("is written");
    };
    for id in 1..=RECORDS {
        write(id).await;
    }
    let mut web = fixture.connect("phone").await;
    send(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    let (mut at, mut found, mut id) = (0, std::collections::BTreeMap::new(), RECORDS);
    loop {
        let ServerMessage::Changes { from, to, more, records, .. } = receive(&mut web).await else { panic!("not changes") };
        assert_eq!(from, at);
        at = to;
        found.extend(records.into_iter().map(|record| (record.key.clone(), record.version)));
        if more && id < RECORDS + 20 {
            id += 3;
            write(id - 2).await;
            write(id - 1).await;
            write(id).await;
        }
        if !more && at == id {
            break;
        }
    }
    assert!(id > RECORDS + 3, "there were several pages");
    let newest: std::collections::BTreeMap<_, _> =
        (id - RECORDS + 1..=id).map(|version| (Key::new(&format!("k{}", version % RECORDS)).expect("a key"), version)).collect();
    assert_eq!(found, newest);
}
