//! Reserves the port, accepts connections, and gives each one a task with timeouts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::connection::serve_connection;
use super::permit::ConnectionPermit;
use super::tls::{ListenError, ServerCertificate};
use super::transfers::Transfers;

/// How long a client may take for the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How much may wait in the system to be sent on a connection, in bytes. Without it the system takes megabytes for a client that reads slowly,
/// and then nothing for minutes: the client would look stalled though it reads all the time.
const UNSENT_BYTES: u32 = 16 * 1024;

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
    /// The flag that sets the address, for an error.
    pub flag: &'static str,
    /// The maximum number of open connections. Further ones wait in the backlog.
    pub connections: u32,
}

/// The stream of a connection with TLS. Boxed, as its state is large.
pub(super) type TlsSocket = Box<TlsStream<TcpStream>>;

/// A port that is this process's, and accepts nothing yet: a client is refused as if no server ran, and another server that wants the port
/// fails at once.
pub struct ReservedPort {
    socket: TcpSocket,
    address: SocketAddr,
    flag: &'static str,
    certificate: Option<ServerCertificate>,
    connections: u32,
}

/// A port that accepts connections.
pub struct Listener {
    listener: TcpListener,
    certificate: Option<ServerCertificate>,
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
    /// Binds the port. Without a certificate it is served without TLS.
    pub fn reserve(config: &HttpConfig, certificate: Option<ServerCertificate>) -> Result<ReservedPort, ListenError> {
        let failed = |error| ListenError::bind(config.listen, config.flag, &error);
        let socket = bind(config.listen).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(ReservedPort { socket, address, flag: config.flag, certificate, connections: config.connections })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept connections. Must be called inside a Tokio runtime.
    pub fn listen(self) -> Result<Listener, ListenError> {
        let ReservedPort { socket, address, flag, certificate, connections } = self;
        // Of two servers that have reserved one port, which the system permits, the second fails here.
        let listener = socket.listen(BACKLOG).map_err(|error| ListenError::bind(address, flag, &error))?;
        Ok(Listener {
            listener,
            certificate,
            permits: Arc::new(Semaphore::new(connections as usize)),
            connections,
            failures: AcceptFailures::default(),
        })
    }
}

impl Listener {
    /// Serves until `stop` is ready; then no connection is accepted any more, and idle ones are closed.
    pub async fn serve(mut self, router: Router, transfers: Transfers, stop: impl Future<Output = ()>) -> OpenConnections {
        let mut stop = std::pin::pin!(stop);
        let (closing, is_closing) = watch::channel(());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (router, transfers, closing) = (router.clone(), transfers.clone(), is_closing.clone());
            let tls = self.certificate.as_ref().map(ServerCertificate::acceptor);
            tokio::spawn(async move {
                match tls {
                    None => serve_connection(stream, router, permit, transfers, closing).await,
                    // Boxed: the state of a handshake is large and short-lived.
                    Some(tls) => match tokio::time::timeout(TLS_TIMEOUT, Box::pin(tls.accept(stream))).await {
                        Ok(Ok(stream)) => serve_connection(Box::new(stream), router, permit, transfers, closing).await,
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
                limit_unsent(&stream);
                Some((stream, ConnectionPermit::new(permit, self.connections)))
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

#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(stream: &TcpStream) {
    // A system that refuses this only notices slow clients later.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(_stream: &TcpStream) {}
