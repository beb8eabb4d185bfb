//! One socket: messages out, messages in, and the raw close code at its end.
//!
//! - [`Connection::open`] is the bare socket of a subprotocol, [`Connection::connect`] says hello on it too.
//! - Everything has a bound: connecting, the welcome, each message's size and the time it takes to send it.
//! - It answers nothing by itself but WebSocket pings: no heartbeat, no acknowledgement, no second try. Those are [`crate::Device`]'s.

mod frame;
mod welcome;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use driftless_protocol::{ClientMessage, Codec, ServerMessage, limits};
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
pub use frame::SendError;
use frame::{decode, encode};
pub use welcome::Welcome;

/// Name lookup, TCP, TLS and the HTTP upgrade together.
const CONNECT: Duration = Duration::from_secs(15);

/// From hello to welcome.
const WELCOME: Duration = Duration::from_secs(15);

/// A message at its bound over a line of 150 kbit/s.
const SEND: Duration = Duration::from_secs(120);

/// For the closing handshake; after it the socket is dropped.
const CLOSE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

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
        let frame = encode(self.codec, message)?;
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
        let frame = encode(self.codec, message)?;
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
            ServerMessage::Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits, merged } => {
                Ok(Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits, merged })
            }
            ServerMessage::Bye { code, reason, reconnect_after_ms } => Err(End::Closed { code, reason, reconnect_after_ms }),
            _ => Err(End::NotUnderstood("the first message is no welcome".to_owned())),
        }
    }

    async fn send_frame(&mut self, frame: Message) -> Result<(), End> {
        match timeout(SEND, self.socket.send(frame)).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(End::Lost("the server does not read".to_owned())),
        }
    }

    /// What a frame says; `None` if nothing.
    fn read(&mut self, frame: Option<Result<Message, Error>>) -> Option<Result<ServerMessage, End>> {
        let said = match frame {
            Some(Ok(Message::Close(frame))) => Err(self.closed(frame)),
            Some(Ok(frame)) => decode(self.codec, frame).transpose()?,
            Some(Err(why)) => Err(lost(why)),
            None => Err(End::Lost("end of stream".to_owned())),
        };
        if let Ok(ServerMessage::Bye { reconnect_after_ms, .. }) = &said {
            self.reconnect_after_ms = *reconnect_after_ms;
        }
        Some(said)
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
