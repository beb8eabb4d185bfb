//! One socket: messages out, messages in, and the raw close code at its end.
//!
//! - [`Connection::open`] is the bare socket of a subprotocol, [`Connection::connect`] says hello on it too.
//! - Everything has a bound: connecting, the welcome, each message's size and the time it takes to send it.
//! - It answers nothing by itself but WebSocket pings: no heartbeat, no acknowledgement, no second try. Those are [`crate::Device`]'s.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use driftless_protocol::{ClientMessage, Codec, Limits, ServerMessage, Value, limits};
use futures_util::{Sink, SinkExt, Stream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::{End, Settings, Tls};

/// Name lookup, TCP, TLS and the HTTP upgrade together.
const CONNECT: Duration = Duration::from_secs(15);

/// From hello to welcome.
const WELCOME: Duration = Duration::from_secs(15);

/// A message at its bound over a line of 150 kbit/s.
const SEND: Duration = Duration::from_secs(120);

/// For the closing handshake; after it the socket is dropped.
const CLOSE: Duration = Duration::from_secs(2);

/// The types that [`ServerMessage`] knows: a frame of another type is newer than this library and is ignored.
const KNOWN: [&str; 9] = ["welcome", "changes", "datasets", "written", "conflict", "refused", "renew", "pong", "bye"];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the server said about a session when it began: the fields of `welcome`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Whose data this is, `region:uuid`.
    pub identity: String,
    /// This session's id in the server's log.
    pub session: String,
    /// The highest patch number that the server knows of this device.
    pub patch: u64,
    /// The device says something at least this often, in seconds.
    pub heartbeat_s: u64,
    /// How long the token holds from then, in seconds.
    pub token_expires_in_s: u64,
    /// The pool's bounds.
    pub limits: Limits,
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It is larger than [`limits::MESSAGE_BYTES`]; nothing was sent and the socket is as it was.
    TooLarge {
        /// Its size in this codec.
        bytes: usize,
    },
    /// The socket has ended.
    Ended(End),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::TooLarge { bytes } => write!(f, "a message of {bytes} bytes is over the bound of {}", limits::MESSAGE_BYTES),
            SendError::Ended(end) => end.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// What happened on a socket next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The server said something.
    Heard(ServerMessage),
    /// Everything that was queued has left.
    Flushed,
    /// The socket ended.
    Ended(End),
}

/// An open socket of one of the two subprotocols.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    codec: Codec,
    reconnect_after_ms: Option<u64>,
    queued_bytes: usize,
}

impl Connection {
    /// Connects and says hello with a token. Ends with what the server closed the socket with, if it did not welcome the device.
    pub async fn connect(settings: &Settings, token: String) -> Result<(Connection, Welcome), End> {
        let mut connection = Connection::open(settings).await?;
        let hello = ClientMessage::Hello { token, device: settings.device.clone(), client: settings.client.clone() };
        connection.send(&hello).await.map_err(|why| match why {
            SendError::Ended(end) => end,
            SendError::TooLarge { .. } => End::NoToken(why.to_string()),
        })?;
        let welcome = timeout(WELCOME, connection.welcome()).await.map_err(|_| End::Silent)??;
        Ok((connection, welcome))
    }

    /// Opens the socket and says nothing.
    pub async fn open(settings: &Settings) -> Result<Connection, End> {
        let mut request = settings.address.url().into_client_request().map_err(unreachable)?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(settings.codec.subprotocol()));
        let bounds = WebSocketConfig::default().max_message_size(Some(limits::MESSAGE_BYTES)).max_frame_size(Some(limits::MESSAGE_BYTES));
        let opening = connect_async_tls_with_config(request, Some(bounds), true, connector(settings));
        match timeout(CONNECT, opening).await {
            Ok(Ok((socket, _))) => Ok(Connection { socket, codec: settings.codec, reconnect_after_ms: None, queued_bytes: 0 }),
            Ok(Err(Error::Http(answer))) => Err(End::Declined(answer.status().as_u16())),
            Ok(Err(why)) => Err(unreachable(why)),
            Err(_) => Err(End::Unreachable(format!("no answer in {} s", CONNECT.as_secs()))),
        }
    }

    /// Sends a message and waits until it has left, at most two minutes.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), SendError> {
        let frame = self.frame(message)?;
        self.send_frame(frame).await.map_err(SendError::Ended)
    }

    /// Sends bytes as one frame of this codec's kind, whether they are a message or not.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), End> {
        self.send_frame(Message::Binary(bytes.into())).await
    }

    /// Sends a text frame, in either codec.
    pub async fn send_text(&mut self, text: &str) -> Result<(), End> {
        self.send_frame(Message::text(text)).await
    }

    /// The next message; `bye` is one, and the end follows it. May be dropped and called again without loss.
    pub async fn recv(&mut self) -> Result<ServerMessage, End> {
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut self.socket).poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(frame) => match self.read(frame) {
                        Some(said) => return Poll::Ready(said),
                        None => continue,
                    },
                }
            }
        })
        .await
    }

    /// Closes the socket as RFC 6455 §7 has it, and drops it after two seconds at the latest.
    pub async fn close(mut self) {
        // What is lost here is lost to a socket that ends anyway.
        let _ = timeout(CLOSE, self.socket.close(None)).await;
    }

    /// Puts a message behind those that have not left yet. Nothing waits for it: see [`Connection::turn`].
    pub(crate) fn queue(&mut self, message: &ClientMessage) -> Result<(), SendError> {
        let frame = self.frame(message)?;
        self.queued_bytes += frame.len();
        Pin::new(&mut self.socket).start_send(frame).map_err(|why| SendError::Ended(lost(why)))
    }

    /// Bytes of messages that were queued since everything had left.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Listens and sends at once, so that two sides that are both talking never wait for each other. May be dropped and called again without loss.
    pub(crate) async fn turn(&mut self) -> Turn {
        poll_fn(|cx| {
            let mut broken = None;
            if self.queued_bytes > 0
                && let Poll::Ready(done) = Pin::new(&mut self.socket).poll_flush(cx)
            {
                self.queued_bytes = 0;
                match done {
                    Ok(()) => return Poll::Ready(Turn::Flushed),
                    Err(why) => broken = Some(lost(why)),
                }
            }
            while let Poll::Ready(frame) = Pin::new(&mut self.socket).poll_next(cx) {
                if let Some(said) = self.read(frame) {
                    return Poll::Ready(said.map_or_else(Turn::Ended, Turn::Heard));
                }
            }
            // What the server said before it went is heard first: its close code says more than a broken pipe.
            broken.map_or(Poll::Pending, |end| Poll::Ready(Turn::Ended(end)))
        })
        .await
    }

    async fn welcome(&mut self) -> Result<Welcome, End> {
        match self.recv().await? {
            ServerMessage::Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits } => {
                Ok(Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits })
            }
            ServerMessage::Bye { code, reason, reconnect_after_ms } => Err(End::Closed { code, reason, reconnect_after_ms }),
            other => Err(End::NotUnderstood(format!("the first message is no welcome: {:.60}", format!("{other:?}")))),
        }
    }

    async fn send_frame(&mut self, frame: Message) -> Result<(), End> {
        match timeout(SEND, self.socket.send(frame)).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(End::Lost("the server does not read".to_owned())),
        }
    }

    fn frame(&self, message: &ClientMessage) -> Result<Message, SendError> {
        let bytes = self.codec.encode(message);
        if bytes.len() > limits::MESSAGE_BYTES {
            return Err(SendError::TooLarge { bytes: bytes.len() });
        }
        match self.codec {
            Codec::MsgPack => Ok(Message::Binary(bytes.into())),
            // JSON is UTF-8 whatever is in it.
            Codec::Json => Ok(Message::text(String::from_utf8_lossy(&bytes).as_ref())),
        }
    }

    /// What a frame says; `None` if nothing.
    fn read(&mut self, frame: Option<Result<Message, Error>>) -> Option<Result<ServerMessage, End>> {
        let bytes = match (frame, self.codec) {
            (Some(Ok(Message::Binary(bytes))), Codec::MsgPack) => bytes,
            (Some(Ok(Message::Text(text))), Codec::Json) => text.into(),
            (Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))), _) => return None,
            (Some(Ok(Message::Close(frame))), _) => return Some(Err(self.closed(frame))),
            (Some(Ok(Message::Binary(_) | Message::Text(_))), _) => {
                return Some(Err(End::NotUnderstood("a frame of the other subprotocol".to_owned())));
            }
            (Some(Err(why)), _) => return Some(Err(lost(why))),
            (None, _) => return Some(Err(End::Lost("end of stream".to_owned()))),
        };
        match self.codec.decode_server(&bytes) {
            Ok(message) => {
                if let ServerMessage::Bye { reconnect_after_ms, .. } = &message {
                    self.reconnect_after_ms = *reconnect_after_ms;
                }
                Some(Ok(message))
            }
            Err(_) if self.is_newer(&bytes) => None,
            Err(why) => Some(Err(End::NotUnderstood(why.to_string()))),
        }
    }

    fn is_newer(&self, bytes: &[u8]) -> bool {
        match self.codec.decode::<Value>(bytes) {
            Ok(Value::Map(fields)) => matches!(fields.get("type"), Some(Value::Text(kind)) if !KNOWN.contains(&kind.as_str())),
            _ => false,
        }
    }

    fn closed(&self, frame: Option<CloseFrame>) -> End {
        match frame {
            Some(frame) => {
                End::Closed { code: frame.code.into(), reason: frame.reason.to_string(), reconnect_after_ms: self.reconnect_after_ms }
            }
            // RFC 6455 §7.1.5: the code of a close frame without one.
            None => End::Closed { code: 1005, reason: String::new(), reconnect_after_ms: self.reconnect_after_ms },
        }
    }
}

fn connector(settings: &Settings) -> Option<Connector> {
    match &settings.tls {
        Tls::Custom(config) => Some(Connector::Rustls(config.clone())),
        Tls::Roots => {
            if settings.address.is_encrypted() {
                // The default configuration needs the process to have a provider; an error means that it has one already.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            }
            None
        }
    }
}

fn unreachable(why: Error) -> End {
    match why {
        Error::Io(io) => End::Unreachable(io.to_string()),
        other => End::Unreachable(other.to_string()),
    }
}

fn lost(why: Error) -> End {
    End::Lost(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_types_are_those_that_decode() {
        for kind in KNOWN {
            let text = format!(r#"{{"type":"{kind}"}}"#);
            let why = Codec::Json.decode_server(text.as_bytes()).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(!why.contains("unknown variant"), "{why}");
        }
        let why = Codec::Json.decode_server(br#"{"type":"later"}"#).expect_err("unknown").to_string();
        assert_eq!(why.matches('`').count() / 2, KNOWN.len() + 1, "every known type is in the list: {why}");
    }
}
