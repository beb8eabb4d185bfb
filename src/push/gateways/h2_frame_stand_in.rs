//! Test only: a gateway that speaks HTTP/2 frame by frame (RFC 9113 section 6), so that a test decides exactly which frames are sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::connect::{Connect, Duplex};
use super::failure::FailureCause;
use super::transport_fault::TransportFault;

/// The gateway's ends of the connections, in the order in which they were opened.
pub(super) type AcceptedConnections = mpsc::UnboundedReceiver<DuplexStream>;

/// A `Connect` whose connections the test accepts.
pub(super) fn connect_to_test() -> (Connect, AcceptedConnections) {
    let (accept, accepted) = mpsc::unbounded_channel();
    let connect: Connect = Arc::new(move || {
        let (ours, theirs) = duplex(1 << 16);
        let connected = accept.send(theirs).map_err(|_| TransportFault::new(FailureCause::ConnectionRefused));
        Box::pin(async move { connected.map(|()| Box::new(ours) as Box<dyn Duplex>) })
    });
    (connect, accepted)
}

/// Waits with a bound, so that a test that waits in vain fails instead of hanging.
pub(super) async fn within_bound<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the future ends within 30 s")
}

/// The gateway's end of one connection.
pub(super) struct H2FramePeer {
    io: DuplexStream,
    pub(super) answers_pings: bool,
}

/// A request's stream id and body.
pub(super) type ReceivedRequest = (u32, String);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl H2FramePeer {
    /// Accepts the next connection, with this limit of streams.
    pub(super) async fn accept(accepted: &mut AcceptedConnections, streams: u32) -> H2FramePeer {
        let mut io = within_bound(accepted.recv()).await.expect("a connection");
        let mut preface = [0; 24];
        io.read_exact(&mut preface).await.expect("a preface");
        let mut peer = H2FramePeer { io, answers_pings: true };
        peer.set_limit(streams).await;
        peer
    }

    /// Waits for the next request; `None` when the connection ends.
    pub(super) async fn request(&mut self) -> Option<ReceivedRequest> {
        within_bound(self.read()).await
    }

    async fn read(&mut self) -> Option<ReceivedRequest> {
        loop {
            let mut head = [0; 9];
            self.io.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, rest @ ..] = head;
            let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
            self.io.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(rest);
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 && self.answers_pings => self.send(PING, ACK, 0, &payload).await,
                DATA if flags & END_STREAM != 0 => return Some((stream, String::from_utf8(payload).expect("a text"))),
                _ => {}
            }
        }
    }

    /// The next request, if one arrives within 30 ms.
    pub(super) async fn request_soon(&mut self) -> Option<ReceivedRequest> {
        tokio::time::timeout(Duration::from_millis(30), self.read()).await.ok().flatten()
    }

    /// Answers with status 200 and this body.
    pub(super) async fn answer(&mut self, stream: u32, body: &str) {
        // The first block is the static table's entry for `:status: 200` (RFC 7541 appendix A).
        self.send(HEADERS, END_HEADERS, stream, &[0x88]).await;
        self.send(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    /// Sends GOAWAY: `last` is the last stream that was processed.
    pub(super) async fn go_away(&mut self, last: u32) {
        self.send(GO_AWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()).await;
    }

    /// Resets a stream with this error code.
    pub(super) async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Sets the limit of concurrent streams.
    pub(super) async fn set_limit(&mut self, streams: u32) {
        self.send(SETTINGS, 0, 0, &[[0, 3].as_slice(), &streams.to_be_bytes()].concat()).await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let frame = [[a, b, c, kind, flags].as_slice(), &stream.to_be_bytes(), payload].concat();
        // The client may have closed the connection already.
        let _ = self.io.write_all(&frame).await;
    }
}
