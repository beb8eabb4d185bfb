//! A WebSocket that holds buffers only while it is busy.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use driftless_protocol::{CloseCode, Codec, limits};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::tap::{Progress, Tap, TooLong};

/// Bytes read at a time: most messages are far smaller.
const READ_BYTES: usize = 4 * 1024;

/// Bytes of messages gathered before they are written.
const WRITE_BYTES: usize = 16 * 1024;

/// Bytes of messages that may wait for the peer to read: the largest message and what was gathered before it.
const WRITE_MAX_BYTES: usize = 2 * limits::MESSAGE_BYTES;

/// What came from the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A message of the socket's codec.
    Message(Bytes),
    /// A message that this protocol has no place for: the other kind of frame, a broken frame, one over the bound.
    Unfit(CloseCode),
    /// The peer closed, or is gone.
    End,
}

/// The peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// A socket, awake with the library's buffers or asleep without.
pub(super) struct Socket<S> {
    state: State<S>,
    codec: Codec,
    owes: Owes,
}

/// What is to be flushed before the next message is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    Nothing,
    /// A peer that does not take its pongs has its pings wait, or they would pile up here.
    Pong,
    /// The library has made the answer to a close (RFC 6455 section 5.5.1), but sends it only now; then it calls the socket closed.
    Close,
}

enum State<S> {
    Awake(Box<WebSocketStream<Tap<S>>>),
    Asleep(Tap<S>),
    /// Only while it changes from one to the other.
    Changing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket whose upgrade is done. Its first message is bounded as a hello is.
    pub(super) fn new(io: S, codec: Codec) -> Socket<S> {
        Socket { state: State::Asleep(Tap::new(io, limits::HELLO_BYTES, limits::MESSAGE_BYTES)), codec, owes: Owes::Nothing }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Counts the times that the peer took something.
    pub(super) fn progress(&self) -> Progress {
        match &self.state {
            State::Awake(web) => web.get_ref().progress().clone(),
            State::Asleep(tap) => tap.progress().clone(),
            State::Changing => Progress::default(),
        }
    }

    pub(super) fn is_awake(&self) -> bool {
        matches!(self.state, State::Awake(_))
    }

    /// Gives the buffers back, if nothing is in them. All that was sent must have been flushed.
    pub(super) fn sleep(&mut self) {
        if let State::Awake(web) = &self.state
            && web.get_ref().is_between_messages()
            && let State::Awake(web) = std::mem::replace(&mut self.state, State::Changing)
        {
            self.state = State::Asleep(web.into_inner());
        }
    }

    /// The next message. Loses nothing if it is dropped.
    pub(super) async fn next(&mut self) -> Incoming {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next message, if there is one; if not, the task is woken when something comes.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        if let State::Asleep(tap) = &mut self.state
            && ready!(tap.poll_stirred(context)).is_err()
        {
            return Poll::Ready(Incoming::End);
        }
        let (codec, mut owes) = (self.codec, self.owes);
        let Some(web) = self.wake() else { return Poll::Ready(Incoming::End) };
        let incoming = loop {
            if owes != Owes::Nothing {
                let Poll::Ready(flushed) = web.poll_flush_unpin(context) else { break Poll::Pending };
                if flushed.is_err() || owes == Owes::Close {
                    break Poll::Ready(Incoming::End);
                }
                owes = Owes::Nothing;
            }
            let Poll::Ready(next) = web.poll_next_unpin(context) else { break Poll::Pending };
            match (next, codec) {
                (Some(Ok(Message::Binary(bytes))), Codec::MsgPack) => break Poll::Ready(Incoming::Message(bytes)),
                (Some(Ok(Message::Text(text))), Codec::Json) => break Poll::Ready(Incoming::Message(text.into())),
                (Some(Ok(Message::Binary(_) | Message::Text(_))), _) => break Poll::Ready(Incoming::Unfit(CloseCode::BadMessage)),
                (Some(Ok(Message::Pong(_) | Message::Frame(_))), _) => {}
                (Some(Ok(Message::Ping(_))), _) => owes = Owes::Pong,
                (Some(Ok(Message::Close(_))), _) => owes = Owes::Close,
                (None, _) => break Poll::Ready(Incoming::End),
                (Some(Err(error)), _) => break Poll::Ready(unfit(&error)),
            }
        };
        self.owes = owes;
        incoming
    }

    /// Takes a message to be sent; returns when the next one may follow.
    pub(super) async fn feed(&mut self, message: Bytes) -> Result<(), Gone> {
        let message = match self.codec {
            Codec::MsgPack => Message::Binary(message),
            Codec::Json => Message::Text(Utf8Bytes::try_from(message).map_err(|_| Gone)?),
        };
        self.wake().ok_or(Gone)?.feed(message).await.map_err(|_| Gone)
    }

    /// Sends what was taken.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        match &mut self.state {
            State::Awake(web) => web.flush().await.map_err(|_| Gone),
            State::Asleep(_) => Ok(()),
            State::Changing => Err(Gone),
        }
    }

    /// Says goodbye, and waits for the peer to go. What it still says is not listened to.
    pub(super) async fn close(&mut self, code: CloseCode) -> Result<(), Gone> {
        let frame = CloseFrame { code: WireCode::from(code.code()), reason: Utf8Bytes::from_static(code.reason()) };
        let web = self.wake().ok_or(Gone)?;
        web.send(Message::Close(Some(frame))).await.map_err(|_| Gone)?;
        web.get_mut().finish().await.map_err(|_| Gone)
    }

    fn wake(&mut self) -> Option<&mut WebSocketStream<Tap<S>>> {
        if matches!(self.state, State::Asleep(_))
            && let State::Asleep(tap) = std::mem::replace(&mut self.state, State::Changing)
        {
            // Nothing in it waits: the future is ready at once.
            let web = WebSocketStream::from_raw_socket(tap, Role::Server, Some(config())).now_or_never()?;
            self.state = State::Awake(Box::new(web));
        }
        match &mut self.state {
            State::Awake(web) => Some(web),
            _ => None,
        }
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_write_buffer_size(WRITE_MAX_BYTES)
        .max_message_size(Some(limits::MESSAGE_BYTES))
        .max_frame_size(Some(limits::MESSAGE_BYTES))
}

fn unfit(error: &Error) -> Incoming {
    match error {
        Error::Capacity(_) => Incoming::Unfit(CloseCode::TooLarge),
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => Incoming::Unfit(CloseCode::TooLarge),
        Error::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => Incoming::End,
        Error::Protocol(_) | Error::Utf8(_) => Incoming::Unfit(CloseCode::BadMessage),
        _ => Incoming::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const TWO_MESSAGES: &[u8] = b"\x81\x82\0\0\0\0{}\x81\x82\0\0\0\0[]";

    #[tokio::test]
    async fn a_message_that_waits_in_the_buffer_is_not_slept_over() {
        let (mut peer, io) = tokio::io::duplex(1024);
        let mut socket = Socket::new(io, Codec::Json);
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
