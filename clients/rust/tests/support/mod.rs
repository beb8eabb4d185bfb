//! A server that says only what its test tells it to.

// Each story uses what it needs.
#![allow(dead_code)]

use std::task::Poll;

use driftless_client::protocol::{Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Key, Limits, Op, Position};
use driftless_client::protocol::{Record, RefusalCode, ServerMessage, Value};
use driftless_client::{Device, Event, Events, Gone, Outcome, Settings, Tokens};
use futures_util::future::{BoxFuture, FutureExt, poll_fn};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

pub(crate) fn settings() -> DatasetName {
    DatasetName::new("settings").expect("a name")
}

pub(crate) fn put(name: &str, value: i64) -> Change {
    Change::new(key(name), Op::Put, Value::from(value))
}

/// Writes while the test goes on.
pub(crate) fn write(device: &Device, change: Change) -> JoinHandle<Result<Outcome, Gone>> {
    let device = device.clone();
    tokio::spawn(async move { device.write(&settings(), vec![change]).await })
}

/// Writes, and returns when the device has the patch; what comes back is its answer.
pub(crate) async fn hand_over(device: &Device, change: Change) -> BoxFuture<'static, Result<Outcome, Gone>> {
    let device = device.clone();
    let mut answer = async move { device.write(&settings(), vec![change]).await }.boxed();
    // There is room, so the first step goes up to the wait for the answer.
    assert!(poll_fn(|cx| Poll::Ready(answer.poll_unpin(cx).is_pending())).await, "nobody has answered yet");
    answer
}

pub(crate) fn record(name: &str, value: i64, version: u64) -> Record {
    let device = DeviceId::new("other").expect("a device");
    Record { key: key(name), content: Content::Value(value.into()), version, modified_ms: 0, device }
}

pub(crate) fn at(epoch: &str, version: u64) -> Option<Position> {
    Some(Position { epoch: Epoch::new(epoch).expect("an epoch"), version })
}

pub(crate) fn changes(epoch: &str, from: u64, to: u64, records: Vec<Record>) -> ServerMessage {
    let epoch = Epoch::new(epoch).expect("an epoch");
    ServerMessage::Changes { dataset: settings(), epoch, from, to, reset: false, shared: None, more: false, fresh_until: None, records }
}

/// What a store says that begins anew: after a restored backup with `shared`, or because the device was away for too long.
pub(crate) fn reset(page: ServerMessage, shared: Option<u64>, more: bool) -> ServerMessage {
    let ServerMessage::Changes { dataset, epoch, from, to, records, .. } = page else { panic!("not changes: {page:?}") };
    ServerMessage::Changes { dataset, epoch, from, to, reset: true, shared, more, fresh_until: None, records }
}

pub(crate) fn tombstone(name: &str, version: u64) -> Record {
    Record { content: Content::Removed, ..record(name, 0, version) }
}

pub(crate) fn remove(name: &str) -> Change {
    Change::new(key(name), Op::Remove, None)
}

pub(crate) fn conflict(id: u64, records: Vec<Record>) -> ServerMessage {
    ServerMessage::Conflict { id, dataset: settings(), records }
}

pub(crate) fn refused(id: u64, code: RefusalCode) -> ServerMessage {
    ServerMessage::Refused { id: Some(id), dataset: None, code, message: "no".to_owned() }
}

pub(crate) fn written(id: u64, version: u64) -> ServerMessage {
    ServerMessage::Written { id, version, records: Vec::new() }
}

pub(crate) fn renew(expires_in_s: u64) -> ServerMessage {
    ServerMessage::Renew { expires_in_s }
}

/// From here on time jumps to the next moment that somebody waits for, whenever all wait.
pub(crate) fn pause_time() -> Instant {
    tokio::time::pause();
    Instant::now()
}

/// The time since then, to the nearest second.
pub(crate) fn seconds(began: Instant) -> u64 {
    (began.elapsed().as_millis() as u64 + 500) / 1_000
}

/// Where devices connect to.
pub(crate) struct Fake {
    listener: TcpListener,
    codec: Codec,
}

impl Fake {
    pub(crate) async fn start(codec: Codec) -> Fake {
        Fake { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"), codec }
    }

    /// A device of this server, with tokens `token-0`, `token-1`, ...
    pub(crate) fn device(&self) -> (Device, Events) {
        let asked = std::sync::atomic::AtomicU64::new(0);
        let tokens = Tokens::new(move || {
            let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Ok(format!("token-{n}")))
        });
        Device::connect(self.settings(tokens))
    }

    pub(crate) fn settings(&self, tokens: Tokens) -> Settings {
        let url = format!("http://{}", self.listener.local_addr().expect("an address"));
        let device = DeviceId::new("phone").expect("a device");
        Settings { codec: self.codec, ..Settings::new(&url, device, tokens).expect("settings") }
    }

    /// Accepts a connection and says something that is not TLS.
    pub(crate) async fn answers_in_plain_text(&self) {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.expect("written");
    }

    /// The next socket, before its hello.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        let expected = self.codec.subprotocol();
        #[expect(clippy::result_large_err, reason = "the signature of the callback")]
        let choose = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/v1/sync");
            assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], expected);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, expected.parse().expect("a header"));
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.expect("a WebSocket");
        Peer { socket, codec: self.codec }
    }

    /// The next socket, welcomed by a server that knows this device's patches up to `patch`.
    pub(crate) async fn welcome(&self, patch: u64) -> Peer {
        let mut peer = self.accept().await;
        assert!(matches!(peer.hears().await, ClientMessage::Hello { .. }));
        peer.welcomes("local:alice", patch).await;
        peer
    }

    /// The next socket, welcomed as another identity, into which these were merged.
    pub(crate) async fn welcome_as(&self, identity: &str, merged: &[&str], patch: u64) -> Peer {
        let mut peer = self.accept().await;
        assert!(matches!(peer.hears().await, ClientMessage::Hello { .. }));
        peer.welcomes_merged(identity, merged, patch).await;
        peer
    }
}

fn as_write(message: ClientMessage) -> (u64, Vec<Change>) {
    match message {
        ClientMessage::Write { id, changes, .. } => (id, changes),
        other => panic!("not a write: {other:?}"),
    }
}

/// The server's end of one socket.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
}

impl Peer {
    pub(crate) async fn welcomes(&mut self, identity: &str, patch: u64) {
        self.welcomes_merged(identity, &[], patch).await;
    }

    async fn welcomes_merged(&mut self, identity: &str, merged: &[&str], patch: u64) {
        let (identity, session, limits) = (identity.to_owned(), "s1".to_owned(), Limits::default());
        let merged = merged.iter().map(|former| (*former).to_owned()).collect();
        self.says(ServerMessage::Welcome { identity, session, patch, heartbeat_s: 60, token_expires_in_s: 3_600, limits, merged }).await;
    }

    pub(crate) async fn says(&mut self, message: ServerMessage) {
        let bytes = self.codec.encode(&message);
        let frame = match self.codec {
            Codec::MsgPack => Message::Binary(bytes.into()),
            Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON")),
        };
        self.socket.send(frame).await.expect("sent");
    }

    pub(crate) async fn says_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// The next frame as it came.
    pub(crate) async fn hears_raw(&mut self) -> Message {
        self.socket.next().await.expect("a frame and not the end").expect("a frame")
    }

    /// The next message; panics at the end.
    pub(crate) async fn hears(&mut self) -> ClientMessage {
        self.next().await.expect("a message and not the end")
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<ClientMessage> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Some(self.codec.decode_client(&bytes).expect("a message")),
                Some(Ok(Message::Text(text))) => return Some(self.codec.decode_client(text.as_bytes()).expect("a message")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn hears_open(&mut self, from: Option<Position>) {
        assert_eq!(self.hears().await, ClientMessage::Open { dataset: settings(), position: from });
    }

    pub(crate) async fn hears_ack(&mut self, version: u64) {
        assert_eq!(self.hears().await, ClientMessage::Ack { dataset: settings(), version });
    }

    pub(crate) async fn hears_write(&mut self) -> (u64, Vec<Change>) {
        as_write(self.hears().await)
    }

    /// A write that the store could not take, when the device asks again.
    pub(crate) async fn hears_write_later(&mut self) -> (u64, Vec<Change>) {
        as_write(self.hears_later().await)
    }

    /// The device has nothing else to say: it asks for the list when the test does, and for nothing before.
    pub(crate) async fn hears_nothing_but_a_list(&mut self, device: &Device) {
        let (list, ()) = tokio::join!(device.list(), async {
            assert_eq!(self.hears().await, ClientMessage::List);
            self.says(ServerMessage::Datasets { datasets: Vec::new() }).await;
        });
        assert_eq!(list, Ok(Vec::new()));
    }

    /// The next message, after whatever time the device takes before it asks again. It must have heard all that was said to it: time jumps at once.
    pub(crate) async fn hears_later(&mut self) -> ClientMessage {
        tokio::time::pause();
        let message = self.hears().await;
        tokio::time::resume();
        message
    }

    pub(crate) async fn bye(mut self, code: u16, reason: &str, reconnect_after_ms: Option<u64>) {
        self.says(ServerMessage::Bye { code, reason: reason.to_owned(), reconnect_after_ms }).await;
        self.close(code, reason).await;
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).await.expect("closed");
    }
}

/// The next event of a kind that is told by its name.
pub(crate) async fn event(events: &mut Events, kind: fn(&Event) -> bool) -> Event {
    events.find(kind).await.expect("the device lives")
}
