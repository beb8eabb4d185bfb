//! A WebSocket written by hand, so that a story can send anything: bytes, headers that lie, frames without an end.

use std::net::SocketAddr;

use driftless_protocol::{CloseCode, Codec, ServerMessage};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{soon, token};

/// First bytes of frames: the end of a message is the top bit.
pub const CONTINUE: u8 = 0x00;
pub const TEXT: u8 = 0x01;
pub const BINARY: u8 = 0x02;
pub const CLOSE: u8 = 0x08;
pub const PING: u8 = 0x09;
pub const PONG: u8 = 0x0a;
pub const LAST: u8 = 0x80;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The head of a masked frame that claims a length, in the shortest form.
pub fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = match length {
        0..126 => vec![first, LAST | length as u8],
        126..0x1_0000 => [&[first, LAST | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, LAST | 127][..], &length.to_be_bytes()].concat(),
    };
    head.extend(MASK);
    head
}

/// A whole masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A message in one frame of the codec's kind.
pub fn message(codec: Codec, payload: &[u8]) -> Vec<u8> {
    frame(LAST | kind(codec), payload)
}

/// The kind of frame that a codec's messages travel in.
pub fn kind(codec: Codec) -> u8 {
    if codec == Codec::Json { TEXT } else { BINARY }
}

/// JSON in the codec's encoding.
pub fn encoded(codec: Codec, json: &serde_json::Value) -> Vec<u8> {
    codec.encode(json)
}

/// A device's hello, as a frame.
pub fn hello(codec: Codec, person: &str, device: &str) -> Vec<u8> {
    hello_with(codec, &token(person), device)
}

/// A hello with a token of choice.
pub fn hello_with(codec: Codec, token: &str, device: &str) -> Vec<u8> {
    message(codec, &encoded(codec, &json!({ "type": "hello", "token": token, "device": device, "client": "raw" })))
}

/// The request for a socket, with further header lines.
pub fn upgrade(subprotocol: &str, more: &str) -> String {
    format!(
        "GET /v1/sync HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{more}\r\n"
    )
}

/// What the server said in a frame.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Message(ServerMessage),
    Pong(Vec<u8>),
    /// A close frame's code; 0 if it has none.
    Close(u16),
    /// The end of the stream.
    End,
}

/// A connection. What is sent waits here for as long as the server does not read it, so a story never blocks on sending.
pub struct Raw {
    codec: Codec,
    read: OwnedReadHalf,
    buffer: Vec<u8>,
    write: mpsc::UnboundedSender<Vec<u8>>,
    writing: AbortHandle,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

impl Raw {
    /// Nothing but a connection.
    pub async fn connected(address: SocketAddr, codec: Codec) -> Raw {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (read, mut half) = stream.into_split();
        let (write, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let writing = tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                // A server that refuses what it gets need not read on.
                if half.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        Raw { codec, read, buffer: Vec::new(), write, writing: writing.abort_handle() }
    }

    /// A socket without a hello.
    pub async fn upgraded(address: SocketAddr, codec: Codec) -> Raw {
        let mut raw = Raw::connected(address, codec).await;
        raw.send(upgrade(codec.subprotocol(), ""));
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// A session.
    pub async fn welcomed(address: SocketAddr, codec: Codec, person: &str) -> Raw {
        let mut raw = Raw::upgraded(address, codec).await;
        raw.send(hello(codec, person, "raw"));
        assert!(matches!(raw.hear().await, ServerMessage::Welcome { .. }));
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
    pub fn say(&self, json: &serde_json::Value) {
        self.send(message(self.codec, &encoded(self.codec, json)));
    }

    /// The head of an HTTP answer.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            if !self.more().await {
                return String::new();
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Heard {
        let Some((first, payload)) = self.frame().await else { return Heard::End };
        match first & 0x0f {
            CLOSE => Heard::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
            PONG => Heard::Pong(payload),
            _ => Heard::Message(self.codec.decode_server(&payload).unwrap()),
        }
    }

    /// The next message, whatever pongs come before it.
    pub async fn hear(&mut self) -> ServerMessage {
        loop {
            match self.next().await {
                Heard::Message(message) => return message,
                Heard::Pong(_) => {}
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    /// The socket ends with this code: bye, a close frame with the same, and after the answer to it the end of the stream.
    pub async fn ends_with(&mut self, code: CloseCode) {
        let mut bye = None;
        loop {
            match self.next().await {
                Heard::Message(ServerMessage::Bye { code, .. }) => bye = Some(code),
                Heard::Message(_) | Heard::Pong(_) => {}
                Heard::Close(closed) => {
                    assert_eq!((bye, closed), (Some(code.code()), code.code()), "not {code}");
                    self.send(frame(LAST | CLOSE, &closed.to_be_bytes()));
                    return assert_eq!(self.next().await, Heard::End);
                }
                Heard::End => panic!("an end without a code instead of {code}"),
            }
        }
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.fill(2).await?;
        let (first, short) = (self.buffer[0], self.buffer[1]);
        let (at, length) = match short {
            126 => {
                self.fill(4).await?;
                (4, usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]])))
            }
            127 => {
                self.fill(10).await?;
                (10, u64::from_be_bytes(self.buffer[2..10].try_into().unwrap()) as usize)
            }
            _ => (2, usize::from(short)),
        };
        self.fill(at + length).await?;
        let frame: Vec<u8> = self.buffer.drain(..at + length).collect();
        Some((first, frame[at..].to_vec()))
    }

    async fn fill(&mut self, bytes: usize) -> Option<()> {
        while self.buffer.len() < bytes {
            if !self.more().await {
                return None;
            }
        }
        Some(())
    }

    /// Reads some more; false at the end, however it comes.
    async fn more(&mut self) -> bool {
        matches!(soon("something to read", self.read.read_buf(&mut self.buffer)).await, Ok(1..))
    }
}
