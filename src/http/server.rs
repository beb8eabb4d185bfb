//! Listens, accepts, and gives each connection a task and deadlines.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service;
use tracing::{debug, warn};

use super::tls::{ListenError, TlsConfig};

/// How long a client may take for the head of a request, also between two requests of a connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take for the TLS handshake.
const TLS_DEADLINE: Duration = Duration::from_secs(10);

/// How long a connection may go on as plain HTTP; then it ends with the answer that is under way. A client simply connects again.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// How long that last answer, or a part of it, may take. A client that does not read it would hold it in memory for ever.
const LAST_ANSWER: Duration = Duration::from_secs(60);

/// Bytes of a request's head at most: as a hello, it carries a token of up to 16 KiB.
const HEAD_BYTES: usize = driftless_protocol::limits::HELLO_BYTES;

/// Connections that wait to be accepted, at most; the system may allow fewer (net.core.somaxconn). When all devices come back at once, whoever
/// finds no room here tries again only after a second.
const BACKLOG: u32 = 16 * 1024;

/// How long to wait before accepting again when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// TLS, if there is a certificate.
    pub tls: Option<TlsConfig>,
    /// Connections at once; more wait in the system's queue.
    pub connections: u32,
}

/// The stream of a connection with TLS. Boxed: its state is large.
pub(super) type TlsSocket = Box<TlsStream<TcpStream>>;

/// Counts a connection as long as somebody holds it.
#[derive(Clone)]
pub(super) struct Guest {
    _permit: Arc<OwnedSemaphorePermit>,
    parts: Arc<AtomicU64>,
}

impl Guest {
    /// Another part is sent of an answer that is made while it is sent.
    pub(super) fn takes_a_part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }
}

/// A bound port.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    connections: u32,
}

/// What is left of a listener that no longer listens: its connections.
pub struct Serving {
    room: Arc<Semaphore>,
    connections: u32,
}

impl Listener {
    /// Binds the port and reads the certificate. Inside a runtime.
    pub fn bind(config: &HttpConfig) -> Result<Listener, ListenError> {
        let tls = config.tls.as_ref().map(TlsConfig::acceptor).transpose()?;
        let listener = listen(config.listen).map_err(|error| ListenError::listen(config.listen, &error))?;
        let room = Arc::new(Semaphore::new(config.connections as usize));
        Ok(Listener { listener, tls, room, connections: config.connections })
    }

    /// The address that was bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is ready; then nothing new is accepted.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()>) -> Serving {
        let mut stop = std::pin::pin!(stop);
        let (closing, is_closing) = watch::channel(());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, guest)) = accepted else { continue };
            let (router, tls, closing) = (router.clone(), self.tls.clone(), is_closing.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, router, guest, closing).await,
                    // Boxed: a handshake's state is large and short-lived.
                    Some(tls) => match tokio::time::timeout(TLS_DEADLINE, Box::pin(tls.accept(stream))).await {
                        Ok(Ok(stream)) => connection(Box::new(stream), router, guest, closing).await,
                        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                        Err(_) => debug!("a TLS handshake took too long"),
                    },
                }
            });
        }
        // A connection that waits for its next request would wait in vain.
        closing.send_replace(());
        Serving { room: self.room, connections: self.connections }
    }

    async fn accept(&self) -> Option<(TcpStream, Guest)> {
        let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                // A small message must not wait for the answer to the one before it.
                let _ = stream.set_nodelay(true);
                Some((stream, Guest { _permit: Arc::new(permit), parts: Arc::default() }))
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

impl Serving {
    /// Returns when the last connection has ended.
    pub async fn ended(&self) {
        // Never closed, and never more permits than there are.
        let _ = self.room.acquire_many(self.connections).await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that starts again finds sockets of the one before on its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn connection<S>(stream: S, router: Router, guest: Guest, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let parts = Arc::clone(&guest.parts);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(guest.clone());
        router.clone().call(request)
    });
    let mut served = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades(),
    );
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = last_request(&mut closing) => {
            served.as_mut().graceful_shutdown();
            match last_answer(served.as_mut(), &parts).await {
                Some(ended) => ended,
                None => return debug!("a client did not read its answer"),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended badly");
    }
}

/// How the answer under way ended; `None` if its reader does not read. One that is made while it is sent may take longer, as long as its
/// reader takes part after part.
async fn last_answer<T>(mut served: Pin<&mut impl Future<Output = T>>, parts: &AtomicU64) -> Option<T> {
    loop {
        let taken = parts.load(Ordering::Relaxed);
        match tokio::time::timeout(LAST_ANSWER, served.as_mut()).await {
            Ok(ended) => return Some(ended),
            Err(_) if parts.load(Ordering::Relaxed) == taken => return None,
            Err(_) => {}
        }
    }
}

/// Returns when a connection should take no further request.
async fn last_request(closing: &mut watch::Receiver<()>) {
    // The server stops, or the connection is old.
    let _ = tokio::time::timeout(CONNECTION_LIFE, closing.changed()).await;
}
