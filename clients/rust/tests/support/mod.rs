//! A server that sends only what its test tells it to.

// Each test program uses a part of these items.
#![allow(dead_code)]

use std::task::Poll;

use driftless_client::protocol::{Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Key, Limits, Op, Position};
use driftless_client::protocol::{PushLost, Record, RefusalCode, ServerMessage, Value};
use driftless_client::{Device, DeviceShutDown, Event, Events, Settings, TokenSource, WriteOutcome};
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

/// Writes in a task of its own, while the test continues.
pub(crate) fn write(device: &Device, change: Change) -> JoinHandle<Result<WriteOutcome, DeviceShutDown>> {
    let device = device.clone();
    tokio::spawn(async move { device.write(&settings(), vec![change]).await })
}

/// Writes, and returns when the device's task has the patch. The future that it returns resolves to the answer.
pub(crate) async fn submit(device: &Device, change: Change) -> BoxFuture<'static, Result<WriteOutcome, DeviceShutDown>> {
    let device = device.clone();
    let mut answer = async move { device.write(&settings(), vec![change]).await }.boxed();
    // A permit and a place in the channel are free, so the first poll runs up to the wait for the answer.
    assert!(poll_fn(|cx| Poll::Ready(answer.poll_unpin(cx).is_pending())).await, "the server has not answered yet");
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

/// The first page of a reset: after a restored backup, with `shared`; or because the device was offline beyond the tombstone horizon.
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

/// The server's request for a fresh token.
pub(crate) fn renew(expires_in_s: u64) -> ServerMessage {
    ServerMessage::Renew { expires_in_s }
}

/// The server's answer to a fresh token.
pub(crate) fn renewed(expires_in_s: u64) -> ServerMessage {
    ServerMessage::Renewed { expires_in_s }
}

/// Pauses time: whenever all tasks wait, it jumps to the next timer.
pub(crate) fn pause_time() -> Instant {
    tokio::time::pause();
    Instant::now()
}

/// The time since `began`, in seconds, rounded.
pub(crate) fn seconds(began: Instant) -> u64 {
    (began.elapsed().as_millis() as u64 + 500) / 1_000
}

pub(crate) struct ScriptedServer {
    listener: TcpListener,
    codec: Codec,
}

impl ScriptedServer {
    pub(crate) async fn start(codec: Codec) -> ScriptedServer {
        ScriptedServer { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"), codec }
    }

    /// A device that connects to this server with the tokens `token-0`, `token-1`, ...
    pub(crate) fn device(&self) -> (Device, Events) {
        let asked = std::sync::atomic::AtomicU64::new(0);
        let tokens = TokenSource::new(move || {
            let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Ok(format!("token-{n}")))
        });
        Device::connect(self.settings(tokens))
    }

    pub(crate) fn settings(&self, tokens: TokenSource) -> Settings {
        let url = format!("http://{}", self.listener.local_addr().expect("an address"));
        let device = DeviceId::new("phone").expect("a device");
        Settings { codec: self.codec, ..Settings::new(&url, device, tokens).expect("settings") }
    }

    /// Accepts a connection and answers with bytes that are not TLS.
    pub(crate) async fn answer_in_plain_text(&self) {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.expect("written");
    }

    /// Accepts the next socket, before its `hello`.
    pub(crate) async fn accept(&self) -> ScriptedSession {
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
        ScriptedSession { socket, codec: self.codec }
    }

    /// Accepts the next socket and welcomes the device; the server knows its patches up to the number `patch`.
    pub(crate) async fn welcome(&self, patch: u64) -> ScriptedSession {
        let mut session = self.accept().await;
        assert!(matches!(session.recv().await, ClientMessage::Hello { .. }));
        session.send_welcome("local:alice", patch).await;
        session
    }

    /// Accepts the next socket and welcomes the device as `identity`, into which the identities `merged` were merged.
    pub(crate) async fn welcome_as(&self, identity: &str, merged: &[&str], patch: u64) -> ScriptedSession {
        let mut session = self.accept().await;
        assert!(matches!(session.recv().await, ClientMessage::Hello { .. }));
        session.send(welcome_message(identity, merged, patch, None)).await;
        session
    }
}

/// A welcome that tells the device that no push wakes it any more.
pub(crate) fn welcome_push_lost(identity: &str, push_lost: PushLost) -> ServerMessage {
    welcome_message(identity, &[], 0, Some(push_lost))
}

/// A welcome that says since when the server knows the device.
pub(crate) fn welcome_known_since(since_ms: u64) -> ServerMessage {
    let mut message = welcome_message("local:alice", &[], 0, None);
    if let ServerMessage::Welcome { known_since_ms, .. } = &mut message {
        *known_since_ms = Some(since_ms);
    }
    message
}

fn welcome_message(identity: &str, merged: &[&str], patch: u64, push_lost: Option<PushLost>) -> ServerMessage {
    let (identity, session, limits) = (identity.to_owned(), "s1".to_owned(), Limits::default());
    let merged = merged.iter().map(|identity| (*identity).to_owned()).collect();
    let (heartbeat_s, token_expires_in_s) = (60, 3_600);
    let (linked, known_since_ms) = (Vec::new(), None);
    ServerMessage::Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits, merged, linked, push_lost, known_since_ms }
}

fn as_write(message: ClientMessage) -> (u64, Vec<Change>) {
    match message {
        ClientMessage::Write { id, changes, .. } => (id, changes),
        other => panic!("not a write: {other:?}"),
    }
}

/// The server's end of one socket.
pub(crate) struct ScriptedSession {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
}

impl ScriptedSession {
    pub(crate) async fn send_welcome(&mut self, identity: &str, patch: u64) {
        self.send(welcome_message(identity, &[], patch, None)).await;
    }

    pub(crate) async fn send(&mut self, message: ServerMessage) {
        let bytes = self.codec.encode(&message);
        let frame = match self.codec {
            Codec::MsgPack => Message::Binary(bytes.into()),
            Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON")),
        };
        self.socket.send(frame).await.expect("sent");
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// The next frame, undecoded.
    pub(crate) async fn recv_frame(&mut self) -> Message {
        self.socket.next().await.expect("a frame and not the end").expect("a frame")
    }

    /// The next message; panics at the end.
    pub(crate) async fn recv(&mut self) -> ClientMessage {
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

    pub(crate) async fn expect_open(&mut self, from: Option<Position>) {
        assert_eq!(self.recv().await, ClientMessage::Open { dataset: settings(), position: from });
    }

    pub(crate) async fn expect_ack(&mut self, version: u64) {
        assert_eq!(self.recv().await, ClientMessage::Ack { dataset: settings(), version });
    }

    pub(crate) async fn expect_write(&mut self) -> (u64, Vec<Change>) {
        as_write(self.recv().await)
    }

    /// The write that the device sends when it retries deferred requests.
    pub(crate) async fn expect_write_after_retry(&mut self) -> (u64, Vec<Change>) {
        as_write(self.recv_after_retry().await)
    }

    /// Checks that the device sends nothing by itself: the next message is the `list` that the test asks for.
    pub(crate) async fn expect_idle(&mut self, device: &Device) {
        let (list, ()) = tokio::join!(device.list(), async {
            assert_eq!(self.recv().await, ClientMessage::List);
            self.send(ServerMessage::Datasets { datasets: Vec::new() }).await;
        });
        assert_eq!(list, Ok(Vec::new()));
    }

    /// The message that the device sends when it retries deferred requests. It must have received all messages before: time jumps at once.
    pub(crate) async fn recv_after_retry(&mut self) -> ClientMessage {
        tokio::time::pause();
        let message = self.recv().await;
        tokio::time::resume();
        message
    }

    pub(crate) async fn close_with_bye(mut self, code: u16, reason: &str, reconnect_after_ms: Option<u64>) {
        self.send(ServerMessage::Bye { code, reason: reason.to_owned(), message: None, reconnect_after_ms }).await;
        self.close(code, reason).await;
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).await.expect("closed");
    }
}

/// The next event that `kind` accepts.
pub(crate) async fn event(events: &mut Events, kind: fn(&Event) -> bool) -> Event {
    events.find(kind).await.expect("the device lives")
}
