//! A gateway for tests that speaks HTTP/2 frame by frame (RFC 9113 section 6), so that a test says exactly what is answered, refused or left out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::connect::{Connect, Duplex};

/// The connections that are made, in their order.
pub(super) type Arrivals = mpsc::UnboundedReceiver<DuplexStream>;

/// A way to connect that leads into the test.
pub(super) fn into_test() -> (Connect, Arrivals) {
    let (arrive, arrivals) = mpsc::unbounded_channel();
    let connect: Connect = Arc::new(move || {
        let (ours, theirs) = duplex(1 << 16);
        let arrived = arrive.send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        Box::pin(async move { arrived.map(|()| Box::new(ours) as Box<dyn Duplex>) })
    });
    (connect, arrivals)
}

/// What a test waits for; one that waits in vain fails instead of hanging.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("what the test waits for")
}

/// One connection, from the gateway's end.
pub(super) struct Peer {
    io: DuplexStream,
    /// Whether it answers pings.
    pub(super) pongs: bool,
}

/// A request: its stream, and its body.
pub(super) type Asked = (u32, String);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl Peer {
    /// Takes the next connection, and allows this many streams on it.
    pub(super) async fn next(arrivals: &mut Arrivals, streams: u32) -> Peer {
        let mut io = soon(arrivals.recv()).await.expect("a connection");
        let mut preface = [0; 24];
        io.read_exact(&mut preface).await.expect("a preface");
        let mut peer = Peer { io, pongs: true };
        peer.limit(streams).await;
        peer
    }

    /// The next request; `None` when the connection ends.
    pub(super) async fn request(&mut self) -> Option<Asked> {
        soon(self.read()).await
    }

    async fn read(&mut self) -> Option<Asked> {
        loop {
            let mut head = [0; 9];
            self.io.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, rest @ ..] = head;
            let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
            self.io.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(rest);
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 && self.pongs => self.send(PING, ACK, 0, &payload).await,
                DATA if flags & END_STREAM != 0 => return Some((stream, String::from_utf8(payload).expect("a text"))),
                _ => {}
            }
        }
    }

    /// The next request, if one comes without anything else happening.
    pub(super) async fn request_soon(&mut self) -> Option<Asked> {
        tokio::time::timeout(Duration::from_millis(30), self.read()).await.ok().flatten()
    }

    /// Answers with status 200 and this body.
    pub(super) async fn answer(&mut self, stream: u32, body: &str) {
        // The first block is the static table's entry for `:status: 200` (RFC 7541 appendix A).
        self.send(HEADERS, END_HEADERS, stream, &[0x88]).await;
        self.send(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    /// Says which stream was the last to be processed.
    pub(super) async fn go_away(&mut self, last: u32) {
        self.send(GO_AWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()).await;
    }

    /// Resets a stream with this code.
    pub(super) async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Allows this many streams from now on.
    pub(super) async fn limit(&mut self, streams: u32) {
        self.send(SETTINGS, 0, 0, &[[0, 3].as_slice(), &streams.to_be_bytes()].concat()).await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let frame = [[a, b, c, kind, flags].as_slice(), &stream.to_be_bytes(), payload].concat();
        // Who has gone away is not told.
        let _ = self.io.write_all(&frame).await;
    }
}
