//! A session's WebSocket, which holds buffers only while it is busy.
//!
//! Awake, it is the library's stream with its buffers. Asleep, it is the bare stream: it waits for the first byte, and holds no buffer.
//! Messages of the server go past the library as whole frames, so a sleeping socket sends without waking.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use driftless_protocol::{CloseCode, Codec, limits};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::frame_tracker::MessageTooLong;
use super::framed::{FramedStream, SocketCounter};
use super::outgoing::OutgoingFrames;
use crate::limits::HeldMemory;

/// Bytes read at a time: most messages are far smaller.
const READ_BYTES: usize = 4 * 1024;

/// Bytes of frames that wait until they are written together.
const WRITE_BYTES: usize = 16 * 1024;

/// Bytes that may wait for the peer to read in the library's buffer: it has control frames only, one of a kind.
const CONTROL_WRITE_BYTES: usize = 1024;

/// A WebSocket ping without a payload (RFC 6455 section 5.5.2).
const PING_FRAME: &[u8] = &[0x89, 0];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A message in the kind of frame that the socket's codec uses.
    Message(Bytes),
    /// A frame that cannot hold a message. The socket is to be closed.
    Invalid(FrameFault),
    /// The peer closed the socket or disconnected.
    Closed,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// A text frame in the binary protocol, or the reverse.
    WrongKind,
    /// A text frame with other bytes than UTF-8.
    NotUtf8,
    /// The bytes violate RFC 6455.
    Malformed,
    /// The message is over its bound.
    TooLarge,
}

/// The peer disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerGone;

pub(super) struct SessionSocket<S> {
    state: SocketState<S>,
    codec: Codec,
    unflushed: Unflushed,
    /// Frames that are not sent yet.
    outgoing: OutgoingFrames,
}

/// A control frame that must be flushed before the next message is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unflushed {
    None,
    /// Without this, the pongs for a peer that sends pings but reads nothing would accumulate.
    Pong,
    /// The library has queued its reply to a close (RFC 6455 section 5.5.1), but sends it only when flushed. The socket is closed then.
    Close,
}

enum SocketState<S> {
    Awake(Box<WebSocketStream<FramedStream<S>>>),
    Asleep(FramedStream<S>),
    /// Only while the state changes from one to the other.
    Changing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SocketState<S> {
    fn stream(&self) -> Option<&FramedStream<S>> {
        match self {
            SocketState::Awake(web) => Some(web.get_ref()),
            SocketState::Asleep(stream) => Some(stream),
            SocketState::Changing => None,
        }
    }

    fn stream_mut(&mut self) -> Option<&mut FramedStream<S>> {
        match self {
            SocketState::Awake(web) => Some(web.get_mut()),
            SocketState::Asleep(stream) => Some(stream),
            SocketState::Changing => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionSocket<S> {
    /// For a connection whose upgrade is done. Its first message is bounded as a hello is.
    pub(super) fn new(io: S, codec: Codec) -> SessionSocket<S> {
        let stream = FramedStream::new(io, limits::HELLO_BYTES, limits::MESSAGE_BYTES);
        SessionSocket { state: SocketState::Asleep(stream), codec, unflushed: Unflushed::None, outgoing: OutgoingFrames::default() }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn counter(&self) -> SocketCounter {
        self.state.stream().map(FramedStream::counter).cloned().unwrap_or_default()
    }

    pub(super) fn is_awake(&self) -> bool {
        matches!(self.state, SocketState::Awake(_))
    }

    /// Frees the buffers, if nothing is in them. Everything that was sent must have been flushed.
    pub(super) fn sleep(&mut self) {
        if let SocketState::Awake(web) = &self.state
            && self.unflushed == Unflushed::None
            && web.get_ref().is_between_messages()
            && let SocketState::Awake(web) = std::mem::replace(&mut self.state, SocketState::Changing)
        {
            let mut stream = web.into_inner();
            stream.message_freed();
            self.state = SocketState::Asleep(stream);
        }
    }

    /// How much memory the message that arrives needs before more of it is read, in bytes.
    pub(super) fn wanted_bytes(&self) -> Option<usize> {
        self.state.stream().and_then(FramedStream::wanted_bytes)
    }

    /// Reads the message for which memory was wanted.
    pub(super) fn admit_message(&mut self, memory: HeldMemory) {
        if let Some(stream) = self.state.stream_mut() {
            stream.admit_message(memory);
        }
    }

    /// Whether nothing more is read until the socket sleeps, because the last message was large.
    pub(super) fn must_sleep(&self) -> bool {
        self.state.stream().is_some_and(FramedStream::has_large_message)
    }

    /// The part of the last message's memory that counts for what was decoded of it.
    pub(super) fn take_decoded_memory(&mut self) -> Option<HeldMemory> {
        self.state.stream_mut()?.take_decoded_memory()
    }

    /// The next message. Cancel safe: no message is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Incoming {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next message, if there is one. If not, the task is woken when bytes arrive.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        if let SocketState::Asleep(stream) = &mut self.state
            && ready!(stream.poll_readable(context)).is_err()
        {
            return Poll::Ready(Incoming::Closed);
        }
        let (codec, mut unflushed) = (self.codec, self.unflushed);
        let Some(web) = self.wake() else { return Poll::Ready(Incoming::Closed) };
        let incoming = loop {
            if unflushed != Unflushed::None {
                let Poll::Ready(flushed) = web.poll_flush_unpin(context) else { break Poll::Pending };
                if flushed.is_err() || unflushed == Unflushed::Close {
                    break Poll::Ready(Incoming::Closed);
                }
                unflushed = Unflushed::None;
            }
            let Poll::Ready(next) = web.poll_next_unpin(context) else { break Poll::Pending };
            match (next, codec) {
                (Some(Ok(Message::Binary(bytes))), Codec::MsgPack) => break Poll::Ready(Incoming::Message(bytes)),
                (Some(Ok(Message::Text(text))), Codec::Json) => break Poll::Ready(Incoming::Message(text.into())),
                (Some(Ok(Message::Binary(_) | Message::Text(_))), _) => break Poll::Ready(Incoming::Invalid(FrameFault::WrongKind)),
                (Some(Ok(Message::Pong(_) | Message::Frame(_))), _) => {}
                (Some(Ok(Message::Ping(_))), _) => unflushed = Unflushed::Pong,
                (Some(Ok(Message::Close(_))), _) => unflushed = Unflushed::Close,
                (None, _) => break Poll::Ready(Incoming::Closed),
                (Some(Err(error)), _) => break Poll::Ready(incoming_of_error(&error)),
            }
        };
        self.unflushed = unflushed;
        incoming
    }

    /// Takes a frame for sending. Returns when there is space for the next one.
    pub(super) async fn feed(&mut self, frame: Bytes) -> Result<(), PeerGone> {
        self.outgoing.push(frame);
        if self.outgoing.bytes() >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Takes a WebSocket ping for sending, which the peer's library answers.
    pub(super) async fn ping(&mut self) -> Result<(), PeerGone> {
        self.feed(Bytes::from_static(PING_FRAME)).await
    }

    /// Sends everything. If this future is dropped, a later call goes on: the peer may have a part of a frame.
    pub(super) async fn flush(&mut self) -> Result<(), PeerGone> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PeerGone>> {
        // The library's frame comes first, because a part of it may be written.
        if let (Unflushed::Pong | Unflushed::Close, SocketState::Awake(web)) = (self.unflushed, &mut self.state) {
            ready!(web.poll_flush_unpin(context)).map_err(|_| PeerGone)?;
        }
        let Some(stream) = self.state.stream_mut() else { return Poll::Ready(Err(PeerGone)) };
        ready!(self.outgoing.poll_write(stream, context)).map_err(|_| PeerGone)?;
        Pin::new(stream).poll_flush(context).map_err(|_| PeerGone)
    }

    /// Sends a close frame and waits until the peer closes. Bytes that the peer still sends are discarded.
    pub(super) async fn close(&mut self, code: CloseCode) -> Result<(), PeerGone> {
        let frame = CloseFrame { code: WireCode::from(code.code()), reason: Utf8Bytes::from_static(code.reason()) };
        self.flush().await?;
        let web = self.wake().ok_or(PeerGone)?;
        web.send(Message::Close(Some(frame))).await.map_err(|_| PeerGone)?;
        web.get_mut().finish().await.map_err(|_| PeerGone)
    }

    fn wake(&mut self) -> Option<&mut WebSocketStream<FramedStream<S>>> {
        if matches!(self.state, SocketState::Asleep(_))
            && let SocketState::Asleep(stream) = std::mem::replace(&mut self.state, SocketState::Changing)
        {
            // Without a handshake the future has nothing to wait for, and is ready at once.
            let web = WebSocketStream::from_raw_socket(stream, Role::Server, Some(websocket_config())).now_or_never()?;
            self.state = SocketState::Awake(Box::new(web));
        }
        match &mut self.state {
            SocketState::Awake(web) => Some(web),
            _ => None,
        }
    }
}

fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_WRITE_BYTES)
        .max_message_size(Some(limits::MESSAGE_BYTES))
        .max_frame_size(Some(limits::MESSAGE_BYTES))
}

fn incoming_of_error(error: &Error) -> Incoming {
    match error {
        Error::Capacity(_) => Incoming::Invalid(FrameFault::TooLarge),
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<MessageTooLong>()) => Incoming::Invalid(FrameFault::TooLarge),
        Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => Incoming::Closed,
        Error::Protocol(_) => Incoming::Invalid(FrameFault::Malformed),
        Error::Utf8(_) => Incoming::Invalid(FrameFault::NotUtf8),
        _ => Incoming::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const TWO_MESSAGES: &[u8] = b"\x81\x82\0\0\0\0{}\x81\x82\0\0\0\0[]";

    #[tokio::test]
    async fn a_socket_does_not_sleep_while_a_message_is_in_its_buffer() {
        let (mut peer, io) = tokio::io::duplex(1024);
        let mut socket = SessionSocket::new(io, Codec::Json);
        peer.write_all(TWO_MESSAGES).await.expect("written");
        assert_eq!(socket.next().await, Incoming::Message(Bytes::from_static(b"{}")));
        socket.sleep();
        assert!(socket.is_awake(), "the second message is in its buffer");
        assert_eq!(socket.next().await, Incoming::Message(Bytes::from_static(b"[]")));
        assert_eq!(socket.next().now_or_never(), None);
        socket.sleep();
        assert!(!socket.is_awake());
    }
}
