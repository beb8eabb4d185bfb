//! Sessions over a pipe that holds next to nothing, under a wheel that never turns: what does not come by itself does not come.

use std::future::poll_fn;
use std::time::Duration;

use driftless_protocol::{Change, ClientMessage, DatasetName, DeviceId, Epoch, Key, Op, ServerMessage, Value};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::auth::{DEVELOPMENT_SECRET, IssuerConfig, MintClaims, Verifier, mint};
use crate::clock::Clock;
use crate::committer::{Committer, Reader};
use crate::identity::Identities;
use crate::store::{EngineConfig, Store};
use crate::sync::{Pool, Principal, WriteRequest};

/// Bytes that the pipe holds: less than any message.
const PIPE_BYTES: usize = 16;

struct House {
    sessions: Sessions,
    sync: Sync,
    door: Authenticator,
    token: String,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, hub, metrics) = (Clock::start(), Hub::default(), Metrics::default());
    let epoch = Epoch::new("e").expect("an epoch");
    let store = Store::open(folder.path(), &EngineConfig::cached(16), &epoch).expect("opens");
    let (committer, _) = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock).expect("starts");
    let reader = Reader::start(store, committer.gate().clone()).expect("starts");
    let issuer = IssuerConfig {
        issuer: "i".to_owned(),
        audience: vec!["a".to_owned()],
        jwks_url: None,
        keys_file: None,
        secret: Some(DEVELOPMENT_SECRET.to_owned()),
    };
    let verifier = Verifier::new([(Arc::from("p"), vec![issuer])]).expect("an issuer");
    let pool = Pool {
        name: "p".into(),
        region: "local".into(),
        limits: Default::default(),
        policy: Default::default(),
        datasets: Vec::new(),
        keep: Default::default(),
    };
    let door = Authenticator::new(verifier, Identities::new(reader.clone(), committer.clone()), [pool], clock);
    let sync = Sync::new(reader, committer, crate::push::PushService::default(), clock);
    let now_s = clock.unix_ms() / 1000;
    let claims = MintClaims { issuer: "i", audience: "a", subject: "alice", issued_s: now_s, expires_s: now_s + 3600 };
    let token = mint(DEVELOPMENT_SECRET, &claims).expect("a token");
    let sessions = Sessions::new(
        door.clone(),
        sync.clone(),
        hub,
        Wheel::default(),
        metrics,
        super::SessionConfig { heartbeat_s: HEARTBEAT_S, reconnect_spread_ms: 1000 },
    );
    House { sessions, sync, door, token, _folder: folder }
}

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

impl House {
    /// The other end of a session's pipe.
    async fn device(&self, device: &str) -> WebSocketStream<DuplexStream> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            if let Some(session) = sessions.open(far, Codec::Json).await {
                session.run().await;
            }
        });
        let mut web = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        say(&mut web, &self.hello(device)).await;
        assert!(matches!(hear(&mut web).await, ServerMessage::Welcome { .. }));
        web
    }

    /// A session that nobody runs, and its device.
    async fn held(&self, device: &str) -> (Session<'_, DuplexStream>, WebSocketStream<DuplexStream>) {
        // Nobody reads while the other one speaks.
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut web = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        say(&mut web, &self.hello(device)).await;
        (self.sessions.open(far, Codec::Json).await.expect("comes in"), web)
    }

    fn hello(&self, device: &str) -> ClientMessage {
        ClientMessage::Hello { token: self.token.clone(), device: DeviceId::new(device).expect("a device"), client: String::new() }
    }

    async fn write(&self, who: &Principal, id: u64, bytes: usize) {
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::Text("x".repeat(bytes)));
        let answer = self.sync.write(who, dataset(), WriteRequest { id, changes: vec![change], offer: false }, 0).await.expect("is taken");
        answer.await.expect("is answered").expect("is written");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Does all that there is to do now.
    async fn settle(&mut self) {
        while let Some(event) = poll_fn(|context| self.driver.poll_event(context)).now_or_never() {
            assert!(self.driver.step(event).await.is_ok(), "it goes on");
        }
    }

    fn is_awake(&self) -> bool {
        self.driver.socket.is_awake()
    }
}

async fn say(web: &mut WebSocketStream<DuplexStream>, message: &ClientMessage) {
    let text = String::from_utf8(Codec::Json.encode(message)).expect("text");
    web.send(Message::text(text)).await.expect("is sent");
}

async fn hear(web: &mut WebSocketStream<DuplexStream>) -> ServerMessage {
    let next = tokio::time::timeout(Duration::from_secs(30), web.next()).await.expect("nothing came");
    let Some(Ok(Message::Text(text))) = next else { panic!("no text: {next:?}") };
    Codec::Json.decode_server(text.as_bytes()).expect("a message")
}

#[tokio::test]
async fn what_moves_while_a_peer_is_slow_is_sent_when_it_reads() {
    let house = house();
    let mut web = house.device("slow").await;
    say(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    assert!(matches!(hear(&mut web).await, ServerMessage::Changes { to: 0, .. }));
    let writer = house.door.enter(&house.token, DeviceId::new("writer").expect("a device")).await.expect("comes in").principal;
    let mut id = 0;
    for round in 1..=20 {
        // The first of them is being sent, a few bytes at a time, while the others are written.
        for bytes in [20, 5_000, 1] {
            id += 1;
            house.write(&writer, id, bytes).await;
        }
        let mut at = 0;
        while at < id {
            let ServerMessage::Changes { from, to, .. } = hear(&mut web).await else { panic!("not changes") };
            assert!(from < to && from >= at, "in order, and each once");
            at = to;
        }
        assert_eq!(at, round * 3);
    }
}

#[tokio::test]
async fn a_peer_that_reads_late_skips_to_the_newest_values() {
    let house = house();
    let mut web = house.device("late").await;
    say(&mut web, &ClientMessage::Open { dataset: dataset(), position: None }).await;
    assert!(matches!(hear(&mut web).await, ServerMessage::Changes { to: 0, .. }));
    let writer = house.door.enter(&house.token, DeviceId::new("writer").expect("a device")).await.expect("comes in").principal;
    // Many more than a ring holds, all of one record.
    let written = 10 * crate::hub::RING_CHANGES as u64;
    for id in 1..=written {
        house.write(&writer, id, 1_000).await;
    }
    let (mut at, mut heard) = (0, 0);
    while at < written {
        let ServerMessage::Changes { from, to, .. } = hear(&mut web).await else { panic!("not changes") };
        assert_eq!(from, at);
        (at, heard) = (to, heard + 1);
    }
    assert!(heard < written / 4, "{heard} messages for {written} writes of one record");
}

#[tokio::test]
async fn after_a_heartbeat_a_session_sleeps_at_once_and_what_comes_then_is_heard() {
    let house = house();
    let (mut session, mut device) = house.held("phone").await;
    session.settle().await;
    assert!(session.is_awake(), "its hello was a moment ago");
    for _ in 0..3 {
        say(&mut device, &ClientMessage::Ping).await;
        session.settle().await;
        assert!(!session.is_awake(), "it gave its buffers back");
    }
    assert!(matches!(hear(&mut device).await, ServerMessage::Welcome { .. }));
    for _ in 0..3 {
        assert_eq!(hear(&mut device).await, ServerMessage::Pong);
    }
    say(&mut device, &ClientMessage::Ping).await;
    say(&mut device, &ClientMessage::Close { dataset: dataset() }).await;
    session.settle().await;
    assert!(session.is_awake(), "something else came with it");
    assert_eq!(hear(&mut device).await, ServerMessage::Pong);
    assert!(matches!(hear(&mut device).await, ServerMessage::Refused { .. }));
}
