//! One WebSocket connection to the server: sends and receives messages, and reports why it ended, with the server's close code if there was one.
//!
//! - [`Connection::open`] opens the WebSocket and sends nothing; [`Connection::connect`] also authenticates: it sends `hello` and waits for
//!   `welcome`.
//! - Connecting, waiting for `welcome` and each send have a time limit, and messages a size limit. [`Connection::recv`] waits without limit.
//! - A connection answers WebSocket pings and does nothing else on its own. Heartbeats, acknowledgements and reconnecting are the work of
//!   [`crate::Device`], which most programs use instead.

mod counted;
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
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::{DisconnectReason, Settings, TlsTrust};
use counted::{ByteCount, CountedStream};
pub use frame::SendError;
use frame::{decode, encode};
pub use welcome::Welcome;

/// Limit for the name lookup, TCP, TLS and the HTTP upgrade together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Limit for `welcome` to arrive once `hello` was written.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// Limit for writing a message of which no byte is taken.
const SEND_TIMEOUT: Duration = Duration::from_secs(120);

/// Limit for closing the WebSocket; then the TCP connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much may wait in the system to be sent, in bytes. Without it the system takes megabytes at once, and a message that a slow line still carries
/// for minutes looks as if it were sent.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 16 * 1024;

type ClientSocket = WebSocketStream<MaybeTlsStream<CountedStream>>;

/// What [`Connection::drive`] reports.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    Received(ServerMessage),
    /// All queued messages were written to the socket.
    Flushed,
    Closed(DisconnectReason),
}

/// An open WebSocket connection, in MessagePack or JSON.
#[derive(Debug)]
pub struct Connection {
    socket: ClientSocket,
    codec: Codec,
    /// From the server's `bye`.
    bye_message: Option<String>,
    reconnect_after_ms: Option<u64>,
    queued_bytes: usize,
    carried: ByteCount,
}

impl Connection {
    /// Connects, sends `hello` with a token, and waits for `welcome`. If the server rejects the device, the error has its close code. Limits: 15 s to
    /// connect, 120 s to send `hello`, 15 s for `welcome`.
    pub async fn connect(settings: &Settings, token: String) -> Result<(Connection, Welcome), DisconnectReason> {
        let mut connection = Connection::open(settings).await?;
        let hello = ClientMessage::Hello { token, device: settings.device.clone(), client: settings.client.clone() };
        connection.send(&hello).await.map_err(|why| match why {
            SendError::Disconnected(reason) => reason,
            SendError::TooLarge { .. } => DisconnectReason::NoToken(why.to_string()),
        })?;
        let welcome = timeout(WELCOME_TIMEOUT, connection.recv_welcome()).await.map_err(|_| DisconnectReason::Timeout)??;
        Ok((connection, welcome))
    }

    /// Opens the WebSocket without sending `hello`. Fails if that takes longer than 15 s.
    pub async fn open(settings: &Settings) -> Result<Connection, DisconnectReason> {
        let mut request = settings.address.url().into_client_request().map_err(unreachable)?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(settings.codec.subprotocol()));
        let bounds = WebSocketConfig::default().max_message_size(Some(limits::MESSAGE_BYTES)).max_frame_size(Some(limits::MESSAGE_BYTES));
        let carried = ByteCount::default();
        let opening = async {
            let stream = CountedStream::new(connect(request.uri()).await?, carried.clone());
            client_async_tls_with_config(request, stream, Some(bounds), connector(settings)).await
        };
        match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(Ok((socket, _))) => {
                Ok(Connection { socket, codec: settings.codec, bye_message: None, reconnect_after_ms: None, queued_bytes: 0, carried })
            }
            Ok(Err(Error::Http(answer))) => Err(DisconnectReason::UpgradeRejected(answer.status().as_u16())),
            Ok(Err(why)) => Err(unreachable(why)),
            Err(_) => Err(DisconnectReason::Unreachable(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    /// Sends a message and waits until it is written to the socket; fails after two minutes in which no byte was taken.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), SendError> {
        let frame = encode(self.codec, message)?;
        self.send_frame(frame).await.map_err(SendError::Disconnected)
    }

    /// Sends bytes as one binary WebSocket message, whatever the codec is, without encoding or checking them: for tests of a server.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), DisconnectReason> {
        self.send_frame(Message::Binary(bytes.into())).await
    }

    /// Sends text as one text WebSocket message, whatever the codec is, without encoding or checking it: for tests of a server.
    pub async fn send_text(&mut self, text: &str) -> Result<(), DisconnectReason> {
        self.send_frame(Message::text(text)).await
    }

    /// Waits for the next message. A `bye` is returned as a message; the next call then fails with the close code. Cancel safe: dropping the
    /// future loses no message.
    pub async fn recv(&mut self) -> Result<ServerMessage, DisconnectReason> {
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut self.socket).poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(frame) => match self.read(frame) {
                        Some(message) => return Poll::Ready(message),
                        None => continue,
                    },
                }
            }
        })
        .await
    }

    /// Closes the WebSocket (RFC 6455 §7), and drops the TCP connection after two seconds at the latest.
    pub async fn close(mut self) {
        // The socket is dropped next, so an error of the handshake does not matter.
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }

    /// Adds a message to the write buffer without waiting; [`Connection::drive`] writes it. The caller bounds the buffer, see
    /// [`Connection::queued_bytes`].
    pub(crate) fn queue(&mut self, message: &ClientMessage) -> Result<(), SendError> {
        let frame = encode(self.codec, message)?;
        self.queued_bytes += frame.len();
        Pin::new(&mut self.socket).start_send(frame).map_err(|why| SendError::Disconnected(lost(why)))
    }

    /// Bytes of the messages that were queued since the last [`SocketEvent::Flushed`].
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Writes queued messages and reads at the same time until there is an event. It reads while a write is blocked, because otherwise client and
    /// server could each wait for the other to read. Cancel safe.
    pub(crate) async fn drive(&mut self) -> SocketEvent {
        poll_fn(|cx| {
            let mut broken = None;
            if self.queued_bytes > 0
                && let Poll::Ready(done) = Pin::new(&mut self.socket).poll_flush(cx)
            {
                self.queued_bytes = 0;
                match done {
                    Ok(()) => return Poll::Ready(SocketEvent::Flushed),
                    Err(why) => broken = Some(lost(why)),
                }
            }
            while let Poll::Ready(frame) = Pin::new(&mut self.socket).poll_next(cx) {
                if let Some(message) = self.read(frame) {
                    return Poll::Ready(message.map_or_else(SocketEvent::Closed, SocketEvent::Received));
                }
            }
            // Frames that the server sent before the write failed come first: a close code says more than a broken pipe.
            broken.map_or(Poll::Pending, |reason| Poll::Ready(SocketEvent::Closed(reason)))
        })
        .await
    }

    /// How many bytes have shown that the server is there: those of incomplete messages count, too.
    pub(crate) fn carried_bytes(&self) -> u64 {
        self.carried.get()
    }

    async fn recv_welcome(&mut self) -> Result<Welcome, DisconnectReason> {
        match self.recv().await? {
            ServerMessage::Welcome {
                identity,
                session,
                patch,
                heartbeat_s,
                token_expires_in_s,
                limits,
                merged,
                linked,
                push_lost,
                known_since_ms,
            } => {
                Ok(Welcome { identity, session, patch, heartbeat_s, token_expires_in_s, limits, merged, linked, push_lost, known_since_ms })
            }
            ServerMessage::Bye { code, reason, message, reconnect_after_ms } => {
                Err(DisconnectReason::Closed { code, reason, message, reconnect_after_ms })
            }
            _ => Err(DisconnectReason::ProtocolError("the first message is not a welcome".to_owned())),
        }
    }

    async fn send_frame(&mut self, frame: Message) -> Result<(), DisconnectReason> {
        let carried = self.carried.clone();
        let mut sending = std::pin::pin!(self.socket.send(frame));
        loop {
            let before = carried.get();
            match timeout(SEND_TIMEOUT, &mut sending).await {
                Ok(sent) => return sent.map_err(lost),
                // A slow line is no dead one.
                Err(_) if carried.get() != before => {}
                Err(_) => return Err(DisconnectReason::Lost("the server does not read".to_owned())),
            }
        }
    }

    /// The message or the end that a frame stands for; `None` for a frame that is ignored.
    fn read(&mut self, frame: Option<Result<Message, Error>>) -> Option<Result<ServerMessage, DisconnectReason>> {
        let message = match frame {
            Some(Ok(Message::Close(frame))) => Err(self.closed(frame)),
            Some(Ok(frame)) => decode(self.codec, frame).transpose()?,
            Some(Err(why)) => Err(lost(why)),
            None => Err(DisconnectReason::Lost("end of stream".to_owned())),
        };
        if let Ok(ServerMessage::Bye { message, reconnect_after_ms, .. }) = &message {
            (self.bye_message, self.reconnect_after_ms) = (message.clone(), *reconnect_after_ms);
        }
        Some(message)
    }

    fn closed(&mut self, frame: Option<CloseFrame>) -> DisconnectReason {
        // RFC 6455 §7.1.5: 1005 stands for a close frame without a code.
        let (code, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
        DisconnectReason::Closed { code, reason, message: self.bye_message.take(), reconnect_after_ms: self.reconnect_after_ms }
    }
}

/// Opens the TCP connection to the host of a `ws` or `wss` URL.
async fn connect(url: &Uri) -> Result<TcpStream, Error> {
    // An address of IPv6 stands in brackets in a URL.
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("wss") { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    limit_unsent(&stream);
    Ok(stream)
}

/// A system that refuses this, or has no such option, only hides how fast a large message leaves.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(_stream: &TcpStream) {}

fn connector(settings: &Settings) -> Option<Connector> {
    match &settings.tls {
        TlsTrust::Custom(config) => Some(Connector::Rustls(config.clone())),
        TlsTrust::Roots => {
            if settings.address.is_encrypted() {
                // The default configuration needs a process-wide crypto provider; an error means that one is installed already.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            }
            None
        }
    }
}

fn unreachable(why: Error) -> DisconnectReason {
    match why {
        Error::Io(io) => DisconnectReason::Unreachable(io.to_string()),
        other => DisconnectReason::Unreachable(other.to_string()),
    }
}

fn lost(why: Error) -> DisconnectReason {
    DisconnectReason::Lost(why.to_string())
}
