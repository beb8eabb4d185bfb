//! A WebSocket written by hand, so that a test can send any bytes: wrong headers, wrong lengths, unfinished frames.

use std::net::SocketAddr;

use driftless_protocol::{CloseCode, Codec, ServerMessage};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{token, wait_for};

/// Opcodes of frames (RFC 6455 section 5.2). `LAST` is the FIN bit, which ends a message.
pub const CONTINUE: u8 = 0x00;
pub const TEXT: u8 = 0x01;
pub const BINARY: u8 = 0x02;
pub const CLOSE: u8 = 0x08;
pub const PING: u8 = 0x09;
pub const PONG: u8 = 0x0a;
pub const LAST: u8 = 0x80;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of a masked frame that claims this payload length, in its shortest encoding.
pub fn frame_header(first: u8, length: u64) -> Vec<u8> {
    let mut head = match length {
        0..126 => vec![first, LAST | length as u8],
        126..0x1_0000 => [&[first, LAST | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, LAST | 127][..], &length.to_be_bytes()].concat(),
    };
    head.extend(MASK);
    head
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A message of the codec in one frame.
pub fn message(codec: Codec, payload: &[u8]) -> Vec<u8> {
    frame(LAST | opcode(codec), payload)
}

/// The opcode of the frames that carry a codec's messages.
pub fn opcode(codec: Codec) -> u8 {
    if codec == Codec::Json { TEXT } else { BINARY }
}

/// A JSON value, encoded by the codec.
pub fn encoded(codec: Codec, json: &serde_json::Value) -> Vec<u8> {
    codec.encode(json)
}

/// A hello of a device, as a frame.
pub fn hello(codec: Codec, person: &str, device: &str) -> Vec<u8> {
    hello_with(codec, &token(person), device)
}

/// A hello with this token, as a frame.
pub fn hello_with(codec: Codec, token: &str, device: &str) -> Vec<u8> {
    message(codec, &encoded(codec, &json!({ "type": "hello", "token": token, "device": device, "client": "raw" })))
}

/// The request that upgrades to a WebSocket; `more` are further header lines.
pub fn upgrade_request(subprotocol: &str, more: &str) -> String {
    format!(
        "GET /v1/sync HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{more}\r\n"
    )
}

/// A frame that the server sent.
#[derive(Debug, PartialEq)]
pub enum ReceivedFrame {
    Message(ServerMessage),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The code of a close frame; 0 if it has none.
    Close(u16),
    EndOfStream,
}

/// A connection. Its queue of bytes to send is unbounded, so that a test never blocks on a server that does not read.
pub struct RawSocket {
    codec: Codec,
    read: OwnedReadHalf,
    buffer: Vec<u8>,
    write: mpsc::UnboundedSender<Vec<u8>>,
    writing: AbortHandle,
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// The codes of the faults of a peer's own message: the server says what the fault is.
const PEERS_FAULTS: [u16; 5] = [
    CloseCode::BadMessage as u16,
    CloseCode::HelloTimeout as u16,
    CloseCode::HelloExpected as u16,
    CloseCode::TokenRefused as u16,
    CloseCode::TooLarge as u16,
];

impl RawSocket {
    /// Opens a TCP connection and sends nothing.
    pub async fn connect(address: SocketAddr, codec: Codec) -> RawSocket {
        RawSocket::over(TcpStream::connect(address).await.unwrap(), codec)
    }

    /// A WebSocket over a connection that a test has opened.
    pub fn over(stream: TcpStream, codec: Codec) -> RawSocket {
        stream.set_nodelay(true).unwrap();
        let (read, mut half) = stream.into_split();
        let (write, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let writing = tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                // A server that refuses a message may close without reading the rest.
                if half.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        RawSocket { codec, read, buffer: Vec::new(), write, writing: writing.abort_handle() }
    }

    /// Opens a WebSocket and sends no hello.
    pub async fn upgrade(address: SocketAddr, codec: Codec) -> RawSocket {
        let mut raw = RawSocket::connect(address, codec).await;
        raw.upgrade_here().await;
        raw
    }

    /// Makes the connection a WebSocket.
    pub async fn upgrade_here(&mut self) {
        self.send(upgrade_request(self.codec.subprotocol(), ""));
        let head = self.read_http_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Opens a session of the device `raw`.
    pub async fn open_session(address: SocketAddr, codec: Codec, person: &str) -> RawSocket {
        let mut raw = RawSocket::upgrade(address, codec).await;
        raw.send(hello(codec, person, "raw"));
        assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
        raw
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.write.send(bytes.into());
    }

    /// Sends a message.
    pub fn send_message(&self, json: &serde_json::Value) {
        self.send(message(self.codec, &encoded(self.codec, json)));
    }

    /// Receives the head of an HTTP response; empty if the server closes first.
    pub async fn read_http_head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            if !self.read_more().await {
                return String::new();
            }
        }
    }

    /// Receives the next frame.
    pub async fn next_frame(&mut self) -> ReceivedFrame {
        let Some((first, payload)) = self.read_frame().await else { return ReceivedFrame::EndOfStream };
        match first & 0x0f {
            CLOSE => ReceivedFrame::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
            PING => ReceivedFrame::Ping(payload),
            PONG => ReceivedFrame::Pong(payload),
            _ => ReceivedFrame::Message(self.codec.decode_server(&payload).unwrap()),
        }
    }

    /// Receives the next message and skips pings and pongs.
    pub async fn receive(&mut self) -> ServerMessage {
        loop {
            match self.next_frame().await {
                ReceivedFrame::Message(message) => return message,
                ReceivedFrame::Ping(_) | ReceivedFrame::Pong(_) => {}
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    /// Asserts that the server closes with this code: a bye, a close frame with the same code, and after this side's close frame the end
    /// of the stream. A fault of this side's message is explained.
    pub async fn expect_close(&mut self, code: CloseCode) {
        let mut bye = None;
        loop {
            match self.next_frame().await {
                ReceivedFrame::Message(ServerMessage::Bye { code, message, .. }) => {
                    let explained = message.is_some_and(|text| (10..512).contains(&text.len()));
                    assert!(explained || !PEERS_FAULTS.contains(&code), "{code} without a message");
                    bye = Some(code);
                }
                ReceivedFrame::Message(_) | ReceivedFrame::Ping(_) | ReceivedFrame::Pong(_) => {}
                ReceivedFrame::Close(closed) => {
                    assert_eq!((bye, closed), (Some(code.code()), code.code()), "not {code}");
                    self.send(frame(LAST | CLOSE, &closed.to_be_bytes()));
                    return assert_eq!(self.next_frame().await, ReceivedFrame::EndOfStream);
                }
                ReceivedFrame::EndOfStream => panic!("the stream ended without {code}"),
            }
        }
    }

    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.fill_buffer(2).await?;
        let (first, short) = (self.buffer[0], self.buffer[1]);
        let (at, length) = match short {
            126 => {
                self.fill_buffer(4).await?;
                (4, usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]])))
            }
            127 => {
                self.fill_buffer(10).await?;
                (10, u64::from_be_bytes(self.buffer[2..10].try_into().unwrap()) as usize)
            }
            _ => (2, usize::from(short)),
        };
        self.fill_buffer(at + length).await?;
        let frame: Vec<u8> = self.buffer.drain(..at + length).collect();
        Some((first, frame[at..].to_vec()))
    }

    async fn fill_buffer(&mut self, bytes: usize) -> Option<()> {
        while self.buffer.len() < bytes {
            if !self.read_more().await {
                return None;
            }
        }
        Some(())
    }

    /// Reads more bytes into the buffer; `false` at the end of the stream or on an error.
    async fn read_more(&mut self) -> bool {
        matches!(wait_for("something to read", self.read.read_buf(&mut self.buffer)).await, Ok(1..))
    }
}
