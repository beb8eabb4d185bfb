//! Sessions over a pipe that holds a few bytes. Their clock and their timer wheel move only when the test moves them: what no test moves may
//! not depend on a tick.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use driftless_protocol::{Change, ClientMessage, CloseCode, DatasetName, DeviceId, Epoch, Key, Op, ServerMessage, Value};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::context::SessionEnd;
use super::*;
use crate::auth::{DEVELOPMENT_SECRET, IssuerConfig, MintClaims, Verifier, mint};
use crate::clock::{Clock, RunningClock};
use crate::committer::{Committer, Reader};
use crate::identity::{Identities, SignInPurpose};
use crate::limits::{AddressLimits, ClientAddresses, MemoryLimits};
use crate::origin::AllowedOrigins;
use crate::pools::{LINK_FRESH_S, Pool, Pools};
use crate::store::{EngineConfig, Store};
use crate::sync::{Principal, WriteRequest};

mod memory;
mod reading_ahead;
mod sending;

/// The capacity of the pipe in bytes: less than any message.
const PIPE_BYTES: usize = 16;

struct SessionFixture {
    sessions: Sessions,
    sync: SyncService,
    committer: Committer,
    reader: Reader,
    metrics: Metrics,
    authenticator: Authenticator,
    token: String,
    /// The monotonic time in milliseconds.
    elapsed_ms: &'static AtomicU64,
    running: RunningClock,
    wheel: TimerWheel,
    _folder: tempfile::TempDir,
}

fn fixture() -> SessionFixture {
    fixture_with(MemoryLimits::default())
}

fn fixture_with(memory: MemoryLimits) -> SessionFixture {
    let folder = tempfile::tempdir().expect("a folder");
    let elapsed_ms: &AtomicU64 = Box::leak(Box::default());
    let (clock, hub, metrics) = (Clock::by_hand(elapsed_ms), Hub::default(), Metrics::default());
    let (running, wheel) = (RunningClock::new(clock), TimerWheel::default());
    let epoch = Epoch::new("e").expect("an epoch");
    let store = Store::open(folder.path(), &EngineConfig::cached(16), &epoch).expect("opens");
    let (committer, _) = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock).expect("starts");
    let reader = Reader::start(store).expect("starts").counted_in(metrics.clone());
    let issuer = IssuerConfig {
        issuer: "i".to_owned(),
        audience: vec!["a".to_owned()],
        secret: Some(DEVELOPMENT_SECRET.to_owned()),
        ..IssuerConfig::default()
    };
    let verifier = Verifier::new([(Arc::from("p"), vec![issuer])]).expect("an issuer");
    let pool = Pool {
        guests: false,
        name: "p".into(),
        region: "local".into(),
        limits: Default::default(),
        policy: Default::default(),
        datasets: Vec::new(),
        retention: Default::default(),
        identity_bytes: crate::store::IDENTITY_BYTES,
        origins: AllowedOrigins::new([]),
        link_fresh_s: LINK_FRESH_S,
        used: Default::default(),
    };
    let authenticator = Authenticator::new(
        verifier,
        Identities::new(reader.clone(), committer.clone(), clock),
        Pools::declared([pool]),
        running.clone(),
        metrics.clone(),
    );
    let sync = SyncService::new(reader.clone(), committer.clone(), crate::push::PushService::default(), clock);
    let now_s = clock.unix_ms() / 1000;
    let claims = MintClaims { issuer: "i", audience: "a", subject: "alice", issued_s: now_s, expires_s: now_s + 3600 };
    let token = mint(DEVELOPMENT_SECRET, &claims).expect("a token");
    let sessions = Sessions::new(
        authenticator.clone(),
        sync.clone(),
        hub,
        wheel.clone(),
        running.clone(),
        metrics.clone(),
        SessionConfig { heartbeat_s: HEARTBEAT_S, reconnect_spread_ms: 1000, memory },
    );
    SessionFixture { sessions, sync, committer, reader, metrics, authenticator, token, elapsed_ms, running, wheel, _folder: folder }
}

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

impl SessionFixture {
    /// Opens a session and runs it; returns the device's end of the pipe.
    async fn connect(&self, device: &str) -> WebSocketStream<DuplexStream> {
        self.connect_over(device, PIPE_BYTES).await
    }

    /// The same over a pipe that holds so much.
    async fn connect_over(&self, device: &str, pipe_bytes: usize) -> WebSocketStream<DuplexStream> {
        let (near, far) = tokio::io::duplex(pipe_bytes);
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            if let Some(session) = sessions.open(far, Codec::Json, RequestSource::of_this_process()).await {
                session.run().await;
            }
        });
        let mut web = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        send(&mut web, &self.hello(device)).await;
        assert!(matches!(receive(&mut web).await, ServerMessage::Welcome { .. }));
        web
    }

    /// Opens a session that the test drives itself; returns it and the device's end of the pipe.
    async fn connect_paused(&self, device: &str) -> (OpenSession<'_, DuplexStream>, WebSocketStream<DuplexStream>) {
        self.connect_paused_from(device, RequestSource::of_this_process()).await
    }

    /// The same for a device that connects from there.
    async fn connect_paused_from(
        &self,
        device: &str,
        from: RequestSource,
    ) -> (OpenSession<'_, DuplexStream>, WebSocketStream<DuplexStream>) {
        // The pipe holds every message, because one task plays both ends.
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut web = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        send(&mut web, &self.hello(device)).await;
        (self.sessions.open(far, Codec::Json, from).await.expect("is welcomed"), web)
    }

    fn hello(&self, device: &str) -> ClientMessage {
        ClientMessage::Hello { token: self.token.clone(), device: DeviceId::new(device).expect("a device"), client: String::new() }
    }

    /// A second passes, as the server's ticker notices it.
    fn pass_second(&self) {
        self.elapsed_ms.fetch_add(1000, Ordering::Relaxed);
        self.running.tick();
        self.wheel.advance(self.running.running_ms());
    }

    /// The process is stopped for a time, and continues.
    fn pause(&self, seconds: u64) {
        self.elapsed_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
        self.pass_second();
    }

    async fn principal(&self, device: &str) -> Principal {
        let device = DeviceId::new(device).expect("a device");
        self.authenticator
            .authenticate(&self.token, device, SignInPurpose::Use, &RequestSource::of_this_process())
            .await
            .expect("is authenticated")
            .principal
    }

    async fn write(&self, who: &Principal, id: u64, bytes: usize) {
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::from("x".repeat(bytes)));
        let answer = self.sync.write(who, dataset(), WriteRequest { id, changes: vec![change], offer: false }, 0).await.expect("is queued");
        answer.await.expect("is answered").expect("is written");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> OpenSession<'_, S> {
    /// Handles every event that is ready now.
    async fn settle(&mut self) {
        assert_eq!(self.settle_or_end().await, None, "the session goes on");
    }

    /// Handles every event that is ready now, until one ends the session.
    async fn settle_or_end(&mut self) -> Option<SessionEnd> {
        while let Some(event) = poll_fn(|context| self.driver.poll_event(context)).now_or_never() {
            if let Err(end) = self.driver.handle_event(event).await {
                return Some(end);
            }
        }
        None
    }

    fn is_awake(&self) -> bool {
        self.driver.session.socket.is_awake()
    }
}

async fn send(web: &mut WebSocketStream<DuplexStream>, message: &ClientMessage) {
    let text = String::from_utf8(Codec::Json.encode(message)).expect("text");
    web.send(Message::text(text)).await.expect("is sent");
}

async fn receive(web: &mut WebSocketStream<DuplexStream>) -> ServerMessage {
    let next = tokio::time::timeout(Duration::from_secs(30), web.next()).await.expect("a message in time");
    let Some(Ok(Message::Text(text))) = next else { panic!("no text: {next:?}") };
    Codec::Json.decode_server(text.as_bytes()).expect("a message")
}

#[tokio::test]
async fn changes_during_a_slow_send_are_sent_when_the_peer_reads() {
    let fixture = fixture();
    let mut web = fixture.connect("slow").await;
    send(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    assert!(matches!(receive(&mut web).await, ServerMessage::Changes { to: 0, .. }));
    let writer = fixture.principal("writer").await;
    let mut id = 0;
    for round in 1..=20 {
        // The first patch is being sent, a few bytes at a time, while the others are written.
        for bytes in [20, 5_000, 1] {
            id += 1;
            fixture.write(&writer, id, bytes).await;
        }
        let mut at = 0;
        while at < id {
            let ServerMessage::Changes { from, to, .. } = receive(&mut web).await else { panic!("not changes") };
            assert!(from < to && from >= at, "in order, and each version once");
            at = to;
        }
        assert_eq!(at, round * 3);
    }
}

#[tokio::test]
async fn a_peer_that_reads_late_skips_to_the_newest_values() {
    let fixture = fixture();
    let mut web = fixture.connect("late").await;
    send(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    assert!(matches!(receive(&mut web).await, ServerMessage::Changes { to: 0, .. }));
    let writer = fixture.principal("writer").await;
    // Many more changes than a ring holds, all of one record.
    let written = 10 * crate::hub::RING_CHANGES as u64;
    for id in 1..=written {
        fixture.write(&writer, id, 1_000).await;
    }
    let (mut at, mut messages) = (0, 0);
    while at < written {
        let ServerMessage::Changes { from, to, .. } = receive(&mut web).await else { panic!("not changes") };
        assert_eq!(from, at);
        (at, messages) = (to, messages + 1);
    }
    assert!(messages < written / 4, "{messages} messages for {written} writes of one record");
}

#[tokio::test]
async fn a_session_over_the_limit_of_bytes_reads_nothing_for_a_while_and_then_goes_on() {
    let fixture = fixture();
    let limits = AddressLimits { bytes_per_s: 1000, ..AddressLimits::default() };
    let client = ClientAddresses::new(limits).client("192.0.2.1".parse().expect("an address"), 0);
    let (mut session, mut device) =
        fixture.connect_paused_from("phone", RequestSource { client, ..RequestSource::of_this_process() }).await;
    session.settle().await;
    assert!(matches!(receive(&mut device).await, ServerMessage::Welcome { .. }));
    // More than the burst of 10,000 bytes, in messages and in pings.
    let name = |n: usize| DatasetName::new(&format!("{n:0>100}")).expect("a name");
    for n in 0..100 {
        send(&mut device, &ClientMessage::Close { dataset: name(n) }).await;
        device.send(Message::Ping(vec![0; 125].into())).await.expect("is sent");
        session.settle().await;
    }
    send(&mut device, &ClientMessage::Ping).await;
    session.settle().await;
    assert!(session.driver.session.context.received.is_paused());
    let answered = async |session: &mut OpenSession<'_, DuplexStream>, device: &mut WebSocketStream<DuplexStream>| {
        session.settle().await;
        std::iter::from_fn(|| device.next().now_or_never()).filter(|next| matches!(next, Some(Ok(Message::Text(_))))).count()
    };
    let before = answered(&mut session, &mut device).await;
    assert!(before < 101, "{before}");
    let mut after = before;
    for _ in 0..40 {
        fixture.pass_second();
        after += answered(&mut session, &mut device).await;
    }
    assert_eq!(after, 101, "everything was answered in the end");
}

#[tokio::test]
async fn after_a_heartbeat_a_session_sleeps_at_once_and_receives_the_next_message() {
    let fixture = fixture();
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    assert!(session.is_awake(), "its hello was less than the idle time ago");
    for _ in 0..3 {
        send(&mut device, &ClientMessage::Ping).await;
        session.settle().await;
        assert!(!session.is_awake(), "it freed its buffers");
    }
    assert!(matches!(receive(&mut device).await, ServerMessage::Welcome { .. }));
    for _ in 0..3 {
        assert_eq!(receive(&mut device).await, ServerMessage::Pong);
    }
    send(&mut device, &ClientMessage::Ping).await;
    send(&mut device, &ClientMessage::Close { dataset: dataset() }).await;
    session.settle().await;
    assert!(session.is_awake(), "another message came with the heartbeat");
    assert_eq!(receive(&mut device).await, ServerMessage::Pong);
    assert!(matches!(receive(&mut device).await, ServerMessage::Refused { .. }));
}

/// Seconds after which a device that sends no message is silent; its session is closed a little later.
const SILENCE_S: u64 = 2 * HEARTBEAT_S as u64 + 15;

#[tokio::test]
async fn a_device_that_sends_nothing_is_pinged_and_then_silent() {
    let fixture = fixture();
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    for _ in 0..SILENCE_S {
        fixture.pass_second();
        session.settle().await;
    }
    assert!(matches!(receive(&mut device).await, ServerMessage::Welcome { .. }));
    assert!(matches!(device.next().await, Some(Ok(Message::Ping(_)))), "before a proxy closes");
    let mut end = None;
    for _ in 0..4 {
        fixture.pass_second();
        end = end.or(session.settle_or_end().await);
    }
    assert_eq!(end, Some(CloseCode::Silent.into()));
}

#[tokio::test]
async fn a_large_message_may_arrive_as_slowly_as_a_bad_line_carries_it() {
    let fixture = fixture();
    let (mut session, device) = fixture.connect_paused("phone").await;
    session.settle().await;
    let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::from("x".repeat(900_000)));
    let patch = ClientMessage::Write { id: 1, dataset: dataset(), changes: vec![change], offer: false };
    let payload = Codec::Json.encode(&patch);
    let mut pipe = device.into_inner();
    // A masked text frame with a mask of zeros.
    let header = [&[0x81, 0xff][..], &(payload.len() as u64).to_be_bytes(), &[0; 4]].concat();
    pipe.write_all(&header).await.expect("fits");
    // 8 KB a second for 113 seconds: longer than a device may be silent.
    for second in payload.chunks(8_000) {
        pipe.write_all(second).await.expect("fits");
        fixture.pass_second();
        session.settle().await;
    }
    let written = poll_fn(|context| session.driver.poll_event(context)).await;
    assert!(session.driver.handle_event(written).await.is_ok());
    assert_eq!(fixture.sync.list(&fixture.principal("laptop").await).await.map_or(0, |datasets| datasets.len()), 1);
}

#[tokio::test]
async fn a_message_that_trickles_does_not_hold_a_session_open() {
    let fixture = fixture();
    let (mut session, device) = fixture.connect_paused("phone").await;
    session.settle().await;
    let mut pipe = device.into_inner();
    pipe.write_all(&[&[0x81, 0xff][..], &1_000_000u64.to_be_bytes(), &[0; 4]].concat()).await.expect("fits");
    let mut seconds = 0;
    let end = loop {
        pipe.write_all(&[b' '; 100]).await.expect("fits");
        fixture.pass_second();
        seconds += 1;
        if let Some(end) = session.settle_or_end().await {
            break end;
        }
        assert!(seconds < 2 * SILENCE_S, "100 bytes a second are below the floor");
    };
    assert_eq!(end, CloseCode::Silent.into());
}

#[tokio::test]
async fn a_pause_of_the_process_is_not_silence_of_its_devices() {
    let fixture = fixture();
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    // The heartbeats that the device sends meanwhile wait in its socket.
    send(&mut device, &ClientMessage::Ping).await;
    send(&mut device, &ClientMessage::Ping).await;
    fixture.pause(10 * SILENCE_S);
    session.settle().await;
    // A device that has nothing in its socket is not charged with the paused time either.
    for _ in 0..SILENCE_S {
        fixture.pause(10 * SILENCE_S);
        for _ in 0..3 {
            fixture.pass_second();
            session.settle().await;
        }
        send(&mut device, &ClientMessage::Ping).await;
        session.settle().await;
    }
}

#[tokio::test]
async fn a_heartbeat_that_waits_is_read_before_its_session_counts_as_silent() {
    let fixture = fixture();
    let (mut session, mut device) = fixture.connect_paused("phone").await;
    session.settle().await;
    for _ in 0..SILENCE_S - 3 {
        fixture.pass_second();
        session.settle().await;
    }
    // The pause ends after the deadline, even if only its allowed part counts.
    send(&mut device, &ClientMessage::Ping).await;
    fixture.pause(60);
    session.settle().await;
    for _ in 0..SILENCE_S - 3 {
        fixture.pass_second();
        session.settle().await;
    }
}
