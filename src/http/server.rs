//! Reserves the port, accepts connections, and gives each one a task with timeouts.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// How long a client may take to send the head of a request; also the longest idle time between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take for the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may serve plain HTTP. Then it closes after the response in progress, and the client reconnects.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(120);

/// How long that last response may take, or one chunk of it. A client that does not read it would keep it in memory for ever.
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum bytes of a request's head, which like a hello carries a token of up to 16 KiB.
const HEAD_BYTES: usize = driftless_protocol::limits::HELLO_BYTES;

/// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`). When all devices reconnect at once, a
/// client that finds the backlog full retries only after a second.
const BACKLOG: u32 = 16 * 1024;

/// How often the log says that no connection can be accepted, while that lasts.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How long to wait before the next accept if the system has no resources for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How the port is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The certificate; `None`: no TLS.
    pub tls: Option<TlsConfig>,
    /// The maximum number of open connections. Further ones wait in the backlog.
    pub connections: u32,
}

/// The stream of a connection with TLS. Boxed, as its state is large.
pub(super) type TlsSocket = Box<TlsStream<TcpStream>>;

/// Counts a connection against [`HttpConfig::connections`] until the last clone is dropped.
#[derive(Clone)]
pub(super) struct ConnectionPermit {
    _permit: Arc<OwnedSemaphorePermit>,
    chunks: Arc<AtomicU64>,
}

impl ConnectionPermit {
    /// Records that the client was sent another chunk of a streamed response, so that it is known to read.
    pub(super) fn count_chunk(&self) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
    }
}

/// A port that is this process's, and accepts nothing yet: a client is refused as if no server ran, and another server that wants the port
/// fails at once.
pub struct ReservedPort {
    socket: TcpSocket,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    connections: u32,
}

/// A port that accepts connections.
pub struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    connections: u32,
    failures: AcceptFailures,
}

/// The failures of accepting connections since the log last named them.
#[derive(Default)]
struct AcceptFailures {
    count: u64,
    logged: Option<Instant>,
}

/// The connections that are still open after the listener stopped.
pub struct OpenConnections {
    permits: Arc<Semaphore>,
    connections: u32,
}

impl ReservedPort {
    /// Binds the port and reads the certificate.
    pub fn reserve(config: &HttpConfig) -> Result<ReservedPort, ListenError> {
        let tls = config.tls.as_ref().map(TlsConfig::acceptor).transpose()?;
        let failed = |error| ListenError::bind(config.listen, &error);
        let socket = bind(config.listen).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(ReservedPort { socket, address, tls, connections: config.connections })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept connections. Must be called inside a Tokio runtime.
    pub fn listen(self) -> Result<Listener, ListenError> {
        let ReservedPort { socket, address, tls, connections } = self;
        // Of two servers that have reserved one port, which the system permits, the second fails here.
        let listener = socket.listen(BACKLOG).map_err(|error| ListenError::bind(address, &error))?;
        Ok(Listener {
            listener,
            tls,
            permits: Arc::new(Semaphore::new(connections as usize)),
            connections,
            failures: AcceptFailures::default(),
        })
    }
}

impl Listener {
    /// Serves until `stop` is ready; then no connection is accepted any more, and idle ones are closed.
    pub async fn serve(mut self, router: Router, stop: impl Future<Output = ()>) -> OpenConnections {
        let mut stop = std::pin::pin!(stop);
        let (closing, is_closing) = watch::channel(());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (router, tls, closing) = (router.clone(), self.tls.clone(), is_closing.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve_connection(stream, router, permit, closing).await,
                    // Boxed: the state of a handshake is large and short-lived.
                    Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, Box::pin(tls.accept(stream))).await {
                        Ok(Ok(stream)) => serve_connection(Box::new(stream), router, permit, closing).await,
                        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                        Err(_) => debug!("TLS handshake timed out"),
                    },
                }
            });
        }
        // Without this a keep-alive connection would stay open until its idle timeout.
        closing.send_replace(());
        OpenConnections { permits: self.permits, connections: self.connections }
    }

    async fn accept(&mut self) -> Option<(TcpStream, ConnectionPermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                // Nagle's algorithm would delay a small message until the one before it is acknowledged.
                let _ = stream.set_nodelay(true);
                Some((stream, ConnectionPermit { _permit: Arc::new(permit), chunks: Arc::default() }))
            }
            Err(error) => {
                self.failures.count += 1;
                if self.failures.logged.is_none_or(|logged| logged.elapsed() >= ACCEPT_LOG_INTERVAL) {
                    warn!(%error, failures = std::mem::take(&mut self.failures.count), "cannot accept a connection");
                    self.failures.logged = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
                None
            }
        }
    }
}

impl OpenConnections {
    /// Returns when the last connection has closed.
    pub async fn closed(&self) {
        // The semaphore is never closed, and the number is that of all its permits, so this cannot fail.
        let _ = self.permits.acquire_many(self.connections).await;
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // After a restart the port may still have sockets of the previous process in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve_connection<S>(stream: S, router: Router, permit: ConnectionPermit, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let chunks = Arc::clone(&permit.chunks);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(permit.clone());
        router.clone().call(request)
    });
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades(),
    );
    let result = tokio::select! {
        result = &mut connection => result,
        () = must_close(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            match finish_last_response(connection.as_mut(), &chunks).await {
                Some(result) => result,
                None => return debug!("client did not read its response in time"),
            }
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection failed");
    }
}

/// Waits for the response in progress and returns the connection's result; `None` if the client stopped reading. A streamed response may take
/// longer than [`LAST_RESPONSE_TIMEOUT`], as long as the client reads chunk after chunk.
async fn finish_last_response<T>(mut connection: Pin<&mut impl Future<Output = T>>, chunks: &AtomicU64) -> Option<T> {
    loop {
        let chunks_before = chunks.load(Ordering::Relaxed);
        match tokio::time::timeout(LAST_RESPONSE_TIMEOUT, connection.as_mut()).await {
            Ok(result) => return Some(result),
            Err(_) if chunks.load(Ordering::Relaxed) == chunks_before => return None,
            Err(_) => {}
        }
    }
}

/// Returns when a connection must accept no further request: the server stops, or [`CONNECTION_LIFETIME`] is over.
async fn must_close(closing: &mut watch::Receiver<()>) {
    let _ = tokio::time::timeout(CONNECTION_LIFETIME, closing.changed()).await;
}
