//! What one identity can make the server hold, however many of its sessions stop half way or do not read. The bytes are those of the budgets.

use tokio::io::AsyncReadExt;

use super::super::socket::SessionSocket;
use super::*;
use crate::limits::{MemoryLimits, MemoryUse};

const MIB: usize = 1024 * 1024;

/// Devices of one identity: more than the budgets have room for.
const DEVICES: usize = 12;

/// What the pipe to a device holds.
const SOCKET_BYTES: usize = 16 * 1024;

fn small_budgets() -> SessionFixture {
    fixture_with(MemoryLimits { identity_received_mib: 5, identity_answers_mib: 4, received_mib: 64, answers_mib: 64 })
}

impl SessionFixture {
    fn held(&self, identity: &str, what: MemoryUse) -> usize {
        self.sessions.memory().identity_held_bytes(identity, what)
    }

    async fn put(&self, who: &Principal, id: u64, key: &str, bytes: usize) {
        let change = Change::new(Key::new(key).expect("a key"), Op::Put, Value::from("x".repeat(bytes)));
        let answer = self.sync.write(who, dataset(), WriteRequest { id, changes: vec![change], offer: false }, 0).await.expect("is queued");
        answer.await.expect("is answered").expect("is written");
    }
}

/// Lets the sessions go on until it is so.
pub(super) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes");
}

/// A message of so many bytes in one frame, with a mask of zeros.
fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(length as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + length, b' ');
    frame
}

#[tokio::test]
async fn half_sent_messages_of_one_identity_hold_no_more_than_its_budget() {
    let fixture = small_budgets();
    let identity = fixture.principal("writer").await.identity;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let mut web = fixture.connect_over(&format!("device-{number}"), SOCKET_BYTES).await;
        let half = frame(MIB);
        // The rest of the message never comes.
        let sending = tokio::spawn(async move {
            let _ = web.get_mut().write_all(&half[..MIB / 2]).await;
            web
        });
        devices.push(sending);
    }
    // Each message counts twice, so two have their memory; the first half of those has arrived.
    until(|| devices.iter().filter(|sending| sending.is_finished()).count() == 2).await;
    // What is free beyond that belongs to the one that waits longest.
    assert_eq!(fixture.held(identity.as_str(), MemoryUse::Received), 5 * MIB);
    // When those are gone the next ones have their turn, until all are gone.
    while !devices.is_empty() {
        devices.retain(|sending| !sending.is_finished());
        assert!(fixture.held(identity.as_str(), MemoryUse::Received) <= 5 * MIB);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until(|| fixture.held(identity.as_str(), MemoryUse::Received) == 0).await;
}

#[tokio::test]
async fn a_large_message_is_counted_until_it_is_answered_and_its_buffer_is_gone() {
    let fixture = small_budgets();
    let identity = fixture.principal("writer").await.identity;
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    assert!(matches!(receive(&mut device).await, ServerMessage::Welcome { .. }));
    let value = Value::from("x".repeat(50_000));
    let changes = vec![Change::new(Key::new("k").expect("a key"), Op::Put, value)];
    send(&mut device, &ClientMessage::Write { id: 1, dataset: dataset(), changes, offer: false }).await;
    let mut answer = None;
    let mut most = 0;
    while answer.is_none() {
        if let Some(event) = poll_fn(|context| session.driver.poll_event(context)).now_or_never() {
            session.driver.handle_event(event).await.expect("the session goes on");
        }
        most = fixture.held(identity.as_str(), MemoryUse::Received).max(most);
        answer = device.next().now_or_never();
        tokio::task::yield_now().await;
    }
    assert!((100_000..=101 * 1024).contains(&most), "the message, and its patch: {most}");
    session.settle().await;
    assert_eq!(fixture.held(identity.as_str(), MemoryUse::Received), 0);
    send(&mut device, &ClientMessage::Ping).await;
    session.settle().await;
    assert_eq!(receive(&mut device).await, ServerMessage::Pong);
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_no_more_than_the_budget_of_the_identity() {
    let fixture = small_budgets();
    let writer = fixture.principal("writer").await;
    for id in 1..=4 {
        fixture.put(&writer, id, &format!("k{id}"), 300_000).await;
    }
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let mut web = fixture.connect_over(&format!("device-{number}"), SOCKET_BYTES).await;
        send(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
        devices.push(web);
    }
    // Pages of 300 KB: seven that wait for their readers leave no room for the largest answer.
    let held = || fixture.held(writer.identity.as_str(), MemoryUse::Answers);
    until(|| held() > 2 * MIB).await;
    for _ in 0..100 {
        assert!(held() <= 4 * MIB, "{}", held());
        tokio::task::yield_now().await;
    }
    // Everybody gets everything once they read.
    let reading = devices.into_iter().map(async |mut web| {
        let mut keys = 0;
        while keys < 4 {
            let ServerMessage::Changes { records, .. } = receive(&mut web).await else { panic!("not changes") };
            keys += records.len();
            assert!(held() <= 4 * MIB, "{}", held());
        }
    });
    futures_util::future::join_all(reading).await;
    until(|| held() == 0).await;
}

#[tokio::test]
async fn replies_that_nobody_reads_hold_no_more_than_the_budget_of_the_identity() {
    let fixture = small_budgets();
    let writer = fixture.principal("writer").await;
    fixture.put(&writer, 1, "k", 300_000).await;
    fixture.put(&writer, 2, "k", 300_000).await;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let (mut sink, stream) = fixture.connect_over(&format!("device-{number}"), SOCKET_BYTES).await.split();
        // Each of some bytes, and each answered with the record.
        tokio::spawn(async move {
            for id in 1..=8 {
                let change = Change { base: Some(1), ..Change::new(Key::new("k").expect("a key"), Op::Put, Value::from("y")) };
                let write = ClientMessage::Write { id, dataset: dataset(), changes: vec![change], offer: false };
                let text = String::from_utf8(Codec::Json.encode(&write)).expect("text");
                sink.send(Message::text(text)).await.expect("is sent");
            }
        });
        devices.push(stream);
    }
    let held = || fixture.held(writer.identity.as_str(), MemoryUse::Answers);
    until(|| held() > 2 * MIB).await;
    for _ in 0..100 {
        assert!(held() <= 4 * MIB, "{}", held());
        tokio::task::yield_now().await;
    }
    let reading = devices.into_iter().map(async |mut stream| {
        for expected in 1..=8 {
            assert!(held() <= 4 * MIB, "{}", held());
            let next = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("a message in time");
            let Some(Ok(Message::Text(text))) = next else { panic!("no text: {next:?}") };
            let answer = Codec::Json.decode_server(text.as_bytes()).expect("a message");
            assert!(matches!(answer, ServerMessage::Conflict { id, ref records, .. } if id == expected && records.len() == 1));
        }
    });
    futures_util::future::join_all(reading).await;
    until(|| held() == 0).await;
}

#[tokio::test]
async fn small_patches_that_are_not_answered_yet_are_bounded_in_bytes() {
    let fixture = small_budgets();
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    assert!(matches!(receive(&mut device).await, ServerMessage::Welcome { .. }));
    let mut most = 0;
    for id in 1..=40 {
        let changes = (0..50).map(|n| Change::new(Key::new(&format!("{n}")).expect("a key"), Op::Put, Value::from(n))).collect();
        send(&mut device, &ClientMessage::Write { id, dataset: dataset(), changes, offer: false }).await;
        session.settle().await;
        most = session.driver.session.patches.iter().map(|patch| patch.bytes).sum::<usize>().max(most);
        drop(device.next().now_or_never());
    }
    assert!(most < 2 * 64 * 1024, "{most}");
}

/// The bytes of a message that is being sent are those of the budget, and not a copy in the library's buffer.
#[tokio::test]
async fn a_large_answer_counts_until_its_last_byte_is_sent() {
    let fixture = small_budgets();
    let identity = fixture.principal("writer").await.identity;
    let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
    let mut socket = SessionSocket::new(far, Codec::MsgPack);
    let memory = fixture.sessions.memory().try_take(identity.text(), MemoryUse::Answers, 2 * MIB).expect("there is enough");
    let frame = memory.hold(vec![7; 100_000]);
    assert!(socket.feed(frame).now_or_never().is_none(), "the peer does not read");
    let held = || fixture.held(identity.as_str(), MemoryUse::Answers);
    assert_eq!(held(), 98 * 1024);
    let mut read = vec![0; 100_000];
    let (flushed, received) = tokio::join!(socket.flush(), near.read_exact(&mut read));
    assert_eq!((flushed, received.is_ok(), held()), (Ok(()), true, 0));
}
